"""A whole video through Modal's own client, command line and container entrypoint; and what disturbs one on its way."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import pytest
import requests

from core.dispatch import read_handle
from core.documents import FPS, Video
from core.journal import EventKind
from core.media import probe
from core.ports import Parts
from core.request import Choices
from core.settings import Settings
from core.status import SceneStatus, VideoStatus
from core.sweep import sweep
from core.watch import Session, execute, follow, sign_in
from core.wiring import build_choices, build_parts
from scripts.setup_db import SetUp, function_variables
from tests import on_modal
from tests.contract.conftest import client_of
from tests.emulator.conftest import ROOT, running
from tests.plane import Plane

SCRIPT = """The lighthouse stands on the last rock before the open sea.

Every evening its keeper climbs the stairs and lights the lamp."""
COUNT = 2
_SECONDS = 180.0


@dataclass(frozen=True)
class Site:
    """Appwrite with the function on one side, Modal with the app on the other."""

    settings: Settings
    plane: Plane
    parts: Parts
    choices: Choices
    session: Session

    def create(self) -> str:
        """The id of a new video."""
        body = {"script": SCRIPT, "resolution": 360}
        return str(execute(self.session.client(), "POST", "/videos", body)["videoId"])

    def call_of(self, video_id: str, kind: str) -> str:
        """The id of the call that makes the video's scenes ("render") or joins them ("compose"); empty: none yet."""
        video = self.parts.store.get_video(video_id)
        assert not video.is_terminal, f"{video.stage}\n{self.plane.log()}"
        return next((str(c["id"]) for c in read_handle(video).get("calls", []) if c["kind"] == kind), "")

    def in_hand(self, video_id: str) -> bool:
        """Whether a renderer makes one of its scenes."""
        return any(s.status is not SceneStatus.PLANNED for s in self.parts.store.scenes(video_id))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The function knows nothing of the renderer but its app's name and a token."""
    folder = tmp_path_factory.mktemp("modal")
    wanted = Settings(renderer="modal", report_seconds=0.5, stale_seconds=4.0, beat_seconds=1.0, queued_due_seconds=4.0)
    source = f"video_generation={ROOT}"
    # the plane outlives the function, whose client keeps a line to it
    with Plane() as plane, running(folder / "appwrite", "--source", source) as server:
        reached = replace(wanted, endpoint=server.endpoint, project_id=server.project, api_key=server.key)
        with on_modal.deployed(plane, server, wanted.to_env()):
            SetUp(client_of(server)).run(function_variables(wanted.to_env() | plane.env))
            parts = build_parts(reached)
            session = sign_in(server.endpoint, server.project, folder / "session.json")
            yield Site(reached, plane, parts, build_choices(reached, parts.files), session)


def made_twice(site: Site, video_id: str) -> list[tuple[int, str]]:
    """What the video's log says was made more than once."""
    events = site.parts.store.events(video_id, limit=500)
    said = Counter((e.scene_number, e.sentence) for e in events if e.kind == EventKind.ASSET_MADE)
    assert said
    return [what for what, times in said.items() if times > 1]


def test_a_video_is_made_as_on_a_laptop(site: Site, tmp_path: Path) -> None:
    video_id = site.create()

    states = list(follow(site.session, video_id))

    video = states[-1]
    assert video.status is VideoStatus.COMPLETED, site.plane.log()
    # realtime told every step, forwards
    assert [s.progress for s in states] == sorted(s.progress for s in states)
    assert {s.status for s in states} >= {VideoStatus.RENDERING, VideoStatus.COMBINING, VideoStatus.COMPLETED}
    assert any("Scene 1 of 2" in s.stage for s in states)
    # documents
    scenes = site.parts.store.scenes(video_id)
    assert [s.status for s in scenes] == [SceneStatus.RENDERED] * COUNT
    assert all(s.video_url and s.image_url and s.audio_url for s in scenes)
    assert {a.kind for a in site.parts.store.assets(video_id)} >= {"voice", "picture", "clip", "film"}
    # files
    shown = execute(site.session.client(), "GET", f"/videos/{video_id}")
    film = tmp_path / "film.mp4"
    film.write_bytes(requests.get(shown["play_url"], timeout=30).content)
    seen = probe.streams(film)
    assert seen.video and seen.audio
    assert (seen.video.width, seen.video.height) == (360, 640)
    assert probe.frames(film) == round(video.duration_seconds * FPS)
    # one call made the scenes, one joined them: handed over by the last finisher, from inside its container
    assert [
        len(site.plane.deliveries(c)) for kind in (on_modal.RENDER, on_modal.COMPOSE) for c in site.plane.calls(kind)
    ] == [1, 1]
    assert made_twice(site, video_id) == []
    assert video.cost_usd > 0


# what happens to the call that makes the scenes; last, to the one that joins them
DISTURBANCES: dict[str, Callable[[Plane, str], None]] = {
    "killed": Plane.kill,
    "preempted": Plane.preempt,
    "timed_out": Plane.time_out,
    "delivered_twice": Plane.expire_lease,
    "killed_in_the_join": Plane.kill,
}


@dataclass(frozen=True)
class Disturbed:
    """A video that has ended, and how often the input of its disturbed call was given to a container."""

    video: Video
    deliveries: int


@pytest.fixture(scope="module")
def disturbed(site: Site) -> dict[str, Disturbed]:
    """Videos whose calls were disturbed in the middle, once they have ended."""
    ids, calls = {}, {}
    for name, disturb in DISTURBANCES.items():
        video_id = ids[name] = site.create()
        kind = "compose" if name == "killed_in_the_join" else "render"
        call = site.plane.wait(partial(site.call_of, video_id, kind), f"a {kind} call", _SECONDS)
        site.plane.wait(partial(site.in_hand, video_id), "a scene in hand", _SECONDS)
        disturb(site.plane, call)
        calls[name] = call

    def ended() -> bool:
        sweep(site.parts, site.choices)  # as Appwrite's schedule does every minute
        return all(site.parts.store.get_video(i).is_terminal for i in ids.values())

    site.plane.wait(ended, "end of every video", _SECONDS)
    return {
        name: Disturbed(site.parts.store.get_video(video_id), len(site.plane.deliveries(calls[name])))
        for name, video_id in ids.items()
    }


@pytest.mark.parametrize("name", DISTURBANCES)
def test_a_disturbed_call_costs_time_and_nothing_is_made_twice(
    site: Site, disturbed: dict[str, Disturbed], name: str
) -> None:
    video, deliveries = disturbed[name].video, disturbed[name].deliveries

    if name in ("preempted", "delivered_twice"):
        assert deliveries > 1  # of the same input
        assert video.tries == 1  # the call itself went on, without the sweep
    else:
        assert video.tries > 1  # the sweep noticed and handed it out again
    assert video.status is VideoStatus.COMPLETED, f"{video.stage}\n{site.plane.log()}"
    assert not video.substitutions
    assert made_twice(site, video.id) == []
