"""Engines that write at once what they were asked for, as text, and take their time in the simulation's own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.documents import FPS, Canvas
from core.engine_ports import (
    Engines,
    FilmBrief,
    Finding,
    Heard,
    Look,
    PictureBrief,
    Report,
    Shot,
    SoundBrief,
    SoundTrack,
    Voice,
    VoiceBrief,
    Word,
)
from tests.simulation.scheduler import Scheduler

Making = Callable[[str, str], None]  # (kind, what) of each asset that an engine begins to make
_FRAMES = 60
_TAKES_SECONDS = (0.05, 6.0)


@dataclass
class _Maker:
    scheduler: Scheduler
    making: Making
    id: str = "text"
    version: str = "1"
    suffix: str = ".png"  # by its name: what real storage takes

    def _work(self, kind: str, what: str) -> None:
        self.making(kind, what)
        self.scheduler.sleep(self.scheduler.rng.uniform(*_TAKES_SECONDS))


class Voices(_Maker):
    """Implements engine_ports.VoiceEngine."""

    def speak(self, brief: VoiceBrief, out: Path) -> Voice:
        """Write the text."""
        self._work("voice", brief.text)
        out.write_text(brief.text)
        return Voice(out, _FRAMES, (Word("word", 0.5, 1.0),))


class Pictures(_Maker):
    """Implements engine_ports.PictureEngine."""

    def draw(self, brief: PictureBrief, out: Path, report: Report) -> Mapping[str, Any]:
        """Write what is to be seen and said."""
        text = f"{brief.prompt} / {brief.narration}"
        self._work("picture", text)
        out.write_text(text)
        report(1.0)
        return {}


class Clips(_Maker):
    """Implements engine_ports.ClipEngine."""

    def film(self, shot: Shot, span: range, captions: str | None, out: Path, report: Report) -> Mapping[str, Any]:
        """Write what the picture shows."""
        text = shot.picture.read_text()
        self._work("clip", text)
        report(0.5)
        out.write_text(f"{text}\n")
        return {}

    def fade(self, before: Shot, after: Shot, frames: int, out: Path) -> Mapping[str, Any]:
        """Write nothing of its own."""
        out.write_text("")
        return {}


class Films(_Maker):
    """Implements engine_ports.FilmEngine."""

    def check_music(self, path: Path) -> None:
        """Any music will do."""

    def fit(self, footage: Path, canvas: Canvas, frames: int, out: Path, *, holds: bool) -> Mapping[str, Any]:
        """It has the right length."""
        out.write_text(footage.read_text())
        return {"seconds": frames / FPS, "slowed": 1.0, "loops": 1}

    def still(self, footage: Path, frame: int, out: Path) -> None:
        """Write a beginning."""
        out.write_text(footage.read_text()[:20])

    def mix(self, brief: SoundBrief, out: Path, report: Report) -> SoundTrack:
        """Write nothing of its own."""
        report(0.5)
        out.write_text("")
        return SoundTrack(out, brief)

    def join(self, brief: FilmBrief, out: Path) -> Heard:
        """Write one segment after the other."""
        text = "".join(segment.read_text() for segment in brief.segments)
        self._work("film", text)
        out.write_text(text)
        return Heard("", brief.frames, -16.0, -3.0)

    def thumbnail(self, picture: Path, canvas: Canvas, out: Path) -> None:
        """Write a beginning."""
        out.write_text(picture.read_text()[:20])

    def look(self, segment: Path, canvas: Canvas, captions: str | None = None) -> Look:
        """There is nothing wrong with it."""
        return Look(len(segment.read_text()))

    def blemish(self, look: Look) -> str:
        """It never has one."""
        return ""

    def inspect(self, brief: FilmBrief, film: Path, heard: Heard, report: Report) -> Sequence[Finding]:
        """See that everything is there."""
        whole = "".join(segment.read_text() for segment in brief.segments) == film.read_text()
        return [Finding("streams", whole, "The film is what was joined.")]


def makers(scheduler: Scheduler, making: Making) -> Engines:
    """A renderer's engines."""
    pictures, voices = Pictures(scheduler, making), Voices(scheduler, making)
    return Engines(
        voice=voices,
        pictures={"cards": pictures},
        clip=Clips(scheduler, making),
        film=Films(scheduler, making),
        title_card=pictures,
        silence=voices,
    )
