"""Videos in the embedded server, and real engines that refuse what a test says."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import ffmpeg
import numpy as np

from core.adapters.appwrite_client import AppwriteClient
from core.adapters.appwrite_files import AppwriteFiles
from core.adapters.appwrite_store import AppwriteStore
from core.documents import Options, Scene, Video
from core.engine_ports import Engines, PictureBrief, Report, Shot, Voice, VoiceBrief
from core.engines.storyboard_text import TextStoryboard
from core.errors import EngineError, UnavailableError
from core.media.run import run
from core.plan import plan
from core.ports import CallState, Parts
from core.settings import Settings
from core.sweep import look_after
from core.wiring import build_choices, build_engines, run_job
from tests.contract.told import Renderer

SETTINGS = Settings(tries_max=3, report_seconds=0.1)
TEXTS = (
    "# The sea\nThe sea is wide.",
    "# The boat\nA boat sails out.",
    "# The gull\nA gull is there.",
    "# Home\nAll go home.",
)
REFUSED = EngineError("The picture was refused.", code="refused_by_engine")
BUSY = UnavailableError("The picture service is busy.")


@dataclass
class Clock:
    """Implements ports.Clock: the time, and nobody waits."""

    ahead: timedelta = timedelta()

    def now(self) -> datetime:
        """The time, with all that was slept."""
        return datetime.now(UTC) + self.ahead

    def sleep(self, seconds: float) -> None:
        """Be later at once."""
        self.ahead += timedelta(seconds=seconds)


@dataclass
class Pictures:
    """Implements engine_ports.PictureEngine over the real cards; raises what `refuse` gives."""

    inner: Any
    refuse: Callable[[PictureBrief], Exception | None]
    drawn: list[PictureBrief] = field(default_factory=list)
    id: str = "cards"
    version: str = "1"
    suffix: str = ".jpg"

    def draw(self, brief: PictureBrief, out: Path, report: Report) -> Mapping[str, Any]:
        """Draw the card, or refuse."""
        self.drawn.append(brief)
        error = self.refuse(brief)
        if error is not None:
            raise error
        return dict(self.inner.draw(brief, out, report))


@dataclass
class Voices:
    """Implements engine_ports.VoiceEngine over the real voice."""

    inner: Any
    refuse: Callable[[VoiceBrief], Exception | None]
    id: str = "espeak"
    version: str = "1"

    def speak(self, brief: VoiceBrief, out: Path) -> Voice:
        """Say it, or refuse."""
        error = self.refuse(brief)
        if error is not None:
            raise error
        voice: Voice = self.inner.speak(brief, out)
        return voice


@dataclass
class Clips:
    """Implements engine_ports.ClipEngine over the real one."""

    inner: Any
    refuse: Callable[[Shot], Exception | None]
    refuse_fade: Callable[[Shot], Exception | None]
    id: str = "motion"
    version: str = "1"

    def film(self, shot: Shot, span: range, captions: str | None, out: Path, report: Report) -> Mapping[str, Any]:
        """Film it, or refuse."""
        error = self.refuse(shot)
        if error is not None:
            raise error
        return dict(self.inner.film(shot, span, captions, out, report))

    def fade(self, before: Shot, after: Shot, frames: int, out: Path) -> Mapping[str, Any]:
        """Fade, or refuse."""
        error = self.refuse_fade(before)
        if error is not None:
            raise error
        return dict(self.inner.fade(before, after, frames, out))


REAL = build_engines(Settings())


def never(_: object) -> Exception | None:
    """Refuse nothing."""
    return None


def engines_that(
    *,
    picture: Callable[[PictureBrief], Exception | None] = never,
    voice: Callable[[VoiceBrief], Exception | None] = never,
    clip: Callable[[Shot], Exception | None] = never,
    fade: Callable[[Shot], Exception | None] = never,
) -> tuple[Engines, Pictures]:
    """The real engines, which raise what these functions give; and the one that draws."""
    pictures = Pictures(REAL.pictures["cards"], picture)
    clips = Clips(REAL.clip, clip, fade)
    return replace(REAL, voice=Voices(REAL.voice, voice), pictures={"cards": pictures}, clip=clips), pictures


@dataclass
class Made:
    """A video and everything it is made with."""

    parts: Parts
    renderer: Renderer
    id: str

    @property
    def video(self) -> Video:
        """As it is now."""
        return self.parts.store.get_video(self.id)

    @property
    def scenes(self) -> list[Scene]:
        """As they are now."""
        return self.parts.store.scenes(self.id)

    def events(self, kind: str) -> list[str]:
        """The sentences of the log of one kind."""
        return [e.sentence for e in self.parts.store.events(self.id) if e.kind == kind]

    def run(self, engines: Engines) -> None:
        """Do every job, and those they hand out."""
        while self.renderer.jobs:
            run_job(self.parts, engines, self.renderer.jobs.pop(0))

    def again(self) -> None:
        """What the sweep does when the calls have ended and the video has not."""
        look_after(self.parts, self.video, build_choices(SETTINGS))


Begin = Callable[..., Made]


def planned(client: AppwriteClient, *texts: str) -> Made:
    """A video of these scenes, planned and handed out."""
    store, files = AppwriteStore(client), AppwriteFiles(client)
    renderer = Renderer(parallel_calls=1, state=CallState.DONE)
    parts = Parts(store, files, renderer, TextStoryboard(), SETTINGS, Clock())
    asked = Options(resolution=360, style="lagoon", seed=7).to_json()
    video = store.create_video(Video(id=secrets.token_hex(8), owner_id="ada", script="\n\n".join(texts), options=asked))
    plan(parts, video.id, build_choices(SETTINGS))
    return Made(parts, renderer, video.id)


def refuse_scene(number: int, error: Exception) -> Callable[[PictureBrief], Exception | None]:
    """Refuse the picture of one scene, whatever its prompt."""
    return lambda brief: error if brief.number == number else None


def frame_of(film: Path, number: int) -> np.ndarray:
    """One frame as (height, width, 3) RGB, 0 to 255."""
    video = ffmpeg.input(str(film)).video.filter("select", f"eq(n,{number})")
    raw = run(video.output("pipe:1", f="rawvideo", pix_fmt="rgb24", vframes=1).get_args()).stdout
    return np.frombuffer(raw, np.uint8).reshape(640, 360, 3).astype(float)
