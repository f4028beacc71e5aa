"""A topic goes in and a film comes out: in the whole local stack, with a language model that works and that fails."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests

from core import stack
from core.settings import Settings
from core.status import VideoStatus
from core.watch import execute, follow, sign_in
from scripts.setup_db import SetUp, function_variables
from tests import on_modal
from tests.contract.conftest import client_of
from tests.emulator.conftest import ROOT, running
from tests.plane import Plane
from tests.standins import gemini as vendor
from tests.standins.gemini import Gemini
from tests.waiting import renderer_ready, wait_for

from .people import Caller, anonymous

SOURCE = f"video_generation={ROOT}"


@dataclass(frozen=True)
class Deployment:
    """A stack whose planner asks a stand-in of Gemini, and one of its users."""

    google: Gemini
    ada: Caller
    settings: Settings
    data: Path


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """Server, function and renderer as `scenewright up` starts them with a key for Gemini."""
    data = tmp_path_factory.mktemp("topics") / "data"
    with vendor.gemini() as google:
        wanted = Settings(
            gemini_api_key=vendor.KEY,
            planner_url=google.url,
            planner_calls_per_minute=0,
            report_seconds=0.5,
            stale_seconds=5.0,
            beat_seconds=2.0,
            queued_due_seconds=5.0,
        )
        with stack.start(data, settings=wanted) as started:
            at = started.settings
            wait_for(lambda: renderer_ready(at), "the render processes")
            yield Deployment(google, anonymous(at.endpoint, at.project_id), at, data)


def ended(deployment: Deployment, body: dict[str, Any]) -> dict[str, Any]:
    """Ask for a video; the function's word about it once it has ended."""
    made = deployment.ada.call("POST", "/videos", {"resolution": 360, "captions": "off", **body})
    assert made.status == 202, made.body

    def look() -> dict[str, Any] | None:
        shown = deployment.ada.call("GET", f"/videos/{made.body['videoId']}").body
        return shown if shown["status"] in ("completed", "failed", "cancelled") else None

    return wait_for(look, "the end of the video", 120)


def events(deployment: Deployment, video: dict[str, Any]) -> dict[str, str]:
    """Kind of event -> the last sentence of that kind."""
    log = deployment.ada.call("GET", f"/videos/{video['videoId']}/events").body["events"]
    return {event["kind"]: event["sentence"] for event in log}


def test_a_topic_becomes_a_film(deployment: Deployment) -> None:
    deployment.google.reset()
    topic = {"topic": "Why harbours wake early", "description": "For a school class.", "target_seconds": 15}

    video = ended(deployment, topic | {"audience": "children of ten"})

    assert video["status"] == "completed", video
    assert [scene["title"] for scene in video["scenes"]] == ["Dawn 1", "Dawn 2"]
    assert 8 < video["durationSeconds"] < 30
    film = requests.get(video["play_url"], timeout=30)
    assert (film.status_code, film.content[4:8]) == (200, b"ftyp")
    assert f"planned with {vendor.MODEL} in 1 call" in events(deployment, video)["planned"]
    bill = deployment.ada.call("GET", f"/videos/{video['videoId']}/receipt").body
    assert [line["machine"] for line in bill["lines"] if line["stage"] == "planning"] == [vendor.MODEL]
    assert bill["costUsd"] == pytest.approx(0.00165)
    assert (deployment.google.wrong, len(deployment.google.bodies)) == ([], 1)
    assert deployment.google.questions[0]["user"]["audience"] == "children of ten"


@pytest.mark.parametrize("trick", ["malformed", "busy_long"])
def test_a_topic_becomes_a_film_without_the_models_help_and_says_so(deployment: Deployment, trick: str) -> None:
    deployment.google.reset(always=trick)

    video = ended(deployment, {"topic": "Gulls", "target_seconds": 15})

    assert video["status"] == "completed", video
    assert len(video["scenes"]) == 5
    assert "The topic was told in five plain scenes" in video["currentStep"]
    assert "no help" in events(deployment, video)["substituted"]


@pytest.mark.parametrize(
    ("trick", "said"),
    [("prompt_blocked", "refuses this text (SAFETY)"), ("bad_key", "refuses the key in GEMINI_API_KEY")],
)
def test_a_topic_no_model_may_tell_is_refused_clearly(deployment: Deployment, trick: str, said: str) -> None:
    deployment.google.reset(always=trick)

    video = ended(deployment, {"topic": "Something", "target_seconds": 15})

    assert video["status"] == "failed"
    assert said in video["error"]["message"]


def test_a_script_becomes_a_film_of_its_own_words_with_the_models_pictures(deployment: Deployment) -> None:
    deployment.google.reset()
    told = ["A volcano is a mountain that opens.", "Hot rock flows out of it and cools in the wind."]

    video = ended(deployment, {"script": "\n\n".join(told)})

    assert video["status"] == "completed", video
    assert [scene["narration"] for scene in video["scenes"]] == told
    assert [scene["title"] for scene in video["scenes"]] == ["Picture 1", "Picture 2"]


def test_the_key_stands_in_no_log_and_no_answer(deployment: Deployment) -> None:
    logs = [path.read_text(errors="replace") for path in (deployment.data / "logs").iterdir() if path.is_file()]
    shown = deployment.ada.call("GET", "/videos").body

    assert logs
    assert vendor.KEY not in "".join(logs) + json.dumps(shown)


def test_a_topic_becomes_a_film_on_modal(tmp_path: Path) -> None:
    with vendor.gemini() as google, Plane() as plane, running(tmp_path / "appwrite", "--source", SOURCE) as server:
        wanted = Settings(
            renderer="modal",
            gemini_api_key=vendor.KEY,
            planner_url=google.url,
            report_seconds=0.5,
            stale_seconds=4.0,
            beat_seconds=1.0,
            queued_due_seconds=4.0,
        )
        with on_modal.deployed(plane, server, wanted.to_env()):
            SetUp(client_of(server)).run(function_variables(wanted.to_env() | plane.env))
            session = sign_in(server.endpoint, server.project, tmp_path / "session.json")
            body = {"topic": "Why harbours wake early", "target_seconds": 15, "resolution": 360}
            made = execute(session.client(), "POST", "/videos", body)
            *_, video = follow(session, str(made["videoId"]))

        assert video.status is VideoStatus.COMPLETED, plane.log()
        assert (video.scene_count, video.substitutions, len(google.bodies)) == (2, "", 1)
        assert vendor.KEY not in plane.log()
