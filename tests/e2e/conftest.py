"""One local stack for all end-to-end tests, with short waits."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from core import stack
from core.settings import Settings


@dataclass(frozen=True)
class RunningStack:
    """Where the stack answers; `settings` reach it with its server key."""

    endpoint: str
    project: str
    key: str
    data: Path
    settings: Settings


@pytest.fixture(scope="session")
def running_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    """Server, function and renderer as a person's `scenewright up` starts them."""
    data = tmp_path_factory.mktemp("stack") / "data"
    wanted = Settings(report_seconds=0.5, stale_seconds=5.0, beat_seconds=2.0, queued_due_seconds=5.0)
    with stack.start(data, settings=wanted) as running:
        at = running.settings
        yield RunningStack(at.endpoint, at.project_id, at.api_key, data, at)
