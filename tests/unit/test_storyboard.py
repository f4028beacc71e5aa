"""Texts fall into scenes: paragraphs, else sentences, else chunks, and never into none."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.documents import Options
from core.engine_ports import StoryboardBrief
from core.engines.storyboard_text import TextStoryboard, default_storyboard
from core.errors import InvalidInputError
from core.text import SCENE_CHARS, estimate_seconds, parts_of, sentences, speakable, split

PARAGRAPHS = "# Fire inside\nDeep below, rock melts.\n\nThe melt rises. It is lighter.\n\nThen it bursts out."


def plan(script: str, **options: object) -> list[tuple[str, str]]:
    """(title, narration) of each scene."""
    board = TextStoryboard().plan(StoryboardBrief("", "", script, Options(**options)))  # type: ignore[arg-type]
    assert [s.number for s in board.scenes] == list(range(1, len(board.scenes) + 1))
    return [(s.title, s.narration) for s in board.scenes]


def test_paragraphs_are_scenes_and_headings_their_titles() -> None:
    scenes = plan(PARAGRAPHS)

    assert [n for _, n in scenes] == [
        "Deep below, rock melts.",
        "The melt rises. It is lighter.",
        "Then it bursts out.",
    ]
    assert scenes[0][0] == "Fire inside"


def test_one_running_text_is_split_at_its_sentences() -> None:
    text = " ".join(f"Sentence number {i} tells a little more about the old harbour." for i in range(12))
    strategy, pieces = split(text)

    assert strategy == "sentences"
    assert len(pieces) >= 3
    assert " ".join(p.narration for p in pieces) == text


def test_a_text_without_sentence_ends_is_cut_into_even_chunks() -> None:
    strategy, pieces = split("word " * 200)

    assert strategy == "characters"
    assert len(pieces) > 1
    assert max(len(p.narration) for p in pieces) <= 160


def test_a_text_with_nothing_to_say_gives_five_default_scenes() -> None:
    scenes = plan("🎉 !!! ... ??? " * 10, title="Party")

    assert len(scenes) == 5
    assert all("Party" in narration for _, narration in scenes)


def test_abbreviations_and_decimals_do_not_end_a_sentence() -> None:
    assert sentences("Dr. Smith measured 3.5 metres, e.g. here. Then he left.") == [
        "Dr. Smith measured 3.5 metres, e.g. here.",
        "Then he left.",
    ]


def test_chinese_and_arabic_sentences_end_at_their_own_marks() -> None:
    assert sentences("太阳升起。船离开港口！") == ["太阳升起。", "船离开港口！"]
    assert sentences("هل تعرف البحر؟ نعم أعرفه.") == ["هل تعرف البحر؟", "نعم أعرفه."]


@pytest.mark.parametrize(
    ("text", "ends"),
    [
        ("海が青い。空も青い！行こうか？", ["海が青い。", "空も青い！", "行こうか？"]),
        ("「行こう。」彼は言った。", ["「行こう。」", "彼は言った。"]),
        ("समुद्र गहरा है। नाव छोटी है॥अंत", ["समुद्र गहरा है।", "नाव छोटी है॥", "अंत"]),
        ("ہوا چلی۔ کشتی گئی۔", ["ہوا چلی۔", "کشتی گئی۔"]),
        ("هل تسمع؟ نعم! هيا.", ["هل تسمع؟", "نعم!", "هيا."]),
        ("Море глубокое… Лодка мала. Г. Иванов ждёт.", ["Море глубокое…", "Лодка мала.", "Г.", "Иванов ждёт."]),
        ("Նավը եկավ։ Ծովը խաղաղ է։", ["Նավը եկավ։", "Ծովը խաղաղ է։"]),
        ("ባሕሩ ጥልቅ ነው። ጀልባዋ ትንሽ ናት።", ["ባሕሩ ጥልቅ ነው።", "ጀልባዋ ትንሽ ናት።"]),
        ("¿Vienes? ¡Sí! Vamos.", ["¿Vienes?", "¡Sí!", "Vamos."]),
        ("ทะเลลึกมาก เรือเล็ก", ["ทะเลลึกมาก เรือเล็ก"]),
        ("Go! 🎉 Now? 🚢", ["Go!", "🎉 Now?", "🚢"]),
    ],
)
def test_sentences_end_as_each_language_ends_them(text: str, ends: list[str]) -> None:
    assert sentences(text) == ends


def test_a_long_paragraph_becomes_several_scenes_at_sentence_ends() -> None:
    text = "First.\n\n" + "This sentence is about forty letters long. " * 20
    _, pieces = split(text)

    assert all(len(p.narration) <= SCENE_CHARS for p in pieces)
    assert all(p.narration.endswith(".") for p in pieces)


def test_titles_are_short_and_do_not_end_in_small_words() -> None:
    ((title, _),) = plan(
        "And so the old lighthouse keeper of the northern islands went down to the sea again and again and again"
    )[:1]

    assert title.startswith("The old lighthouse")
    assert len(title.split()) <= 6
    assert title.split()[-1] not in ("of", "the")


def test_a_topic_without_a_model_is_refused_with_the_way_out() -> None:
    with pytest.raises(InvalidInputError, match="GEMINI_API_KEY"):
        TextStoryboard().plan(StoryboardBrief("Volcanoes", "", "", Options()))


@given(st.text(max_size=1500))
def test_no_text_loses_a_word_and_no_scene_is_empty(script: str) -> None:
    strategy, pieces = split(script)

    assert all(speakable(p.narration) for p in pieces)
    assert bool(pieces) == (strategy != "default")
    if not speakable(script):
        assert strategy == "default"


@given(
    st.lists(st.text(alphabet="abcdefg ", min_size=5, max_size=80).filter(lambda s: s.strip()), min_size=2, max_size=9)
)
def test_as_many_short_paragraphs_as_scenes(paragraphs: list[str]) -> None:
    strategy, pieces = split("\n\n".join(paragraphs))

    assert strategy == "paragraphs"
    assert [p.narration for p in pieces] == [" ".join(p.split("\n")).strip() for p in paragraphs]


SIGNS = {
    "latin": "abcdéö ,.!?-",
    "cyrillic": "абвгджя ,.!?",
    "han": "海空船山水的是。，！？",
    "kana": "あいうえカキ。、！",
    "arabic": "ابتثجحمي ؟،.!",
    "devanagari": "कखगजमयसािीुे् ।,",
    "thai": "กขคงจมาิีุ่้ ",
    "emoji": "👩\u200d🚀🎉👍🏽🚢 a.!",
}
MIXED = st.text(alphabet="".join(SIGNS.values()) + "\n", max_size=900)


@pytest.mark.parametrize("script", SIGNS)
@given(data=st.data())
def test_in_every_script_each_strategy_keeps_all_that_is_said(script: str, data: st.DataObject) -> None:
    text = data.draw(st.text(alphabet=SIGNS[script] + "\n", max_size=900))

    strategy, pieces = split(text)

    assert strategy in ("paragraphs", "sentences", "characters", "default")
    assert all(speakable(p.narration) and len(p.narration) <= SCENE_CHARS for p in pieces)
    assert [c for p in pieces for c in p.heading + p.narration if c.isalnum()] == [c for c in text if c.isalnum()]


@given(MIXED)
def test_a_storyboard_has_always_scenes_that_can_be_said_shown_and_titled(script: str) -> None:
    board = TextStoryboard().plan(StoryboardBrief("Sea", "", f"{script}-", Options()))

    assert board.scenes
    assert all(speakable(s.narration) and s.title and s.visual_prompt for s in board.scenes)
    assert (len(board.scenes) == 5) or board.strategy != "default"


SYLLABLES = {
    "latin": ["a", "e\u0301", "o\u0302\u0323"],
    "han": ["海", "船", "山"],
    "devanagari": ["क", "कि", "क्", "मु", "सीं"],
    "thai": ["ก", "กิ", "กี่", "ขุ้"],
    "emoji": ["a", "👩\u200d🚀", "👍🏽", "🚢\ufe0f"],
}


@pytest.mark.parametrize("script", SYLLABLES)
@given(seed=st.integers(min_value=0, max_value=2**32), length=st.integers(min_value=90, max_value=500))
def test_a_text_without_any_end_is_cut_between_signs(script: str, seed: int, length: int) -> None:
    syllables = random.Random(seed).choices(SYLLABLES[script], k=length)

    _, pieces = split("".join(syllables))

    assert all(p.narration.startswith(tuple(SYLLABLES[script])) for p in pieces)
    assert sum(p.narration.count(s) for p in pieces for s in "aक海ก") == sum(s[0] in "aक海ก" for s in syllables)


@given(MIXED, st.integers(min_value=40, max_value=400))
def test_a_long_text_in_parts_is_the_same_text(text: str, size: int) -> None:
    parts = parts_of(text, size)

    assert all(part.strip() and len(part) <= size for part in parts)
    assert [c for part in parts for c in part if c.isalnum()] == [c for c in text if c.isalnum()]


@given(MIXED, MIXED, st.sampled_from(["en", "de", "fr", "es", "zh", "ar", "hi", "th", "ru"]))
def test_a_topic_that_nobody_can_tell_has_five_scenes_in_any_script(
    topic: str, description: str, language: str
) -> None:
    board = default_storyboard(StoryboardBrief(topic or "Sea", description, "", Options(language=language)))

    assert (board.strategy, [s.number for s in board.scenes]) == ("default", [1, 2, 3, 4, 5])
    assert all(s.narration.strip() and len(s.narration) <= SCENE_CHARS for s in board.scenes)


def test_slower_speech_and_dense_scripts_last_longer() -> None:
    assert estimate_seconds(["word " * 30], 0.5) > 1.8 * estimate_seconds(["word " * 30], 1.0)
    assert estimate_seconds(["太阳升起"], 1.0) > estimate_seconds(["abcd"], 1.0)
