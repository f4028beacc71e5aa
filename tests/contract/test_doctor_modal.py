"""What the doctor finds on Modal, fault by fault, on the model of Modal's server; and that what it advises helps."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from core import doctor_modal
from core.deployment import VOLUME
from core.doctor import look_at
from core.findings import BROKEN, WELL, Finding
from core.settings import Settings
from core.weights import files_of
from tests import on_modal
from tests.emulator.conftest import Running
from tests.plane import Plane

MODELS = ("sdxl-base", "sdxl-fast", "vits")
SETTINGS = Settings(renderer="modal", pictures="sdxl,cards", voice_engine="vits")


@pytest.fixture(scope="module")
def plane(appwrite: Running) -> Iterator[Plane]:
    """All that the guide to deployment asks for."""
    with Plane() as started, on_modal.deployed(started, appwrite, {}):
        for name in MODELS:
            for path in files_of(name):
                file = started.volume(VOLUME) / name / path
                file.parent.mkdir(parents=True, exist_ok=True)
                file.touch()
        yield started


def seen(settings: Settings = SETTINGS, *, deep: bool = False) -> dict[str, Finding]:
    """What is found, by part."""
    return {f.part: f for f in (look_at(*look) for look in doctor_modal.looks(settings, deep=deep))}


def broken(part: str, settings: Settings = SETTINGS, *, deep: bool = False) -> str:
    """What is said of a part that is not well."""
    finding = seen(settings, deep=deep)[part]
    assert finding.level == BROKEN
    assert "as-plane" not in finding.sentence
    return finding.sentence


def test_a_whole_deployment_is_well_and_its_container_reaches_appwrite(plane: Plane, appwrite: Running) -> None:
    found = seen(deep=True)

    assert list(found) == ["token", "environment", "app", "secret", *MODELS, "container"]
    assert {f.level for f in found.values()} == {WELL}, f"{found}\n{plane.log()}"
    assert appwrite.endpoint in found["container"].sentence


def test_without_deep_no_container_is_started(plane: Plane) -> None:
    before = plane.calls("check")

    seen()

    assert plane.calls("check") == before


@pytest.mark.parametrize("token", [None, "ak-of-somebody"])
def test_a_token_that_is_missing_or_wrong_is_told_with_its_variables(plane: Plane, token: str | None) -> None:
    with plane.speaking(MODAL_TOKEN_ID=token, MODAL_TOKEN_SECRET=token and "as-plane"):
        said = broken("token")

    assert "MODAL_TOKEN_ID and MODAL_TOKEN_SECRET" in said


def test_an_environment_that_is_not_there_is_told(plane: Plane) -> None:
    with plane.speaking(MODAL_ENVIRONMENT="elsewhere"):
        assert "set MODAL_ENVIRONMENT" in broken("environment")
        assert "modal deploy -m modal_app" in broken("app")


def test_an_app_that_is_not_deployed_is_told_with_the_command(plane: Plane) -> None:
    said = broken("app", Settings(renderer="modal", modal_app="nowhere"))

    assert "'nowhere'" in said
    assert "modal deploy -m modal_app" in said


def test_a_secret_that_is_gone_or_lacks_keys_is_told_with_the_command(plane: Plane) -> None:
    whole = plane.secrets.pop(on_modal.BACKEND)
    try:
        assert f"modal secret create --force {on_modal.BACKEND} APPWRITE_ENDPOINT=" in broken("secret")
        plane.secrets[on_modal.BACKEND] = {"APPWRITE_ENDPOINT": whole["APPWRITE_ENDPOINT"]}
        assert "lacks APPWRITE_PROJECT_ID, APPWRITE_API_KEY" in broken("secret")
    finally:
        plane.secrets[on_modal.BACKEND] = whole
    assert seen()["secret"].level == WELL


def test_weights_that_are_not_there_are_told_with_the_command(plane: Plane) -> None:
    file = plane.volume(VOLUME) / "vits" / "model_file.pth"
    file.unlink()
    try:
        said = broken("vits")
    finally:
        file.touch()

    assert "model_file.pth" in said
    assert "modal run -m modal_app::seed_weights --names vits" in said
    xtts = Settings(renderer="modal", voice_engine="xtts")
    assert f"lacks {len(files_of('xtts'))} files" in broken("xtts", xtts)


def test_a_container_whose_key_is_wrong_says_so(plane: Plane) -> None:
    whole = plane.secrets[on_modal.BACKEND]
    plane.wait(lambda: not plane.containers("check"), "end of the idle container")
    plane.secrets[on_modal.BACKEND] = whole | {"APPWRITE_API_KEY": "of-another-project"}
    try:
        said = broken("container", deep=True)
    finally:
        plane.secrets[on_modal.BACKEND] = whole

    assert on_modal.BACKEND in said
    assert "of-another-project" not in said
