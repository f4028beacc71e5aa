"""What the dispatcher for Modal makes of everything that can become of a call, on the model of Modal's server."""

from __future__ import annotations

import secrets
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import modal
import pytest
from grpclib import Status

from core.adapters import modal_dispatch
from core.adapters.appwrite_store import AppwriteStore
from core.adapters.modal_dispatch import ModalDispatcher
from core.errors import BusyError, ScenewrightError, UnavailableError
from core.ports import CallState, Job
from core.settings import Settings
from core.status import SceneStatus
from tests import on_modal
from tests.emulator.conftest import Running
from tests.plane import Plane
from tests.waiting import wait_for

from .conftest import cancel_video, film_job, short_job


@pytest.fixture(scope="module")
def plane(appwrite: Running) -> Iterator[Plane]:
    """The app with one container, so that a second call waits."""
    env = {"SCENEWRIGHT_MODAL_MAX_CONTAINERS": "1", "SCENEWRIGHT_MODAL_SCALEDOWN_SECONDS": "120"}
    with Plane() as started, on_modal.deployed(started, appwrite, env):
        yield started


@pytest.fixture
def dispatcher(plane: Plane) -> ModalDispatcher:
    """As the function has it."""
    return ModalDispatcher(Settings(renderer="modal"))


def begun(plane: Plane, dispatcher: ModalDispatcher, store: AppwriteStore, job: Job) -> str:
    """The id of a call that makes a scene of the job."""
    call_id = dispatcher.submit(job)
    plane.wait(lambda: store.scenes(job.video_id)[0].status is SceneStatus.RENDERING, "a scene in hand")
    return call_id


def ends(dispatcher: ModalDispatcher, call_id: str) -> CallState:
    """What is said of a call once it has ended."""
    wait_for(lambda: dispatcher.status(call_id) not in (CallState.WAITING, CallState.PENDING), "the end", 60)
    return dispatcher.status(call_id)


# ---- how a call ends


def test_a_call_that_returns_is_done(dispatcher: ModalDispatcher) -> None:
    assert ends(dispatcher, dispatcher.submit(short_job())) is CallState.DONE
    assert ends(dispatcher, dispatcher.submit(Job("compose", secrets.token_hex(8), 1))) is CallState.DONE


def test_a_call_that_tells_of_a_failure_for_good_has_failed(dispatcher: ModalDispatcher) -> None:
    call = modal.Function.from_name(on_modal.APP, "compose").spawn({"kind": "dance"})

    assert ends(dispatcher, call.object_id) is CallState.FAILED
    assert call.get()["code"] == "invalid_input"


def test_a_call_whose_container_dies_has_failed(
    plane: Plane, dispatcher: ModalDispatcher, store: AppwriteStore, long_job: Job
) -> None:
    call_id = begun(plane, dispatcher, store, long_job)

    plane.kill(call_id)

    assert ends(dispatcher, call_id) is CallState.FAILED


def test_a_call_that_takes_too_long_has_failed_and_its_scene_has_not(
    plane: Plane, dispatcher: ModalDispatcher, store: AppwriteStore, long_job: Job
) -> None:
    call_id = begun(plane, dispatcher, store, long_job)

    plane.time_out(call_id)

    assert ends(dispatcher, call_id) is CallState.FAILED
    assert not store.get_video(long_job.video_id).is_terminal
    assert {s.status for s in store.scenes(long_job.video_id)} <= {SceneStatus.RENDERING, SceneStatus.PLANNED}


def test_a_preempted_call_goes_on_and_nothing_is_marked_as_failed(
    plane: Plane, dispatcher: ModalDispatcher, store: AppwriteStore
) -> None:
    with film_job(store, 360) as job:
        call_id = begun(plane, dispatcher, store, job)

        plane.preempt(call_id)

        plane.wait(lambda: len(plane.deliveries(call_id)) == 2, "a second delivery")
        assert len({d.input_id for d in plane.deliveries(call_id)}) == 1
        assert not store.get_video(job.video_id).is_terminal
        assert SceneStatus.FAILED not in {scene.status for scene in store.scenes(job.video_id)}
        assert ends(dispatcher, call_id) is CallState.DONE
        assert {scene.status for scene in store.scenes(job.video_id)} == {SceneStatus.RENDERED}


def test_a_call_whose_result_was_forgotten_is_lost(plane: Plane, dispatcher: ModalDispatcher) -> None:
    call_id = dispatcher.submit(short_job())
    ends(dispatcher, call_id)

    plane.forget(call_id)

    assert dispatcher.status(call_id) is CallState.LOST


def test_a_call_of_another_renderer_is_lost_and_nobody_is_asked(plane: Plane, dispatcher: ModalDispatcher) -> None:
    before = plane.seen.total()

    assert dispatcher.status("call-of-a-worker") is CallState.LOST
    dispatcher.cancel("call-of-a-worker")

    assert plane.seen.total() == before


def test_a_cancelled_call_gives_its_container_back(
    plane: Plane, dispatcher: ModalDispatcher, store: AppwriteStore, long_job: Job
) -> None:
    call_id = begun(plane, dispatcher, store, long_job)
    (container,) = plane.running(call_id)

    cancel_video(store, long_job.video_id)
    dispatcher.cancel(call_id)

    assert ends(dispatcher, call_id) is CallState.FAILED
    plane.wait(lambda: container not in plane.containers(on_modal.RENDER), "the end of the container")


# ---- when Modal cannot be asked: unknown is not failed


@pytest.mark.parametrize(
    "status", [Status.UNAUTHENTICATED, Status.PERMISSION_DENIED, Status.RESOURCE_EXHAUSTED, Status.INTERNAL]
)
def test_a_server_that_refuses_to_say_leaves_the_state_unknown(
    plane: Plane, dispatcher: ModalDispatcher, status: Status
) -> None:
    call_id = dispatcher.submit(short_job())
    ends(dispatcher, call_id)

    plane.refuse("FunctionGetOutputs", status, times=20)
    try:
        assert dispatcher.status(call_id) is CallState.UNKNOWN
    finally:
        plane.refuse("FunctionGetOutputs", status, times=0)

    assert dispatcher.status(call_id) is CallState.DONE


def test_a_server_that_is_not_there_is_unknown_and_no_wait_is_long(
    plane: Plane, dispatcher: ModalDispatcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(modal_dispatch, "_SECONDS", 1.0)
    with plane.speaking(MODAL_SERVER_URL="http://127.0.0.1:9"):
        asked = time.monotonic()

        assert dispatcher.status("fc-1") is CallState.UNKNOWN
        dispatcher.cancel("fc-1")
        with pytest.raises(UnavailableError) as raised:
            dispatcher.submit(short_job())

        assert time.monotonic() - asked < 20  # the client alone would try for a minute each time
    assert raised.value.code == "modal_silent"


# ---- submitting


def test_a_lost_reply_makes_no_second_call(plane: Plane, dispatcher: ModalDispatcher) -> None:
    before = plane.calls(on_modal.RENDER)
    plane.lose_replies("FunctionMap")

    call_id = dispatcher.submit(short_job())

    assert plane.calls(on_modal.RENDER) == [*before, call_id]


def test_a_submit_returns_before_any_container_is_there(plane: Plane, dispatcher: ModalDispatcher) -> None:
    plane.wait(lambda: not plane.containers(on_modal.COMPOSE), "the end of idle containers")
    with plane.held(on_modal.COMPOSE):
        call_id = dispatcher.submit(Job("compose", secrets.token_hex(8), 1))

        assert dispatcher.status(call_id) is CallState.WAITING
    assert ends(dispatcher, call_id) is CallState.DONE


def refused(plane: Plane, settings: Settings, **changes: str | None) -> ScenewrightError:
    """What a submit says with these variables changed."""
    with plane.speaking(**changes), pytest.raises(ScenewrightError) as raised:
        ModalDispatcher(settings).submit(short_job())
    assert raised.value.retryable  # the video waits, and goes on when somebody has put it right
    return raised.value


def test_a_missing_token_is_named(plane: Plane) -> None:
    error = refused(plane, Settings(), MODAL_TOKEN_ID=None, MODAL_TOKEN_SECRET=None)

    assert error.code == "modal_token"
    assert "MODAL_TOKEN_ID" in error.sentence


def test_an_app_that_is_not_deployed_is_named_with_what_to_do(plane: Plane) -> None:
    error = refused(plane, Settings(modal_app="nowhere"))

    assert error.code == "modal_app_missing"
    assert "'nowhere'" in error.sentence
    assert "modal deploy" in error.sentence


def test_a_wrong_environment_is_named(plane: Plane) -> None:
    error = refused(plane, Settings(), MODAL_ENVIRONMENT="elsewhere")

    assert error.code == "modal_app_missing"
    assert "'elsewhere'" in error.sentence


def test_no_message_holds_the_token(plane: Plane, dispatcher: ModalDispatcher) -> None:
    plane.refuse("FunctionMap", Status.PERMISSION_DENIED)

    with pytest.raises(UnavailableError) as raised:
        dispatcher.submit(short_job())

    assert "as-plane" not in raised.value.sentence
    assert "ak-plane" not in raised.value.sentence


def test_a_server_that_is_full_says_come_back(
    plane: Plane, dispatcher: ModalDispatcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MODAL_MAX_THROTTLE_WAIT", "0")
    plane.refuse("FunctionMap", Status.RESOURCE_EXHAUSTED)

    with pytest.raises(BusyError):
        dispatcher.submit(short_job())


# ---- who calls needs nothing of ours


def test_a_process_without_the_projects_source_can_call(plane: Plane, tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "sys.meta_path[:] = [f for f in sys.meta_path if '__editable__' not in getattr(f, '__module__', '')]\n"
        "sys.path[:] = [p for p in sys.path if '__editable__' not in p]\n"
        "import modal\n"
        "job = {'kind': 'render', 'video_id': 'nothing', 'attempt': 1, 'scenes': [1]}\n"
        "print(modal.Cls.from_name('scenewright', 'Renderer')().render.spawn(job).get(timeout=60))\n"
        "try:\n"
        "    import core\n"
        "except ImportError:\n"
        "    print('alone')\n"
    )
    env = {**plane.env, "HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=env, capture_output=True, text=True, check=False
    )

    assert done.stdout == "{'state': 'done'}\nalone\n", done.stderr
