"""The Coqui models behind one small face: VITS with its own word times, XTTS with cloned voices."""

from __future__ import annotations

import hashlib
import logging
import pickle
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate
from pathlib import Path
from typing import Any

import ffmpeg
import numpy as np

from core.engines.narration import Piece, starts_in
from core.errors import InvalidInputError, MissingToolError
from core.media.run import run
from core.media.speech import Sound

_MODEL_FILES = ("model_file.pth", "model.pth")  # as Coqui's releases name them
_VITS_LONGEST = 400  # characters at once; attention grows with the square
_XTTS_LONGEST = 200  # most of its languages are cut off a little later
_XTTS_SHORTER = {"ar": 160, "cs": 180, "hi": 140, "ko": 90, "ru": 180}
_XTTS_LACKS = frozenset({"ja", "zh-cn"})  # need dictionaries that are not installed
_CLONE_RATE = 22_050  # Hz at which XTTS hears a voice
_CLONE_TIMEOUT = 60.0  # seconds


@dataclass(frozen=True, slots=True)
class Manner:
    """How a narration is spoken."""

    language: str  # one of the model's
    voice: str  # one of the model's, empty when it has only one
    speed: float


@dataclass(frozen=True, slots=True)
class Said:
    """The sound of one piece at the model's rate, and the second each token begins where the model knows it."""

    sound: Sound
    starts: tuple[float | None, ...]


def revision(folder: Path) -> str:
    """Twelve letters that stand for the content of a folder of weights."""
    whole = hashlib.sha256()
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        with path.open("rb") as file:
            whole.update(path.relative_to(folder).as_posix().encode())
            whole.update(hashlib.file_digest(file, "sha256").digest())
    return whole.hexdigest()[:12]


class Vits:
    """VITS as Coqui trains it, with letters or phonemes; one language or several, one speaker or many."""

    def __init__(self, folder: Path) -> None:
        """Load config.json and the model file beside it. Raises MissingToolError."""
        self._api = _loaded(folder, _model_file(folder))
        self._model = self._api.synthesizer.tts_model
        self._length_scale = float(self._model.length_scale)
        self._tokenizer = self._model.tokenizer
        self.rate = int(self._api.synthesizer.output_sample_rate)
        self.languages: tuple[str, ...] = tuple(self._model.language_manager.language_names)
        self.voices: tuple[str, ...] = tuple(self._api.speakers or ())
        self.longest = dict.fromkeys(self.languages, _VITS_LONGEST)
        # every token is looked at alone once more, and words come again
        self._symbols_of = lru_cache(maxsize=8192)(self._symbols)

    def to(self, device: str) -> None:
        """Move the weights."""
        self._api.to(device)

    def can_say(self, piece: Piece, language: str) -> bool:
        """Whether a letter or phoneme of the piece is in the vocabulary."""
        return any(self._symbols_of(token, language) for token in piece.tokens)

    def say(self, piece: Piece, manner: Manner, seed: int) -> Said:
        """Speak one piece; the model's durations say when each token begins."""
        import torch

        self._model.length_scale = self._length_scale / manner.speed
        # the noise is the process's: what else draws from it must not notice
        with torch.random.fork_rng(), torch.inference_mode():
            torch.manual_seed(seed)
            done = self._model.synthesize(text=piece.text, speaker=manner.voice or None, language=manner.language)
        sound = np.asarray(done["wav"], np.float32).reshape(-1)
        ids: list[int] = done["text_inputs"][0].tolist()
        durations: list[float] = done["outputs"]["durations"].reshape(-1).tolist()
        parts = [self._symbols_of(token, manner.language) for token in piece.tokens]
        return Said(sound, self._starts(ids, durations, parts, sound.size / self.rate))

    def _starts(
        self, ids: Sequence[int], durations: Sequence[float], parts: Sequence[str], seconds: float
    ) -> tuple[float | None, ...]:
        """When each token begins: the end of the symbol before its first; blanks between symbols are part of it."""
        told = [(i, s) for i, s in enumerate(map(self._symbol, ids)) if s]
        ends = list(accumulate(durations, initial=0.0))
        begins = [0.0, *(ends[i + 1] for i, _ in told[:-1])]
        whole = ends[-1] or 1.0
        found = starts_in("".join(s for _, s in told), parts)
        return tuple(None if at is None else begins[at] / whole * seconds for at in found)

    def _symbols(self, token: str, language: str) -> str:
        """A token alone as the model would be given it, without what its vocabulary lacks; empty if only marks stay."""
        if not any(c.isalnum() for c in token):
            return ""  # the phonemizer stumbles over marks alone
        symbols = "".join(map(self._symbol, self._tokenizer.text_to_ids(token, language=language)))
        marks = self._tokenizer.characters.punctuations
        return symbols if any(s not in marks and not s.isspace() for s in symbols) else ""

    def _symbol(self, number: int) -> str:
        """The letter or phoneme behind an id; nothing for blanks and paddings."""
        symbol = str(self._tokenizer.characters.id_to_char(number))
        return symbol if len(symbol) == 1 and symbol != self._tokenizer.characters.pad else ""


class Xtts:
    """XTTS v2: many languages, the speakers it comes with, and voices cloned from `voices/*.wav` beside it.

    It tells no word times; tokens share their sentence's time by their letters.
    """

    def __init__(self, folder: Path) -> None:
        """Load config.json, model.pth, vocab.json and, if there, speakers_xtts.pth. Raises MissingToolError."""
        model = _model_file(folder)
        with _may_be_written(folder, model) as files:
            self._api = _loaded(folder, files)
        self._model = self._api.synthesizer.tts_model
        self.rate = int(self._api.synthesizer.output_sample_rate)
        self.languages = tuple(code for code in self._model.config.languages if code not in _XTTS_LACKS)
        self.longest = {code: _XTTS_SHORTER.get(code, _XTTS_LONGEST) for code in self.languages}
        manager = self._model.speaker_manager
        known = dict(manager.speakers) if manager else {}
        # an id has no spaces
        self._latents: dict[str, tuple[Any, Any]] = {
            name.replace(" ", "_"): tuple(entry.values()) for name, entry in known.items()
        }
        self._clones = {path.stem: path for path in sorted((folder / "voices").glob("*.wav"))}
        self.voices = (*self._latents, *(name for name in self._clones if name not in self._latents))
        if not self.voices:
            raise MissingToolError(
                f"The voice model in {folder} has no speaker: put its speakers_xtts.pth or voices/NAME.wav there.",
                code="weights_missing",
            )

    def to(self, device: str) -> None:
        """Move the weights."""
        self._api.to(device)

    def can_say(self, piece: Piece, language: str) -> bool:
        """Whether a piece of the text is in the vocabulary."""
        vocabulary = self._model.tokenizer.tokenizer
        ids = self._model.tokenizer.encode(piece.text.lower(), language)
        symbols = [vocabulary.id_to_token(i) for i in ids if i != vocabulary.token_to_id("[UNK]")]
        return any(c.isalnum() for s in symbols if not s.startswith("[") for c in s)

    def say(self, piece: Piece, manner: Manner, seed: int) -> Said:
        """Speak one piece. Raises InvalidInputError when the voice to be cloned cannot be heard."""
        import torch

        latents, embedding = self._heard(manner.voice)
        config = self._model.config
        taste = {
            name: config[name] for name in ("temperature", "length_penalty", "repetition_penalty", "top_k", "top_p")
        }
        with torch.random.fork_rng(), torch.inference_mode():
            torch.manual_seed(seed)
            done = self._model.inference(piece.text, manner.language, latents, embedding, speed=manner.speed, **taste)
        sound = np.asarray(done["wav"], np.float32).reshape(-1)
        return Said(sound, (0.0, *[None] * (len(piece.tokens) - 1)))

    def _heard(self, voice: str) -> tuple[Any, Any]:
        """What the model keeps of a voice; a cloned one is listened to once."""
        if voice not in self._latents:
            self._latents[voice] = self._cloned(self._clones[voice])
        return self._latents[voice]

    def _cloned(self, path: Path) -> tuple[Any, Any]:
        import torch

        chain = ffmpeg.input(str(path)).output("pipe:1", f="f32le", ac=1, ar=_CLONE_RATE)
        heard = np.frombuffer(run(chain.get_args(), timeout=_CLONE_TIMEOUT).stdout, "<f4")
        if heard.size < _CLONE_RATE:
            raise InvalidInputError(f"The voice {path.stem} is too short to be cloned.", field="voice")
        config = self._model.config
        audio = torch.from_numpy(heard.copy()).unsqueeze(0)
        with torch.inference_mode():
            embedding = self._model.get_speaker_embedding(audio[:, : _CLONE_RATE * config.max_ref_len], _CLONE_RATE)
            latents = self._model.get_gpt_cond_latents(
                audio, _CLONE_RATE, length=config.gpt_cond_len, chunk_length=config.gpt_cond_chunk_len
            )
        return latents, embedding


def _model_file(folder: Path) -> Path:
    """The model file of a folder. Raises MissingToolError naming what is not there."""
    found = next((folder / name for name in _MODEL_FILES if (folder / name).is_file()), None)
    if found is None or not (folder / "config.json").is_file():
        raise MissingToolError(
            f"The weights of the voice are not in {folder}: config.json and {' or '.join(_MODEL_FILES)} belong there.",
            code="weights_missing",
        )
    return found


@contextmanager
def _may_be_written(folder: Path, model: Path) -> Iterator[Path]:
    """Where to load from: Coqui writes the released checkpoint of XTTS anew, but weights are only to be read."""
    _coqui()
    import torch

    try:
        torch.load(model, map_location="meta", weights_only=True, mmap=True)
    except pickle.UnpicklingError:  # it holds more than plain values
        with tempfile.TemporaryDirectory() as scratch:
            for path in folder.iterdir():
                if path.is_file():
                    shutil.copyfile(path, Path(scratch, path.name))
            yield Path(scratch)
    except (RuntimeError, OSError):  # what it is, the loading will say
        yield folder
    else:
        yield folder


def _coqui() -> Any:
    """Coqui's own face of all models."""
    try:
        from TTS.api import TTS
    except (ImportError, OSError) as error:
        raise MissingToolError(
            f"The voice needs coqui-tts with a torchaudio that fits its torch ({error}).", code="package_missing"
        ) from error
    logging.getLogger("TTS").setLevel(logging.ERROR)  # it logs what is said
    return TTS


def _loaded(folder: Path, model: Path) -> Any:
    """A model on the CPU, without asking the network; `model`: its file, or the folder where it finds its files."""
    coqui = _coqui()
    try:
        return coqui(model_path=str(model), config_path=str(folder / "config.json"), progress_bar=False)
    except FileNotFoundError as error:  # a file beside the model, or the program espeak-ng
        raise MissingToolError(f"The voice in {folder} cannot be loaded: {error}", code="weights_missing") from error
    except Exception as error:  # whatever an unpickler or a config of other shape raises
        said = f"{type(error).__name__}: {error}".splitlines()[0][:200]
        raise MissingToolError(f"The weights in {folder} cannot be loaded ({said}).", code="weights_broken") from error
