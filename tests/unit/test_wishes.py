"""Scenes given one by one, and changes to one: what is wrong is refused by its place, what is right stays as it was."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.documents import AUTO, Material, Options, Storyboard, Upload
from core.engine_ports import StoryboardBrief
from core.engines.languages import speaks
from core.errors import InvalidInputError
from core.material import GivenScenes, is_film, is_picture, is_sound
from core.request import Choices, validate
from core.text import speakable
from core.wishes import SceneWish, scene_edit, wishes_of

ENGINES = ("cards", "sdxl", "manim")
CHOICES = Choices(styles=("aurora",), engines=ENGINES, speaks=speaks, topics=True, scenes_max=60)
TOLD = {"narration": "The sun rises over the sea."}
IDS = st.from_regex(r"[a-zA-Z0-9][a-zA-Z0-9._-]{0,35}", fullmatch=True)
LINES = st.text(st.characters(exclude_categories=("Cc", "Cs"), exclude_characters="<\ufffd\ufeff"), max_size=80)
SCENES = st.fixed_dictionaries(
    {"narration": LINES.filter(speakable)},
    optional={
        "title": LINES.filter(lambda text: not text or " ".join(text.split())),
        "visual_prompt": LINES.filter(lambda text: not text or " ".join(text.split())),
        "engine": st.sampled_from(["", AUTO, *ENGINES]),
        "picture_file_id": IDS,
        "audio_file_id": IDS,
    },
)


def refusal(body: object) -> InvalidInputError:
    """The error a request is refused with."""
    with pytest.raises(InvalidInputError) as caught:
        validate(body, CHOICES)
    assert caught.value.sentence.endswith(".")
    return caught.value


@pytest.mark.parametrize(
    ("scene", "code", "field"),
    [
        ("text", "not_an_object", "scenes[1]"),
        ([], "not_an_object", "scenes[1]"),
        ({}, "narration_empty", "scenes[1].narration"),
        ({"narration": "  "}, "narration_empty", "scenes[1].narration"),
        ({"narration": "?!"}, "narration_empty", "scenes[1].narration"),
        ({"narration": 7}, "not_text", "scenes[1].narration"),
        ({"narration": "so " * 1400}, "too_long", "scenes[1].narration"),
        ({"narration": "a\x00b"}, "control_characters", "scenes[1].narration"),
        ({"narration": "<p>Hello</p>"}, "markup", "scenes[1].narration"),
        ({**TOLD, "title": "t" * 257}, "too_long", "scenes[1].title"),
        ({**TOLD, "visual_prompt": ["sea"]}, "not_text", "scenes[1].visual_prompt"),
        ({**TOLD, "engine": "magic"}, "unknown_value", "scenes[1].engine"),
        ({**TOLD, "engine": True}, "unknown_value", "scenes[1].engine"),
        ({**TOLD, "code": b"x".hex() * 10_001}, "too_long", "scenes[1].code"),
        ({**TOLD, "code": 5}, "not_text", "scenes[1].code"),
        ({**TOLD, "code": "pass", "engine": "cards"}, "unknown_value", "scenes[1].engine"),
        ({**TOLD, "code": "pass", "picture_file_id": "p"}, "two_pictures", "scenes[1].code"),
        ({**TOLD, "picture_file_id": "p", "clip_file_id": "c"}, "two_pictures", "scenes[1].clip_file_id"),
        ({**TOLD, "picture_file_id": "../secret"}, "unknown_value", "scenes[1].picture_file_id"),
        ({**TOLD, "clip_file_id": "x" * 37}, "unknown_value", "scenes[1].clip_file_id"),
        ({**TOLD, "audio_file_id": 12}, "unknown_value", "scenes[1].audio_file_id"),
        ({**TOLD, "music": "x"}, "unknown_option", "scenes[1].music"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_wrong_field_of_a_scene_is_refused_by_its_place(scene: object, code: str, field: str) -> None:
    error = refusal({"scenes": [TOLD, scene]})

    assert (error.code, error.field) == (code, field)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"scenes": []}, "not_a_list"),
        ({"scenes": "text"}, "not_a_list"),
        ({"scenes": {"0": TOLD}}, "not_a_list"),
        ({"scenes": [TOLD] * 61}, "too_many_scenes"),
        ({"scenes": [{"narration": "word " * 700}] * 7}, "too_long"),
        ({"scenes": [{"narration": "word " * 700}] * 5, "speed": 0.5, "resolution": 1080}, "film_too_large"),
        (
            {"scenes": [TOLD], "script": "A script that is long enough to be a film of its own, word by word."},
            "two_stories",
        ),
        ({"scenes": [TOLD], "topic": "The sea"}, "two_stories"),
    ],
    ids=lambda value: str(value)[:50],
)
def test_scenes_that_are_no_film_are_refused(body: dict[str, Any], code: str) -> None:
    error = refusal(body)

    assert (error.code, error.field) == (code, "scenes")


def test_a_program_is_refused_where_no_engine_runs_it() -> None:
    few = Choices(styles=(), engines=("cards",), speaks=speaks, topics=False, scenes_max=60)

    with pytest.raises(InvalidInputError) as caught:
        validate({"scenes": [{**TOLD, "code": "class A(Scene): ..."}]}, few)

    assert (caught.value.code, caught.value.field) == ("no_programs", "scenes[0].code")


@given(st.lists(SCENES, min_size=1, max_size=6))
def test_what_is_given_is_kept_and_told_in_that_order(scenes: list[dict[str, str]]) -> None:
    request = validate({"scenes": scenes}, CHOICES)
    board = GivenScenes(request.plan).plan(StoryboardBrief("", "", "", Options(engine="sdxl")))

    assert validate({"scenes": json.loads(request.plan)}, CHOICES).plan == request.plan, "it may be asked again"
    assert Storyboard.from_json(board.to_json()) == board
    for number, (scene, spec) in enumerate(zip(scenes, board.scenes, strict=True), start=1):
        assert (spec.number, spec.narration) == (number, " ".join(scene["narration"].split()))
        assert spec.engine == (scene.get("engine") if scene.get("engine") in ENGINES else "sdxl")
        assert spec.files.get("picture", "") == scene.get("picture_file_id", "")
        assert spec.files.get("audio", "") == scene.get("audio_file_id", "")
        assert scene.get("title", "").strip() == "" or spec.title == " ".join(scene["title"].split())


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=200)
@given(
    st.dictionaries(st.sampled_from([*SceneWish.__dataclass_fields__, "other"]), json_values, max_size=4) | json_values
)
def test_whatever_a_scene_is_it_is_taken_or_refused_in_a_sentence(scene: object) -> None:
    for ask in (lambda: validate({"scenes": [scene]}, CHOICES), lambda: scene_edit(scene, ENGINES)):
        try:
            ask()
        except InvalidInputError as error:
            assert error.field is not None
            assert error.code
            assert error.sentence.endswith(".")


# ---- changes


@pytest.mark.parametrize(
    ("body", "code", "field"),
    [
        ({"narration": ""}, "narration_empty", "narration"),
        ({"narration": "", "audio_file_id": ""}, "narration_empty", "narration"),
        ({"picture_file_id": "a", "clip_file_id": "b"}, "two_pictures", "clip_file_id"),
        ({"code": "pass", "clip_file_id": "b"}, "two_pictures", "code"),
        ({"code": "pass", "engine": "sdxl"}, "unknown_value", "engine"),
        ({"engine": "magic"}, "unknown_value", "engine"),
        ({"video": "x"}, "unknown_option", "video"),
        ({}, "nothing_to_change", "body"),
    ],
)
def test_a_change_that_cannot_be_made_is_refused(body: dict[str, str], code: str, field: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        scene_edit(body, ENGINES)

    assert (caught.value.code, caught.value.field) == (code, field)


def test_a_recording_may_come_without_words_and_an_empty_id_takes_a_file_away() -> None:
    edit = scene_edit({"narration": "", "audio_file_id": "song", "clip_file_id": "", "code": ""}, ENGINES)

    assert edit.columns == {"narration": "", "code": ""}
    assert edit.files == {"audio": "song", "clip": ""}


# ---- what is kept


@given(st.lists(st.none() | st.builds(Upload, IDS, st.text(max_size=40)), min_size=3, max_size=3))
def test_material_survives_its_column(uploads: list[Upload | None]) -> None:
    material = Material(*uploads)

    assert Material.from_json(material.to_json()) == material
    assert bool(material.to_json()) == any(uploads)
    assert material.shows == bool(uploads[0] or uploads[1])


def test_a_plan_without_scenes_has_no_wishes() -> None:
    assert wishes_of("") == ()


@pytest.mark.parametrize(
    ("head", "kinds"),
    [
        (b"\xff\xd8\xff\xe0", {"picture"}),
        (b"\x89PNG\r\n\x1a\n", {"picture"}),
        (b"RIFF\0\0\0\0WEBP", {"picture"}),
        (b"RIFF\0\0\0\0WAVE", {"sound"}),
        (b"ID3\x04", {"sound"}),
        (b"OggS", {"sound"}),
        (b"\0\0\0\x20ftypisom", {"film", "sound"}),  # an M4A begins as an MP4 does
        (b"\x1a\x45\xdf\xa3", {"film", "sound"}),
        (b"GIF89a", set()),
        (b"#EXTM3U", set()),
        (b"<svg", set()),
        (b"", set()),
    ],
)
def test_files_are_known_by_how_they_begin(head: bytes, kinds: set[str]) -> None:
    known = {"picture": is_picture, "film": is_film, "sound": is_sound}

    assert {kind for kind, knows in known.items() if knows(head)} == kinds


@pytest.mark.parametrize(
    ("scene", "maker"),
    [
        ({}, "sdxl"),
        ({"engine": AUTO}, "sdxl"),
        ({"engine": "cards"}, "cards"),
        ({"code": "pass"}, "manim"),
        ({"engine": "manim", "picture_file_id": "p"}, "own-picture"),
        ({"engine": "cards", "clip_file_id": "c"}, "own-clip"),
    ],
)
def test_who_makes_what_is_to_be_seen_is_known_before_a_scene_is_planned(scene: dict[str, str], maker: str) -> None:
    assert SceneWish(**scene).maker("sdxl") == maker
