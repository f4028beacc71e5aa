"""Speaks narrations with a Coqui model, sentence by sentence, and believes no sound before it was judged."""

from __future__ import annotations

import hashlib
import threading
from pathlib import Path
from typing import Protocol

import numpy as np

from core.documents import SAMPLES_PER_FRAME
from core.engine_ports import Voice, VoiceBrief
from core.engines.coqui_models import Manner, Said, Vits, Xtts, revision
from core.engines.languages import nearest
from core.engines.narration import Piece, can_be_said, pieces, sayable
from core.errors import EngineError, InvalidInputError
from core.media.polish import polish
from core.media.speech import Mark, Sound, shape, write_wav

_TRIES = 2  # of one sentence, each with other noise
_SILENT = 10 ** (-50 / 20)  # a sentence whose samples differ less was not said; an offset cannot be heard
_FULL_SCALE, _CLIPPED = 0.999, 0.02  # broken when so large a share of the samples is at full scale
_LEAST, _PER_LETTER = 6.0, 0.7  # seconds at speed 1: a model that has lost its way babbles on
_FADE = 0.005  # seconds
_FAULTS = {
    "voice_silent": "The voice model made no sound for a sentence of this text.",
    "voice_broken": "The voice model made a broken sound for a sentence of this text.",
}


class Model(Protocol):
    """What speaks one sentence at a time; see core.engines.coqui_models."""

    rate: int
    languages: tuple[str, ...]
    voices: tuple[str, ...]
    longest: dict[str, int]  # characters it can speak at once, by language

    def can_say(self, piece: Piece, language: str) -> bool:
        """Whether there is anything in the piece that its vocabulary has."""
        ...

    def say(self, piece: Piece, manner: Manner, seed: int) -> Said:
        """Speak one piece. Raises EngineError and, for weights that compute nonsense, RuntimeError."""
        ...

    def to(self, device: str) -> None:
        """Move the weights."""
        ...


class CoquiVoice:
    """VoiceEngine over one model.

    The noise of a sentence comes from a seed made of its text and manner: the same narration sounds the same on the
    same machine. One narration is spoken at a time, since the seed is the process's.
    """

    def __init__(self, name: str, weights: Path) -> None:
        """Load `<weights>/<name>`; name: vits or xtts.

        Raises:
            MissingToolError: the weights, or a package or program that speaks with them, are not there.
        """
        folder = weights / name
        self._model: Model = Xtts(folder) if name == "xtts" else Vits(folder)
        self._lock = threading.Lock()
        self.id = name
        self.version = f"1+{revision(folder)}"

    def to(self, device: str) -> None:
        """Move the weights to a device, as torch names it."""
        self._model.to(device)

    def speaks(self, language: str, voice: str) -> bool:
        """Whether the model has the language (BCP 47), and the voice if one is wished."""
        return nearest(language, self._model.languages) is not None and (not voice or voice in self._model.voices)

    def speak(self, brief: VoiceBrief, out: Path) -> Voice:
        """Write the WAV to `out` and say when each word is spoken.

        Raises:
            InvalidInputError: language, voice or speed.
            EngineError: voice_cannot_say, voice_silent, voice_broken; out_of_memory and gpu_failed may pass.
        """
        text = sayable(brief.text, brief.speed)
        manner = self._manner(brief)
        sound, marks = self._narrated(pieces(text, self._model.longest[manner.language]), manner)
        shaped, words = shape(polish(sound, self._model.rate), marks, brief.lead, brief.tail)
        write_wav(out, shaped)
        return Voice(out, shaped.size // SAMPLES_PER_FRAME, words)

    def _manner(self, brief: VoiceBrief) -> Manner:
        language = nearest(brief.language, self._model.languages)
        if language is None:
            raise InvalidInputError(f"The voice {self.id} does not speak {brief.language[:40]!r}.", field="language")
        if brief.voice and brief.voice not in self._model.voices:
            raise InvalidInputError(f"The voice {self.id} has no speaker {brief.voice[:40]!r}.", field="voice")
        return Manner(language, brief.voice or next(iter(self._model.voices), ""), brief.speed)

    def _narrated(self, parts: list[Piece], manner: Manner) -> tuple[Sound, list[Mark]]:
        """The sound of all pieces with pauses between them, at the model's rate, and where their tokens begin."""
        sounds: list[Sound] = []
        marks: list[Mark] = []
        at = 0  # samples
        for piece in parts:
            starts: list[float | None] = [None] * len(piece.tokens)
            if can_be_said(piece) and self._model.can_say(piece, manner.language):
                with self._lock:
                    said = self._said(piece, manner)
                starts = [None if s is None else at / self._model.rate + s for s in said.starts]
                sound = joinable(said.sound, self._model.rate)
                pause = np.zeros(round(piece.pause / manner.speed * self._model.rate), np.float32)
                sounds += [sound, pause]
                at += sound.size + pause.size
            marks += [Mark(token, start) for token, start in zip(piece.tokens, starts, strict=True)]
        if not sounds:
            raise EngineError("The voice has no sounds for the letters of this text.", code="voice_cannot_say")
        return np.concatenate(sounds), marks

    def _said(self, piece: Piece, manner: Manner) -> Said:
        """One piece, judged; a second try has other noise."""
        import torch

        code = ""
        for attempt in range(_TRIES):
            try:
                said = self._model.say(piece, manner, seed_of(piece, manner, attempt))
            except torch.OutOfMemoryError as error:
                sentence = "The voice model ran out of memory."
                raise EngineError(sentence, code="out_of_memory", retryable=True) from error
            except torch.AcceleratorError as error:
                raise EngineError("The GPU failed under the voice model.", code="gpu_failed", retryable=True) from error
            except RuntimeError:  # shapes made of NaN
                code = "voice_broken"
                continue
            code = fault_of(said.sound, self._model.rate, sum(map(len, piece.tokens)), manner.speed)
            if not code:
                return said
        raise EngineError(_FAULTS[code], code=code)


def seed_of(piece: Piece, manner: Manner, attempt: int) -> int:
    """The seed of the noise of one piece: 63 bits of what is said and how."""
    said = "\0".join((piece.text, manner.language, manner.voice, f"{manner.speed:g}", str(attempt)))
    return int.from_bytes(hashlib.sha256(said.encode()).digest()[:8], "big") >> 1


def fault_of(sound: Sound, rate: int, letters: int, speed: float) -> str:
    """What is wrong with the sound of one sentence: a code of this module, or nothing."""
    if not np.isfinite(sound).all():
        return "voice_broken"
    babble = sound.size / rate * speed > _LEAST + _PER_LETTER * letters
    if babble or np.count_nonzero(np.abs(sound) >= _FULL_SCALE) > _CLIPPED * sound.size:
        return "voice_broken"
    return "voice_silent" if sound.size == 0 or float(np.ptp(sound)) < _SILENT else ""


def joinable(sound: Sound, rate: int) -> Sound:
    """The sound of one sentence without an offset, faded at both ends: put beside silence, it makes no click."""
    size = min(round(_FADE * rate), sound.size // 2)
    slope = np.linspace(0.0, 1.0, size, dtype=np.float32)
    faded = np.asarray(sound - sound.mean(), np.float32)
    faded[:size] *= slope
    faded[sound.size - size :] *= slope[::-1]
    return faded
