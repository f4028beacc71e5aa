"""How often a video's row is written while several renderers tell of their scenes, against the embedded server."""

from __future__ import annotations

import json
import secrets
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import pairwise
from types import SimpleNamespace
from typing import Any, cast

import pytest

from core.adapters.appwrite_client import AppwriteClient
from core.adapters.appwrite_files import AppwriteFiles
from core.adapters.appwrite_store import AppwriteStore
from core.adapters.inline_dispatch import InlineDispatcher
from core.control import edit, retry
from core.costs import Meter
from core.create import create_video
from core.documents import Options, Scene, Video
from core.engines.storyboard_text import TextStoryboard
from core.identity import scene_id
from core.plan import plan
from core.ports import D, Job, Parts
from core.prices import Machine
from core.progress import Reporter, rendering_progress
from core.request import validate
from core.settings import Settings
from core.status import SceneStatus, VideoStatus
from core.wiring import SystemClock, build_choices, run_job
from core.wishes import SceneEdit
from tests.emulator.conftest import Running
from tests.simulation.makers import makers
from tests.simulation.scheduler import Scheduler
from tests.waiting import wait_for

from .conftest import client_of
from .told import SCRIPT, Renderer

RENDERERS = 4
SETTINGS = Settings(report_seconds=0.1, beat_seconds=1.0)
CHOICES = build_choices(SETTINGS)
NARRATION = "The river begins as a spring, and it grows with every brook it meets on its way to the sea."


@pytest.fixture
def parts(store: AppwriteStore, files: AppwriteFiles) -> Parts:
    """Real documents, files and time."""
    return Parts(store, files, Renderer(), TextStoryboard(), SETTINGS, SystemClock())


@pytest.fixture
def video(store: AppwriteStore) -> Iterator[Video]:
    """A video with one scene for each renderer, in their hands."""
    made = store.create_video(
        Video(
            id=secrets.token_hex(8),
            owner_id="ada",
            options=Options(resolution=360).to_json(),
            status=VideoStatus.RENDERING,
            scene_count=RENDERERS,
            progress=10,
            attempt=1,
        )
    )
    for number in range(1, RENDERERS + 1):
        scene = Scene(scene_id(made.id, number), video_id=made.id, scene_number=number, narration=NARRATION)
        store.advance(store.create_scene(scene, "ada"), status=SceneStatus.RENDERING)
    yield made
    store.forget(made.id)


def meter() -> Meter:
    """Of a machine that costs nothing."""
    return Meter(Machine(), Job("render", "", 1), datetime.now(UTC))


def render(parts: Parts, video: Video, number: int, seconds: float) -> None:
    """What a renderer tells while it makes one scene, far more often than anybody may write."""
    (scene,) = (s for s in parts.store.scenes(video.id) if s.scene_number == number)
    begun = time.monotonic()
    with Reporter(parts, video, meter()) as reporter:
        reporter.hold(scene)
        while (passed := time.monotonic() - begun) < seconds:
            reporter.tell(passed / seconds, f"Scene {number}: {passed / seconds:.0%}")
            time.sleep(0.01)
        reporter.advance_scene(status=SceneStatus.RENDERED)
        reporter.hold(None)
        reporter.tell(0.0, "Made")


def seen_while(parts: Parts, video: Video, threads: list[threading.Thread]) -> list[Video]:
    """Every state of the row that can be seen while the threads run, and the last one."""
    for thread in threads:
        thread.start()
    states = [video]
    running = True
    while running:
        running = any(thread.is_alive() for thread in threads)
        current = parts.store.get_video(video.id)
        if current.revision != states[-1].revision:
            states.append(current)
        time.sleep(0.02)
    return states


def test_four_renderers_write_at_most_twice_a_second_and_their_last_word_arrives(parts: Parts, video: Video) -> None:
    work = [threading.Thread(target=render, args=(parts, video, n, 1.0 + n / 2)) for n in range(1, RENDERERS + 1)]

    states = seen_while(parts, video, work)

    written = [datetime.fromisoformat(s.updated_at) for s in states[1:]]
    assert states[-1].revision - video.revision <= 2 * (written[-1] - written[0]).total_seconds() + 1
    for first, third in zip(written, written[2:], strict=False):
        assert (third - first).total_seconds() >= 1.0
    assert len(written) >= 4
    last = states[-1]
    assert last.progress == rendering_progress(RENDERERS, RENDERERS)
    assert last.current_scene == RENDERERS
    assert last.stage == "Made"
    assert all(before.progress <= after.progress for before, after in pairwise(states))
    assert all(s.eta_seconds is not None and s.eta_seconds >= 1 for s in states[1:])


def test_a_new_attempt_goes_on_from_the_bar_and_the_old_one_writes_nothing_more(parts: Parts, video: Video) -> None:
    work = threading.Thread(target=render, args=(parts, video, 1, 2.5))
    states = seen_while(parts, video, [work])
    before = states[-1]
    stale = Reporter(parts, before, meter())
    taken = parts.store.advance(before, attempt=2, handle=json.dumps({"handed_at": datetime.now(UTC).isoformat()}))

    with stale:
        stale.tell(0.9, "From the past")
        time.sleep(3 * SETTINGS.report_seconds)
    again = threading.Thread(target=render, args=(parts, taken, 2, 1.0))
    later = seen_while(parts, taken, [again])

    assert parts.store.get_video(video.id).progress >= before.progress >= rendering_progress(RENDERERS, 1)
    assert all(one.progress <= other.progress for one, other in pairwise([before, *later]))
    assert all("past" not in s.stage for s in later)


# ---- a whole video, its edit, its retry and its join, by everybody who writes


class Noting(AppwriteStore):
    """Notes each write to a video: when the server made it, and what it said then."""

    def __init__(self, client: AppwriteClient) -> None:
        super().__init__(client)
        self.written: list[Video] = []

    def advance(self, document: D, **changes: Any) -> D:
        """See ports.Store."""
        after = super().advance(document, **changes)
        if isinstance(after, Video):
            self.written.append(after)
        return after


@pytest.fixture
def whole(appwrite: Running) -> Iterator[tuple[Parts, Noting, Video]]:
    """A new video, and a renderer in this process whose makers need a few tenths of a second for each thing."""
    store, files = Noting(client_of(appwrite)), AppwriteFiles(client_of(appwrite))
    renderer = InlineDispatcher(2)
    parts = Parts(store, files, renderer, TextStoryboard(), Settings(), SystemClock())
    pace = SimpleNamespace(rng=SimpleNamespace(uniform=lambda *_: 0.3), sleep=time.sleep)
    engines = makers(cast("Scheduler", pace), lambda *_: None)
    renderer.run = lambda job: run_job(parts, engines, job)
    made = create_video(parts, validate({"script": SCRIPT, "resolution": 360}, CHOICES), "ada")
    yield parts, store, made
    store.forget(made.id)


def ended(parts: Parts, video: Video) -> Video:
    """The video when it has its film."""

    def completed() -> Video | None:
        there = parts.store.get_video(video.id)
        return there if there.status is VideoStatus.COMPLETED else None

    return wait_for(completed, "the film", 60)


def test_in_no_second_of_its_life_is_a_video_written_a_third_time(whole: tuple[Parts, Noting, Video]) -> None:
    """Its creation is no write to it, and a person's cancel or delete waits for nothing."""
    parts, store, video = whole

    plan(parts, video.id, CHOICES)
    first = ended(parts, video)
    edit(parts, first, 2, SceneEdit(narration="Gulls follow the boats home in the evening."))
    edited = ended(parts, video)
    scene = store.scenes(video.id)[0]
    store.advance(scene, substitution='{"what": "picture", "why": "It failed.", "used": "a title card"}')
    retry(parts, edited, CHOICES)
    last = ended(parts, video)

    assert [v.revision for v in store.written] == list(range(video.revision + 1, last.revision + 1))
    entered = [after for before, after in pairwise([video, *store.written]) if after.status is not before.status]
    again = [VideoStatus.RENDERING, VideoStatus.COMBINING, VideoStatus.COMPLETED]
    assert [v.status for v in entered] == [VideoStatus.PLANNING, *again * 3]
    at = [datetime.fromisoformat(v.updated_at) for v in store.written]
    told = [f"{moment:%H:%M:%S.%f} {v.status} {v.stage}" for moment, v in zip(at, store.written, strict=True)]
    apart = [(third - first).total_seconds() for first, third in zip(at, at[2:], strict=False)]
    assert min(apart) >= 1.0, "\n".join(told)
