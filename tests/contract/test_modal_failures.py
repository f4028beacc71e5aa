"""Everything that can become of a call on Modal, as its client tells it and as the dispatcher says it.

The table is the one of the sweep: done, failed, lost, or unknown, and unknown changes nothing.
"""

from __future__ import annotations

import contextlib
import inspect
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import modal
import pytest
from grpclib import Status

from core.adapters import modal_dispatch
from core.adapters.modal_dispatch import ModalDispatcher
from core.errors import BusyError, UnavailableError
from core.ports import CallState, Job
from core.settings import Settings
from tests.plane import Plane

SAMPLE = Path(__file__).parent.parent / "data" / "modal_sample"
Call = modal.FunctionCall[Any]


@pytest.fixture(scope="module")
def running_plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plane]:
    """A plane with the sample Apps deployed."""
    folder = tmp_path_factory.mktemp("sample")
    with Plane(env={"SAMPLE_FOLDER": str(folder)}, secrets={"sample-backend": {"SAMPLE_KEY": "k"}}) as plane:
        plane.deploy("sample_app.py", cwd=SAMPLE)
        with plane.speaking():
            yield plane
        assert not plane.unimplemented


@pytest.fixture
def plane(running_plane: Plane) -> Plane:
    """The plane, with nothing said yet by its containers and nothing let go."""
    for name in ("notes", "go"):
        (folder(running_plane) / name).unlink(missing_ok=True)
    return running_plane


@pytest.fixture
def dispatcher() -> ModalDispatcher:
    """The project's own way to Modal."""
    return ModalDispatcher(Settings(modal_app="sample"))


def folder(plane: Plane) -> Path:
    """Where the containers and the test leave each other word."""
    return Path(plane.means.env["SAMPLE_FOLDER"])


def notes(plane: Plane) -> list[str]:
    """What the containers have said, without the ids of inputs."""
    file = folder(plane) / "notes"
    return [line.split()[0] for line in file.read_text().splitlines()] if file.exists() else []


def begun(plane: Plane, times: int = 1) -> None:
    """Wait until that many containers are at work."""
    plane.wait(lambda: notes(plane).count("begun") >= times, f"{times} begun")


def job(act: str) -> Job:
    """A job the sample App understands."""
    return Job(kind="compose", video_id=act, attempt=1)


def outcome(call_id: str, timeout: float = 60) -> BaseException | None:
    """What a caller gets to see instead of a value."""
    try:
        Call.from_id(call_id).get(timeout=timeout)
    except BaseException as error:
        return error
    return None


def test_a_value_is_done(plane: Plane, dispatcher: ModalDispatcher) -> None:
    call = dispatcher.submit(job("value"))

    assert Call.from_id(call).get(timeout=60) == {"state": "done"}
    assert dispatcher.status(call) is CallState.DONE


def test_a_value_that_says_failed_is_failed(plane: Plane, dispatcher: ModalDispatcher) -> None:
    call = dispatcher.submit(job("refuse"))

    assert Call.from_id(call).get(timeout=60)["code"] == "sample"
    assert dispatcher.status(call) is CallState.FAILED


def test_a_call_is_waiting_through_a_cold_start_and_pending_once_it_runs(
    plane: Plane, dispatcher: ModalDispatcher
) -> None:
    with plane.held("Renderer.*"):
        call = dispatcher.submit(Job(kind="render", video_id="value", attempt=1, scenes=(1,)))

        assert type(outcome(call, timeout=0)) is TimeoutError
        assert dispatcher.status(call) is CallState.WAITING
    assert outcome(call) is None

    running = dispatcher.submit(job("wait"))
    begun(plane)
    assert type(outcome(running, timeout=0)) is TimeoutError
    assert dispatcher.status(running) is CallState.PENDING
    (folder(plane) / "go").touch()
    assert outcome(running) is None


def test_a_result_that_the_server_has_forgotten_is_lost(plane: Plane, dispatcher: ModalDispatcher) -> None:
    call = dispatcher.submit(job("value"))
    assert outcome(call) is None
    plane.forget(call)

    assert type(outcome(call, timeout=0)) is modal.exception.OutputExpiredError
    assert dispatcher.status(call) is CallState.LOST


def test_a_call_the_server_denies_is_lost(plane: Plane, dispatcher: ModalDispatcher) -> None:
    call = dispatcher.submit(job("value"))
    assert outcome(call) is None

    plane.refuse("FunctionGetOutputs", Status.NOT_FOUND, 2)
    assert type(outcome(call)) is modal.exception.NotFoundError
    assert dispatcher.status(call) is CallState.LOST


def test_an_error_of_the_code_is_failed(plane: Plane, dispatcher: ModalDispatcher) -> None:
    call = dispatcher.submit(job("raise"))

    error = outcome(call)
    assert type(error) is ValueError
    assert str(error) == "This cannot be made."
    assert dispatcher.status(call) is CallState.FAILED


def test_an_error_whose_class_the_caller_lacks_is_failed(plane: Plane, dispatcher: ModalDispatcher) -> None:
    call = dispatcher.submit(job("raise a foreign error"))

    error = outcome(call)
    assert type(error) is modal.exception.ExecutionError
    assert "Could not deserialize remote exception" in str(error)
    assert dispatcher.status(call) is CallState.FAILED


def test_an_attempt_that_takes_too_long_is_stopped_and_failed(plane: Plane, dispatcher: ModalDispatcher) -> None:
    call = dispatcher.submit(job("wait"))
    begun(plane)
    plane.time_out(call)

    assert type(outcome(call)) is modal.exception.FunctionTimeoutError
    assert dispatcher.status(call) is CallState.FAILED
    plane.wait(lambda: notes(plane) == ["begun", "InputCancellation"], "cancellation inside the container")


def test_a_timeout_strikes_by_itself(plane: Plane, dispatcher: ModalDispatcher) -> None:
    call = modal.Function.from_name("sample", "take_long").spawn()

    assert type(outcome(call.object_id)) is modal.exception.FunctionTimeoutError


def test_a_container_killed_for_its_memory_fails_its_call(plane: Plane, dispatcher: ModalDispatcher) -> None:
    call = dispatcher.submit(job("wait"))
    begun(plane)
    plane.kill(call)

    error = outcome(call)
    assert type(error) is modal.exception.RemoteError
    assert "code 137" in str(error)
    assert dispatcher.status(call) is CallState.FAILED
    assert notes(plane) == ["begun"]


def test_a_call_that_is_cancelled_ends_inside_too(plane: Plane, dispatcher: ModalDispatcher) -> None:
    call = dispatcher.submit(job("wait"))
    begun(plane)
    Call.from_id(call).cancel()

    assert type(outcome(call)) is modal.exception.RemoteError
    assert dispatcher.status(call) is CallState.FAILED
    plane.wait(lambda: notes(plane) == ["begun", "InputCancellation"], "cancellation inside the container")


def test_a_call_that_is_cancelled_before_it_begins_never_begins(plane: Plane, dispatcher: ModalDispatcher) -> None:
    with plane.held("Renderer.*"):
        call = dispatcher.submit(Job(kind="render", video_id="value", attempt=1, scenes=(1,)))
        dispatcher.cancel(call)

    assert type(outcome(call)) is modal.exception.RemoteError
    assert plane.deliveries(call) == []


def test_a_preempted_input_is_delivered_again_as_if_nothing_had_been(plane: Plane, dispatcher: ModalDispatcher) -> None:
    call = dispatcher.submit(Job(kind="render", video_id="value", attempt=1))
    assert outcome(call) is None
    spawned = modal.Cls.from_name("sample", "Renderer")().render.spawn({"video_id": "value", "wait": True})
    plane.wait(lambda: notes(plane).count("rendered") == 2, "second rendered")
    plane.preempt(spawned.object_id)
    plane.wait(lambda: notes(plane).count("rendered") == 3, "second delivery")
    (folder(plane) / "go").touch()

    assert outcome(spawned.object_id) is None
    first, second = plane.deliveries(spawned.object_id)
    assert first.input_id == second.input_id
    assert (first.retry_count, second.retry_count) == (0, 0)
    assert first.task_id != second.task_id
    assert "left" in notes(plane)  # the exit hook ran


def test_an_expired_lease_lets_two_copies_run_at_once_and_the_first_result_counts(
    plane: Plane, dispatcher: ModalDispatcher
) -> None:
    call = dispatcher.submit(job("wait"))
    begun(plane)
    plane.expire_lease(call)
    begun(plane, 2)
    assert len(plane.running(call)) == 2
    told = plane.seen["FunctionPutOutputs"]
    (folder(plane) / "go").touch()
    plane.wait(lambda: plane.seen["FunctionPutOutputs"] == told + 2, "both outputs")

    assert outcome(call) is None
    first, second = plane.deliveries(call)
    assert (first.input_id, first.retry_count) == (second.input_id, second.retry_count)
    assert len(plane.call(call).outputs) == 1


def test_a_lost_reply_to_a_spawn_makes_no_second_call(plane: Plane, dispatcher: ModalDispatcher) -> None:
    before, asked = len(plane.calls("compose")), plane.seen["FunctionMap"]
    plane.lose_replies("FunctionMap")
    call = dispatcher.submit(job("value"))

    assert plane.seen["FunctionMap"] - asked == 2
    assert plane.calls("compose")[before:] == [call]
    assert outcome(call) is None


def test_a_spawn_whose_every_reply_is_lost_is_one_stray_call(plane: Plane, dispatcher: ModalDispatcher) -> None:
    before = len(plane.calls("compose"))
    plane.lose_replies("FunctionMap", 4)

    with pytest.raises(UnavailableError):
        dispatcher.submit(job("value"))
    (stray,) = plane.calls("compose")[before:]
    assert outcome(stray) is None  # it runs; only its newer attempt tells that nobody wants it


def test_a_module_the_image_does_not_carry_is_missed_when_the_code_asks_for_it(
    plane: Plane, dispatcher: ModalDispatcher
) -> None:
    call = dispatcher.submit(job("import what is left out"))

    error = outcome(call)
    assert type(error) is ModuleNotFoundError
    assert "left_out" in str(error)
    assert dispatcher.status(call) is CallState.FAILED


def test_containers_see_nothing_of_a_checkout_that_is_installed_in_place(plane: Plane) -> None:
    error = outcome(modal.Function.from_name("sample", "compose").spawn({"video_id": "import the project"}).object_id)

    assert type(error) is ModuleNotFoundError


def test_an_app_that_cannot_be_imported_fails_every_call_without_retry(plane: Plane) -> None:
    plane.deploy("broken_app.py", cwd=SAMPLE)
    broken = ModalDispatcher(Settings(modal_app="broken"))
    call = broken.submit(job("value"))

    assert type(outcome(call)) is ModuleNotFoundError
    assert broken.status(call) is CallState.FAILED
    assert plane.deliveries(call) == []


def test_a_container_that_dies_at_its_start_is_started_again_and_the_call_only_waits(
    plane: Plane, dispatcher: ModalDispatcher
) -> None:
    plane.crash_at_start("fail_once", 2)
    before = plane.starts("fail_once")
    (folder(plane) / "failed").touch()
    call = modal.Function.from_name("sample", "fail_once").spawn()

    assert call.get(timeout=60) == "well"
    assert plane.starts("fail_once") - before == 3
    assert len(plane.deliveries(call.object_id)) == 1


def test_without_a_token_a_call_is_unknown(plane: Plane, dispatcher: ModalDispatcher) -> None:
    call = dispatcher.submit(job("value"))
    assert outcome(call) is None

    with plane.speaking(MODAL_TOKEN_ID=None, MODAL_TOKEN_SECRET=None):
        assert type(outcome(call)) is modal.exception.AuthError
        assert dispatcher.status(call) is CallState.UNKNOWN
    assert dispatcher.status(call) is CallState.DONE


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (Status.UNAUTHENTICATED, modal.exception.AuthError),
        (Status.RESOURCE_EXHAUSTED, modal.exception.ResourceExhaustedError),
        (Status.UNAVAILABLE, modal.exception.ServiceError),
        (Status.INTERNAL, modal.exception.InternalError),
        (Status.PERMISSION_DENIED, modal.exception.PermissionDeniedError),
        (Status.DATA_LOSS, modal.exception.DataLossError),
    ],
)
def test_a_server_that_cannot_say_leaves_the_call_unknown(
    plane: Plane, dispatcher: ModalDispatcher, status: Status, error: type[Exception]
) -> None:
    call = dispatcher.submit(job("value"))
    assert outcome(call) is None

    with refused(plane, "FunctionGetOutputs", status):
        assert type(outcome(call)) is error
        assert dispatcher.status(call) is CallState.UNKNOWN
    assert dispatcher.status(call) is CallState.DONE


def test_a_server_that_throttles_is_not_waited_for(plane: Plane, dispatcher: ModalDispatcher) -> None:
    before, asked = len(plane.calls("compose")), plane.seen["FunctionMap"]
    plane.refuse("FunctionMap", Status.RESOURCE_EXHAUSTED, 1000, retry_after=6)

    with pytest.raises(BusyError):
        dispatcher.submit(job("value"))
    plane.refuse("FunctionMap", Status.RESOURCE_EXHAUSTED, 0)
    assert plane.seen["FunctionMap"] - asked == 1
    assert len(plane.calls("compose")) == before


@contextlib.contextmanager
def refused(plane: Plane, name: str, status: Status) -> Iterator[None]:
    """Meanwhile no call of that name is answered; the client's own retries find the same."""
    plane.refuse(name, status, 1000)
    try:
        yield
    finally:
        plane.refuse(name, status, 0)


def test_an_app_that_is_not_deployed_is_not_found(plane: Plane) -> None:
    with pytest.raises(modal.exception.NotFoundError):
        modal.Function.from_name("nowhere", "compose").spawn({})


def test_a_server_that_cannot_be_reached_leaves_the_call_unknown(
    plane: Plane, dispatcher: ModalDispatcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    call = dispatcher.submit(job("value"))
    assert outcome(call) is None

    with plane.speaking(MODAL_SERVER_URL=f"http://127.0.0.1:{closed_port()}"), monkeypatch.context() as hasty:
        hasty.setattr(modal_dispatch, "_SECONDS", 1.0)
        assert dispatcher.status(call) is CallState.UNKNOWN
    with plane.speaking(MODAL_SERVER_URL=f"http://127.0.0.1:{closed_port()}"), monkeypatch.context() as hasty:
        hasty.setattr("modal._utils.grpc_utils.create_channel_with_fallbacks", impatient())
        assert type(outcome(call)) is modal.exception.ConnectionError
    assert dispatcher.status(call) is CallState.DONE


def impatient() -> Callable[..., Any]:
    """The client's way to connect without its minute of new tries."""
    from modal._utils import grpc_utils

    once: Callable[..., Any] = inspect.unwrap(grpc_utils.create_channel_with_fallbacks)
    return once


def closed_port() -> int:
    """A port nobody listens on."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])
