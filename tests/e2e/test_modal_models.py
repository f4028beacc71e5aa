"""A whole video with pictures by SDXL and a voice by VITS, tiny ones of the real classes, in Modal's own containers."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, replace

import pytest

from core.documents import Asset, Scene, Video
from core.settings import Settings
from core.status import SceneStatus, VideoStatus
from core.watch import execute, follow, sign_in
from core.wiring import build_parts
from scripts.setup_db import SetUp, function_variables
from tests import on_modal
from tests.contract.conftest import client_of
from tests.emulator.conftest import ROOT, running
from tests.plane import Plane

PYTHON = ROOT / ".venv-gpu" / "bin" / "python"
SCRIPT = """The lighthouse stands on the last rock before the open sea.

Every evening its keeper climbs the stairs and lights the lamp."""

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not PYTHON.exists(), reason="needs the second environment: `make gpu-environment`"),
]


@dataclass(frozen=True)
class Made:
    """The video as its watcher saw it, and what it is made of."""

    states: list[Video]
    scenes: list[Scene]
    assets: dict[str, list[Asset]]  # by kind
    log: str


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Made]:
    """One video."""
    folder = tmp_path_factory.mktemp("models")
    wanted = Settings(
        renderer="modal", report_seconds=0.5, pictures="sdxl,cards", voice_engine="vits", picture_scale=0.125
    )
    source = f"video_generation={ROOT}"
    with Plane(python=PYTHON) as plane, running(folder / "appwrite", "--source", source) as server:
        weights = plane.volume("scenewright-weights")
        subprocess.run([PYTHON, "-m", "tests.gpu.tiny", weights], cwd=ROOT, check=True, capture_output=True)
        with on_modal.deployed(plane, server, wanted.to_env()):
            SetUp(client_of(server)).run(function_variables(wanted.to_env() | plane.env))
            session = sign_in(server.endpoint, server.project, folder / "session.json")
            body = {"script": SCRIPT, "resolution": 360}
            video_id = str(execute(session.client(), "POST", "/videos", body)["videoId"])
            states = list(follow(session, video_id))
            reached = replace(wanted, endpoint=server.endpoint, project_id=server.project, api_key=server.key)
            store = build_parts(reached).store
            assets: dict[str, list[Asset]] = {}
            for asset in store.assets(video_id):
                assets.setdefault(asset.kind, []).append(asset)
            yield Made(states, store.scenes(video_id), assets, plane.log())


def test_the_video_is_completed_without_anything_standing_in(made: Made) -> None:
    video = made.states[-1]

    assert video.status is VideoStatus.COMPLETED, f"{video.stage}\n{made.log}"
    assert not video.substitutions
    assert [s.status for s in made.scenes] == [SceneStatus.RENDERED] * 2


def test_pictures_and_voices_are_the_models(made: Made) -> None:
    assert {scene.engine for scene in made.scenes} == {"sdxl"}
    assert {asset.facts["engine"] for asset in made.assets["picture"]} == {"sdxl"}
    assert {asset.facts["engine"] for asset in made.assets["voice"]} == {"vits"}


def test_progress_moves_while_a_picture_is_drawn(made: Made) -> None:
    told = [s.progress for s in made.states]

    assert told == sorted(told)
    assert len(set(told)) > 5


def test_it_costs_what_its_machines_cost(made: Made) -> None:
    assert made.states[-1].cost_usd > 0
