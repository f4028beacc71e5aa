"""Measures where captions stand by drawing them with the very library and fonts that drew them into the film."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from tempfile import TemporaryDirectory

import ffmpeg

from core.documents import Canvas
from core.media.run import run

FONTS = Path(__file__).resolve().parent.parent / "fonts"
_VISIBLE = 24  # luma; black is 16, the dark outline of captions about 30
_EVENT = re.compile(r"^Dialogue: 0,[^,]*,[^,]*,(.*)$")
_BOX = re.compile(r"pts_time:([\d.]+) x1:(\d+) x2:(\d+) y1:(\d+) y2:(\d+)")


@dataclass(frozen=True, slots=True)
class Box:
    """The pixels that one caption touches, edges included."""

    left: int
    top: int
    right: int
    bottom: int
    text: str  # of the caption, without override codes


def caption_boxes(captions: Sequence[str], canvas: Canvas) -> list[Box]:
    """Draw every event of these ASS texts on black, one picture each, and return the boxes of what became visible."""
    boxes: list[Box] = []
    parsed = [_parse(text) for text in captions]
    for header, group in groupby(sorted(parsed), key=lambda pair: pair[0]):
        events = list(dict.fromkeys(event for _, found in group for event in found))
        if events:
            boxes += _measured(header, events, canvas)
    return boxes


def _parse(text: str) -> tuple[str, list[str]]:
    """The ASS text without its events, and what each event says from its style on."""
    header: list[str] = []
    events: list[str] = []
    for line in text.splitlines():
        match = _EVENT.match(line)
        if match:
            events.append(match[1])
        else:
            header.append(line)
    return "\n".join(header), events


def _measured(header: str, events: list[str], canvas: Canvas) -> list[Box]:
    """One second per event, looked at in its middle, when whatever grows has grown."""
    shrink = 2 if canvas.short_side >= 720 else 1  # a quarter of the work; libass scales all it draws
    lines = [f"Dialogue: 0,{_time(i)},{_time(i + 1)},{event}" for i, event in enumerate(events)]
    with TemporaryDirectory() as folder:
        script = Path(folder) / "captions.ass"
        script.write_text("\n".join([header, *lines]) + "\n", encoding="utf-8")
        size = f"{canvas.width // shrink}x{canvas.height // shrink}"
        drawn = (
            ffmpeg.input(f"color=black:s={size}:r=1:d={len(events)}", f="lavfi")
            .filter("setpts", "PTS+0.5/TB")
            .filter("ass", filename=str(script), fontsdir=str(FONTS))
            .filter("bbox", min_val=_VISIBLE)
        )
        log = run(drawn.output("-", f="null").get_args()).log
    boxes: list[Box] = []
    for match in _BOX.finditer(log):
        said = re.sub(r"(?<!\\)\{[^}]*\}", "", events[int(float(match[1]))].split(",", 6)[-1])
        left, right, top, bottom = (int(match[i]) * shrink for i in (2, 3, 4, 5))
        edge = shrink - 1
        boxes.append(Box(left, top, right + edge, bottom + edge, said.replace("\\N", " ")))
    return boxes


def _time(seconds: int) -> str:
    return f"{seconds // 3600}:{seconds // 60 % 60:02}:{seconds % 60:02}.00"
