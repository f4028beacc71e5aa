"""The voice that cannot fail: silence as long as the text would take to say, its words spread over it for captions."""

from __future__ import annotations

from itertools import accumulate, pairwise
from pathlib import Path

import numpy as np

from core.documents import FPS, SAMPLES_PER_FRAME
from core.engine_ports import Voice, VoiceBrief, Word
from core.engines.narration import clean, tokens
from core.media.speech import write_wav
from core.text import estimate_seconds

_LEAST_SECONDS = 2.0  # a scene shorter than this is only a flash


class Silence:
    """VoiceEngine that says nothing."""

    id = "silence"
    version = "1"

    def speak(self, brief: VoiceBrief, out: Path) -> Voice:
        """Write a silent WAV; every word has its share of the time, by its letters. Raises MissingToolError."""
        text = clean(brief.text)
        spoken = max(_LEAST_SECONDS, estimate_seconds([text], brief.speed))
        frames = -(-round((brief.lead + spoken + brief.tail) * FPS * 1000) // 1000)
        write_wav(out, np.zeros(frames * SAMPLES_PER_FRAME, np.float32))
        return Voice(out, frames, _spread(tokens(text), brief.lead, spoken))


def _spread(texts: list[str], start: float, seconds: float) -> tuple[Word, ...]:
    """Give each word its share of the time."""
    weights = [len(text) + 1 for text in texts]
    edges = [round(start + seconds * sum_ / max(1, sum(weights)), 4) for sum_ in accumulate(weights, initial=0)]
    return tuple(Word(text, a, b) for text, (a, b) in zip(texts, pairwise(edges), strict=True))
