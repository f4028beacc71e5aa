"""Puts spoken sound into shape: silence around it exact, long pauses short, words timed by what is heard."""

from __future__ import annotations

import wave
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from core.documents import SAMPLE_RATE, SAMPLES_PER_FRAME
from core.engine_ports import Word
from core.errors import EngineError, of_system

Sound = NDArray[np.float32]  # mono, -1 to 1

LONGEST_PAUSE = 0.9  # seconds; a longer one inside a narration sounds like a mistake
SHORT_PAUSE = 0.6  # seconds that remain of it
_BLOCK = SAMPLE_RATE // 200  # 5 ms: the grain of all decisions here
_HEARD = 10 ** (-46 / 20)  # a block this far below the loudest one counts as silence
_LATE = 4  # blocks that a speaker's mark may come after the sound it marks
_SHORTEST_WORD = 0.02  # seconds


@dataclass(frozen=True, slots=True)
class Mark:
    """A token of the text and the second at which the speaker began it; None: the speaker did not say."""

    text: str
    start: float | None


def shape(sound: Sound, marks: Sequence[Mark], lead: float, tail: float) -> tuple[Sound, tuple[Word, ...]]:
    """Trim, shorten, pad, and move the words along.

    sound: at SAMPLE_RATE. marks: one per token of the text, in its order, seconds in `sound`.
    lead, tail: seconds of silence before the first and after the last audible moment; the tail grows to fill the
        last video frame.
    Returns the new sound and its words. Raises EngineError when there is nothing to hear.
    """
    heard = audible(sound)
    loud = np.flatnonzero(heard)
    if loud.size == 0:
        raise EngineError("The voice said nothing that can be heard for this text.", code="nothing_said")
    spans = _word_spans(marks, heard)
    first, last = int(loud[0]), int(loud[-1]) + 1
    kept = _kept(heard, first, last)
    pieces = [sound[a * _BLOCK : b * _BLOCK] for a, b in kept]
    before = round(lead * SAMPLE_RATE)
    body = sum(piece.size for piece in pieces)
    total = -(-(before + body + round(tail * SAMPLE_RATE)) // SAMPLES_PER_FRAME) * SAMPLES_PER_FRAME
    shaped = np.zeros(total, np.float32)
    shaped[before : before + body] = np.concatenate(pieces)
    words = tuple(
        Word(mark.text, round(lead + _moved(kept, start), 4), round(lead + _moved(kept, end), 4))
        for mark, (start, end) in zip(marks, spans, strict=True)
    )
    return shaped, words


def audible(sound: Sound) -> NDArray[np.bool_]:
    """Whether each block of 5 ms can be heard beside the loudest one."""
    blocks = -(-sound.size // _BLOCK)
    padded = np.zeros(blocks * _BLOCK, np.float32)
    padded[: sound.size] = sound
    peaks = np.abs(padded.reshape(blocks, _BLOCK)).max(axis=1)
    heard: NDArray[np.bool_] = peaks > max(float(peaks.max(initial=0.0)) * _HEARD, 1e-4)
    return heard


def _kept(heard: NDArray[np.bool_], first: int, last: int) -> list[tuple[int, int]]:
    """Block ranges that stay: all of [first, last) without the middles of too long pauses."""
    edges = np.flatnonzero(np.diff(heard[first:last].astype(np.int8))) + 1 + first
    pauses = zip(edges[::2], edges[1::2], strict=False)  # inside, so they come in pairs: end of sound, begin of sound
    half = round(SHORT_PAUSE / 2 * SAMPLE_RATE / _BLOCK)
    kept: list[tuple[int, int]] = []
    at = first
    for begin, end in pauses:
        if (end - begin) * _BLOCK > LONGEST_PAUSE * SAMPLE_RATE:
            kept.append((at, int(begin) + half))
            at = int(end) - half
    return [*kept, (at, last)]


def _moved(kept: list[tuple[int, int]], seconds: float) -> float:
    """Where a moment of the old sound lies in the kept one, seconds from its beginning."""
    at = seconds * SAMPLE_RATE / _BLOCK
    blocks = sum(min(max(at - a, 0.0), b - a) for a, b in kept)
    return blocks * _BLOCK / SAMPLE_RATE


def _word_spans(marks: Sequence[Mark], heard: NDArray[np.bool_]) -> list[tuple[float, float]]:
    """Begin and end of every token: from the speaker's marks, moved to where sound really begins and ends.

    Tokens without a mark share the time of the marked one before them, by their letters; a lone dash gets none.
    """
    begins = [i for i, mark in enumerate(marks) if mark.start is not None] or [0]
    begins[0] = 0
    per_second = SAMPLE_RATE / _BLOCK
    onsets = [_onset(heard, round((marks[i].start or 0.0) * per_second)) for i in begins]
    edges = [*np.maximum.accumulate(onsets).tolist(), heard.size]  # an onset may lie before the mark of the word before
    spans: list[tuple[float, float]] = []
    for position, i in enumerate(begins):
        nxt = begins[position + 1] if position + 1 < len(begins) else len(marks)
        a, b = edges[position], edges[position + 1]
        loud = np.flatnonzero(heard[a:b])
        start = (a + int(loud[0])) / per_second if loud.size else a / per_second
        end = (a + int(loud[-1]) + 1) / per_second if loud.size else start
        longer = min(max(end, start + _SHORTEST_WORD), b / per_second)
        spans += _shared([mark.text for mark in marks[i:nxt]], start, longer)
    return spans


def _onset(heard: NDArray[np.bool_], mark: int) -> int:
    """The block where sound begins if that is just before the mark, else the mark: marks come some ms late."""
    for block in range(min(mark, heard.size - 1), max(0, mark - _LATE), -1):
        if heard[block] and not heard[block - 1]:
            return block
    return min(mark, heard.size)


def _shared(texts: list[str], start: float, end: float) -> list[tuple[float, float]]:
    """Divide a span among tokens in proportion to their letters and digits."""
    weights = [sum(c.isalnum() for c in text) for text in texts]
    whole = sum(weights) or 1
    if not any(weights):
        weights[0] = 1
    edges = [start + (end - start) * sum(weights[:k]) / whole for k in range(len(texts) + 1)]
    return list(pairwise(edges))


def write_wav(path: Path, sound: Sound) -> None:
    """Write mono 16-bit PCM at SAMPLE_RATE. Raises MissingToolError when the disk is full."""
    samples = np.clip(np.rint(sound * 32767.0), -32768, 32767).astype("<i2")
    try:
        with wave.open(str(path), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(SAMPLE_RATE)
            file.writeframes(samples.tobytes())
    except OSError as error:
        raise of_system(error) from error
