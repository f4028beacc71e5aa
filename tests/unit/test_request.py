"""What is refused before anything is recorded: each with a sentence, a code and the field's name."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from core.documents import Options
from core.engines.languages import speaks
from core.errors import InvalidInputError
from core.request import Choices, validate

SCRIPT = "The sun rises over the sea. Boats leave the harbour. Gulls follow them far out, hoping for fish."
LONG = "\n\n".join(["A word and another, and so on and on. " * 8] * 55)
CHOICES = Choices(styles=("aurora", "ember"), engines=("cards",), speaks=speaks, topics=False, scenes_max=60)


def refusal(body: object) -> InvalidInputError:
    """The error a body is refused with."""
    with pytest.raises(InvalidInputError) as caught:
        validate(body, CHOICES)
    assert caught.value.sentence.endswith((".", "required"))
    return caught.value


@pytest.mark.parametrize(
    ("change", "code", "field"),
    [
        ({"script": ""}, "script_empty", "script"),
        ({"script": " \n\t "}, "script_empty", "script"),
        ({"script": "Too short."}, "script_too_short", "script"),
        ({"script": "x" * 59}, "script_too_short", "script"),
        ({"script": "long " * 200_000}, "too_long", "script"),
        ({"script": SCRIPT + "\x00\x01\x02"}, "control_characters", "script"),
        ({"script": SCRIPT + "\x1b[31m"}, "control_characters", "script"),
        ({"script": SCRIPT + "\ufffd\ufffd"}, "wrong_encoding", "script"),
        ({"script": SCRIPT + "\ud800"}, "wrong_encoding", "script"),
        ({"script": f"<html><body><p>{SCRIPT}</p></body></html>"}, "markup", "script"),
        ({"script": f"{SCRIPT}<script>alert(1)</script>"}, "markup", "script"),
        ({"script": 7}, "not_text", "script"),
        ({"script": [SCRIPT]}, "not_text", "script"),
        ({"script": "\n\n".join(f"This is paragraph {i}." for i in range(500))}, "too_many_scenes", "script"),
        ({"script": LONG, "speed": 0.5}, "film_too_large", "script"),
        ({"topic": "t" * 600}, "too_long", "topic"),
        ({"aspect": "4:3"}, "unknown_value", "aspect"),
        ({"aspect": ["9:16"]}, "unknown_value", "aspect"),
        ({"resolution": 100_000}, "unknown_value", "resolution"),
        ({"resolution": "1080"}, "unknown_value", "resolution"),
        ({"resolution": True}, "unknown_value", "resolution"),
        ({"style": "brutalist"}, "unknown_value", "style"),
        ({"engine": "magic"}, "unknown_value", "engine"),
        ({"quality": "best"}, "unknown_value", "quality"),
        ({"captions": "sideways"}, "unknown_value", "captions"),
        ({"language": "tlh-x"}, "unknown_value", "language"),
        ({"language": "xx"}, "language_not_spoken", "language"),
        ({"voice": "../../etc/passwd; rm"}, "unknown_value", "voice"),
        ({"speed": 9}, "out_of_range", "speed"),
        ({"speed": "fast"}, "not_a_number", "speed"),
        ({"speed": float("nan")}, "not_a_number", "speed"),
        ({"target_seconds": 10**9}, "out_of_range", "target_seconds"),
        ({"max_cost_usd": -1}, "out_of_range", "max_cost_usd"),
        ({"music_file_id": "../secret"}, "unknown_value", "music_file_id"),
        ({"seed": -5}, "out_of_range", "seed"),
        ({"title": "t" * 500}, "too_long", "title"),
        ({"colour": "red"}, "unknown_option", "colour"),
    ],
    ids=lambda v: str(v)[:40],
)
def test_bad_input_is_refused_with_its_code_and_field(change: dict[str, Any], code: str, field: str) -> None:
    error = refusal({"script": SCRIPT, **change})

    assert (error.code, error.field) == (code, field)


def test_a_request_without_topic_and_script_says_that_a_topic_is_required() -> None:
    assert refusal({}).sentence == "Topic is required"


def test_a_topic_alone_says_what_to_set_and_what_to_give() -> None:
    error = refusal({"topic": "How volcanoes work"})

    assert error.code == "topic_needs_model"
    assert "GEMINI_API_KEY" in error.sentence
    assert "script" in error.sentence


@pytest.mark.parametrize("body", [None, 3, "text", ["script"], True])
def test_a_body_that_is_no_object_is_refused(body: object) -> None:
    assert refusal(body).code == "not_an_object"


@pytest.mark.parametrize(
    "text",
    [
        "$(rm -rf /) `reboot` ; DROP TABLE videos; -- and then the story goes on for a while yet.",
        r"{\an8}{\fs200}Big words, <speak><break time='9s'/></speak> and more of that for the length.",
        "../../../etc/passwd is a path, file:///etc/shadow is another, and this is only a sentence.",
    ],
)
def test_text_that_looks_like_code_is_just_text(text: str) -> None:
    assert validate({"script": text}, CHOICES).script == text


def test_every_option_is_kept_as_it_was_chosen() -> None:
    chosen = {
        "language": "pt-BR",
        "aspect": "1:1",
        "resolution": 720,
        "voice": "roa/pt-BR+f3",
        "speed": 1.2,
        "style": "ember",
        "engine": "cards",
        "quality": "high",
        "captions": "plain",
        "music_file_id": "song-1",
        "title": "O mar",
        "target_seconds": 30,
        "max_cost_usd": 0.5,
        "seed": 7,
    }

    assert validate({"script": SCRIPT, **chosen}, CHOICES).options == Options(**chosen)  # type: ignore[arg-type]


def test_missing_options_take_their_defaults() -> None:
    assert validate({"script": SCRIPT}, CHOICES).options == Options()


def test_a_wished_length_bends_the_speed_within_what_sounds_natural() -> None:
    slow = validate({"script": SCRIPT, "target_seconds": 600}, CHOICES).options.speed
    fast = validate({"script": SCRIPT, "target_seconds": 5}, CHOICES).options.speed
    chosen = validate({"script": SCRIPT, "target_seconds": 5, "speed": 1.0}, CHOICES).options.speed

    assert (slow, fast, chosen) == (0.8, 1.4, 1.0)


def test_captions_can_be_switched_with_a_boolean() -> None:
    assert validate({"script": SCRIPT, "captions": False}, CHOICES).options.captions == "off"
    assert validate({"script": SCRIPT, "captions": True}, CHOICES).options.captions == "highlight"


def test_a_film_that_would_not_fit_its_bucket_names_the_bucket_and_its_limit() -> None:
    assert "over the 300 MB of the bucket final_videos" in refusal({"script": LONG, "speed": 0.5}).sentence


@given(
    st.dictionaries(st.text(max_size=12), st.one_of(st.none(), st.text(), st.integers(), st.floats(), st.booleans()))
)
@example({"": None})
def test_no_body_whatever_breaks_the_check(body: dict[str, object]) -> None:
    try:
        validate(body, CHOICES)
    except InvalidInputError as error:
        assert error.code
        assert error.field


@given(st.text(min_size=60, max_size=400))
def test_every_text_is_taken_as_it_is_or_refused_with_a_reason(script: str) -> None:
    try:
        assert validate({"script": script}, CHOICES).script == script.removeprefix("\ufeff").strip()
    except InvalidInputError as error:
        assert error.field == "script"
