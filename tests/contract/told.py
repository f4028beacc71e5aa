"""A renderer and a clock that do as a test tells them, and videos in their hands."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from core.documents import Options, Scene, Video
from core.errors import BusyError
from core.ports import CallState, Job, Parts
from core.settings import Settings
from core.status import SceneStatus
from core.sweep import look_after
from core.wiring import build_choices

SCRIPT = "The first paragraph tells of the sea.\n\nThe second tells of the boats on it.\n\nThe third of the gulls."
SETTINGS = Settings(tries_max=3)


@dataclass
class Renderer:
    """Implements ports.Dispatcher: keeps what it is handed, and says of calls what the test wants."""

    id: str = "told"
    parallel_calls: int = 2
    scenes_per_call: int = 0
    state: CallState = CallState.PENDING
    busy: bool = False
    calls: int = 0
    jobs: list[Job] = field(default_factory=list)  # the test may take them away
    cancelled: list[str] = field(default_factory=list)

    def submit(self, job: Job) -> str:
        """Take a job in, unless it is to be full."""
        if self.busy:
            raise BusyError("the render server's queue is full.")
        self.jobs.append(job)
        self.calls += 1
        return f"call-{self.calls}"

    def status(self, call_id: str) -> CallState:
        """As told."""
        return self.state

    def cancel(self, call_id: str) -> None:
        """Note it down."""
        self.cancelled.append(call_id)


@dataclass
class Clock:
    """Implements ports.Clock; moved by hand."""

    time: datetime = field(default_factory=lambda: datetime.now(UTC))

    def now(self) -> datetime:
        """The time that was set."""
        return self.time

    def sleep(self, seconds: float) -> None:
        """Move on."""
        self.time += timedelta(seconds=seconds)


def queued(parts: Parts) -> Video:
    """A video as a request records it."""
    options = Options(resolution=360).to_json()
    return parts.store.create_video(Video(id=secrets.token_hex(8), owner_id="someone", script=SCRIPT, options=options))


def handed_out(parts: Parts) -> Video:
    """A video in the hands of the renderer."""
    video = queued(parts)
    look(parts, video)
    return parts.store.get_video(video.id)


def look(parts: Parts, video: Video) -> Video:
    """Look after it once; what it is then."""
    look_after(parts, parts.store.get_video(video.id), build_choices(SETTINGS))
    return parts.store.get_video(video.id)


def finish(parts: Parts, video: Video, number: int) -> None:
    """Let a scene be rendered."""
    (scene,) = (s for s in parts.store.scenes(video.id) if s.scene_number == number)
    busy: Scene = parts.store.advance(scene, status=SceneStatus.RENDERING)
    parts.store.advance(busy, status=SceneStatus.RENDERED)
