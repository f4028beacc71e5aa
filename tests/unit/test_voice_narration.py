"""How a narration is cut for a model, how its words are found in what was said, and which sounds are believed."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.documents import SAMPLE_RATE
from core.engines.languages import nearest, speaks
from core.engines.narration import clean, pieces, starts_in, tokens
from core.engines.voice_coqui import fault_of, joinable
from core.errors import InvalidInputError, MissingToolError
from core.media.speech import Mark, Sound, shape
from core.settings import Settings
from core.wiring import build_engines

WORDS = st.text(alphabet="ab1é.,;!?—… \n。你好नم", max_size=120)


@given(WORDS, st.integers(1, 60))
def test_the_pieces_hold_every_token_in_its_order(text: str, longest: int) -> None:
    cleaned = clean(text)

    found = pieces(cleaned, longest)

    assert [token for piece in found for token in piece.tokens] == tokens(cleaned)
    for piece in found:
        assert piece.tokens == tuple(tokens(piece.text))
        assert len(piece.text) <= longest or len(piece.tokens) == 1


def test_a_narration_falls_into_its_sentences_with_longer_pauses_between_paragraphs() -> None:
    found = pieces("Dr. No came at 12.5 sharp. Why?\n\nNobody knows.", 400)

    assert [piece.text for piece in found] == ["Dr. No came at 12.5 sharp.", "Why?", "Nobody knows."]
    assert found[0].pause < found[1].pause


def test_a_long_sentence_is_cut_where_a_speaker_breathes() -> None:
    found = pieces("When the sun rises over the sea, boats leave the harbour one by one.", 48)

    assert [piece.text for piece in found] == [
        "When the sun rises over the sea,",
        "boats leave the harbour one by one.",
    ]
    assert found[0].pause < found[1].pause


def test_words_are_found_though_sounds_run_together_change_or_vanish() -> None:
    whole = "ðə flˈaʊɚz ɑːɹ, ʌvðə kˈaɪnd — ɪn nˈaɪntiːn fˈɔːɹɾi fˈoːɹ, fɹˈɪʃ ɐ sˈaɪəntɪst lˈæft!"
    parts = ["ðˈə", "flˈaʊɚz", "ˈɑːɹ,", "ˈʌv", "ðˈə", "kˈaɪnd", "", "ˈɪn", "nˈaɪntiːn fˈɔːɹɾi fˈoːɹ,"]
    parts += ["fɹˈɪʃ", "ˈeɪ", "sˈaɪəntɪst", "lˈæft!"]

    begins = ["ðə fl", "flˈ", "ɑːɹ", "ʌvðə", "ðə kˈ", "kˈ", None, "ɪn n", "nˈaɪn", "fɹˈ", "ɐ s", "sˈ", "lˈæ"]
    assert starts_in(whole, parts) == [None if begin is None else whole.index(begin) for begin in begins]


@given(st.text(alphabet="abc ,.", max_size=40), st.lists(st.text(alphabet="abcd", max_size=6), max_size=8))
def test_whatever_was_said_words_begin_in_order_and_inside_it(whole: str, parts: list[str]) -> None:
    found = starts_in(whole, parts)

    places = [place for place in found if place is not None]
    assert len(found) == len(parts)
    assert places == sorted(places)
    assert all(0 <= place < len(whole) for place in places)
    assert not whole or all((place is None) == (not part) for place, part in zip(found, parts, strict=True))


@given(st.lists(st.floats(0, 0.9), min_size=1, max_size=30), st.lists(st.floats(0.05, 0.9), max_size=6))
def test_words_marked_close_to_each_other_still_follow_each_other(starts: list[float], cuts: list[float]) -> None:
    sound = np.full(SAMPLE_RATE, 0.5, np.float32)
    for cut in cuts:
        sound[round(cut * SAMPLE_RATE) :][:600] = 0.0

    shaped, words = shape(sound, [Mark(f"w{i}", start) for i, start in enumerate(sorted(starts))], 0.3, 0.4)

    at = 0.3
    for word in words:
        assert at - 1e-3 <= word.start <= word.end <= shaped.size / SAMPLE_RATE
        at = word.end


RATE = 22_050


def tone(seconds: float, loud: float = 0.3) -> Sound:
    """A tone of 220 Hz at RATE."""
    return np.asarray(loud * np.sin(np.arange(round(seconds * RATE)) * (2 * math.pi * 220 / RATE)), np.float32)


@pytest.mark.parametrize(
    ("make", "fault"),
    [
        (lambda: tone(1), ""),
        (lambda: tone(1) - np.float32(0.6), ""),
        (lambda: tone(0), "voice_silent"),
        (lambda: tone(1, loud=0.001), "voice_silent"),
        (lambda: np.full(RATE, 0.7, np.float32), "voice_silent"),
        (lambda: np.append(tone(1), np.float32(np.nan)), "voice_broken"),
        (lambda: np.append(tone(1), np.float32(np.inf)), "voice_broken"),
        (lambda: np.clip(tone(1, loud=4), -1, 1), "voice_broken"),
        (lambda: np.clip(tone(1, loud=1.0001), -1, 1) * np.float32(0.99), ""),
        (lambda: tone(30), "voice_broken"),
    ],
)
def test_only_a_sound_that_can_be_speech_is_believed(make: Callable[[], Sound], fault: str) -> None:
    assert fault_of(make(), RATE, letters=20, speed=1.0) == fault


def test_slow_speech_may_last_longer() -> None:
    assert fault_of(tone(30), RATE, letters=20, speed=0.5) == ""
    assert fault_of(tone(12), RATE, letters=20, speed=2.0) == "voice_broken"


@given(st.integers(0, 400))
def test_sentences_begin_and_end_at_rest(size: int) -> None:
    sound = np.asarray(tone(1)[:size] + 0.5, np.float32)
    faded = joinable(sound, RATE) if size else sound

    assert faded.size == size
    if size > 1:
        assert faded[0] == faded[-1] == 0.0


def test_a_sentence_keeps_its_sound_between_its_fades() -> None:
    sound = tone(1)
    middle = slice(RATE // 100, -RATE // 100)

    assert np.allclose(joinable(sound + np.float32(0.4), RATE)[middle], sound[middle], atol=1e-3)


@pytest.mark.parametrize(
    ("language", "offered", "found"),
    [
        ("en", ["en"], "en"), ("en-GB", ["en-us"], "en-us"), ("en", ["en-us"], "en-us"),
        ("EN_us", ["en", "en-us"], "en-us"),
        ("pt-BR", ["pl", "pt"], "pt"), ("de", ["en"], None), ("eng", ["en"], None), ("en", [], None),
    ],
)  # fmt: skip
def test_a_model_serves_the_regions_of_its_languages(language: str, offered: list[str], found: str | None) -> None:
    assert nearest(language, offered) == found


def test_every_language_of_the_models_is_one_that_requests_may_name() -> None:
    # VITS: by the weights; XTTS v2: as its config has them
    assert all(map(speaks, "en es fr de it pt pl tr ru nl cs ar hu ko hi".split()))


def test_xtts_speaks_only_for_who_agreed_to_its_licence(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError) as refused:
        build_engines(Settings(voice_engine="xtts", weights_dir=str(tmp_path)))
    assert (refused.value.code, refused.value.field) == ("licence_not_accepted", "COQUI_TOS_AGREED")

    with pytest.raises(MissingToolError, match=str(tmp_path / "xtts")):
        agreed = {"SCENEWRIGHT_VOICE": "xtts", "COQUI_TOS_AGREED": "1", "SCENEWRIGHT_WEIGHTS": str(tmp_path)}
        build_engines(Settings.from_env(agreed))


def test_an_unknown_voice_engine_is_refused_by_its_setting() -> None:
    with pytest.raises(InvalidInputError) as refused:
        build_engines(Settings(voice_engine="choir"))
    assert refused.value.field == "SCENEWRIGHT_VOICE"


def test_missing_weights_are_named_before_anything_heavy_is_loaded(tmp_path: Path) -> None:
    with pytest.raises(MissingToolError, match=str(tmp_path / "vits")) as missing:
        build_engines(Settings(voice_engine="vits", weights_dir=str(tmp_path)))
    assert missing.value.code == "weights_missing"
