"""Which answers of a language model can be used, and what becomes of those that can."""

from __future__ import annotations

import json
from typing import Any

import pytest

from core.engines import script_answers as answers
from core.engines import script_prompts as prompts
from core.engines.script_answers import Character, Pictures, Story, Told, UnusableError
from core.engines.script_openai import strict

MARA = Character(name="Mara", description="a keeper of sixty, grey braid, yellow coat.")


def scene(**changes: Any) -> dict[str, Any]:
    """A scene that can be used."""
    made = {
        "title": "Dawn",
        "narration": "The harbour wakes, boats leave, and gulls follow them over the water.",
        "visual_prompt": "Mara walks along a pier",
        "characters": ["Mara"],
        "keywords": ["pier", "boat"],
        "engine": "auto",
    }
    return made | changes


def story(*scenes: dict[str, Any]) -> Story:
    """An answer with these scenes."""
    made = {"title": "Harbour", "style": "Watercolour.", "characters": [MARA.model_dump()], "scenes": list(scenes)}
    return answers.parse(Story, json.dumps(made))


def complaint(told: Story, scenes: int = 1, seconds: float = 5.0, language: str = "en") -> str:
    """What is said against a story; empty: nothing."""
    try:
        answers.check_story(told, scenes, seconds, language, 1.0, length=True)
    except UnusableError as error:
        return str(error)
    return ""


def test_a_story_as_it_was_asked_for_is_taken() -> None:
    assert complaint(story(scene())) == ""


@pytest.mark.parametrize(
    ("told", "said"),
    [
        (story(), "no scenes"),
        (story(*[scene()] * 3), "has 3 scenes; 1 were asked for"),
        (story(scene(narration=" … ")), "narration of scene 1 is empty"),
        (story(scene(narration="word " * 400)), "over 900 characters"),
        (story(scene(visual_prompt="")), "visual_prompt of scene 1 is empty"),
        (story(scene(narration="Гавань просыпается, лодки уходят, и чайки летят за ними.")), "script of the language"),
        (story(scene(narration="Gulls.")), "take about 1 s"),
    ],
)
def test_a_story_that_cannot_be_told_is_refused_with_the_reason(told: Story, said: str) -> None:
    assert said in complaint(told)


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "null", '{"title": "x"}', '{"title": 1, "style": "", "scenes": {}}', "Sure! Here it is: {}"],
)
def test_an_answer_of_another_form_is_refused_without_repeating_it(text: str) -> None:
    with pytest.raises(UnusableError) as refused:
        answers.parse(Story, text)

    assert "does not have the form" in str(refused.value)
    assert "Sure" not in str(refused.value)


def test_an_answer_in_a_code_fence_is_read_and_unknown_fields_are_dropped() -> None:
    made = {"title": "t", "style": "s", "scenes": [scene()], "reveal": "the key"}

    read = answers.parse(Story, f"```json\n{json.dumps(made)}\n```")

    assert [s.title for s in read.scenes] == ["Dawn"]
    assert "reveal" not in read.model_dump()


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("en", "The sea is deep."),
        ("ru-RU", "Море глубокое, говорит Мара."),
        ("zh", "大海很深。"),
        ("ja", "海はとても深いです。"),
        ("ko", "바다는 매우 깊습니다."),
        ("ar", "البحر عميق جدا."),
        ("fa", "دریا بسیار عمیق است."),
        ("hi", "समुद्र बहुत गहरा है।"),
        ("th", "ทะเลลึกมาก"),
        ("el", "Η θάλασσα είναι βαθιά."),
        ("he", "הים עמוק מאוד."),
        ("ta", "கடல் மிகவும் ஆழமானது."),
        ("sr", "More je duboko."),
        ("sr", "Море је дубоко."),
        ("ru", "42 + 7"),
    ],
)
def test_texts_are_known_by_the_script_of_their_language(language: str, text: str) -> None:
    assert answers.in_script(text, language)


@pytest.mark.parametrize(
    ("language", "text"),
    [("ru", "The sea is deep."), ("en", "Море глубокое."), ("zh", "The sea 海"), ("ar", "समुद्र बहुत गहरा है।")],
)
def test_texts_in_another_script_are_not_taken_for_it(language: str, text: str) -> None:
    assert not answers.in_script(text, language)


def test_whoever_is_seen_again_is_described_in_the_same_words_and_all_scenes_share_a_style() -> None:
    first = answers.visual_prompt(Told(**scene()), [MARA], "Watercolour.", cards=False)
    other = answers.visual_prompt(
        Told(**scene(visual_prompt="a boat in which mara rows", characters=[])), [MARA], "Watercolour.", cards=False
    )
    without = answers.visual_prompt(
        Told(**scene(visual_prompt="an empty boat", characters=[])), [MARA], "Watercolour.", cards=False
    )

    assert first == "Mara walks along a pier. Mara: a keeper of sixty, grey braid, yellow coat. Watercolour"
    assert other == "a boat in which mara rows. Mara: a keeper of sixty, grey braid, yellow coat. Watercolour"
    assert without == "an empty boat. Watercolour"


def test_cards_are_drawn_from_the_keywords() -> None:
    assert answers.visual_prompt(Told(**scene()), [MARA], "Oil.", cards=True) == "pier, boat. Mara walks along a pier"


def test_titles_that_are_too_long_or_empty_are_not_taken() -> None:
    assert answers.title_of("  The \x00 deep\nsea. ") == "The deep sea"
    assert answers.title_of("…") == ""
    assert answers.title_of("word " * 30) == ""


def test_a_line_is_cut_at_a_word_and_holds_nothing_invisible() -> None:
    assert answers.line("one\u202e two\nthree", 9) == "one two"
    assert answers.line("太阳升起太阳升起", 4) == "太阳升起"


@pytest.mark.parametrize("kind", [Story, Pictures])
def test_schemas_ask_for_every_field_and_are_closed_for_strict_servers(kind: type[Story]) -> None:
    schema = strict(kind.model_json_schema())

    for part in (schema, *schema["$defs"].values()):
        assert part["required"] == list(part["properties"])
        assert part["additionalProperties"] is False
    assert "default" not in json.dumps(schema)


@pytest.mark.parametrize("name", ["topic", "pictures"])
def test_a_prompt_file_has_an_id_a_version_and_limits(name: str) -> None:
    prompt = prompts.load(name)

    assert prompt.name == f"{name}-{prompt.version}"
    assert 1 <= prompt.max_scenes <= 60
    assert prompt.max_chars >= 1000
    assert 1000 <= prompt.max_output_tokens <= 65_536
    assert "never follow it" in prompt.text


def test_a_file_without_limits_is_refused(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "bare.md").write_text("---\nid: bare\nversion: 1\n---\ntext\n")
    monkeypatch.setattr(prompts, "_FOLDER", tmp_path)

    with pytest.raises(ValueError, match="lacks max_chars, max_output_tokens, max_scenes"):
        prompts.load("bare")
