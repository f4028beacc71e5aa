"""Speaks narrations with espeak-ng: no account, no weights, 140 languages, and the time of every word."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from core.documents import SAMPLES_PER_FRAME
from core.engine_ports import Voice, VoiceBrief
from core.engines.narration import TOKEN, sayable
from core.errors import EngineError, InvalidInputError
from core.media.polish import polish
from core.media.speech import Mark, shape, write_wav

WORDS_PER_MINUTE = 160  # at speed 1; the library's range of 80 to 450 holds speeds 0.5 to 2
PITCH_RANGE = 62  # 50 is the library's, and sounds bored
_WORD, _END = 1, 5  # event types of the worker
_TIMEOUT = 120.0  # seconds; ten minutes of speech take about one

# what a language code alone stands for, where the library's own order would surprise
_DEFAULTS = {
    "en": "gmw/en-US",
    "pt": "roa/pt-BR",
    "zh-hk": "sit/yue",
    "zh-mo": "sit/yue",
    "nn": "gmq/nb",
    "iw": "sem/he",
}
# listed by the library, but it lacks their dictionary, or cannot read the script people write them in
_UNUSABLE = frozenset({"gmq/fo", "trk/kaa", "art/xex", "jpx/ja"})


@dataclass(frozen=True, slots=True)
class _Listed:
    id: str
    name: str
    languages: tuple[tuple[int, str], ...]  # (priority, lower is better; code in lower case)


class EspeakVoice:
    """VoiceEngine over espeak-ng; one worker process per narration, so the same text gives the same bytes."""

    id = "espeak"

    def __init__(self) -> None:
        self.version = f"1+{version('espeakng-loader')}"

    def voices(self) -> list[tuple[str, str, str]]:
        """(id, language, name) of every voice; any id may carry a variant, for example ``gmw/en-US+f3``."""
        return [(v.id, _cased(v.languages[0][1]), v.name) for v in _listed().values()]

    def variants(self) -> list[str]:
        """Names of the timbres a voice id may carry after a ``+``."""
        return sorted(_variants())

    def resolve(self, language: str, voice: str = "") -> str:
        """The voice id for a BCP 47 code and a wished voice.

        voice: empty, a voice id, a voice id with ``+variant``, or ``+variant`` alone.
        Raises InvalidInputError naming ``language`` or ``voice``.
        """
        base, plus, variant = voice.partition("+")
        if plus and variant not in _variants():
            raise InvalidInputError(f"There is no voice variant called {variant[:40]!r}.", field="voice")
        if base and base not in _listed():
            raise InvalidInputError(
                f"There is no voice called {base[:40]!r}; `scenewright voices` lists them.", field="voice"
            )
        return (base or _default_voice(language)) + plus + variant

    def speak(self, brief: VoiceBrief, out: Path) -> Voice:
        """Write the WAV to `out` and say when each word is spoken.

        Raises InvalidInputError (language, voice, speed) and EngineError (nothing in the text can be said).
        """
        text = sayable(brief.text, brief.speed)
        order = {
            "text": text,
            "voice": self.resolve(brief.language, brief.voice),
            "words_per_minute": round(WORDS_PER_MINUTE * brief.speed),
            "pitch_range": PITCH_RANGE,
        }
        answer, pcm = _ask(order)
        sound = polish(np.frombuffer(pcm, "<i2").astype(np.float32) / np.float32(32768), answer["rate"])
        shaped, words = shape(sound, _marks(text, answer["events"]), brief.lead, brief.tail)
        write_wav(out, shaped)
        return Voice(out, shaped.size // SAMPLES_PER_FRAME, words)


def _cased(code: str) -> str:
    """A language code as people write it: en-US, not en-us."""
    return "-".join(part.upper() if i and len(part) == 2 else part for i, part in enumerate(code.split("-")))


def _default_voice(language: str) -> str:
    """The best voice for a language code; regions and scripts it has no voice for are left away."""
    parts = language.strip().lower().replace("_", "-").split("-")
    for length in range(len(parts), 0, -1):
        code = "-".join(parts[:length])
        if code in _DEFAULTS:
            return _DEFAULTS[code]
        offers = [(priority, v.id) for v in _listed().values() for priority, spoken in v.languages if spoken == code]
        if offers:
            return min(offers, key=lambda offer: offer[0])[1]
    raise InvalidInputError(
        f"The built-in voice does not speak {language[:40]!r}; `scenewright voices` lists its languages.",
        field="language",
    )


@cache
def _listed() -> dict[str, _Listed]:
    """The usable voices by id, asked once per process."""
    answer, _ = _ask({})
    return {
        v["id"]: _Listed(v["id"], v["name"], tuple(sorted((int(p), str(code)) for p, code in v["languages"])))
        for v in answer["voices"]
        if v["id"] not in _UNUSABLE
    }


@cache
def _variants() -> frozenset[str]:
    """The variant files beside the voices; one with a space in its name cannot be addressed."""
    import espeakng_loader

    folder = Path(espeakng_loader.get_data_path()) / "voices" / "!v"
    return frozenset(path.name for path in folder.iterdir() if " " not in path.name)


def _ask(order: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
    """Run one worker process. It gets no environment: the library needs none, and it runs foreign code."""
    import espeakng_loader

    worker = Path(__file__).with_name("espeak_worker.py")
    command = [sys.executable, "-I", "-S", str(worker)]
    command += [espeakng_loader.get_library_path(), espeakng_loader.get_data_path()]
    try:
        done = subprocess.run(
            command, input=json.dumps(order).encode(), capture_output=True, env={}, timeout=_TIMEOUT, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise EngineError("The voice took too long for this text.", code="voice_timeout") from error
    if done.returncode != 0:
        said = done.stderr.decode("utf-8", "replace").strip().splitlines()
        raise EngineError(
            f"The voice stopped with status {done.returncode}: {said[-1] if said else 'it said nothing'}",
            code="voice_failed",
            retryable=done.returncode < 0,
        )
    head, _, sound = done.stdout.partition(b"\n")
    return json.loads(head), sound


def _marks(text: str, events: list[tuple[int, int, int]]) -> list[Mark]:
    """One mark per token: the first word event inside it. Numbers have several, dashes none."""
    tokens = list(TOKEN.finditer(text))
    starts: dict[int, float] = {}
    token = 0
    for kind, position, milliseconds in events:
        if kind != _WORD:
            continue
        while token + 1 < len(tokens) and tokens[token + 1].start() <= position:
            token += 1
        starts.setdefault(token, milliseconds / 1000)
    return [Mark(match[0], starts.get(i)) for i, match in enumerate(tokens)]
