"""Texts fall into scenes: paragraphs, else sentences, else chunks, and never into none."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.documents import Options
from core.engines.storyboard_text import TextStoryboard
from core.errors import InvalidInputError
from core.ports import StoryboardBrief
from core.text import SCENE_CHARS, estimate_seconds, sentences, speakable, split

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


def test_slower_speech_and_dense_scripts_last_longer() -> None:
    assert estimate_seconds(["word " * 30], 0.5) > 1.8 * estimate_seconds(["word " * 30], 1.0)
    assert estimate_seconds(["太阳升起"], 1.0) > estimate_seconds(["abcd"], 1.0)
