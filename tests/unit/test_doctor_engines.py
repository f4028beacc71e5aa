"""What the doctor says of keys, weights and packages, without asking anybody far away."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path

import pytest

from core import doctor_engines
from core.doctor import look_at
from core.findings import BROKEN, WELL, Finding
from core.settings import Settings


def seen(settings: Settings, *, deep: bool = False) -> dict[str, Finding]:
    """What is found, by part."""
    return {f.part: f for f in (look_at(*look) for look in doctor_engines.looks(settings, deep=deep))}


def test_what_needs_no_model_is_not_asked_for_one() -> None:
    found = seen(Settings())

    assert list(found) == ["voice", "planner"]
    assert {f.level for f in found.values()} == {WELL}


def test_a_worker_with_models_misses_their_weights_by_folder(tmp_path: Path) -> None:
    settings = Settings(pictures="sdxl,cards", voice_engine="vits", weights_dir=str(tmp_path))
    (tmp_path / "vits").mkdir()
    (tmp_path / "vits" / "config.json").touch()

    found = seen(settings)

    assert found["vits"].level == WELL
    assert "vits for en, espeak-ng" in found["voice"].sentence
    for name in ("sdxl-base", "sdxl-fast"):
        assert found[name].level == BROKEN
        assert str(tmp_path / name) in found[name].sentence


@pytest.mark.skipif(find_spec("torch") is not None, reason="this environment has torch")
def test_a_worker_with_models_and_without_torch_is_told_how_to_get_it() -> None:
    found = seen(Settings(voice_engine="vits"))["torch"]

    assert found.level == BROKEN
    assert "make gpu-environment" in found.sentence


def test_on_modal_this_machine_needs_neither_weights_nor_torch() -> None:
    assert list(seen(Settings(renderer="modal", pictures="sdxl", voice_engine="vits"))) == ["voice", "planner"]


@pytest.mark.parametrize(
    ("settings", "part", "variable"),
    [
        (Settings(planner="gemini"), "planner", "GEMINI_API_KEY"),
        (Settings(pictures="cards,luma"), "luma", "LUMAAI_API_KEY"),
        (Settings(voice_engine="xtts"), "voice", "COQUI_TOS_AGREED"),
    ],
)
def test_what_is_not_set_is_named(settings: Settings, part: str, variable: str) -> None:
    found = seen(settings)[part]

    assert found.level == BROKEN
    assert variable in found.sentence


@pytest.fixture
def provider() -> Iterator[str]:
    """The address of a language model that knows one key."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            keys = (self.headers.get("authorization"), self.headers.get("x-goog-api-key"))
            self.send_response(200 if "good" in str(keys) else 401)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(("key", "level"), [("good", WELL), ("bad-key", BROKEN)])
def test_a_planner_is_asked_only_deep_and_its_key_is_never_told(provider: str, key: str, level: int) -> None:
    for settings in (
        Settings(planner="openai", planner_url=provider, planner_model="m", planner_key=key),
        Settings(gemini_api_key=key, planner_url=provider),
    ):
        assert seen(settings)["planner"].level == WELL
        found = seen(settings, deep=True)["planner"]
        assert found.level == level
        assert "bad-key" not in found.sentence


def test_a_planner_that_does_not_answer_is_told_with_its_variable() -> None:
    settings = Settings(planner="openai", planner_url="http://127.0.0.1:9/v1", planner_model="m")

    assert "SCENEWRIGHT_PLANNER_URL" in seen(settings, deep=True)["planner"].sentence
