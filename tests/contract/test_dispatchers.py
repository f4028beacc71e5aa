"""What every dispatcher promises, whichever renderer stands behind it."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from core.adapters.appwrite_store import AppwriteStore
from core.adapters.http_dispatch import HttpDispatcher
from core.adapters.inline_dispatch import InlineDispatcher
from core.adapters.modal_dispatch import ModalDispatcher
from core.ports import CallState, Dispatcher, Job
from core.status import SceneStatus
from core.wiring import build_engines, build_parts, run_job
from tests import on_modal
from tests.emulator.conftest import Running
from tests.plane import Plane
from tests.waiting import wait_for

from .conftest import Worker, cancel_video, is_ready, short_job


@pytest.fixture(scope="module")
def plane(appwrite: Running) -> Iterator[Plane]:
    """The app on Modal's side, with one container that stays."""
    env = {
        "SCENEWRIGHT_REPORT_SECONDS": "0.2",
        "SCENEWRIGHT_MODAL_MAX_CONTAINERS": "1",
        "SCENEWRIGHT_MODAL_SCALEDOWN_SECONDS": "120",
    }
    with Plane() as started, on_modal.deployed(started, appwrite, env):
        yield started


@pytest.fixture(params=["http", "inline", "modal"])
def dispatcher(request: pytest.FixtureRequest, worker: Worker) -> Iterator[Dispatcher]:
    """All, each with one place to work at, on the same documents."""
    if request.param == "modal":
        request.getfixturevalue("plane")
        yield ModalDispatcher(worker.settings)
        return
    if request.param == "http":
        wait_for(lambda: is_ready(worker), "a free process", 60)
        yield HttpDispatcher(worker.settings, lambda _: None)
        return
    parts, engines = build_parts(worker.settings), build_engines(worker.settings)
    inline = InlineDispatcher(1)
    inline.run = lambda job: run_job(parts, engines, job)
    yield inline
    inline.wait(30)


def test_a_job_gets_an_id_at_once_and_ends_as_done(dispatcher: Dispatcher) -> None:
    call_id = dispatcher.submit(short_job())

    assert call_id
    wait_for(lambda: dispatcher.status(call_id) is CallState.DONE, "the call to end")


def test_every_call_has_an_id_of_its_own(dispatcher: Dispatcher) -> None:
    job = short_job()

    assert len({dispatcher.submit(job) for _ in range(2)}) == 2


def test_a_call_that_nobody_knows_is_lost_and_cancelling_it_is_no_error(dispatcher: Dispatcher) -> None:
    dispatcher.cancel("call-of-yesterday")

    assert dispatcher.status("call-of-yesterday") is CallState.LOST


def test_a_call_is_pending_while_its_scenes_are_made_and_submitting_never_waits_for_it(
    dispatcher: Dispatcher, store: AppwriteStore, long_job: Job
) -> None:
    call_id = dispatcher.submit(long_job)
    wait_for(lambda: store.scenes(long_job.video_id)[0].status is SceneStatus.RENDERING, "a scene to be taken")

    asked = time.monotonic()
    waiting = dispatcher.submit(short_job())

    assert time.monotonic() - asked < 1.0
    assert dispatcher.status(call_id) is CallState.PENDING
    assert dispatcher.status(waiting) is CallState.WAITING
    end(dispatcher, store, call_id, long_job)
    wait_for(lambda: dispatcher.status(waiting) is CallState.DONE, "the waiting call to be done", 60)


def end(dispatcher: Dispatcher, store: AppwriteStore, call_id: str, job: Job) -> None:
    """Cancel a call as the product does: the document first, then the renderer."""
    cancel_video(store, job.video_id)
    dispatcher.cancel(call_id)


def test_a_cancelled_video_is_soon_no_longer_worked_on(
    dispatcher: Dispatcher, store: AppwriteStore, long_job: Job
) -> None:
    call_id = dispatcher.submit(long_job)
    wait_for(lambda: store.scenes(long_job.video_id)[0].status is SceneStatus.RENDERING, "a scene to be taken")

    end(dispatcher, store, call_id, long_job)

    wait_for(lambda: dispatcher.status(call_id) is not CallState.PENDING, "the call to end", 10)
    assert all(scene.status is not SceneStatus.RENDERED for scene in store.scenes(long_job.video_id))


def test_a_waiting_call_that_is_cancelled_is_never_done(
    dispatcher: Dispatcher, store: AppwriteStore, long_job: Job
) -> None:
    call_id = dispatcher.submit(long_job)
    wait_for(lambda: store.scenes(long_job.video_id)[0].status is SceneStatus.RENDERING, "a scene to be taken")
    waiting = dispatcher.submit(short_job())

    dispatcher.cancel(waiting)

    end(dispatcher, store, call_id, long_job)
    wait_for(lambda: dispatcher.status(call_id) is not CallState.PENDING, "the call to end", 10)
    assert dispatcher.status(waiting) is CallState.FAILED
