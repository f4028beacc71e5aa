"""How a hand-out ends, against the embedded server: what the video says then, and what its log says."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator

import pytest

from core import times
from core.adapters.appwrite_files import AppwriteFiles
from core.adapters.appwrite_store import AppwriteStore
from core.dispatch import fail, read_handle, wait_changes
from core.documents import Asset, Options, Video
from core.engines.storyboard_text import TextStoryboard
from core.journal import EventKind
from core.plan import plan
from core.ports import CallState, Parts
from core.settings import Settings
from core.status import WORKING, VideoStatus
from core.sweep import look_after
from core.wiring import build_choices

from .told import SCRIPT, Clock, Renderer

SETTINGS = Settings()
OWNER = "whoever-dispatches"


@pytest.fixture
def renderer() -> Renderer:
    """A renderer that holds every call pending."""
    return Renderer()


@pytest.fixture
def parts(store: AppwriteStore, files: AppwriteFiles, renderer: Renderer) -> Iterator[Parts]:
    """Real documents and files, a renderer and a clock that do as they are told; leaves no work for others."""
    yield Parts(store, files, renderer, TextStoryboard(), SETTINGS, Clock())
    for video in store.list_videos(OWNER)[0]:
        store.forget(video.id)


def recorded(parts: Parts, **columns: object) -> Video:
    """A video with these columns, as it is read."""
    whole = {"owner_id": OWNER, "script": SCRIPT, "options": Options(resolution=360).to_json(), **columns}
    return parts.store.create_video(Video(id=secrets.token_hex(8), **whole))  # type: ignore[arg-type]


def kinds(parts: Parts, video: Video) -> list[str]:
    """The words of its log, in order."""
    return [event.kind for event in parts.store.events(video.id)]


@pytest.mark.parametrize("status", [VideoStatus.RENDERING, VideoStatus.COMBINING])
def test_a_change_that_fails_leaves_the_film_that_was_there(parts: Parts, status: VideoStatus) -> None:
    video = recorded(parts, status=status, scene_count=3, progress=40, final_file_id="film", attempt=4)

    fail(parts, video, "engine_failed", "The picture could not be drawn.")

    after = parts.store.get_video(video.id)
    assert (after.status, after.progress, after.final_file_id) == (VideoStatus.COMPLETED, 100, "film")
    assert (after.error_code, after.error_message) == ("engine_failed", "The picture could not be drawn.")
    assert after.stage.startswith("Your video is as it was")
    assert (after.due_at, after.eta_seconds) == (None, 0)
    assert kinds(parts, video) == [EventKind.FAILED]


def test_a_first_render_that_fails_keeps_its_progress_and_says_why(parts: Parts) -> None:
    video = recorded(parts, status=VideoStatus.RENDERING, scene_count=3, progress=40, attempt=1)

    fail(parts, video, "engine_failed", "The voice could not be made.")

    after = parts.store.get_video(video.id)
    assert (after.status, after.progress, after.eta_seconds) == (VideoStatus.FAILED, 40, None)
    assert after.stage == "Failed while the scenes were made: The voice could not be made."


def test_the_log_tells_that_it_was_planned_and_handed_out(parts: Parts) -> None:
    video = recorded(parts)

    plan(parts, video.id, build_choices(SETTINGS))

    assert kinds(parts, video) == [EventKind.PLANNED, EventKind.HANDED_OUT]
    assert parts.store.events(video.id)[1].sentence == "3 scenes were handed to a renderer in 2 calls."


def test_a_renderer_that_stays_full_is_told_once(parts: Parts, renderer: Renderer) -> None:
    renderer.busy = True
    video = recorded(parts)

    plan(parts, video.id, build_choices(SETTINGS))

    assert kinds(parts, video) == [EventKind.PLANNED, EventKind.WAITING]
    assert parts.store.get_video(video.id).stage.startswith("Waiting for a renderer")


# ---- what people read while nothing is made yet


def unfinished(parts: Parts, eta_seconds: int | None) -> Video:
    """A video before the others."""
    return recorded(parts, status=VideoStatus.RENDERING, scene_count=3, attempt=1, eta_seconds=eta_seconds)


def leave_nothing_unfinished(parts: Parts) -> None:
    """Forget what tests before this one left."""
    for status in WORKING:
        for video in parts.store.list_videos("", status=status, limit=100)[0]:
            parts.store.forget(video.id)


def others(parts: Parts, video: Video) -> int:
    """Unfinished videos of other tests, recorded before."""
    return parts.store.in_front(video)[0]


def test_a_video_that_waits_says_how_many_are_in_front_and_counts_their_time(parts: Parts, renderer: Renderer) -> None:
    renderer.state = CallState.WAITING
    before = others(parts, recorded(parts, status=VideoStatus.CANCELLED))
    for eta in (40, 4000, None):
        unfinished(parts, eta)
    video = recorded(parts)

    plan(parts, video.id, build_choices(SETTINGS))

    waiting = parts.store.get_video(video.id)
    assert waiting.stage == f"Waiting: {before + 3} videos are in front of yours"
    assert waiting.eta_seconds is not None
    assert waiting.eta_seconds > 4000
    assert read_handle(waiting)["queued"] is True


def test_the_first_in_line_waits_for_a_renderer_that_starts(parts: Parts, renderer: Renderer) -> None:
    renderer.state = CallState.WAITING
    leave_nothing_unfinished(parts)
    video = recorded(parts)

    plan(parts, video.id, build_choices(SETTINGS))
    early = parts.store.get_video(video.id)
    parts.clock.sleep(600)
    late = wait_changes(parts, early)

    assert early.stage == "The renderer is starting"
    assert read_handle(early)["queued"] is False  # how long it starts is learnt from those that nobody held up
    assert early.eta_seconds is not None
    assert late["eta_seconds"] > early.eta_seconds + 200  # what takes that long is not about to begin


def test_a_call_that_has_begun_says_nothing_of_waiting(parts: Parts) -> None:
    unfinished(parts, 10)
    video = recorded(parts)

    plan(parts, video.id, build_choices(SETTINGS))

    begun = parts.store.get_video(video.id)
    assert begun.stage == "Storyboard ready: 3 scenes, handed to the renderer"
    assert begun.eta_seconds is not None
    assert begun.eta_seconds >= 1


def test_the_time_to_go_comes_from_what_this_deployment_has_learnt(parts: Parts) -> None:
    def planned_eta() -> int:
        video = recorded(parts)
        plan(parts, video.id, build_choices(SETTINGS))
        return parts.store.get_video(video.id).eta_seconds or 0

    before = parts.store.setting(times.SETTING)
    try:
        parts.store.put_setting(times.SETTING, "{}")
        first = planned_eta()
        slow = times.Times()
        for _ in range(120):
            slow = slow.learned([times.Sample(times.CLIP, "motion", "360x640", 500.0, 10.0)])
        parts.store.put_setting(times.SETTING, slow.to_json())

        assert planned_eta() > 10 * first
    finally:
        parts.store.put_setting(times.SETTING, before or "{}")


def test_the_sweep_moves_a_waiting_video_up_the_line_and_takes_it_from_no_queue(
    parts: Parts, renderer: Renderer
) -> None:
    renderer.state = CallState.WAITING
    before = others(parts, recorded(parts, status=VideoStatus.CANCELLED))
    first = unfinished(parts, 50)
    video = recorded(parts)
    plan(parts, video.id, build_choices(SETTINGS))
    waiting = parts.store.get_video(video.id)

    fail(parts, parts.store.get_video(first.id), "any", "It ended.")
    parts.clock.sleep(SETTINGS.call_deadline_seconds * 3)
    look_after(parts, waiting, build_choices(SETTINGS))

    after = parts.store.get_video(video.id)
    assert waiting.stage.startswith("Waiting: ")
    assert after.stage == ("The renderer is starting" if before == 0 else f"Waiting: {in_front_of(before)} of yours")
    assert (after.attempt, renderer.cancelled) == (waiting.attempt, [])


def in_front_of(count: int) -> str:
    """So many videos, in words."""
    return "1 video is in front" if count == 1 else f"{count} videos are in front"


def test_a_completed_video_teaches_the_next_one_what_every_stage_takes(parts: Parts) -> None:
    kept = parts.store.setting(times.SETTING)
    past = json.dumps({"past": {"waited": 7.0, "took": 30.0, "alone": 20.0}})
    video = recorded(parts, status=VideoStatus.COMPLETED, handle=past)
    for kind, facts in (("voice", {"engine": "espeak", "frames": 300}), ("clip", {"engine": "motion", "frames": 300})):
        asset = Asset(secrets.token_hex(8), video.id, kind, kind, "scenes", kind, "", 1, facts | {"seconds": 5.0})
        parts.store.create_asset(asset, OWNER)
    try:
        parts.store.put_setting(times.SETTING, "{}")
        before = times.read(parts)
        times.learn(parts, video)
        after = times.read(parts)
    finally:
        parts.store.put_setting(times.SETTING, kept or "{}")

    assert after.averages.keys() == {"start", "rendering", "voice/espeak", "clip/motion/360x640"}
    assert before.rate(times.START) < after.rate(times.START) < 7.0
    assert before.rate(times.VOICE) < after.rate(times.VOICE) < 0.5
