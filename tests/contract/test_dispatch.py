"""How a hand-out ends, against the embedded server: what the video says then, and what its log says."""

from __future__ import annotations

import secrets

import pytest

from core.adapters.appwrite_store import AppwriteFiles, AppwriteStore
from core.dispatch import fail
from core.documents import Options, Video
from core.engines.storyboard_text import TextStoryboard
from core.journal import EventKind
from core.plan import plan
from core.ports import Parts
from core.settings import Settings
from core.status import VideoStatus
from core.wiring import build_choices

from .test_sweep import SCRIPT, Clock, Renderer

SETTINGS = Settings()


@pytest.fixture
def renderer() -> Renderer:
    """A renderer that holds every call pending."""
    return Renderer()


@pytest.fixture
def parts(store: AppwriteStore, files: AppwriteFiles, renderer: Renderer) -> Parts:
    """Real documents and files, a renderer and a clock that do as they are told."""
    return Parts(store, files, renderer, TextStoryboard(), SETTINGS, Clock())


def recorded(parts: Parts, **columns: object) -> Video:
    """A video with these columns, as it is read."""
    whole = {"owner_id": "someone", "script": SCRIPT, "options": Options(resolution=360).to_json(), **columns}
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
    assert after.stage == "Failed: The voice could not be made."


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
