"""Setting titles: which font, how large, broken into which lines, so that nothing is ever cut."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from PIL import ImageFont

from core.engines.fonts import INTER, family_for, is_right_to_left, writable

_LINE_STEP = 1.1  # distance of baselines in type sizes
_VOWELS = frozenset("aeiouyäöüáéíóúàèìòùâêîôûãõåæøœаеёиоуыэюяіїє")
_CLOSING = "、。，．！？）」』】〕：；・ー々ゝ"  # never begin a line with one


@dataclass(frozen=True, slots=True)
class Face:
    """A font file at a weight; only Inter has weights to choose from."""

    path: Path
    weight: int
    covered: bool = True
    right_to_left: bool = False

    def at(self, size: int) -> ImageFont.FreeTypeFont:
        """The font at `size` px."""
        return _font(self.path, size, self.weight)

    def width(self, text: str, size: int) -> float:
        """Advance width in px."""
        return _width(self.path, self.weight, size, text)


@dataclass(frozen=True, slots=True)
class Setting:
    """A text set in lines."""

    lines: tuple[str, ...]
    size: int  # px
    face: Face

    @property
    def step(self) -> int:
        """Distance of baselines in px."""
        return round(self.size * _LINE_STEP)

    @property
    def ascent(self) -> int:
        """From the top of the block to the first baseline: capitals and their accents fit."""
        return round(self.size * (0.95 if self.face.path == INTER else 1.05))

    @property
    def descent(self) -> int:
        """From the last baseline to the bottom of the block."""
        return round(self.size * (0.26 if self.face.path == INTER else 0.36))

    @property
    def height(self) -> int:
        """Of the whole block, px."""
        return self.ascent + self.descent + self.step * (len(self.lines) - 1)

    @property
    def width(self) -> float:
        """Of the longest line, px."""
        return max((self.face.width(line, self.size) for line in self.lines), default=0.0)


def face_for(text: str, weight: int) -> Face:
    """The face that can write `text`; Inter without the missing letters when none can."""
    _, path, covered = family_for(text)
    return Face(path or INTER, weight, covered, is_right_to_left(text))


def shown(text: str, face: Face) -> str:
    """The cleaned text as far as the face can write it."""
    return clean(text) if face.covered else writable(clean(text))


def clean(text: str) -> str:
    """One line, single spaces, no pictograms and no control characters: what a title may hold."""
    kept = "".join(
        " " if unicodedata.category(c) in {"Cc", "Zl", "Zp"} else c
        for c in unicodedata.normalize("NFC", text)
        if unicodedata.category(c) not in {"Cs", "Co", "Cn"} and not 0x1F000 <= ord(c) <= 0x1FBFF and c != "\ufe0f"
    )
    return " ".join(kept.split())


def fit(text: str, face: Face, width: float, height: float, largest: int, smallest: int) -> Setting:
    """Set `text` as large as the box allows, at most `largest` px, in balanced lines.

    Words are broken (with a hyphen) only when they would otherwise have to be smaller than `smallest`; a text that
    is too long even so goes below `smallest`, down to whatever fits.
    """
    size = largest
    while size >= smallest:
        lines = _balanced(text, face, size, width)
        if lines is not None and _fits(lines, face, size, height):
            return Setting(tuple(lines), size, face)
        size = min(size - 1, round(size * 0.95))
    size = round(smallest * 1.25)
    while True:
        lines = _wrap(text, face, size, width, broken=True) or [text]
        if _fits(lines, face, size, height) or size <= 6:
            return Setting(tuple(lines), size, face)
        size = min(size - 1, round(size * 0.95))


def _fits(lines: list[str], face: Face, size: int, height: float) -> bool:
    """Whether the lines fit the height."""
    return Setting(tuple(lines), size, face).height <= height


def _balanced(text: str, face: Face, size: int, width: float) -> list[str] | None:
    """The fewest lines, the narrowest column that still needs no more of them; None when a word is too long."""
    lines = _wrap(text, face, size, width, broken=False)
    if lines is None or len(lines) < 2:
        return lines
    low, high = width * 0.5, width
    best = lines
    for _ in range(6):
        middle = (low + high) / 2
        tried = _wrap(text, face, size, middle, broken=False)
        if tried is not None and len(tried) == len(lines):
            best, high = tried, middle
        else:
            low = middle
    return best


def _wrap(text: str, face: Face, size: int, width: float, *, broken: bool) -> list[str] | None:
    """Fill lines greedily; a word wider than a line is hyphenated if `broken`, else the answer is None."""
    width *= 0.995  # words are measured one by one; letters that meet over a space may add a trifle
    lines: list[str] = []
    line, used = "", 0.0
    for gap, word in _pieces(text):
        wide = face.width(word, size)
        space = face.width(gap, size) if line else 0.0
        if line and used + space + wide <= width:
            line, used = line + gap + word, used + space + wide
            continue
        if line:
            lines.append(line)
        line, used = word, wide
        if wide > width:
            if not broken:
                return None
            *whole, line = _hyphenated(word, face, size, width)
            lines.extend(whole)
            used = face.width(line, size)
    return [*lines, line] if line else lines


def _pieces(text: str) -> Iterator[tuple[str, str]]:
    """(space before, unbreakable piece): words, and single characters of scripts that break anywhere."""
    for word in text.split(" "):
        gap = " "
        for piece in re.findall(rf"[⺀-鿿぀-ヿ豈-﫿＀-￯][{_CLOSING}]*|[^⺀-鿿぀-ヿ豈-﫿＀-￯]+", word):
            yield gap, piece
            gap = ""


def _hyphenated(word: str, face: Face, size: int, width: float) -> list[str]:
    """A word cut into parts that fit, if possible before a syllable, the last part not too short."""
    parts: list[str] = []
    hyphen = "" if face.right_to_left else "-"
    while face.width(word, size) > width and len(word) > 1:
        longest = next((n for n in range(len(word) - 1, 1, -1) if face.width(word[:n] + hyphen, size) <= width), 1)
        near = [n for n in range(longest, max(1, longest - 7), -1) if len(word) - n >= 4 and _opens_syllable(word, n)]
        cut = near[0] if near else longest
        parts.append(word[:cut] + hyphen)
        word = word[cut:]
    return [*parts, word]


def _opens_syllable(word: str, n: int) -> bool:
    """Whether a syllable probably begins at letter `n`: a consonant before a vowel, after at least two letters."""
    return n >= 2 and word[n].lower() not in _VOWELS and word[n + 1 : n + 2].lower() in _VOWELS


@lru_cache(maxsize=4096)
def _width(path: Path, weight: int, size: int, text: str) -> float:
    """Measure once: fitting asks for the same words again and again."""
    return _font(path, size, weight).getlength(text)


@lru_cache(maxsize=64)
def _font(path: Path, size: int, weight: int) -> ImageFont.FreeTypeFont:
    """Open a font at a size; Inter's optical size follows the type size."""
    font = ImageFont.truetype(str(path), size)
    if path == INTER:
        font.set_variation_by_axes([max(14, min(32, size / 3)), weight])
    return font
