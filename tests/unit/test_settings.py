"""What the settings accept, and how a refusal names the variable."""

from __future__ import annotations

import pytest

from core.errors import InvalidInputError
from core.settings import Settings
from core.wiring import build_choices, build_engines


def test_the_makers_of_pictures_are_those_that_are_named_the_first_being_the_default() -> None:
    settings = Settings.from_env({"SCENEWRIGHT_PICTURES": " cards , cards,"})

    assert settings.picture_names == ("cards",)
    assert tuple(build_choices(settings).engines) == ("cards",)
    assert tuple(build_engines(settings).pictures) == ("cards",)


@pytest.mark.parametrize("names", ["oils", "cards,oils", " , "])
def test_a_maker_of_pictures_that_does_not_exist_is_refused_with_the_name_of_the_variable(names: str) -> None:
    with pytest.raises(InvalidInputError, match="SCENEWRIGHT_PICTURES") as refused:
        Settings.from_env({"SCENEWRIGHT_PICTURES": names})

    assert refused.value.field == "SCENEWRIGHT_PICTURES"


def test_a_maker_that_needs_a_model_is_built_where_its_packages_and_weights_are_not() -> None:
    """The process that joins a film has neither."""
    settings = Settings.from_env({"SCENEWRIGHT_PICTURES": "sdxl,cards", "SCENEWRIGHT_WEIGHTS": "nowhere"})
    built = build_engines(settings)

    assert tuple(build_choices(settings).engines) == tuple(built.pictures) == ("sdxl", "cards")
    assert built.pictures["sdxl"].id == "sdxl"


@pytest.mark.parametrize(
    "wrong", [{"steps_fast": 0}, {"steps_high": -1}, {"picture_scale": 0.0}, {"picture_scale": 3.0}]
)
def test_steps_and_sizes_of_a_model_have_bounds(wrong: dict[str, float]) -> None:
    with pytest.raises(InvalidInputError, match="SCENEWRIGHT_PICTURE_SCALE"):
        build_engines(Settings(pictures="sdxl", **wrong))  # type: ignore[arg-type]
