"""The picture that cannot fail: a scene's title on a plain ground of the film's colours, drawn with fonts alone."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from core.documents import Canvas
from core.engine_ports import PictureBrief, Report
from core.engines.cards_layouts import Box, safe_area
from core.engines.cards_palettes import PALETTES, RGB, Palette, palette_name
from core.engines.cards_text import Setting, clean, face_for, fit, shown
from core.engines.fonts import missing_sentence
from core.errors import of_system

_WEIGHT = 800
_LARGEST, _SMALLEST = 0.12, 0.045  # type sizes, shares of the short side
_RULE = (0.20, 0.012, 0.055)  # width, height and distance of the bar under the title, shares of the short side
_INSET = 0.88  # of the safe area: the camera nears, and letters must stay whole


class TitleCard:
    """PictureEngine for scenes whose own picture cannot be made."""

    id = "title-card"
    version = "1"
    suffix = ".png"

    def draw(self, brief: PictureBrief, out: Path, report: Report) -> Mapping[str, Any]:
        """Write the card as PNG of the canvas's size. Facts: width, height, warnings (sentences).

        Raises MissingToolError when the file cannot be written.
        """
        canvas = brief.canvas
        palette = PALETTES[palette_name(brief.style, brief.film_title, brief.language, brief.seed)]
        text = clean(brief.title) or clean(brief.film_title)
        image = Image.fromarray(_ground(canvas, palette, captions=brief.captions))
        _write(image, text or f"{brief.number}", safe_area(canvas, captions=brief.captions), palette)
        try:
            image.save(out, "PNG", compress_level=3)
        except OSError as error:
            raise of_system(error) from error
        report(1.0)
        warning = missing_sentence(text)
        return {"width": canvas.width, "height": canvas.height, "warnings": [warning] if warning else []}


def _ground(canvas: Canvas, palette: Palette, *, captions: bool) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """The palette's base with a breath of its first light in one corner; smooth, so that letters stand out.

    Captions are white: under them a light ground turns into the deepest of its lights.
    """
    y, x = np.mgrid[0 : canvas.height, 0 : canvas.width].astype(np.float32)
    slope = (x / canvas.width + y / canvas.height) / 2
    base, light = np.array(palette.base, np.float32), np.array(palette.glows[0], np.float32)
    share = (0.30 * (1 - slope) ** 1.5)[..., None]
    ground = base + share * (light - base)
    if palette.light and captions:
        rise = np.clip((y / canvas.height - 0.6) / 0.25, 0, 1)[..., None]
        ground += rise * (np.array(palette.ink, np.float32) * 0.4 + np.array(palette.glows[2]) * 0.6 - ground)
    out: np.ndarray[Any, np.dtype[np.uint8]] = np.rint(ground).astype(np.uint8)
    return out


def _write(image: Image.Image, text: str, safe: Box, palette: Palette) -> None:
    """The title in the middle of the safe area, a short bar under it."""
    s = min(image.size)
    room = safe.within(safe.width * _INSET, safe.height * _INSET)
    width, height, distance = (round(share * s) for share in _RULE)
    face = face_for(text, _WEIGHT)
    largest, smallest = round(_LARGEST * s), round(_SMALLEST * s)
    setting = fit(shown(text, face), face, room.width, room.height - height - distance, largest, smallest)
    centre = room.centre[0]
    top = room.centre[1] - (setting.height + distance + height) / 2
    pen = ImageDraw.Draw(image)
    _lines(pen, setting, centre, top, palette.ink)
    bar = top + setting.height + distance
    box = (centre - width / 2, bar, centre + width / 2, bar + height)
    pen.rounded_rectangle(box, radius=height / 2, fill=palette.glows[1])


def _lines(pen: ImageDraw.ImageDraw, setting: Setting, centre: float, top: float, ink: RGB) -> None:
    font = setting.face.at(setting.size)
    for number, line in enumerate(setting.lines):
        pen.text((centre, top + setting.ascent + number * setting.step), line, font=font, fill=ink, anchor="ms")
