"""Waiting for a condition with a deadline, never for luck."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

import requests

from core.settings import Settings

T = TypeVar("T")


def wait_for(look: Callable[[], T | None], what: str, seconds: float = 60.0) -> T:
    """Look until there is something; fails, saying what was waited for."""
    deadline = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < deadline, f"waited {seconds:g} s for {what}"
        time.sleep(0.05)
    return found


def renderer_ready(settings: Settings) -> bool:
    """Whether every render process of the worker has its engines."""
    try:
        health = requests.get(f"{settings.render_url}/health", timeout=5)
    except requests.RequestException:
        return False
    return health.status_code == 200 and health.json()["ready"] == health.json()["processes"]
