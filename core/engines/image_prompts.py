"""What a picture model is asked for: prompt, size and seed of a scene, and whether what came back shows anything."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from core.documents import Canvas
from core.engine_ports import PictureBrief
from core.engines.cards_palettes import PALETTES, palette_name

# sizes the model was trained on, about a million px each; the clip crops them to the canvas
BUCKETS = ((768, 1344), (1024, 1024), (1344, 768))
_GRID = 8  # px: sides are multiples of it, since the model works on an eighth of the size
_SMALLEST = 64  # px
# every picture of every scene begins and ends alike, and shares the colours of its video: so they belong together
_LEAD = "cinematic illustration of"
_TAIL = "one clear subject, soft directional light, fine detail"
_UNDER_CAPTIONS = "calm uncluttered lower third"
NEGATIVE = (
    "text, letters, words, caption, watermark, logo, signature, border, collage, blurry, lowres, jpeg artifacts, "
    "deformed hands, extra limbs, nudity, gore"
)
_DARK = 16  # of 255: a picture whose lightest hundredth is darker shows nothing
_FLAT = 4  # of 255: one whose lightest and darkest hundredth lie closer shows nothing either


def bucket(canvas: Canvas, scale: float = 1.0) -> tuple[int, int]:
    """(width, height) in px of the trained size whose aspect is nearest to the canvas, times `scale`."""
    wanted = math.log(canvas.width / canvas.height)
    width, height = min(BUCKETS, key=lambda size: abs(math.log(size[0] / size[1]) - wanted))
    return _side(width * scale), _side(height * scale)


def _side(length: float) -> int:
    return max(round(length / _GRID) * _GRID, _SMALLEST)


def seed_of(brief: PictureBrief, again: int = 0) -> int:
    """The seed of a scene's picture, 0 to 2**63 - 1: one family per video, a member per scene and new try."""
    digest = hashlib.sha256(f"{brief.seed}:{brief.number}:{again}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def prompt_of(brief: PictureBrief, count: Callable[[str], int], limit: int) -> tuple[str, list[str]]:
    """The scene's prompt between what all scenes of its video share.

    Args:
        brief: what is to be seen.
        count: tokens the model makes of a text.
        limit: how many of them it reads; a longer prompt is cut at a word, what all scenes share is kept.

    Returns:
        The prompt, and a sentence if it was cut.
    """
    name = palette_name(brief.style, brief.film_title, brief.language, brief.seed)
    colours = PALETTES[name].sentence.rstrip(".").lower()
    ending = [colours, *([_UNDER_CAPTIONS] if brief.captions else []), _TAIL]

    def whole(subject: str) -> str:
        return ", ".join([f"{_LEAD} {subject}".rstrip(), *ending])

    asked = " ".join((brief.prompt or brief.title or brief.film_title).split())
    kept = _cut(asked, lambda subject: count(whole(subject)) <= limit)
    if kept == asked:
        return whole(asked), []
    return whole(kept), [f"The picture's prompt is longer than its model reads; it was cut after “{kept[-40:]}”."]


def _cut(text: str, fits: Callable[[str], bool]) -> str:
    """The longest beginning that fits and ends with a word; with a letter where one word alone is too long."""
    low, high = 0, len(text)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if fits(text[:middle]) else (low, middle - 1)
    if low == len(text):
        return text
    kept = text[:low]
    if text[low] != " " and " " in kept:
        kept = kept.rsplit(" ", 1)[0]
    return kept.rstrip(" ,;:.")


def is_blank(pixels: np.ndarray[Any, np.dtype[np.uint8]]) -> bool:
    """Whether a picture (height, width, 3) is black or of one tone all over: what a model gives when it failed."""
    darkest, lightest = np.percentile(pixels, (1, 99))
    return bool(lightest < _DARK or lightest - darkest < _FLAT)
