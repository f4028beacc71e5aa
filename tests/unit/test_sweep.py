"""How much one sweep takes up, and what waits longer than what, over a store in memory."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from core.create import create_video
from core.deadlines import next_look, stage_deadline
from core.documents import Options, Video
from core.engines.storyboard_text import TextStoryboard
from core.errors import InvalidInputError
from core.ports import CallState, Job, Parts
from core.request import validate
from core.settings import Settings
from core.status import VideoStatus
from core.sweep import BATCH, sweep
from core.wiring import build_choices
from tests.simulation.scheduler import Scheduler
from tests.simulation.store import Fate, MemoryFiles, MemoryStore, Way

SCRIPT = "The first paragraph tells of the sea.\n\nThe second tells of the boats on it."
ROOT = Path(__file__).resolve().parents[2]


@dataclass
class Renderer:
    """Implements ports.Dispatcher: takes everything, and looking at it costs time."""

    scheduler: Scheduler
    state: CallState = CallState.PENDING
    costs_seconds: float = 0.0
    id: str = "told"
    parallel_calls: int = 1
    scenes_per_call: int = 0
    submitted: int = 0

    def submit(self, job: Job) -> str:
        """Count it."""
        self.submitted += 1
        return f"call-{self.submitted}"

    def status(self, call_id: str) -> CallState:
        """As told, after a while."""
        self.scheduler.seconds += self.costs_seconds
        return self.state

    def cancel(self, call_id: str) -> None:
        """Nothing to do."""


def parts_with(settings: Settings) -> tuple[Parts, Renderer]:
    """Everything in memory, its clock moved by hand."""
    scheduler = Scheduler(0)
    way = Way(scheduler, lambda: Fate.FINE)
    renderer = Renderer(scheduler)
    store = MemoryStore(way, lambda *_: None)
    return Parts(store, MemoryFiles(way), renderer, TextStoryboard(), settings, scheduler), renderer


def handed_out(parts: Parts, count: int) -> list[str]:
    """So many videos in the hands of the renderer, due now."""
    ids = []
    for number in range(count):
        options = Options(resolution=360).to_json()
        video = parts.store.create_video(Video(id=f"v{number}", owner_id="ada", script=SCRIPT, options=options))
        handle = {"handed_at": parts.clock.now().isoformat(), "calls": [{"id": f"c{number}"}]}
        parts.store.advance(
            replace(video),
            status=VideoStatus.PLANNING,
            scene_count=2,
            handle=json.dumps(handle),
            due_at=parts.clock.now(),
        )
        ids.append(video.id)
    for video_id in ids:
        video = parts.store.get_video(video_id)
        parts.store.advance(video, status=VideoStatus.RENDERING)
    return ids


def moved(parts: Parts, ids: list[str]) -> int:
    """How many of them were handed out again."""
    return sum(parts.store.get_video(i).attempt > 0 for i in ids)


def test_one_sweep_helps_five_and_the_next_the_others() -> None:
    parts, renderer = parts_with(Settings())
    ids = planned(parts, 7)
    renderer.state = CallState.LOST

    sweep(parts, build_choices(parts.settings))
    assert moved(parts, ids) == BATCH == 5

    sweep(parts, build_choices(parts.settings))
    assert moved(parts, ids) == 7


def planned(parts: Parts, count: int) -> list[str]:
    """So many queued videos that are due, as a request records them."""
    choices = build_choices(parts.settings)
    request = validate({"script": SCRIPT, "resolution": 360}, choices)
    return [create_video(parts, request, "ada").id for _ in range(count)]


def test_videos_in_good_hands_take_no_place_of_those_that_need_help() -> None:
    parts, _ = parts_with(Settings())
    waiting = handed_out(parts, 12)
    late = planned(parts, 1)

    looked = sweep(parts, build_choices(parts.settings))

    assert looked == 13
    assert moved(parts, waiting) == 0
    assert parts.store.get_video(late[0]).status is VideoStatus.RENDERING


def test_a_sweep_ends_when_its_time_is_up_and_leaves_the_rest_due() -> None:
    parts, renderer = parts_with(Settings())
    handed_out(parts, 20)
    renderer.costs_seconds = 10.0  # a renderer that cannot be reached

    looked = sweep(parts, build_choices(parts.settings))

    assert 0 < looked <= 5  # the last one began in time
    assert len(parts.store.due_videos(parts.clock.now(), 100)) >= 20 - looked


def test_a_video_whose_trigger_was_lost_is_planned_by_the_first_sweep_after_it() -> None:
    parts, renderer = parts_with(Settings())
    (video_id,) = planned(parts, 1)

    sweep(parts, build_choices(parts.settings))

    video = parts.store.get_video(video_id)
    assert (video.status, renderer.submitted) == (VideoStatus.RENDERING, 1)


@pytest.mark.parametrize(("days", "left"), [(0.0, 6), (1.0, 1)])
def test_ended_videos_are_kept_as_long_as_the_setting_says(days: float, left: int) -> None:
    parts, _ = parts_with(Settings(keep_days=days))
    ids = planned(parts, 6)
    for video_id in ids:
        video = parts.store.get_video(video_id)
        parts.store.advance(video, status=VideoStatus.FAILED, due_at=None)
    parts.clock.sleep(0)
    parts.clock.seconds += 2 * 86400  # type: ignore[attr-defined]

    sweep(parts, build_choices(parts.settings))

    assert parts.store.list_videos("ada", limit=100)[1] == left


# ---- what waits longer than what


def test_the_defaults_wait_longer_than_what_they_wait_for() -> None:
    at = Settings()
    at.check_order()
    (function,) = json.loads((ROOT / "appwrite.json").read_text(encoding="utf-8"))["functions"]

    assert function["timeout"] > at.planning_seconds > at.request_seconds
    assert function["timeout"] > at.sweep_seconds > at.request_seconds
    assert re.fullmatch(r"\* \* \* \* \*", function["schedule"])
    assert at.sweep_seconds < 60, "a sweep would not end before the next one"
    assert min(at.call_deadline_seconds, at.combine_deadline_seconds) > at.stale_seconds > 2 * at.beat_seconds
    assert at.video_hours * 3600 > 2 * at.call_deadline_seconds


@pytest.mark.parametrize(
    ("crosswise", "first", "second"),
    [
        ({"SCENEWRIGHT_STALE_SECONDS": "12"}, "SCENEWRIGHT_STALE_SECONDS", "SCENEWRIGHT_BEAT_SECONDS"),
        ({"SCENEWRIGHT_REQUEST_SECONDS": "60"}, "SCENEWRIGHT_SWEEP_SECONDS", "SCENEWRIGHT_REQUEST_SECONDS"),
        ({"SCENEWRIGHT_CALL_DEADLINE_SECONDS": "9"}, "SCENEWRIGHT_CALL_DEADLINE_SECONDS", "SCENEWRIGHT_STALE_SECONDS"),
    ],
)
def test_settings_that_stand_crosswise_are_refused_by_name(crosswise: dict[str, str], first: str, second: str) -> None:
    with pytest.raises(InvalidInputError) as raised:
        Settings.from_env(crosswise)

    assert raised.value.code == "settings_crosswise"
    assert raised.value.field == first
    assert first in raised.value.sentence
    assert second in raised.value.sentence


def test_a_living_renderer_is_looked_at_in_time_and_never_after_its_deadline() -> None:
    at = Settings()
    handed = datetime.fromisoformat("2026-01-01T12:00:00+00:00")
    handle = json.dumps({"handed_at": handed.isoformat(), "expected_seconds": 10})
    video = Video(id="v", status=VideoStatus.RENDERING, handle=handle)
    deadline = stage_deadline(at, video)

    assert deadline == handed + timedelta(seconds=at.call_deadline_seconds)
    for seconds in range(0, 2000, 7):
        now = handed + timedelta(seconds=seconds)
        look = next_look(at, video, now)
        assert now <= look <= max(now, min(now + timedelta(seconds=at.stale_seconds), deadline))


def test_the_deadline_of_a_call_that_waited_long_counts_from_its_beginning() -> None:
    at = Settings()
    handle = {"handed_at": "2026-01-01T12:00:00+00:00", "work": {"begun_at": "2026-01-01T14:00:00+00:00"}}
    video = Video(id="v", status=VideoStatus.COMBINING, handle=json.dumps(handle))

    begun = datetime.fromisoformat("2026-01-01T14:00:00+00:00")
    assert stage_deadline(at, video) == begun + timedelta(seconds=at.combine_deadline_seconds)
