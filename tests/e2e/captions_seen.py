"""Looks at the captions of a film: which word is highlighted where, and when."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from core.combine import starts_of
from core.documents import FPS, Canvas, Scene, Video
from core.engine_ports import Word
from core.engines.fonts import FONTS
from core.media.run import run
from core.ports import Parts
from core.scene_inputs import caption_text, inputs_of, span_of

TOLERANCE = 0.08  # seconds between what is heard and what is seen
_LIGHT = re.compile(r"\{\\1c&H00E5FF&[^}]*\}(.*?)\{\\1c&HFFFFFF&")
_DIALOGUE = re.compile(r"Dialogue: \d+,([\d:.]+),([\d:.]+),(?:[^,]*,){6}(.*)")

Picture = NDArray[np.uint8]  # height x width x 3, red green blue
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Narration:
    """One scene as it is heard in the film."""

    words: tuple[Word, ...]  # in the scene's own time
    start: float  # of the scene in the film, seconds
    first: float  # second of the scene at which its clip begins
    ass: str  # what is burnt into the clip, in the clip's time


@dataclass(frozen=True)
class Light:
    """One highlighted word: when it is spoken and when it lights up, in seconds of the film."""

    word: Word
    on: float
    off: float
    place: Mask  # where it stands in the caption band
    same_cue: bool  # whether the word before it stands in the same cue


def narrations(parts: Parts, video: Video, scenes: Sequence[Scene]) -> list[Narration]:
    """What the voices of a film say, from the recorded facts of their assets."""
    voices = [parts.store.asset(json.loads(scene.assets)["voice"]) for scene in scenes]
    frames = [int(voice.facts["frames"]) for voice in voices if voice is not None]
    found = []
    for scene, voice, start, count in zip(scenes, voices, starts_of(frames), frames, strict=True):
        assert voice is not None
        words = tuple(Word(*word) for word in voice.facts["words"])
        span = span_of(scene.scene_number, len(scenes), count)
        text = caption_text(inputs_of(video, scene), words, span)
        assert text is not None
        found.append(Narration(words, start / FPS, span.start / FPS, text))
    return found


def _seconds(text: str) -> float:
    hours, minutes, seconds = text.split(":")
    return int(hours) * 3600 + int(minutes) * 60 + float(seconds)


def lights(narration: Narration, canvas: Canvas, folder: Path) -> list[Light]:
    """Every highlighted word of a scene, its place found by drawing the captions alone, on black."""
    events = [
        (_seconds(match[1]), _seconds(match[2]), match[3])
        for line in narration.ass.splitlines()
        if (match := _DIALOGUE.match(line)) and _LIGHT.search(line)
    ]
    texts = [match[1] for *_, text in events if (match := _LIGHT.search(text))]
    assert texts == [word.text for word in narration.words]
    script = folder / "captions.ass"
    script.write_text(narration.ass, encoding="utf-8")
    black = f"color=black:s={canvas.width}x{canvas.height}:r={FPS}:d={events[-1][1] + 0.1:.2f}"
    middles = [round((on + off) / 2 * FPS) for on, off, _ in events]
    drawn = band_frames(["-f", "lavfi", "-i", black], middles, canvas, f"ass={script}:fontsdir={FONTS},")
    plain = [re.sub(r"\{[^}]*\}", "", text) for *_, text in events]
    offset = narration.start + narration.first
    return [
        Light(
            word=Word(word.text, word.start + narration.start, word.end + narration.start),
            on=on + offset,
            off=off + offset,
            place=yellow(drawn[middle]),
            same_cue=i > 0 and plain[i] == plain[i - 1],
        )
        for i, (word, (on, off, _), middle) in enumerate(zip(narration.words, events, middles, strict=True))
    ]


def band_frames(source: Sequence[str], numbers: Sequence[int], canvas: Canvas, draw: str = "") -> dict[int, Picture]:
    """The caption band of some frames of a film; `draw`: filters to be applied first."""
    top, bottom = canvas.caption_band
    wanted = sorted(set(numbers))
    chosen = "+".join(f"eq(n,{number})" for number in wanted)
    filters = f"{draw}select='{chosen}',crop={canvas.width}:{bottom - top}:0:{top}"
    out = run([*source, "-vf", filters, "-fps_mode", "passthrough", "-f", "rawvideo", "-pix_fmt", "rgb24", "-"]).stdout
    pictures = np.frombuffer(out, np.uint8).reshape(-1, bottom - top, canvas.width, 3)
    assert len(pictures) == len(wanted)
    return dict(zip(wanted, pictures, strict=True))


def yellow(picture: Picture) -> Mask:
    """Which pixels have the colour of the spoken word."""
    red, green, blue = (picture[..., channel].astype(int) for channel in range(3))
    return np.asarray((red > 190) & (green > 160) & (blue < 120) & (red - blue > 90))


def lit_share(picture: Picture, place: Mask) -> tuple[float, float]:
    """How much of a word's place is lit, and how much is lit elsewhere, as shares of the word's own pixels."""
    rows, columns = np.where(place)
    box = np.zeros_like(place)
    box[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1] = True
    seen = yellow(picture)
    return float((seen & place).sum() / place.sum()), float((seen & ~box).sum() / place.sum())


def frame_after(seconds: float) -> int:
    """The first frame that begins at or after this time."""
    return math.ceil(seconds * FPS - 1e-6)


def frame_before(seconds: float) -> int:
    """The last frame that ends at or before this time."""
    return math.floor(seconds * FPS + 1e-6) - 1
