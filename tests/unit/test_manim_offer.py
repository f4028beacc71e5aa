"""When a deployment offers Manim's scenes, and what it says where it cannot make them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from core.documents import Canvas, Spent
from core.engine_ports import CodedFootage, FootageBrief, PictureBrief
from core.engines.clip_manim import FIXES, ManimFootage
from core.engines.manim_run import LocalRun
from core.errors import EngineError, InvalidInputError
from core.request import Choices, validate
from core.sandbox.runner import available
from core.settings import Settings
from core.wiring import build_choices, build_engines

TOLD = {"narration": "The sea is wide and the wind is strong today."}
SCRIPT = "A whole paragraph that is long enough to be told, and one more sentence at its end."
PROGRAM = "from manim import *\nclass A(Scene):\n    def construct(self): self.wait(DURATION)\n"


def refusal(body: Mapping[str, object], choices: Choices) -> tuple[str, str | None]:
    """Code and field of the refusal."""
    with pytest.raises(InvalidInputError) as caught:
        validate(body, choices)
    assert caught.value.http_status == 400
    return caught.value.code, caught.value.field


def test_it_is_offered_where_the_settings_name_it() -> None:
    offered = Settings(pictures="cards,manim")
    engines = build_engines(offered)

    assert "manim" in build_choices(offered).engines
    assert isinstance(engines.footage["manim"], ManimFootage)
    assert isinstance(engines.footage["manim"], CodedFootage)
    assert build_engines(Settings()).footage == {}
    for seconds in (0.0, 301.0):
        with pytest.raises(InvalidInputError, match="SCENEWRIGHT_MANIM_SECONDS"):
            build_engines(replace(offered, manim_seconds=seconds))


def test_who_asks_for_it_elsewhere_is_refused_with_what_there_is() -> None:
    choices = build_choices(Settings())

    assert refusal({"script": SCRIPT, "engine": "manim"}, choices) == (
        "unknown_value",
        "engine",
    )
    assert refusal({"scenes": [{**TOLD, "engine": "manim"}]}, choices) == ("unknown_value", "scenes[0].engine")
    assert refusal({"scenes": [{**TOLD, "code": PROGRAM}]}, choices) == ("no_programs", "scenes[0].code")


def test_without_a_language_model_scenes_must_bring_their_programs() -> None:
    choices = build_choices(Settings(pictures="cards,manim"))
    script = {"script": SCRIPT, "engine": "manim"}

    assert refusal(script, choices) == ("no_writer", "engine")
    assert refusal({"scenes": [{**TOLD, "code": PROGRAM}, {**TOLD, "engine": "manim"}]}, choices) == (
        "no_writer",
        "scenes[1].engine",
    )
    assert refusal({"scenes": [TOLD], "engine": "manim"}, choices) == ("no_writer", "scenes[0].engine")
    assert validate({"scenes": [{**TOLD, "code": PROGRAM}, TOLD]}, choices).plan
    assert validate(script, build_choices(Settings(pictures="cards,manim", gemini_api_key="key"))).script


@dataclass
class Writer:
    """Implements CodeWriter: the same program again and again."""

    name: str = "writer"
    asked: list[dict[str, Any]] = field(default_factory=list)

    def write(self, _wanted: Mapping[str, Any], user: Mapping[str, Any]) -> str:
        """It never helps."""
        self.asked.append(dict(user))
        return PROGRAM

    def take_bill(self) -> list[Spent]:
        """It is free."""
        return []


class NoNotes:
    """Implements engine_ports.Notes."""

    def get(self, _name: str) -> str:
        """Nothing is noted."""
        return ""

    def put(self, _name: str, _value: str) -> None:
        """Forget it."""


@pytest.mark.parametrize(("patience", "fixes"), [(60.0, FIXES), (0.0, 0)])
def test_a_program_that_fails_is_mended_five_times_while_there_is_patience(
    tmp_path: Path, patience: float, fixes: int
) -> None:
    picture = PictureBrief(Canvas.of("9:16", 360), 1, 1, "Film", "Title", "a sea", "The sea.", "en", "lagoon", 7, False)
    writer = Writer()
    engine = ManimFootage(lambda *_: "It took longer than 180 s: make it simpler.", writer, patience=patience)

    with pytest.raises(EngineError, match="longer than") as caught:
        engine.shoot(FootageBrief(picture, 30, (), program=PROGRAM), tmp_path / "a.mp4", NoNotes(), lambda _: None)

    assert (caught.value.code, caught.value.retryable) == ("bad_code", False)
    assert [user["code"] for user in writer.asked] == [PROGRAM] * fixes


def test_an_interpreter_without_manim_is_told_by_its_setting(tmp_path: Path) -> None:
    if available():
        pytest.skip(available())
    for run in (LocalRun(), LocalRun(str(tmp_path / "python"))):
        with pytest.raises(EngineError, match="SCENEWRIGHT_MANIM_PYTHON") as caught:
            run("", tmp_path / "film.mp4", lambda: None)
        assert caught.value.code == "no_manim"


def test_a_machine_without_landlock_refuses_with_that_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.sandbox.landlock.abi", lambda: 2)

    with pytest.raises(EngineError, match="Landlock") as caught:
        LocalRun()("", tmp_path / "film.mp4", lambda: None)

    assert caught.value.code == "sandbox_unavailable"
