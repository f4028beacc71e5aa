"""The render server over HTTP, with real processes behind it."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest

from core.adapters.http_dispatch import HttpDispatcher
from core.errors import BusyError, InvalidInputError, UnavailableError
from core.ports import CallState, Job
from core.settings import Settings
from tests.waiting import wait_for

from .conftest import Worker, is_ready, short_job


def body_of(job: Job) -> dict[str, object]:
    """The job as JSON."""
    return {"kind": job.kind, "video_id": job.video_id, "attempt": job.attempt, "scenes": list(job.scenes)}


def state_of(worker: Worker, call_id: str) -> str:
    """What the server says of a call."""
    return str(worker.send("GET", f"/calls/{call_id}").json()["state"])


@contextmanager
def busy(worker: Worker, job: Job) -> Iterator[str]:
    """The only process works on this job; cancelled in the end. Gives the id of the call."""
    wait_for(lambda: is_ready(worker), "a free process")
    call_id = worker.send("POST", "/calls", body_of(job)).json()["call_id"]
    try:
        wait_for(lambda: state_of(worker, call_id) == "running", "the call to begin")
        yield call_id
    finally:
        worker.send("DELETE", f"/calls/{call_id}")


@pytest.mark.parametrize("token", ["", "wrong", "the-right-token-and-more"])
def test_nothing_but_health_is_open_without_the_token(worker: Worker, token: str) -> None:
    wait_for(lambda: is_ready(worker), "a free process")  # another test may have ended the one there was
    for method, path in (("POST", "/calls"), ("GET", "/calls/any"), ("DELETE", "/calls/any")):
        answer = worker.send(method, path, token=token)
        assert (answer.status_code, answer.json()["code"]) == (401, "not_allowed")
        assert worker.token not in answer.text
    assert worker.send("GET", "/health", token=token).status_code == 200


def test_a_job_is_answered_at_once_with_an_id_while_another_is_being_made(worker: Worker, long_job: Job) -> None:
    with busy(worker, long_job):
        asked = time.monotonic()
        answer = worker.send("POST", "/calls", body_of(short_job()))
        seconds = time.monotonic() - asked

        assert answer.status_code == 202
        assert answer.json()["call_id"]
        assert answer.json()["state"] == "waiting"
        assert seconds < 1.0
        assert worker.send("GET", "/health").json()["running"] == 1


def test_a_job_that_is_not_wanted_any_more_is_done_quietly(worker: Worker) -> None:
    job = short_job()
    answer = worker.send("POST", "/calls", body_of(job)).json()

    wait_for(lambda: state_of(worker, answer["call_id"]) == "done", "the call to end")

    told = worker.send("GET", f"/calls/{answer['call_id']}").json()
    assert told == body_of(job) | {"call_id": answer["call_id"], "state": "done", "error": ""}


@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_an_unknown_call_is_not_found(worker: Worker, method: str) -> None:
    answer = worker.send(method, "/calls/call-of-yesterday")

    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


_GOOD = {"kind": "render", "video_id": "v1", "attempt": 1, "scenes": [1]}


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b"{broken", "body"),
        (b"\xff\xfe", "body"),
        ([], "body"),
        ("text", "body"),
        ({}, "kind"),
        (_GOOD | {"kind": "destroy"}, "kind"),
        (_GOOD | {"kind": ["render"]}, "kind"),
        (_GOOD | {"video_id": ""}, "video_id"),
        (_GOOD | {"video_id": "v" * 37}, "video_id"),
        (_GOOD | {"video_id": 7}, "video_id"),
        (_GOOD | {"attempt": -1}, "attempt"),
        (_GOOD | {"attempt": "1"}, "attempt"),
        (_GOOD | {"attempt": True}, "attempt"),
        (_GOOD | {"scenes": "1"}, "scenes"),
        (_GOOD | {"scenes": [0]}, "scenes"),
        (_GOOD | {"scenes": [True]}, "scenes"),
        (_GOOD | {"scenes": [1.5]}, "scenes"),
    ],
)
def test_a_bad_body_is_refused_naming_the_field(worker: Worker, body: object, field: str) -> None:
    answer = worker.send("POST", "/calls", body)

    assert answer.status_code == 400
    assert answer.json()["field"] == field
    assert answer.json()["error"].strip()


def test_a_full_queue_says_when_to_come_back(worker: Worker, long_job: Job) -> None:
    with busy(worker, long_job):
        waiting = [worker.send("POST", "/calls", body_of(short_job())) for _ in range(2)]
        refused = worker.send("POST", "/calls", body_of(short_job()))

        assert [answer.status_code for answer in waiting] == [202, 202]
        assert (refused.status_code, refused.json()["code"]) == (429, "renderer_busy")
        assert int(refused.headers["retry-after"]) > 0
        with pytest.raises(BusyError):
            HttpDispatcher(worker.settings, lambda _: None).submit(short_job())
        for answer in waiting:
            worker.send("DELETE", f"/calls/{answer.json()['call_id']}")
    assert worker.send("GET", "/health").json()["waiting"] == 0


def alive(process: psutil.Process) -> bool:
    """Whether it still does something."""
    with suppress(psutil.NoSuchProcess):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


def at_work(worker: Worker) -> list[psutil.Process]:
    """The render process and ffmpeg below it, once that runs; else nothing."""
    with suppress(psutil.NoSuchProcess):
        for process in worker.descendants():
            if "ffmpeg" in process.name() and (parent := process.parent()) is not None:
                return [parent, process]
    return []


def rooms_at_work(worker: Worker) -> list[Path]:
    """The scratch folders of processes that do a job."""
    return [room for room in Path(worker.settings.work_dir).glob("*/room-*") if any(room.iterdir())]


def test_cancelling_kills_the_work_with_everything_it_started(worker: Worker, long_job: Job) -> None:
    with busy(worker, long_job) as call_id:
        processes = wait_for(lambda: at_work(worker), "ffmpeg to run")
        (room,) = rooms_at_work(worker)

        answer = worker.send("DELETE", f"/calls/{call_id}")

        assert (answer.status_code, answer.json()["state"]) == (200, "cancelled")
        wait_for(lambda: not any(map(alive, processes)), "the work to end", 3)
        assert state_of(worker, call_id) == "cancelled"
        wait_for(lambda: not room.exists(), "what it left to be removed", 10)
    call = worker.send("POST", "/calls", body_of(short_job())).json()["call_id"]
    wait_for(lambda: state_of(worker, call) == "done", "the next call to be done by a new process", 60)


def test_a_waiting_call_that_is_cancelled_never_begins(worker: Worker, long_job: Job) -> None:
    with busy(worker, long_job):
        call_id = worker.send("POST", "/calls", body_of(short_job())).json()["call_id"]

        assert worker.send("DELETE", f"/calls/{call_id}").json()["state"] == "cancelled"
    wait_for(lambda: is_ready(worker), "a free process", 60)
    assert state_of(worker, call_id) == "cancelled"


def test_a_render_process_that_dies_fails_its_call_and_is_replaced(worker: Worker, long_job: Job) -> None:
    with busy(worker, long_job) as call_id:
        processes = wait_for(lambda: at_work(worker), "ffmpeg to run")
        os.kill(processes[0].pid, signal.SIGKILL)

        wait_for(lambda: not any(map(alive, processes)), "what it had started to end with it", 3)
        wait_for(lambda: state_of(worker, call_id) == "failed", "the call to fail")
        assert worker.send("GET", f"/calls/{call_id}").json()["error"].strip()
    wait_for(lambda: is_ready(worker), "a new process", 60)


# ---- what its dispatcher makes of it


def test_a_renderer_that_cannot_be_reached_is_unknown_not_lost() -> None:
    dispatcher = HttpDispatcher(Settings(render_url="http://127.0.0.1:9"), lambda _: None)

    assert dispatcher.status("any") is CallState.UNKNOWN
    dispatcher.cancel("any")
    with pytest.raises(UnavailableError):
        dispatcher.submit(short_job())


def test_the_wrong_token_is_no_reason_to_count_calls_as_lost(worker: Worker) -> None:
    settings = Settings(render_url=worker.url, render_token="wrong")
    dispatcher = HttpDispatcher(settings, lambda _: None)

    assert dispatcher.status("any") is CallState.UNKNOWN
    with pytest.raises(UnavailableError) as raised:
        dispatcher.submit(short_job())
    assert "wrong" not in raised.value.sentence


@pytest.mark.parametrize(
    "url", ["http://example.org:8000", "ftp://127.0.0.1", "javascript:alert(1)", "https://", "127.0.0.1"]
)
def test_the_token_is_never_sent_over_an_open_network(url: str) -> None:
    with pytest.raises(InvalidInputError) as raised:
        HttpDispatcher(Settings(render_url=url, render_token="secret"), lambda _: None).submit(short_job())
    assert raised.value.field == "render_url"
