"""Who looks after videos that nobody works on, against the embedded server with a renderer that does as it is told."""

from __future__ import annotations

import json
import secrets
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from core.adapters.appwrite_files import AppwriteFiles
from core.adapters.appwrite_store import AppwriteStore
from core.control import retry
from core.documents import Asset, Video
from core.engines.storyboard_text import TextStoryboard
from core.errors import NotFoundError
from core.identity import asset_id, scene_id
from core.ports import CallState, Parts
from core.status import VideoStatus
from core.sweep import look_after
from core.wiring import build_choices
from tests.contract.told import SETTINGS, Clock, Renderer, finish, handed_out, look, queued


@pytest.fixture
def renderer() -> Renderer:
    """A renderer that holds every call pending."""
    return Renderer()


@pytest.fixture
def parts(store: AppwriteStore, files: AppwriteFiles, renderer: Renderer) -> Parts:
    """Real documents and files, a renderer and a clock that do as they are told."""
    return Parts(store, files, renderer, TextStoryboard(), SETTINGS, Clock())


def test_a_queued_video_whose_trigger_was_lost_is_planned_and_handed_out(parts: Parts, renderer: Renderer) -> None:
    video = handed_out(parts)

    assert video.status is VideoStatus.RENDERING
    assert video.scene_count == 3
    assert [job.scenes for job in renderer.jobs] == [(1, 3), (2,)]
    assert {job.attempt for job in renderer.jobs} == {video.attempt}
    assert [c["id"] for c in json.loads(video.handle)["calls"]] == ["call-1", "call-2"]


def test_looking_again_while_calls_are_pending_changes_nothing_but_the_date(parts: Parts, renderer: Renderer) -> None:
    before = handed_out(parts)

    for _ in range(SETTINGS.tries_max + 2):
        after = look(parts, before)

    assert len(renderer.jobs) == 2
    assert (after.attempt, after.tries, after.status) == (before.attempt, before.tries, VideoStatus.RENDERING)


def test_a_renderer_that_cannot_be_asked_is_waited_for(parts: Parts, renderer: Renderer) -> None:
    video = handed_out(parts)
    renderer.state = CallState.UNKNOWN

    assert look(parts, video).attempt == video.attempt


def test_lost_calls_are_handed_out_again_with_only_the_missing_scenes(parts: Parts, renderer: Renderer) -> None:
    video = handed_out(parts)
    finish(parts, video, 1)
    renderer.state = CallState.LOST

    again = look(parts, video)

    assert [job.scenes for job in renderer.jobs[2:]] == [(2,), (3,)]
    assert again.attempt == video.attempt + 1
    assert again.progress >= video.progress


def test_calls_beyond_their_deadline_are_cancelled_and_handed_out_again(parts: Parts, renderer: Renderer) -> None:
    video = handed_out(parts)
    parts.clock.sleep(SETTINGS.call_deadline_seconds + 1)

    again = look(parts, video)

    assert renderer.cancelled == ["call-1", "call-2"]
    assert again.attempt == video.attempt + 1


def test_a_video_with_all_scenes_rendered_is_handed_on_to_the_join(parts: Parts, renderer: Renderer) -> None:
    video = handed_out(parts)
    for number in (1, 2, 3):
        finish(parts, video, number)
    renderer.state = CallState.DONE

    joined = look(parts, video)

    assert joined.status is VideoStatus.COMBINING
    assert renderer.jobs[-1].kind == "compose"
    assert joined.tries == video.tries


def test_a_join_whose_call_was_lost_is_submitted_again(parts: Parts, renderer: Renderer) -> None:
    video = handed_out(parts)
    for number in (1, 2, 3):
        finish(parts, video, number)
    renderer.state = CallState.LOST
    joined = look(parts, video)

    again = look(parts, joined)

    assert [job.kind for job in renderer.jobs[-2:]] == ["compose", "compose"]
    assert again.attempt == joined.attempt + 1


def test_after_the_last_try_the_video_fails_with_a_sentence_and_keeps_its_progress(
    parts: Parts, renderer: Renderer
) -> None:
    video = handed_out(parts)
    renderer.state = CallState.LOST

    for _ in range(SETTINGS.tries_max + 1):
        video = look(parts, video)

    assert video.status is VideoStatus.FAILED
    assert video.error_code == "tries_used_up"
    assert video.error_message.endswith("Ask again to retry it.")
    assert video.progress >= 10
    assert video.due_at is None


def test_a_full_renderer_makes_the_video_wait_without_using_up_its_tries(parts: Parts, renderer: Renderer) -> None:
    renderer.busy = True
    video = handed_out(parts)

    assert video.stage.startswith("Waiting for a renderer:")
    assert video.tries <= 1  # the one the sweep itself began

    renderer.busy = False
    assert look(parts, video).status is VideoStatus.RENDERING
    assert len(renderer.jobs) == 2


def test_a_finished_video_is_left_alone(parts: Parts, renderer: Renderer) -> None:
    video = queued(parts)
    ended = parts.store.advance(video, status=VideoStatus.CANCELLED, due_at=parts.clock.now())

    assert look(parts, ended).status is VideoStatus.CANCELLED
    assert parts.store.get_video(video.id).due_at is None
    assert renderer.jobs == []


def test_calls_of_a_cancelled_video_are_stopped_until_they_end(parts: Parts, renderer: Renderer) -> None:
    video = handed_out(parts)
    parts.store.advance(video, status=VideoStatus.CANCELLED, due_at=parts.clock.now())

    still = look(parts, video)
    assert renderer.cancelled == ["call-1", "call-2"]
    assert still.due_at is not None

    renderer.state = CallState.FAILED
    assert look(parts, video).due_at is None


def test_a_renderer_that_never_says_that_a_call_ended_is_not_asked_for_ever(parts: Parts, renderer: Renderer) -> None:
    video = handed_out(parts)
    renderer.state = CallState.UNKNOWN
    parts.store.advance(video, status=VideoStatus.CANCELLED, due_at=parts.clock.now())
    parts.clock.sleep(SETTINGS.call_deadline_seconds + 1)

    assert look(parts, video).due_at is None


def test_planning_that_died_begins_again_and_the_log_says_so(parts: Parts, renderer: Renderer) -> None:
    video = queued(parts)
    parts.store.claim("plan", 0, video_id=video.id)
    parts.store.advance(video, status=VideoStatus.PLANNING)

    again = look(parts, video)

    assert (again.status, len(renderer.jobs)) == (VideoStatus.RENDERING, 2)
    (swept,) = (e for e in parts.store.events(video.id) if e.kind == "swept")
    assert swept.sentence == "Its planning was never heard of again: planning begins again."


def test_a_deletion_that_died_is_finished(parts: Parts) -> None:
    video = handed_out(parts)
    deleting = {"status": VideoStatus.CANCELLED, "handle": json.dumps({"deleting": True}), "due_at": parts.clock.now()}
    parts.store.advance(video, **deleting)
    asset_files = [(a.bucket_id, a.file_id) for a in parts.store.assets(video.id)]
    assert asset_files

    look_after(parts, parts.store.get_video(video.id), build_choices(SETTINGS))

    with pytest.raises(NotFoundError):
        parts.store.get_video(video.id)
    assert [parts.files.stat(*file) for file in asset_files] == [None]
    assert parts.store.scenes(video.id) == []
    assert parts.store.assets(video.id) == []


def test_a_long_film_may_take_longer_than_the_least_deadline(parts: Parts, renderer: Renderer) -> None:
    video = handed_out(parts)
    handle = json.loads(video.handle) | {"expected_seconds": SETTINGS.call_deadline_seconds}
    parts.store.advance(video, handle=json.dumps(handle))

    parts.clock.sleep(SETTINGS.call_deadline_seconds * (SETTINGS.deadline_factor - 1))
    assert look(parts, video).attempt == video.attempt

    parts.clock.sleep(SETTINGS.call_deadline_seconds)
    assert look(parts, video).attempt == video.attempt + 1


def test_what_nobody_finished_within_its_hours_fails_with_a_sentence(parts: Parts, renderer: Renderer) -> None:
    video = handed_out(parts)
    parts.clock.sleep(SETTINGS.video_hours * 3600 + 60)

    ended = look(parts, video)

    assert (ended.status, ended.error_code) == (VideoStatus.FAILED, "too_old")
    assert ended.error_message == "Nobody could finish it within 24 hours. Ask again."
    assert renderer.cancelled == ["call-1", "call-2"]


def test_a_persons_new_wish_begins_the_hours_anew(parts: Parts, renderer: Renderer) -> None:
    video = handed_out(parts)
    parts.clock.sleep(SETTINGS.video_hours * 3600 + 60)
    ended = look(parts, video)

    again = retry(parts, ended, build_choices(SETTINGS))
    renderer.state = CallState.LOST

    assert look(parts, again).status is VideoStatus.RENDERING


def test_a_working_row_whose_date_or_status_was_changed_by_hand_is_found_and_repaired(
    parts: Parts, renderer: Renderer
) -> None:
    video = handed_out(parts)
    for number in (1, 2, 3):
        finish(parts, video, number)
    renderer.state = CallState.LOST
    parts.store.advance(parts.store.get_video(video.id), due_at=None)

    found = [v for v in parts.store.due_videos(parts.clock.now(), 100) if v.id == video.id]

    assert len(found) == 1
    assert look(parts, found[0]).status is VideoStatus.COMBINING


def test_scenes_have_ids_that_follow_from_video_and_number(parts: Parts) -> None:
    video = handed_out(parts)

    assert [s.id for s in parts.store.scenes(video.id)] == [scene_id(video.id, n) for n in (1, 2, 3)]


# ---- Modal: what waits there and never begins


def on_modal(parts: Parts, renderer: Renderer) -> tuple[Parts, Video]:
    """A video whose calls have waited on Modal for longer than a container may take to start."""
    renderer.state = CallState.WAITING
    settings = replace(SETTINGS, renderer="modal", start_deadline_seconds=30.0)
    waiting = replace(parts, settings=settings, clock=Clock(datetime.now(UTC) - timedelta(seconds=60)))
    video = handed_out(waiting)
    waiting.clock.sleep(31)
    return waiting, video


def test_calls_that_no_container_begins_are_handed_out_again_and_then_fail_with_where_to_look(
    parts: Parts, renderer: Renderer
) -> None:
    parts, video = on_modal(parts, renderer)
    parts.clock.sleep(120)  # whatever other tests made is older than the limit
    said = "No container of Modal has started within 1 min: see `modal app logs scenewright`."

    again = look(parts, video)

    assert again.attempt == video.attempt + 1
    assert renderer.cancelled
    assert again.stage == said
    assert look(parts, again).stage == said  # as long as it waits
    for _ in range(SETTINGS.tries_max):
        parts.clock.sleep(31)
        again = look(parts, again)
    assert (again.status, again.error_code, again.error_message) == (VideoStatus.FAILED, "no_container", said)


def test_calls_that_wait_behind_others_wait_as_long_as_they_must(parts: Parts, renderer: Renderer) -> None:
    parts, video = on_modal(parts, renderer)
    key = secrets.token_hex(32)
    row = Asset(asset_id("another", key), "another", "clip", key, "videos", "f", key, 1)
    parts.store.create_asset(row, "someone")  # now, within the limit: a container is at work

    after = look(parts, video)

    assert (after.attempt, after.status) == (video.attempt, VideoStatus.RENDERING)
    assert not renderer.cancelled
