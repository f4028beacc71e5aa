"""Groups the words of a voice into cues: what stands on the screen at once, as captions and as subtitles."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from core.documents import Canvas
from core.engine_ports import Word
from core.text import sentences

GROWN = 1.08  # the spoken word is this much larger
_EM = 0.70  # em of the font per unit of ASS font size: libass scales the whole line (Inter: 2048 / 2929)
SIDE_MARGIN = 0.075  # free margin left and right, share of the width
_FULLEST = 0.92  # of the remaining width: letters are measured by class, not each
_TINIEST = 0.55  # a line that is too wide is set smaller, down to this; longer words are cut
_SENTENCE_END = re.compile(r"[.!?…。！？؟।][\"'”’»)\]」』]*$")
_CLAUSE_END = re.compile(r"[,;:،、；：，–—][\"'”’»)\]」』]*$")
_BREAKS = {"Cc", "Zl", "Zp"}  # characters that could break a line, or mean nothing
_PAUSE = 0.45  # seconds of silence that end a cue
_BREATH = 0.03  # seconds: after a full stop without even this an abbreviation was read, no sentence
_LONGEST_HOLD = 1.0  # seconds a cue waits for the next one; captions that blink tire
_LINGER = 0.25  # seconds a cue stays after its last word when none follows soon
_LINE_CHARS = 42  # of subtitles
_CUE_CHARS = 78  # two lines that need not break evenly
_CUE_SECONDS = 6.0
_SHORTEST_CUE = 1.0
_READING_SPEED = 17.0  # characters per second
_CUE_GAP = 0.05


@dataclass(frozen=True, slots=True)
class Piece:
    """A word, or a part of one that is too long for a line."""

    text: str
    start: float
    end: float
    glued: bool = False  # no space before it

    @property
    def spoken(self) -> bool:
        """Whether it takes time: a dash does not."""
        return self.end > self.start


@dataclass(frozen=True, slots=True)
class Cue:
    """What stands on the screen at once: one or two lines of words, seconds."""

    start: float
    end: float
    lines: tuple[tuple[Piece, ...], ...]


# ---- measuring: classes of letters in Inter ExtraBold, in em


def _letter_width(c: str) -> float:
    if unicodedata.category(c) in {"Mn", "Me", "Cf"}:
        return 0.0
    if unicodedata.east_asian_width(c) in "WF":
        return 1.02
    for letters, width in (("iljI.,:;'!|’‘ ", 0.31), ('ftr()[]-/"*“”', 0.44), ("mwMW@%…—", 1.0)):
        if c in letters:
            return width
    if c.isupper():
        return 0.75
    return 0.62 if c.isascii() else 0.72


def line_width(pieces: Sequence[Piece]) -> float:
    """Width of a line in em, the grown word included."""
    words = [sum(map(_letter_width, piece.text)) for piece in pieces]
    gaps = sum(0.21 for piece in pieces[1:] if not piece.glued)
    return sum(words) + gaps + (GROWN - 1) * max(words, default=0.0)


def _is_dense(text: str) -> bool:
    """Whether it is of a script written without spaces, one sign per syllable or word."""
    return bool(text) and (unicodedata.east_asian_width(text[0]) in "WF" and not "가" <= text[0] <= "힣")


def font_size(canvas: Canvas) -> float:
    """ASS font size, px of line height: two lines with a grown word fill the caption band."""
    top, bottom = canvas.caption_band
    return min((bottom - top) / 2.2, canvas.short_side * 0.095)


def line_em(canvas: Canvas, size: float) -> float:
    """How many em fit into a line."""
    return canvas.width * (1 - 2 * SIDE_MARGIN) * _FULLEST / (size * _EM)


# ---- words into cues


def _pieces(words: Sequence[Word], widest: float) -> list[Piece]:
    """Cut what no line can hold, leave out what shows nothing; say which pieces stand without a space before them."""
    pieces: list[Piece] = []
    for word in words:
        text = " ".join("".join(" " if unicodedata.category(c) in _BREAKS else c for c in word.text).split())
        if not text:
            continue
        parts = max(1, round(0.5 + sum(map(_letter_width, text)) * _TINIEST / widest))
        size = -(-len(text) // parts)
        cuts = [text[i : i + size] for i in range(0, len(text), size)]
        step = (word.end - word.start) / len(cuts)
        for i, cut in enumerate(cuts):
            if not any(map(_letter_width, cut)):
                continue
            start = max(0.0, word.start + i * step)
            glued = i > 0 or (bool(pieces) and _is_dense(text) and _is_dense(pieces[-1].text))
            pieces.append(Piece(cut, start, max(start, word.start + (i + 1) * step), glued))
    return pieces


def _runs(pieces: Sequence[Piece]) -> list[list[Piece]]:
    """Cut at sentence ends and pauses; what is not spoken stays with the word before it."""
    runs: list[list[Piece]] = []
    for piece in pieces:
        before = runs[-1][-1] if runs else None
        heard = next((p for p in reversed(runs[-1]) if p.spoken), None) if runs else None
        silence = piece.start - heard.end if heard else 0.0
        ended = before is not None and _ends_sentence(before.text) and silence > _BREATH
        if before is None or (piece.spoken and (ended or silence > _PAUSE)):
            runs.append([])
        runs[-1].append(piece)
    return runs


def _ends_sentence(text: str) -> bool:
    """Whether a word is the last of its sentence, and not an abbreviation."""
    return _SENTENCE_END.search(text) is not None and len(sentences(f"{text} X")) > 1


def _weight(piece: Piece) -> float:
    """How much of a cue a piece takes: four words are the measure."""
    return 0.0 if not piece.spoken else 0.34 if _is_dense(piece.text) else 1.0


def _divide(run: Sequence[Piece], most: float, widest: float) -> list[list[Piece]]:
    """Cut a run into cues of at most `most` words that fit two lines, evenly, rather at commas than elsewhere."""

    def awkward(part: Sequence[Piece]) -> float | None:
        weight = sum(map(_weight, part))
        if weight > most + 0.01 or line_width(part) > widest * 1.8:
            return None
        lonely = 6.0 if weight <= 1 < most and len(run) > 1 else 0.0
        return (most - weight) ** 2 + lonely + (0.0 if _CLAUSE_END.search(part[-1].text) else 2.5)

    return _cut(run, awkward)


def _cut(run: Sequence[Piece], awkward: Callable[[Sequence[Piece]], float | None]) -> list[list[Piece]]:
    """The least awkward way to cut a run into parts; None: a part that must not be, unless it is a single piece.

    What is not spoken never begins a part.
    """
    best: list[tuple[float, int]] = [(0.0, 0)]
    for end in range(1, len(run) + 1):
        options: list[tuple[float, int]] = []
        for begin in range(end - 1, -1, -1):
            cost = awkward(run[begin:end])
            if cost is None and begin < end - 1:
                break
            unfit = 50.0 if end < len(run) and not run[end].spoken else 0.0
            options.append((best[begin][0] + (cost or 0.0) + unfit, begin))
        best.append(min(options))
    parts: list[list[Piece]] = []
    end = len(run)
    while end:
        begin = best[end][1]
        parts.insert(0, list(run[begin:end]))
        end = begin
    return parts


def _lines(pieces: Sequence[Piece], widest: float) -> tuple[tuple[Piece, ...], ...]:
    """One line if it fits, else two of about the same width."""
    if len(pieces) < 2 or line_width(pieces) <= widest:
        return (tuple(pieces),)
    cuts = [i for i in range(1, len(pieces)) if pieces[i].spoken] or [1]
    cut = min(cuts, key=lambda i: max(line_width(pieces[:i]), line_width(pieces[i:])))
    return tuple(pieces[:cut]), (replace(pieces[cut], glued=False), *pieces[cut + 1 :])


def grouped(words: Sequence[Word], widest: float, most: float) -> list[Cue]:
    """Group words as they are shown in a clip: at most `most` at once, in at most two lines of `widest` em.

    No cue goes over a sentence end or a pause; each stays until the next one, the last a moment longer.
    """
    groups = [cue for run in _runs(_pieces(words, widest)) for cue in _divide(run, most, widest)]
    made: list[Cue] = []
    for i, group in enumerate(groups):
        end = max(piece.end for piece in group)
        following = groups[i + 1][0].start if i + 1 < len(groups) else end + _LINGER
        stop = following if following - end <= _LONGEST_HOLD else end + _LINGER
        made.append(Cue(group[0].start, stop, _lines(group, widest)))
    return made


def scale_of(cue: Cue, widest: float) -> float:
    """How much smaller a cue must be set so that its widest line has at most `widest` em."""
    return min(1.0, widest / max(map(line_width, cue.lines)))


def subtitles(scenes: Sequence[Sequence[Word]]) -> list[Cue]:
    """Two-line cues of sentence pieces from the words of each scene in the film's time.

    A cue begins with its first word; it stays long enough to be read (17 characters per second, at least one
    second) where the next one leaves it the time.
    """
    groups: list[list[Piece]] = []
    for words in scenes:
        pieces = _pieces(words, 1000.0)
        groups += _merged([part for run in _runs(pieces) for part in _sentence_parts(run)])
    made: list[Cue] = []
    for i, group in enumerate(groups):
        end = max(piece.end for piece in group)
        shown = max(_SHORTEST_CUE, len(joined(group)) / _READING_SPEED)
        latest = groups[i + 1][0].start - _CUE_GAP if i + 1 < len(groups) else end + shown
        made.append(Cue(group[0].start, max(end, min(group[0].start + shown, latest)), _halves(group)))
    return [cue for cue in made if cue.end > cue.start]


def _sentence_parts(run: Sequence[Piece]) -> list[list[Piece]]:
    """Cut a sentence that is too long for two lines or six seconds, rather at commas, and into no crumbs."""

    def awkward(part: Sequence[Piece]) -> float | None:
        length, seconds = _subtitle_length(part), part[-1].end - part[0].start
        if length > _CUE_CHARS or seconds > _CUE_SECONDS:
            return None
        return 40.0 + max(0.0, 30.0 - length) * 1.5 + (0.0 if _CLAUSE_END.search(part[-1].text) else 20.0)

    return _cut(run, awkward)


def _merged(groups: Sequence[list[Piece]]) -> list[list[Piece]]:
    """Put a group that is over too soon to be read together with its neighbour, where both fit one cue."""
    merged: list[list[Piece]] = []
    for group in groups:
        if merged:
            both = merged[-1] + group
            fits = _subtitle_length(both) <= _CUE_CHARS and both[-1].end - both[0].start <= _CUE_SECONDS
            if fits and min(merged[-1][-1].end - merged[-1][0].start, group[-1].end - group[0].start) < _SHORTEST_CUE:
                merged[-1] = both
                continue
        merged.append(list(group))
    return merged


def _subtitle_length(pieces: Sequence[Piece]) -> float:
    """Characters of a line; wide ones count twice."""
    text = joined(pieces)
    return len(text) + sum(unicodedata.east_asian_width(c) in "WF" for c in text)


def _halves(pieces: Sequence[Piece]) -> tuple[tuple[Piece, ...], ...]:
    """One line, or two of about the same length."""
    if len(pieces) < 2 or _subtitle_length(pieces) <= _LINE_CHARS:
        return (tuple(pieces),)
    cut = min(range(1, len(pieces)), key=lambda i: max(_subtitle_length(pieces[:i]), _subtitle_length(pieces[i:])))
    return tuple(pieces[:cut]), tuple(pieces[cut:])


def joined(pieces: Sequence[Piece]) -> str:
    return "".join(("" if i == 0 or p.glued else " ") + p.text for i, p in enumerate(pieces))
