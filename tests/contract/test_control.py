"""What a person may ask of a video, against the embedded server with a renderer that does as it is told."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import psutil
import pytest

from core import assets, control
from core.adapters.appwrite_client import AppwriteClient
from core.adapters.appwrite_files import AppwriteFiles
from core.adapters.appwrite_store import AppwriteStore
from core.adapters.http_dispatch import HttpDispatcher
from core.dispatch import read_handle
from core.documents import Scene, Video
from core.engines.storyboard_text import TextStoryboard
from core.errors import ConflictError, InvalidInputError, NotFoundError, RefusedError
from core.journal import EventKind
from core.ports import CallState, Job, Parts
from core.routes import Call, answer
from core.schema import BUCKET_OF, UPLOADS
from core.status import SceneStatus, VideoStatus
from core.wiring import build_choices
from core.wishes import SceneEdit
from tests.contract.conftest import Worker, is_ready
from tests.contract.told import SETTINGS, Clock, Renderer, finish, handed_out, look, queued
from tests.emulator.conftest import Running
from tests.waiting import wait_for

from .test_worker import alive, at_work

CHOICES = build_choices(SETTINGS)
NEW = SceneEdit(narration="Gulls follow the boats home in the evening.")
SUBSTITUTE = json.dumps({"what": "picture", "why": "It could not be drawn.", "used": "a title card"})


@pytest.fixture
def renderer() -> Renderer:
    """A renderer that holds every call pending."""
    return Renderer()


@pytest.fixture
def parts(store: AppwriteStore, files: AppwriteFiles, renderer: Renderer) -> Parts:
    """Real documents and files, a renderer and a clock that do as they are told."""
    return Parts(store, files, renderer, TextStoryboard(), SETTINGS, Clock())


def scene_of(parts: Parts, video: Video, number: int) -> Scene:
    """A scene as it is now."""
    (scene,) = (s for s in parts.store.scenes(video.id) if s.scene_number == number)
    return scene


def completed(parts: Parts, *, substituted: int = 0) -> Video:
    """A video of three scenes with a film."""
    video = handed_out(parts)
    for number in (1, 2, 3):
        finish(parts, video, number)
    if substituted:
        parts.store.advance(scene_of(parts, video, substituted), substitution=SUBSTITUTE)
    video = parts.store.advance(parts.store.get_video(video.id), status=VideoStatus.COMBINING)
    return parts.store.advance(
        video, status=VideoStatus.COMPLETED, progress=100, final_file_id="film", due_at=None, handle=""
    )


def failed(parts: Parts) -> Video:
    """A video that failed at its second scene, with one scene made and one in hand."""
    video = handed_out(parts)
    finish(parts, video, 1)
    for number in (2, 3):
        parts.store.advance(scene_of(parts, video, number), status=SceneStatus.RENDERING, attempt=video.attempt)
    parts.store.advance(scene_of(parts, video, 2), status=SceneStatus.FAILED, error_message="It broke.")
    return parts.store.advance(video, status=VideoStatus.FAILED, error_code="engine_failed", due_at=None, progress=60)


def jobs_after(renderer: Renderer, begun: int) -> list[int]:
    """The numbers of the scenes that were handed out since there were so many jobs."""
    return sorted(n for job in renderer.jobs[begun:] for n in job.scenes)


def kinds(parts: Parts, video: Video) -> list[str]:
    """The words of its log, in order."""
    return [event.kind for event in parts.store.events(video.id)]


# ---- cancel


def test_cancelling_stops_the_calls_and_keeps_what_is_made(parts: Parts, renderer: Renderer) -> None:
    video = handed_out(parts)
    finish(parts, video, 1)
    parts.store.advance(scene_of(parts, video, 2), status=SceneStatus.RENDERING, holder="h", attempt=video.attempt)

    after = control.cancel(parts, video)

    assert (after.status, after.progress, after.stage) == (VideoStatus.CANCELLED, video.progress, "Cancelled")
    assert renderer.cancelled == ["call-1", "call-2"]
    assert [s.status for s in parts.store.scenes(video.id)] == ["rendered", "planned", "planned"]
    assert after.due_at is not None  # the sweep makes sure that they have stopped
    assert kinds(parts, video)[-1] == EventKind.CANCELLED


def test_a_cancelled_video_that_is_cancelled_again_is_answered_as_it_is(parts: Parts) -> None:
    first = control.cancel(parts, handed_out(parts))

    assert control.cancel(parts, first) == first
    assert kinds(parts, first).count(EventKind.CANCELLED) == 1


def test_a_video_that_has_ended_cannot_be_cancelled(parts: Parts) -> None:
    for video in (completed(parts), failed(parts)):
        with pytest.raises(RefusedError) as raised:
            control.cancel(parts, video)
        assert raised.value.code == "nothing_to_cancel"
        assert parts.store.get_video(video.id) == video


def test_a_queued_video_that_is_cancelled_is_never_planned(parts: Parts, renderer: Renderer) -> None:
    video = control.cancel(parts, queued(parts))

    after = look(parts, video)

    assert (after.status, after.due_at, renderer.jobs) == (VideoStatus.CANCELLED, None, [])


# ---- resume and retry


def test_resuming_makes_only_what_is_missing(parts: Parts, renderer: Renderer) -> None:
    video = handed_out(parts)
    finish(parts, video, 2)
    cancelled = control.cancel(parts, video)
    begun = len(renderer.jobs)

    after = control.resume(parts, cancelled, CHOICES)

    assert jobs_after(renderer, begun) == [1, 3]
    assert after.status is VideoStatus.RENDERING
    assert after.progress == 35  # one of three scenes
    assert (after.tries, after.attempt > cancelled.attempt, after.current_scene) == (1, True, 1)
    assert {job.attempt for job in renderer.jobs[begun:]} == {after.attempt}


def test_resuming_a_video_that_lacks_only_the_join_joins_it(parts: Parts, renderer: Renderer) -> None:
    video = handed_out(parts)
    for number in (1, 2, 3):
        finish(parts, video, number)

    after = control.resume(parts, control.cancel(parts, video), CHOICES)

    assert (after.status, after.progress) == (VideoStatus.COMBINING, 85)
    assert renderer.jobs[-1].kind == "compose"


def test_retrying_a_failed_video_makes_what_failed_again(parts: Parts, renderer: Renderer) -> None:
    video, begun = failed(parts), len(renderer.jobs)

    after = control.retry(parts, video, CHOICES)

    assert jobs_after(renderer, begun) == [2, 3]
    assert (after.status, after.error_code, after.error_message) == (VideoStatus.RENDERING, "", "")
    assert after.progress == 35  # it stood at 60: a person's wish lets the bar begin again
    assert (scene_of(parts, video, 2).status, scene_of(parts, video, 2).error_message) == (SceneStatus.PLANNED, "")
    assert EventKind.RETRIED in kinds(parts, video)


def test_retrying_a_video_that_was_never_planned_plans_it(parts: Parts, renderer: Renderer) -> None:
    video = parts.store.advance(queued(parts), status=VideoStatus.FAILED, error_code="tries_used_up", tries=3)

    after = control.retry(parts, video, CHOICES)

    assert (after.status, after.scene_count) == (VideoStatus.RENDERING, 3)
    assert jobs_after(renderer, 0) == [1, 2, 3]


def test_retrying_what_no_video_can_be_made_of_is_refused_as_its_creation_would_be(parts: Parts) -> None:
    video = parts.store.advance(queued(parts), status=VideoStatus.FAILED, script="Too short.", error_code="any")

    with pytest.raises(InvalidInputError) as raised:
        control.retry(parts, video, CHOICES)
    assert raised.value.code == "script_too_short"
    assert parts.store.get_video(video.id) == video


def test_a_substituted_scene_is_made_again_and_nothing_else(parts: Parts, renderer: Renderer) -> None:
    for scenes in ((), (2,)):
        video, begun = completed(parts, substituted=2), len(renderer.jobs)

        after = control.retry(parts, video, CHOICES, scenes)

        assert jobs_after(renderer, begun) == [2]
        assert (after.status, after.final_file_id) == (VideoStatus.RENDERING, "film")


@pytest.mark.parametrize("scenes", [(), (1,), (1, 2)])
def test_what_is_as_asked_for_is_not_made_again(parts: Parts, scenes: tuple[int, ...]) -> None:
    video = completed(parts, substituted=2 if scenes else 0)

    with pytest.raises(RefusedError) as raised:
        control.retry(parts, video, CHOICES, scenes)
    assert raised.value.code == "nothing_to_retry"
    assert "edit" in raised.value.sentence
    assert parts.store.get_video(video.id) == video


def test_a_scene_that_is_not_there_cannot_be_retried(parts: Parts) -> None:
    with pytest.raises(InvalidInputError) as raised:
        control.retry(parts, completed(parts), CHOICES, (7,))
    assert (raised.value.code, raised.value.field) == ("no_such_scene", "scenes")


def test_a_completed_video_has_nothing_to_resume(parts: Parts) -> None:
    with pytest.raises(RefusedError) as raised:
        control.resume(parts, completed(parts), CHOICES)
    assert raised.value.code == "nothing_to_resume"


def test_after_a_change_that_failed_at_the_join_a_retry_joins_again(parts: Parts, renderer: Renderer) -> None:
    video = parts.store.advance(completed(parts), error_code="quality_silence", error_message="It is silent.")

    after = control.retry(parts, video, CHOICES)

    assert (after.status, renderer.jobs[-1].kind) == (VideoStatus.COMBINING, "compose")


@pytest.mark.parametrize(
    "ask",
    [
        lambda parts, video: control.retry(parts, video, CHOICES),
        lambda parts, video: control.resume(parts, video, CHOICES),
        lambda parts, video: control.edit(parts, video, 1, NEW),
    ],
    ids=["retry", "resume", "edit"],
)
def test_while_a_video_is_made_only_a_cancel_is_taken(parts: Parts, ask: Callable[..., object]) -> None:
    video = handed_out(parts)

    with pytest.raises(RefusedError) as raised:
        ask(parts, video)

    assert (raised.value.code, raised.value.http_status) == ("still_working", 409)
    assert "cancel" in raised.value.sentence
    assert parts.store.get_video(video.id) == video


def test_of_two_who_read_the_same_video_one_is_told_that_it_works(parts: Parts, renderer: Renderer) -> None:
    video, begun = failed(parts), len(renderer.jobs)

    control.retry(parts, video, CHOICES)
    with pytest.raises(RefusedError) as raised:
        control.resume(parts, video, CHOICES)

    assert raised.value.code == "still_working"
    assert jobs_after(renderer, begun) == [2, 3]


def test_without_a_renderer_the_wish_is_kept_and_carried_out_later(parts: Parts, renderer: Renderer) -> None:
    video = failed(parts)
    renderer.busy = True
    begun = len(renderer.jobs)

    after = control.retry(parts, video, CHOICES)
    assert (after.status, after.stage[:22]) == (VideoStatus.RENDERING, "Waiting for a renderer")

    renderer.busy = False
    look(parts, video)
    assert jobs_after(renderer, begun) == [2, 3]


# ---- edit


def test_editing_a_scene_makes_that_scene_anew_and_keeps_the_film_meanwhile(parts: Parts, renderer: Renderer) -> None:
    video, begun = completed(parts), len(renderer.jobs)

    after = control.edit(parts, video, 2, replace(NEW, title="Gulls"))

    scene = scene_of(parts, video, 2)
    assert (scene.narration, scene.title, scene.status) == (NEW.narration, "Gulls", SceneStatus.PLANNED)
    assert jobs_after(renderer, begun) == [2]
    assert (after.progress, after.final_file_id, after.current_scene) == (60, "film", 2)
    log = [e for e in parts.store.events(video.id) if e.kind == EventKind.EDITED]
    assert [(e.scene_number, e.sentence) for e in log] == [(2, "A person changed the narration, title of scene 2.")]


def test_a_change_to_what_is_there_already_changes_nothing(parts: Parts, renderer: Renderer) -> None:
    video, begun = completed(parts), len(renderer.jobs)

    assert control.edit(parts, video, 1, SceneEdit(narration=scene_of(parts, video, 1).narration)) == video
    assert parts.store.get_video(video.id) == video
    assert len(renderer.jobs) == begun


def test_the_same_edit_twice_is_done_once(parts: Parts, renderer: Renderer) -> None:
    video, begun = completed(parts), len(renderer.jobs)

    first = control.edit(parts, video, 2, NEW)
    second = control.edit(parts, first, 2, NEW)

    assert second == first
    assert jobs_after(renderer, begun) == [2]


def test_an_edit_that_makes_the_film_too_large_is_refused(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    video = completed(parts)
    monkeypatch.setattr(parts.files, "max_bytes", lambda _: 2_000_000)

    with pytest.raises(InvalidInputError) as raised:
        control.edit(parts, video, 2, SceneEdit(narration="The boats come home. " * 180))

    assert (raised.value.code, raised.value.field) == ("film_too_large", "narration")
    assert parts.store.get_video(video.id) == video


def test_a_scene_that_is_not_there_cannot_be_edited(parts: Parts) -> None:
    with pytest.raises(NotFoundError) as raised:
        control.edit(parts, completed(parts), 4, NEW)
    assert raised.value.code == "scene_not_found"


# ---- delete


def keep_file(parts: Parts, video: Video, folder: Path, kind: str) -> str:
    """Make an asset of some bytes; the id of its file."""
    path = folder / f"{secrets.token_hex(4)}.{'srt' if kind == 'srt' else 'jpg' if kind == 'picture' else 'mp4'}"
    path.write_bytes(secrets.token_bytes(2000))
    return assets.keep(parts, video, kind, secrets.token_hex(32), path, {}).file_id


def test_deleting_takes_rows_and_files_and_leaves_what_the_person_uploaded(parts: Parts, tmp_path: Path) -> None:
    video, other = completed(parts), completed(parts)
    made = {kind: keep_file(parts, video, tmp_path, kind) for kind in ("picture", "clip", "film", "srt")}
    kept = keep_file(parts, other, tmp_path, "clip")
    song = tmp_path / "song.mp3"
    song.write_bytes(b"ID3" + bytes(100))
    parts.files.upload(UPLOADS, f"song-{video.id}", song, "someone")

    assert control.delete(parts, video)

    with pytest.raises(NotFoundError):
        parts.store.get_video(video.id)
    assert [parts.store.scenes(video.id), parts.store.assets(video.id), parts.store.events(video.id)] == [[], [], []]
    assert [kind for kind, file_id in made.items() if parts.files.stat(BUCKET_OF[kind], file_id)] == []
    assert parts.files.stat(UPLOADS, f"song-{video.id}")
    assert parts.files.stat(BUCKET_OF["clip"], kept)
    assert parts.store.get_video(other.id) == other
    with pytest.raises(NotFoundError):
        control.delete(parts, video)


def test_while_a_renderer_may_still_write_the_row_stays_until_the_sweep_comes(
    parts: Parts, renderer: Renderer, tmp_path: Path
) -> None:
    video = handed_out(parts)

    assert not control.delete(parts, video)  # every call is still pending

    marked = parts.store.get_video(video.id)
    assert (marked.status, marked.stage, renderer.cancelled) == (
        VideoStatus.CANCELLED,
        "Deleting",
        ["call-1", "call-2"],
    )
    with pytest.raises(NotFoundError):
        control.resume(parts, marked, CHOICES)
    late = keep_file(parts, video, tmp_path, "clip")  # the renderer had not heard of it yet
    parts.clock.sleep(SETTINGS.stale_seconds + 1)
    with pytest.raises(NotFoundError):
        look(parts, video)
    assert parts.files.stat(BUCKET_OF["clip"], late) is None


def test_calls_that_have_ended_are_not_waited_for(parts: Parts, renderer: Renderer) -> None:
    video = handed_out(parts)
    renderer.state = CallState.FAILED

    assert control.delete(parts, video)


# ---- by hand


def process(parts: Parts, video: Video) -> Video:
    """Ask the function to look after one video, as its owner."""
    path = f"/videos/{video.id}/process"
    call = Call("http", "", "POST", path, {}, "", video.owner_id, "")
    assert answer(parts, CHOICES, call).status == 202
    return parts.store.get_video(video.id)


def test_processing_a_queued_video_plans_it_at_once(parts: Parts, renderer: Renderer) -> None:
    assert process(parts, queued(parts)).status is VideoStatus.RENDERING
    assert jobs_after(renderer, 0) == [1, 2, 3]


def test_processing_leaves_alone_what_somebody_works_on_and_what_has_ended_well(
    parts: Parts, renderer: Renderer
) -> None:
    working = handed_out(parts)
    cancelled = control.cancel(parts, handed_out(parts))
    for video in (working, completed(parts), cancelled):
        begun = len(renderer.jobs)
        assert process(parts, video) == video
        assert len(renderer.jobs) == begun


def test_processing_helps_a_video_whose_renderer_is_gone_and_one_that_failed(parts: Parts, renderer: Renderer) -> None:
    silent, broken = handed_out(parts), failed(parts)
    renderer.state, begun = CallState.LOST, len(renderer.jobs)
    assert silent.due_at is not None
    parts.clock.sleep((datetime.fromisoformat(silent.due_at) - parts.clock.now()).total_seconds() + 1)

    assert process(parts, silent).attempt > silent.attempt
    assert jobs_after(renderer, begun) == [1, 2, 3]
    begun = len(renderer.jobs)
    assert process(parts, broken).status is VideoStatus.RENDERING
    assert jobs_after(renderer, begun) == [2, 3]


# ---- whoever dies between two writes is followed


class DiedError(BaseException):
    """The process is gone: nobody catches it."""


class Mortal(AppwriteClient):
    """Sends so many writes and then nothing any more."""

    left = -1  # without end

    def call(self, method: str, *arguments: Any, **named: Any) -> Any:
        if method != "get":
            if self.left == 0:
                raise DiedError
            self.left -= 1
        return super().call(method, *arguments, **named)


_WISHES: dict[str, tuple[Callable[[Parts], Video], Callable[[Parts, Video], object], str, list[int]]] = {
    "cancel": (handed_out, control.cancel, "cancelled", []),
    "retry": (failed, lambda p, v: control.retry(p, v, CHOICES), "rendering", [2, 3]),
    "retry substituted": (
        lambda p: completed(p, substituted=2), lambda p, v: control.retry(p, v, CHOICES), "rendering", [2],
    ),
    "retry unplanned": (
        lambda p: p.store.advance(queued(p), status=VideoStatus.FAILED),
        lambda p, v: control.retry(p, v, CHOICES), "rendering", [1, 2, 3],
    ),
    "edit": (completed, lambda p, v: control.edit(p, v, 2, NEW), "rendering", [2]),
    "resume join": (
        lambda p: p.store.advance(completed(p), error_code="any"),
        lambda p, v: control.resume(p, v, CHOICES), "combining", [],
    ),
    "delete": (completed, control.delete, "", []),
}  # fmt: skip


@pytest.mark.parametrize("size", [2000, 6_000_000], ids=["whole", "in part"])
def test_a_file_whose_sender_died_before_its_row_goes_with_its_video(
    appwrite: Running, parts: Parts, tmp_path: Path, size: int
) -> None:
    video, path = completed(parts), tmp_path / "clip.mp4"
    path.write_bytes(secrets.token_bytes(size))
    client = Mortal(appwrite.endpoint, appwrite.project, appwrite.key)
    dying = replace(parts, store=AppwriteStore(client), files=AppwriteFiles(client))
    client.left = 1  # the file, or the first chunk of it
    with pytest.raises(DiedError):
        assets.keep(dying, video, "clip", secrets.token_hex(32), path, {})
    (left,) = set(parts.files.called(BUCKET_OF["clip"], video.id))
    assert left not in {asset.file_id for asset in parts.store.assets(video.id)}

    assert control.delete(parts, video)

    assert [bucket for bucket in set(BUCKET_OF.values()) if parts.files.called(bucket, video.id)] == []
    assert parts.files.stat(BUCKET_OF["clip"], left) is None


@pytest.mark.parametrize("wish", _WISHES)
def test_whenever_the_asking_process_dies_the_sweep_finishes_what_was_written_down(
    appwrite: Running, parts: Parts, renderer: Renderer, wish: str
) -> None:
    """Die before each write in turn: either nothing was recorded, or the sweep brings it to the same end."""
    prepare, ask, status, numbers = _WISHES[wish]
    for writes in range(60):
        renderer.state, renderer.jobs[:] = CallState.PENDING, []
        video = prepare(parts)
        renderer.state, renderer.jobs[:] = CallState.DONE, []
        client = Mortal(appwrite.endpoint, appwrite.project, appwrite.key)
        dying = replace(parts, store=AppwriteStore(client), files=AppwriteFiles(client))
        client.left = writes
        try:
            ask(dying, video)
            died = False
        except DiedError:
            died = True
        if died and writes == 0:
            assert parts.store.get_video(video.id) == video
            continue
        assert ended_as(parts, video, status), f"died before write {writes + 1}"
        if numbers:
            assert set(jobs_after(renderer, 0)) == set(numbers), f"died before write {writes + 1}"
        if wish == "edit":
            assert scene_of(parts, video, 2).narration == NEW.narration
        if not died:
            return
    raise AssertionError("it never came to its end")


def ended_as(parts: Parts, video: Video, status: str) -> bool:
    """Whether sweeps that come when the video is due find or make this of it; "": it is gone."""
    for _ in range(3):
        try:
            there = parts.store.get_video(video.id)
            if there.status == status and (there.is_terminal or read_handle(there).get("calls")):
                return True
            if there.due_at is None:
                return False
            wait = datetime.fromisoformat(there.due_at) - parts.clock.now()
            parts.clock.sleep(max(wait.total_seconds(), 0.0) + 1)
            look(parts, there)
        except NotFoundError:
            return not status
    return False


# ---- with a real renderer


def cpu_of(processes: list[psutil.Process]) -> float:
    """Seconds of processor time these have used so far, as far as they are there."""
    used = 0.0
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            used += sum(process.cpu_times()[:2])
    return used


def test_cancelling_stops_cpu_use_of_the_renderer_within_three_seconds(
    parts: Parts, worker: Worker, long_job: Job
) -> None:
    wait_for(lambda: is_ready(worker), "a free process")
    real = replace(parts, dispatcher=HttpDispatcher(worker.settings, lambda _: None))
    call = real.dispatcher.submit(long_job)
    busy = wait_for(lambda: at_work(worker), "ffmpeg to run")
    read = real.store.get_video(long_job.video_id)
    while True:  # the renderer tells of its progress meanwhile
        with suppress(ConflictError):
            video = real.store.advance(read, handle=json.dumps({"calls": [{"id": call, "kind": "render"}]}))
            break
        read = real.store.get_video(long_job.video_id)

    cancelled_at = time.monotonic()
    control.cancel(real, video)

    wait_for(lambda: not any(map(alive, busy)), "the work to end", 3 - (time.monotonic() - cancelled_at))
    wait_for(lambda: is_ready(worker), "the next process to have its engines")
    before, begun = cpu_of(worker.descendants()), time.monotonic()
    wait_for(lambda: time.monotonic() - begun >= 1, "a second")
    share = (cpu_of(worker.descendants()) - before) / (time.monotonic() - begun)
    assert share < 0.2  # of one core
    assert worker.send("GET", f"/calls/{call}").json()["state"] == "cancelled"
