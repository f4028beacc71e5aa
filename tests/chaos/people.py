"""Users who ask for tiny videos, and ask again when nobody answered."""

from __future__ import annotations

import time
from pathlib import Path

from core.errors import ScenewrightError
from core.watch import Session, execute, sign_in

SCENES = (
    "The tide leaves small pools between the rocks.",
    "A crab waits under the weed until dark.",
    "Then the sea comes back for all of it.",
)


def user(endpoint: str, project: str, folder: Path, name: str) -> Session:
    """A new anonymous user."""
    return sign_in(endpoint, project, folder / f"{name}.json")


def ask(session: Session, scenes: int, key: str, *, resolution: int = 360, seconds: float = 60.0) -> str:
    """Ask for a tiny video until there is an answer; the same key never makes a second one. Returns its id."""
    script = "\n\n".join(SCENES[:scenes]) + (" And so it goes every day." if scenes == 1 else "")
    body = {"script": script, "resolution": resolution, "captions": "off"}
    deadline = time.monotonic() + seconds
    while True:
        try:
            answer = execute(session.client(), "POST", "/videos", body, {"Idempotency-Key": key})
            return str(answer["videoId"])
        except ScenewrightError as error:
            if not error.retryable or time.monotonic() > deadline:
                raise
            time.sleep(0.2)
