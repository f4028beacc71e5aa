"""Emoji are found in the text's own words, in several languages, and never embarrass."""

from __future__ import annotations

import subprocess
import sys

import emoji
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.engines.illustrations import choose, keywords, theme


@pytest.mark.parametrize(
    ("language", "title", "hero"),
    [
        ("en", "How volcanoes work", "🌋"),
        ("en", "Wolves of the north", "🐺"),
        ("en-GB", "Saving money", "💰"),
        ("de", "Wie Vulkane entstehen", "🌋"),
        ("fr", "Les chats du quartier", "🐈"),
        ("es", "El dinero y tú", "💰"),
        ("pt-BR", "O gato", "🐈"),
        ("ru", "Вулканы", "🌋"),
        ("ar", "كيف تعمل البراكين", "🌋"),
        ("zh", "火山如何运作", "🌋"),
    ],
)
def test_the_hero_is_what_the_title_speaks_of(language: str, title: str, hero: str) -> None:
    assert choose("", title, "", language, (), 1)[0] == hero


@given(
    st.text(max_size=60),
    st.text(max_size=30),
    st.text(max_size=120),
    st.sampled_from(["en", "de", "ja", "zh-Hans", "ar", "xx"]),
    st.integers(0, 2**31),
)
@settings(max_examples=150, deadline=None)
def test_any_text_gets_three_different_emoji_and_never_a_flag(
    prompt: str, title: str, narration: str, language: str, seed: int
) -> None:
    chosen = choose(prompt, title, narration, language, (), seed)
    assert len(set(chosen)) == 3
    for one in chosen:
        assert emoji.is_emoji(one) or emoji.is_emoji(one + "\ufe0f")
        assert not any(0x1F1E6 <= ord(c) <= 0x1F1FF for c in one)
    assert chosen == choose(prompt, title, narration, language, (), seed)


def test_a_hero_to_be_avoided_is_replaced_by_the_next_best() -> None:
    text = "Lava flows from the volcano over the forest."
    first = choose("", "", text, "en", (), 1)
    second = choose("", "", text, "en", (first[0],), 1)
    assert second[0] != first[0]
    assert second[0] in first


def test_text_without_a_picture_still_gets_good_ones_that_vary_with_the_seed() -> None:
    heroes = {choose("", "Qrst", "Xyz abc.", "en", (), seed)[0] for seed in range(20)}
    assert len(heroes) > 3


def test_accents_come_from_the_theme_of_the_hero_when_the_words_run_out() -> None:
    assert theme("The history of chess", "en") == "history"
    _, *accents = choose("", "Chess", "", "en", (), 5)
    assert set(accents) <= set("📜🗺🏛🧭⏳🏺👑🕯")


@pytest.mark.parametrize("text", ["The smile of a child", "We laugh a lot", "She cries"])
def test_faces_appear_only_where_the_text_has_them(text: str) -> None:
    faces = [c for c in choose("", text, "", "en", (), 1) if 0x1F600 <= ord(c[0]) <= 0x1F64F]
    assert faces
    assert not [c for c in choose("", "Volcanoes and money", "", "en", (), 1) if 0x1F600 <= ord(c[0]) <= 0x1F64F]


def test_an_emoji_written_in_the_text_is_taken_at_its_word() -> None:
    assert choose("a saxophone 🎷 in the rain", "Evening", "Rain falls.", "en", (), 1)[0] == "🎷"
    assert "🇩🇪" not in choose("🇩🇪 🇫🇷", "Flags", "", "en", (), 1)


def test_keywords_stand_once_and_the_most_telling_comes_first() -> None:
    words = keywords("The volcano erupts. Volcanoes make lava; people and a bus flee from the volcano.", "en")
    assert words[0] == "volcano"
    assert "bus" in words
    assert len(words) == len(set(words))
    assert "volcanoes" not in words  # the same picture as volcano


def test_plurals_find_their_word() -> None:
    assert {"buses", "wolves", "strawberries", "boxes"} <= set(
        keywords("Two buses, three wolves, many strawberries in boxes.", "en")
    )


def test_choosing_needs_neither_imaging_nor_numbers() -> None:
    """The serverless function imports it, and has neither library."""
    code = "import sys, core.engines.illustrations; print([m for m in ('PIL', 'cv2', 'numpy') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
