"""The voice of a model: real VITS classes with small random weights, loaded and spoken with as in production."""

from __future__ import annotations

import socket
import wave
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the environment of the models: scripts/gpu_environment.sh")
pytest.importorskip("TTS", reason="needs the environment of the models: scripts/gpu_environment.sh")

import torch

from core.documents import FPS, SAMPLE_RATE, SAMPLES_PER_FRAME
from core.engine_ports import Voice, VoiceBrief, VoiceEngine
from core.engines.coqui_models import Manner, Said
from core.engines.narration import pieces
from core.engines.voice_coqui import CoquiVoice, seed_of
from core.engines.voice_espeak import EspeakVoice
from core.errors import EngineError, InvalidInputError, MissingToolError
from core.media.probe import listen
from core.settings import Settings
from core.wiring import build_engines, place
from tests.gpu import tiny_vits

TEXT = (
    "Honeybees dance to tell their sisters where the flowers are. Why? In 1944, Karl von Frisch read this "
    "language — and about 12.5% of the people laughed! Nobody laughs today."
)

torch.set_num_threads(1)  # models this small only wait for each other's threads


def brief(text: str = TEXT, **changes: Any) -> VoiceBrief:
    """A brief with plain defaults."""
    values: dict[str, Any] = {"language": "en", "voice": "", "speed": 1.0, "lead": 0.35, "tail": 0.45, **changes}
    return VoiceBrief(text=text, **values)


def heard(path: Path) -> np.ndarray:
    """The samples, -1 to 1."""
    with wave.open(str(path), "rb") as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (1, 2, SAMPLE_RATE)
        return np.frombuffer(file.readframes(file.getnframes()), "<i2") / 32768


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of weights with a small VITS in it."""
    folder = tmp_path_factory.mktemp("weights")
    tiny_vits.write(folder / "vits")
    return folder


@pytest.fixture(scope="module")
def voice(weights: Path) -> CoquiVoice:
    """The model alone."""
    return CoquiVoice("vits", weights)


@pytest.fixture(scope="module")
def pair(weights: Path) -> VoiceEngine:
    """The voice as a renderer has it."""
    engines = build_engines(Settings(voice_engine="vits", weights_dir=str(weights)))
    place(engines, "cpu")
    return engines.voice


@pytest.fixture(scope="module")
def spoken(pair: VoiceEngine, tmp_path_factory: pytest.TempPathFactory) -> Voice:
    """The text above, spoken once."""
    return pair.speak(brief(), tmp_path_factory.mktemp("voice") / "voice.wav")


def test_a_narration_lasts_whole_frames_with_silence_around_it(spoken: Voice) -> None:
    sound = heard(spoken.path)
    assert sound.size == spoken.frames * SAMPLES_PER_FRAME
    assert not sound[: round(0.34 * SAMPLE_RATE)].any()
    assert np.abs(sound[round(0.35 * SAMPLE_RATE) :][: SAMPLE_RATE // 100]).any()
    assert not sound[-round(0.44 * SAMPLE_RATE) :].any()


def test_a_narration_is_as_loud_as_a_film(spoken: Voice) -> None:
    measured = listen(spoken.path, sample_rate=SAMPLE_RATE, silent_seconds=1.0).loudness
    assert measured.integrated + 3.01 == pytest.approx(-16, abs=1.0), "3 LU more when played on two loudspeakers"
    assert measured.true_peak <= -1.0


def test_every_token_has_its_time_in_order(spoken: Voice) -> None:
    assert [word.text for word in spoken.words] == TEXT.split()
    at = 0.35
    for word in spoken.words:
        assert at - 1e-6 <= word.start <= word.end <= spoken.frames / FPS
        assert word.end > word.start or word.text == "—", word
        at = word.end


def test_words_begin_where_the_model_attends_to_their_letters(voice: CoquiVoice) -> None:
    text = "the quick brown fox jumps over the lazy dog"
    (piece,) = pieces(text, 400)
    manner = Manner("en", "", 1.0)
    model = voice._model._model  # type: ignore[attr-defined]

    said = voice._model.say(piece, manner, seed_of(piece, manner, 0))
    with torch.random.fork_rng(), torch.inference_mode():
        torch.manual_seed(seed_of(piece, manner, 0))
        done = model.synthesize(text=text, language="en")

    path = done["alignments"][0].numpy()  # (inputs, frames), a blank before and after each letter
    assert said.sound.size == path.shape[1] * 256
    starts = [m for m in range(len(text)) if m == 0 or text[m - 1] == " "]
    for start, letter in zip(said.starts, starts, strict=True):
        first = int(path[2 * letter].argmax())  # the blank before the letter belongs to it
        assert start == pytest.approx(first * 256 / 22_050, abs=1e-3), text[letter]


@pytest.mark.parametrize("speed", [0.5, 2.0])
def test_speed_changes_the_length_and_words_follow(
    pair: VoiceEngine, spoken: Voice, tmp_path: Path, speed: float
) -> None:
    changed = pair.speak(brief(speed=speed), tmp_path / "v.wav")

    plain = spoken.words[-1].end - spoken.words[0].start
    assert (changed.words[-1].end - changed.words[0].start) * speed == pytest.approx(plain, rel=0.35)
    assert [word.text for word in changed.words] == TEXT.split()


def test_the_same_text_gives_the_same_bytes_and_leaves_other_noise_alone(weights: Path, tmp_path: Path) -> None:
    sounds, numbers = [], []
    for name in ("a", "b"):
        torch.manual_seed(7)
        engine = CoquiVoice("vits", weights)
        torch.manual_seed(7)
        sounds.append(engine.speak(brief("The same words, spoken again."), tmp_path / name).path.read_bytes())
        numbers.append(torch.rand(1).item())
        torch.rand(5)

    torch.manual_seed(7)
    assert sounds[0] == sounds[1]
    assert numbers == [torch.rand(1).item()] * 2


def test_other_words_are_other_noise() -> None:
    one, two = pieces("One. Two.", 400)
    manner = Manner("en", "", 1.0)
    assert len({seed_of(one, manner, 0), seed_of(one, manner, 1), seed_of(two, manner, 0)}) == 3


@pytest.mark.parametrize("text", ["Привет, мир.", "你好，世界。", "1944 — 12.5%"])
def test_letters_that_the_model_does_not_know_cannot_be_said(voice: CoquiVoice, tmp_path: Path, text: str) -> None:
    with pytest.raises(EngineError) as refused:
        voice.speak(brief(text), tmp_path / "v.wav")
    assert (refused.value.code, refused.value.retryable) == ("voice_cannot_say", False)
    assert not (tmp_path / "v.wav").exists()


def test_a_sentence_that_cannot_be_said_leaves_the_others(voice: CoquiVoice, tmp_path: Path) -> None:
    narration = voice.speak(
        brief("Good morning. Привет, мир! 🐝 — And good night.\n\n... At last."), tmp_path / "v.wav"
    )

    texts = ["Good", "morning.", "Привет,", "мир!", "—", "And", "good", "night.", "...", "At", "last."]
    assert [word.text for word in narration.words] == texts
    ends = [0.0, *(word.end for word in narration.words)]
    assert all(word.start >= end for word, end in zip(narration.words, ends, strict=False))


def test_nothing_to_say_and_wrong_speeds_are_refused_as_by_the_other_voice(voice: CoquiVoice, tmp_path: Path) -> None:
    with pytest.raises(EngineError) as empty:
        voice.speak(brief("🐝 … —"), tmp_path / "v.wav")
    with pytest.raises(InvalidInputError) as fast:
        voice.speak(brief(speed=2.01), tmp_path / "v.wav")
    assert (empty.value.code, fast.value.field) == ("nothing_to_say", "speed")


def _silent(model: Any) -> None:
    model.waveform_decoder.conv_post.weight.zero_()


def _loud(model: Any) -> None:
    model.waveform_decoder.conv_post.weight.mul_(1e6)


def _nan_sound(model: Any) -> None:
    model.waveform_decoder.conv_post.weight.fill_(float("nan"))


def _nan_times(model: Any) -> None:
    model.duration_predictor.proj.weight.fill_(float("nan"))


@pytest.mark.parametrize(
    ("breaks", "code"),
    [(_silent, "voice_silent"), (_loud, "voice_broken"), (_nan_sound, "voice_broken"), (_nan_times, "voice_broken")],
)
def test_weights_that_make_no_speech_are_found_out(breaks: Callable[[Any], None], code: str, tmp_path: Path) -> None:
    tiny_vits.write(tmp_path / "vits", breaks)
    engine = CoquiVoice("vits", tmp_path)

    with pytest.raises(EngineError) as broken:
        engine.speak(brief("Nobody will hear this."), tmp_path / "v.wav")

    assert (broken.value.code, broken.value.retryable) == (code, False)
    assert not (tmp_path / "v.wav").exists()


def test_a_sentence_that_failed_once_is_spoken_again_with_other_noise(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = CoquiVoice("vits", weights)
    say, seeds = engine._model.say, []

    def first_time_silent(piece: Any, manner: Manner, seed: int) -> Said:
        seeds.append(seed)
        said = say(piece, manner, seed)
        return Said(np.zeros_like(said.sound), said.starts) if len(seeds) == 1 else said

    monkeypatch.setattr(engine._model, "say", first_time_silent)
    narration = engine.speak(brief("Say it again."), tmp_path / "v.wav")

    assert len(set(seeds)) == 2
    assert [word.text for word in narration.words] == ["Say", "it", "again."]


def test_out_of_memory_may_pass(weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = CoquiVoice("vits", weights)

    def too_much(*_: Any) -> Said:
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(engine._model, "say", too_much)
    with pytest.raises(EngineError) as full:
        engine.speak(brief("Too much."), tmp_path / "v.wav")
    assert (full.value.code, full.value.retryable) == ("out_of_memory", True)


@pytest.mark.parametrize("gone", ["config.json", "model_file.pth"])
def test_missing_weights_are_named(gone: str, tmp_path: Path) -> None:
    tiny_vits.write(tmp_path / "vits")
    (tmp_path / "vits" / gone).unlink()

    with pytest.raises(MissingToolError, match=str(tmp_path / "vits")) as missing:
        build_engines(Settings(voice_engine="vits", weights_dir=str(tmp_path)))
    assert missing.value.code == "weights_missing"


@pytest.mark.parametrize("spoilt", ["config.json", "model_file.pth"])
def test_weights_that_are_not_whole_are_named(spoilt: str, tmp_path: Path) -> None:
    tiny_vits.write(tmp_path / "vits")
    path = tmp_path / "vits" / spoilt
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])

    with pytest.raises(MissingToolError, match=str(tmp_path / "vits")) as broken:
        CoquiVoice("vits", tmp_path)
    assert broken.value.code == "weights_broken"


def test_other_weights_are_another_version(weights: Path, voice: CoquiVoice, tmp_path: Path) -> None:
    assert CoquiVoice("vits", weights).version == voice.version
    tiny_vits.write(tmp_path / "vits", _loud)
    assert CoquiVoice("vits", tmp_path).version != voice.version


def test_loading_asks_no_network(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: Any, **__: Any) -> None:
        raise AssertionError("something wants a connection")

    monkeypatch.setattr(socket.socket, "connect", refused)
    monkeypatch.setattr(socket, "getaddrinfo", refused)
    assert CoquiVoice("vits", weights).speaks("en-GB", "")


def test_a_language_or_voice_that_the_model_has_not_is_the_other_voices(
    pair: VoiceEngine, voice: CoquiVoice, tmp_path: Path
) -> None:
    for name, changes in {"de": {"language": "de"}, "wished": {"voice": "gmw/en-GB-x-rp"}}.items():
        asked = brief("Guten Morgen.", **changes)
        assert pair.speak(asked, tmp_path / name).path.read_bytes() == (
            EspeakVoice().speak(asked, tmp_path / f"{name} alone").path.read_bytes()
        )
    british = brief("Good morning.", language="en-GB")
    assert pair.speak(british, tmp_path / "gb").path.read_bytes() == (
        voice.speak(british, tmp_path / "gb alone").path.read_bytes()
    )
    with pytest.raises(InvalidInputError) as unknown:
        pair.speak(brief("Who?", voice="nobody"), tmp_path / "x.wav")
    assert unknown.value.field == "voice"
