"""Who looks after videos that nobody works on, against the embedded server with a renderer that does as it is told."""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest

from core.adapters.appwrite_files import AppwriteFiles
from core.adapters.appwrite_store import AppwriteStore
from core.documents import Options, Scene, Video
from core.engines.storyboard_text import TextStoryboard
from core.errors import BusyError
from core.identity import scene_id
from core.ports import CallState, Job, Parts
from core.settings import Settings
from core.status import SceneStatus, VideoStatus
from core.sweep import look_after
from core.wiring import build_choices

SCRIPT = "The first paragraph tells of the sea.\n\nThe second tells of the boats on it.\n\nThe third of the gulls."
SETTINGS = Settings(tries_max=3)


@dataclass
class Renderer:
    """Implements ports.Dispatcher: keeps what it is handed, and says of calls what the test wants."""

    id: str = "told"
    parallel_calls: int = 2
    state: CallState = CallState.PENDING
    busy: bool = False
    jobs: list[Job] = field(default_factory=list)
    cancelled: list[str] = field(default_factory=list)

    def submit(self, job: Job) -> str:
        """Take a job in, unless it is to be full."""
        if self.busy:
            raise BusyError("the render server's queue is full.")
        self.jobs.append(job)
        return f"call-{len(self.jobs)}"

    def status(self, call_id: str) -> CallState:
        """As told."""
        return self.state

    def cancel(self, call_id: str) -> None:
        """Note it down."""
        self.cancelled.append(call_id)


@dataclass
class Clock:
    """Implements ports.Clock; moved by hand."""

    time: datetime = field(default_factory=lambda: datetime.now(UTC))

    def now(self) -> datetime:
        """The time that was set."""
        return self.time

    def sleep(self, seconds: float) -> None:
        """Move on."""
        self.time += timedelta(seconds=seconds)


@pytest.fixture
def renderer() -> Renderer:
    """A renderer that holds every call pending."""
    return Renderer()


@pytest.fixture
def parts(store: AppwriteStore, files: AppwriteFiles, renderer: Renderer) -> Parts:
    """Real documents and files, a renderer and a clock that do as they are told."""
    return Parts(store, files, renderer, TextStoryboard(), SETTINGS, Clock())


def queued(parts: Parts) -> Video:
    """A video as a request records it."""
    options = Options(resolution=360).to_json()
    return parts.store.create_video(Video(id=secrets.token_hex(8), owner_id="someone", script=SCRIPT, options=options))


def handed_out(parts: Parts) -> Video:
    """A video in the hands of the renderer."""
    video = queued(parts)
    look(parts, video)
    return parts.store.get_video(video.id)


def look(parts: Parts, video: Video) -> Video:
    """Look after it once; what it is then."""
    look_after(parts, parts.store.get_video(video.id), build_choices(SETTINGS))
    return parts.store.get_video(video.id)


def finish(parts: Parts, video: Video, number: int) -> None:
    """Let a scene be rendered."""
    (scene,) = (s for s in parts.store.scenes(video.id) if s.scene_number == number)
    busy: Scene = parts.store.advance(scene, status=SceneStatus.RENDERING)
    parts.store.advance(busy, status=SceneStatus.RENDERED)


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


def test_scenes_have_ids_that_follow_from_video_and_number(parts: Parts) -> None:
    video = handed_out(parts)

    assert [s.id for s in parts.store.scenes(video.id)] == [scene_id(video.id, n) for n in (1, 2, 3)]
