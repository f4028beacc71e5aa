"""The voice that can be cloned: the real XTTS classes with small random weights, loaded as in production."""

from __future__ import annotations

import pickle
import shutil
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="needs the environment of the models: scripts/gpu_environment.sh")
pytest.importorskip("TTS", reason="needs the environment of the models: scripts/gpu_environment.sh")

import torch

from core.documents import FPS
from core.engine_ports import VoiceBrief
from core.engines.languages import MODELS_SPEAK, SPOKEN
from core.engines.voice_coqui import CoquiVoice
from core.engines.voice_espeak import EspeakVoice
from core.errors import EngineError, InvalidInputError, MissingToolError
from core.settings import Settings
from core.wiring import build_engines
from tests.gpu import tiny_xtts

torch.set_num_threads(1)  # models this small only wait for each other's threads


def brief(text: str, language: str, voice: str = "") -> VoiceBrief:
    """A brief with plain defaults."""
    return VoiceBrief(text=text, language=language, voice=voice, speed=1.5, lead=0.3, tail=0.4)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of weights with a small XTTS and a person's voice to be cloned."""
    folder = tmp_path_factory.mktemp("weights")
    tiny_xtts.write(folder / "xtts")
    (folder / "xtts" / "voices").mkdir()
    text = "This is how somebody sounds who lends a voice."
    EspeakVoice().speak(brief(text, "en"), folder / "xtts" / "voices" / "anna.wav")
    return folder


@pytest.fixture(scope="module")
def voice(weights: Path) -> CoquiVoice:
    """The model alone."""
    return CoquiVoice("xtts", weights)


@pytest.mark.parametrize(
    ("text", "language", "name"),
    [("Good morning — world. Why not?", "en-GB", ""), ("Guten Morgen, schöne Welt.", "de", "anna")],
)
def test_it_speaks_with_its_own_and_with_cloned_voices(
    voice: CoquiVoice, tmp_path: Path, text: str, language: str, name: str
) -> None:
    assert voice.speaks(language, name)

    spoken = voice.speak(brief(text, language, name), tmp_path / "a.wav")
    again = voice.speak(brief(text, language, name), tmp_path / "b.wav")

    assert again.path.read_bytes() == spoken.path.read_bytes()
    assert [word.text for word in spoken.words] == text.split()
    at = 0.3
    for word in spoken.words:
        assert at - 1e-6 <= word.start <= word.end <= spoken.frames / FPS
        assert word.end > word.start or word.text == "—"
        at = word.end


def test_it_speaks_the_languages_that_people_are_told(voice: CoquiVoice) -> None:
    assert {code for code in ("ja", "zh", *SPOKEN) if voice.speaks(code, "")} >= set(MODELS_SPEAK["xtts"])
    assert not voice.speaks("ja", "")


def test_two_voices_sound_different(voice: CoquiVoice, tmp_path: Path) -> None:
    sounds = {
        voice.speak(brief("The same.", "en", name), tmp_path / name).path.read_bytes() for name in ("anna", "Ada_Byron")
    }
    assert len(sounds) == 2


def test_what_it_has_not_is_refused(voice: CoquiVoice, tmp_path: Path) -> None:
    assert not voice.speaks("ja", "")
    assert not voice.speaks("en", "../anna")
    with pytest.raises(InvalidInputError) as unknown:
        voice.speak(brief("Who?", "en", "../anna"), tmp_path / "x.wav")
    with pytest.raises(EngineError) as strange:
        voice.speak(brief("Привет, мир.", "ru"), tmp_path / "x.wav")
    assert (unknown.value.field, strange.value.code) == ("voice", "voice_cannot_say")


def test_a_renderer_has_it_when_the_licence_is_accepted_and_a_speaker_is_there(weights: Path, tmp_path: Path) -> None:
    (tmp_path / "xtts").mkdir()
    for path in weights.glob("xtts/*.*"):
        if path.name != "speakers_xtts.pth":
            (tmp_path / "xtts" / path.name).symlink_to(path)

    with pytest.raises(MissingToolError, match="no speaker"):
        build_engines(Settings(voice_engine="xtts", coqui_tos_agreed=1, weights_dir=str(tmp_path)))
    with pytest.raises(InvalidInputError) as licence:
        build_engines(Settings(voice_engine="xtts", weights_dir=str(weights)))

    assert licence.value.code == "licence_not_accepted"


def test_the_released_checkpoint_is_loaded_without_being_written_anew(weights: Path, tmp_path: Path) -> None:
    """It holds its config as an object, and Coqui would replace the file by one that holds plain values."""
    from TTS.config import load_config
    from TTS.tts.models.xtts import _legacy_safe_globals

    shutil.copytree(weights / "xtts", tmp_path / "xtts")
    path = tmp_path / "xtts" / "model.pth"
    config = load_config(str(tmp_path / "xtts" / "config.json"))
    with _legacy_safe_globals():
        torch.save({"config": config, "model": torch.load(path)["model"]}, path)
    with pytest.raises(pickle.UnpicklingError):
        torch.load(path)
    before = path.read_bytes()

    assert CoquiVoice("xtts", tmp_path).speaks("en", "Ada_Byron")

    assert path.read_bytes() == before
