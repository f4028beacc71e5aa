"""A topic goes in, the planner wants a scene animated, the program is written, mended and run, a film comes out."""

from __future__ import annotations

from pathlib import Path

import pytest
import requests

from core import stack
from core.documents import FPS
from core.settings import Settings
from tests.contract.making import frame_of
from tests.contract.test_manim import BROKEN, FLOOD
from tests.contract.test_sandbox_manim import PYTHON, why_not
from tests.standins import gemini as vendor
from tests.waiting import renderer_ready, wait_for

from .people import anonymous
from .test_topics import Deployment, ended, events


def test_a_scene_that_the_planner_wants_animated_is_animated_by_a_program_that_was_mended(tmp_path: Path) -> None:
    if reason := why_not():
        pytest.skip(reason)
    with vendor.gemini() as google:
        google.programs = [BROKEN, FLOOD]
        wanted = Settings(
            gemini_api_key=vendor.KEY,
            planner_url=google.url,
            planner_calls_per_minute=0,
            pictures="cards,manim",
            manim_python=str(PYTHON),
            report_seconds=0.5,
            queued_due_seconds=5.0,
        )
        with stack.start(tmp_path / "data", settings=wanted) as started:
            at = started.settings
            wait_for(lambda: renderer_ready(at), "the render processes")
            deployment = Deployment(google, anonymous(at.endpoint, at.project_id), at, tmp_path / "data")
            video = ended(deployment, {"topic": "Why harbours wake early", "target_seconds": 15})
            told = events(deployment, video)
            assert video["status"] == "completed", f"{video} {told}"
            bill = deployment.ada.call("GET", f"/videos/{video['videoId']}/receipt").body
            program = requests.get(video["scenes"][1]["codeUrl"], timeout=30)
            (tmp_path / "film.mp4").write_bytes(requests.get(video["play_url"], timeout=30).content)

    assert [scene["engine"] for scene in video["scenes"]] == ["cards", "manim"]
    assert program.status_code in (401, 404)  # it is its owner's alone
    (sent,) = (q for q in google.questions if "scenes" in q["wanted"])  # the story, asked for once
    assert [e["name"] for e in sent["wanted"]["engines"]] == ["cards", "manim"]
    assert len(google.bodies) == 3  # the story, the program, its mend
    second = round(video["scenes"][0]["durationSeconds"] * FPS) + 45
    frame = frame_of(tmp_path / "film.mp4", second)[:480]
    assert frame[..., 0].mean() > 200 and frame[..., 1:].mean() < 60  # what the mended program paints
    planning, programs = (
        sum(line["usd"] for line in bill["lines"] if line["stage"] == stage) for stage in ("planning", "code")
    )
    assert planning > 0 and programs > 0
    assert bill["costUsd"] == pytest.approx(planning + programs)
