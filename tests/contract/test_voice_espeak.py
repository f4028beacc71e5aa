"""The built-in voice: heard, measured, and its word times held against the sound itself."""

from __future__ import annotations

import hashlib
import os
import re
import wave
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from core.documents import FPS, SAMPLE_RATE, SAMPLES_PER_FRAME
from core.engine_ports import Voice, VoiceBrief
from core.engines.narration import clean
from core.engines.voice_espeak import EspeakVoice
from core.errors import EngineError, InvalidInputError
from core.media.probe import listen

TEXT = (
    "Honeybees dance to tell their sisters where the flowers are. Why? In 1944, Karl von Frisch read this "
    "language — and about 12.5% of the people laughed! Nobody laughs today."
)
VOICE = EspeakVoice()


def say(out: Path, text: str = TEXT, **changes: object) -> Voice:
    """Speak with plain defaults."""
    values: dict[str, object] = {"language": "en", "voice": "", "speed": 1.0, "lead": 0.35, "tail": 0.45, **changes}
    return VOICE.speak(VoiceBrief(text=text, **values), out)  # type: ignore[arg-type]


def heard(path: Path) -> np.ndarray:
    """The samples, -1 to 1."""
    with wave.open(str(path), "rb") as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (1, 2, SAMPLE_RATE)
        return np.frombuffer(file.readframes(file.getnframes()), "<i2") / 32768


@pytest.fixture(scope="module")
def spoken(tmp_path_factory: pytest.TempPathFactory) -> Voice:
    """The text above, spoken once."""
    return say(tmp_path_factory.mktemp("voice") / "voice.wav")


def test_a_narration_lasts_whole_frames_with_exact_silence_around_it(spoken: Voice) -> None:
    sound = heard(spoken.path)
    assert sound.size == spoken.frames * SAMPLES_PER_FRAME
    loud = np.flatnonzero(np.abs(sound) > 0.004)
    assert loud[0] / SAMPLE_RATE == pytest.approx(0.35, abs=0.006)
    assert 0.44 <= (sound.size - loud[-1]) / SAMPLE_RATE <= 0.45 + 1 / FPS + 0.03
    assert not sound[: round(0.34 * SAMPLE_RATE)].any()


def test_a_narration_is_as_loud_as_a_film_and_does_not_clip(spoken: Voice) -> None:
    measured = listen(spoken.path, sample_rate=SAMPLE_RATE, silent_seconds=1.0).loudness
    assert measured.integrated + 3.01 == pytest.approx(-16, abs=0.7), "3 LU more when played on two loudspeakers"
    assert measured.true_peak <= -1.0


def test_every_token_has_its_time_in_order(spoken: Voice) -> None:
    assert [word.text for word in spoken.words] == TEXT.split()
    at = 0.0
    for word in spoken.words:
        assert at - 1e-6 <= word.start <= word.end <= spoken.frames / FPS
        at = word.end


def test_words_lie_where_the_sound_is(spoken: Voice) -> None:
    sound = np.abs(heard(spoken.path))
    for word in spoken.words:
        inside = sound[round(word.start * SAMPLE_RATE) : round(word.end * SAMPLE_RATE)]
        if any(c.isalnum() for c in word.text):
            assert inside.max() > 0.05, word
            assert word.end - word.start > 0.04, word
        else:
            assert word.end == word.start, word
    # whatever lies between two words that do not touch is silence
    for before, after in zip(spoken.words, spoken.words[1:], strict=False):
        between = sound[round((before.end + 0.006) * SAMPLE_RATE) : round((after.start - 0.006) * SAMPLE_RATE)]
        assert between.size == 0 or between.max() < 0.02, (before, after)


def test_every_pause_in_the_sound_lies_between_two_words(spoken: Voice) -> None:
    """The other way round: where the sound begins again after a pause, a word begins, within 80 ms."""
    sound = np.abs(heard(spoken.path))
    blocks = sound[: sound.size // 480 * 480].reshape(-1, 480).max(axis=1) > 0.01
    edges = np.flatnonzero(np.diff(blocks.astype(int)) == 1) + 1
    starts = np.array([word.start for word in spoken.words])
    pauses = [e for e in edges if not blocks[max(0, e - 12) : e].any()]
    assert len(pauses) >= 4
    for edge in pauses:
        assert np.abs(starts - edge / 100).min() < 0.08, edge / 100


def test_the_same_text_gives_the_same_bytes(tmp_path: Path) -> None:
    sums = {
        hashlib.sha256(say(tmp_path / f"{i}.wav", "The same words, spoken again.").path.read_bytes()).hexdigest()
        for i in range(3)
    }
    assert len(sums) == 1


@pytest.mark.parametrize("speed", [0.5, 1.5, 2.0])
def test_speed_changes_the_length_and_words_follow(tmp_path: Path, spoken: Voice, speed: float) -> None:
    voice = say(tmp_path / "v.wav", speed=speed)
    plain = spoken.words[-1].end - spoken.words[0].start
    assert (voice.words[-1].end - voice.words[0].start) * speed == pytest.approx(plain, rel=0.35)
    sound = np.abs(heard(voice.path))
    for word in (w for w in voice.words if any(c.isalnum() for c in w.text)):
        assert sound[round(word.start * SAMPLE_RATE) : round(word.end * SAMPLE_RATE)].max() > 0.03, word


def test_pauses_never_grow_long(tmp_path: Path) -> None:
    voice = say(tmp_path / "v.wav", "One.\n\n\n\nTwo.\n\n...\n\nThree, at last.", speed=0.5)
    sound = np.abs(heard(voice.path)) > 0.01
    edges = np.flatnonzero(sound)
    assert np.diff(edges).max() / SAMPLE_RATE <= 0.92
    assert [w.text for w in voice.words if any(c.isalnum() for c in w.text)] == [
        "One.",
        "Two.",
        "Three,",
        "at",
        "last.",
    ]


@pytest.mark.parametrize("speed", [0.0, 0.49, 2.01, float("nan"), float("inf")])
def test_an_impossible_speed_is_refused(tmp_path: Path, speed: float) -> None:
    with pytest.raises(InvalidInputError) as caught:
        say(tmp_path / "v.wav", speed=speed)
    assert caught.value.field == "speed"


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("en-GB", "Good morning."), ("de", "Guten Morgen, schöne Welt."), ("fr-FR", "Où est la bibliothèque ?"),
        ("es-MX", "¿Dónde está?"), ("pt-BR", "Bom dia, coração."), ("hi", "नमस्ते दुनिया।"), ("ar", "مرحبا بالعالم."),
        ("ru", "Привет, мир."), ("zh-CN", "你好，世界。"), ("no", "God morgen."), ("sr_Latn_RS", "Dobro jutro."),
    ],
)  # fmt: skip
def test_many_languages_are_spoken(tmp_path: Path, language: str, text: str) -> None:
    voice = say(tmp_path / "v.wav", text, language=language)
    assert "".join(word.text for word in voice.words) == re.sub(r"\s", "", text)
    assert voice.words[-1].end > 0.6


@pytest.mark.parametrize("language", ["tlh", "", "xx-YY", "../../etc", "ja", "en\0"])
def test_a_language_it_does_not_speak_is_refused_by_name(tmp_path: Path, language: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        say(tmp_path / "v.wav", language=language)
    assert caught.value.field == "language"


@pytest.mark.parametrize("voice", ["nobody", "gmw/en-US+../../../etc/passwd", "+nothing", "../en", "gmw/en-US+"])
def test_a_voice_it_does_not_have_is_refused_by_name(tmp_path: Path, voice: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        say(tmp_path / "v.wav", voice=voice)
    assert caught.value.field == "voice"


def test_every_listed_voice_can_be_chosen_and_variants_differ(tmp_path: Path) -> None:
    listed = VOICE.voices()
    assert len(listed) > 130
    assert ("gmw/en-US", "en-US", "English (America)") in listed
    for voice, _, _ in listed:
        assert VOICE.resolve("en", voice) == voice
    assert VOICE.resolve("de", "+f3") == "gmw/de+f3"
    plain = say(tmp_path / "a.wav", "Hello there.").path.read_bytes()
    other = say(tmp_path / "b.wav", "Hello there.", voice="gmw/en-US+f3").path.read_bytes()
    assert plain != other


def test_default_voices_are_those_people_expect() -> None:
    expected = {
        "en": "gmw/en-US", "en-US": "gmw/en-US", "en-GB": "gmw/en", "pt": "roa/pt-BR", "pt-PT": "roa/pt",
        "zh": "sit/cmn", "zh-Hans-CN": "sit/cmn", "zh-HK": "sit/yue", "fr-CA": "roa/fr",
        "es-419": "roa/es-419", "de_AT": "gmw/de",
    }  # fmt: skip
    assert {code: VOICE.resolve(code) for code in expected} == expected


@pytest.mark.parametrize("text", ["", "   ", "…", "?!", "🐝🐝", "\x00\x07", "- – —"])
def test_a_text_without_a_word_says_so(tmp_path: Path, text: str) -> None:
    with pytest.raises(EngineError) as caught:
        say(tmp_path / "v.wav", text)
    assert caught.value.code == "nothing_to_say"


def test_emoji_and_control_characters_are_neither_spoken_nor_shown(tmp_path: Path) -> None:
    voice = say(tmp_path / "a.wav", "Bees 🐝 are\u200b\x07 nice 👩‍🚀\ufe0f.")
    assert [word.text for word in voice.words] == ["Bees", "are", "nice", "."]
    plain = say(tmp_path / "b.wav", "Bees are nice .")
    assert voice.frames == plain.frames


def test_markup_is_read_aloud_as_text_and_never_obeyed(tmp_path: Path) -> None:
    """SSML would make a pause of five seconds, or another voice, or read a file."""
    obeyed = say(tmp_path / "a.wav", 'Hello <break time="5s"/> world [[h@l@U]] <audio src="/etc/passwd"/>')
    assert [w.text for w in obeyed.words if w.text.startswith("<")] == ["<break", "<audio"]
    sound = np.flatnonzero(np.abs(heard(obeyed.path)) > 0.01)
    assert np.diff(sound).max() / SAMPLE_RATE < 1.0
    assert obeyed.frames / FPS > 4, "the words of the markup were spoken"


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(min_size=1, max_size=60))
@example("a" * 3000)
@example("0" * 40)
@example("-- --help; $(reboot) `id` | rm -rf / %s %n")
@example("\u202eabc \ud7ff x́̂̃ 1/2 ½ 10⁶")
def test_any_text_is_spoken_or_refused_with_a_sentence(tmp_path: Path, text: str) -> None:
    try:
        voice = say(tmp_path / "v.wav", text)
    except EngineError as error:
        assert error.code in ("nothing_to_say", "nothing_said")
        return
    assert voice.words
    assert "".join(word.text for word in voice.words) == re.sub(r"\s", "", clean(text))
    assert all(0 <= a.start <= a.end <= b.start + 1e-6 for a, b in zip(voice.words, voice.words[1:], strict=False))


def test_a_voice_costs_little_beside_its_length(tmp_path: Path, spoken: Voice) -> None:
    """At most 0.05 of its length in processor time, of this process and its children."""

    def used() -> float:
        times = os.times()
        return times.user + times.system + times.children_user + times.children_system

    before = used()
    voice = say(tmp_path / "v.wav")
    assert used() - before <= 0.05 * voice.frames / FPS
