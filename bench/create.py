"""How soon the function answers twenty clients who create videos at once, each of which is planned meanwhile."""

from __future__ import annotations

import json
import multiprocessing
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from statistics import median

from bench import local
from bench.figures import Figure, Topic, percentile
from bench.machine import Machine, family_cpu_seconds
from core import stack as stacks
from core.adapters.appwrite_store import AppwriteStore
from core.schema import FUNCTION
from core.status import VideoStatus
from core.watch import Session

_CLIENTS = 20
_PERIOD = 1.0  # seconds between two creations of one client
_MEDIAN_MS, _WORST_MS = 50.0, 100.0
_BACKLOG_SECONDS = 120.0
_SCRIPT = (
    "A river is born from rain and melting snow, high up in the mountains.\n\n"
    "It runs down the valleys, and on its way it carries sand and stones.\n\n"
    "At last it reaches the sea, slow and wide, and its journey is over."
)


@dataclass(frozen=True, slots=True)
class Answer:
    """One creation as its client saw it."""

    milliseconds: float
    status: int  # of the function
    late: float  # seconds by which it was sent after its time: the client itself could not keep up


def measure(*, quick: bool) -> Topic:
    """Let twenty clients in one other process create a video per second each; the renderer only says yes."""
    rounds = 4 if quick else 15
    with local.running() as stack, _yes_saying_renderer(local.stop_renderer(stack)):
        sessions = [local.user(stack, f"client-{number}") for number in range(_CLIENTS)]
        local.create(sessions[0], _SCRIPT)  # the function's first execution loads it
        used = family_cpu_seconds(stack.pids[stacks.SERVER])
        context = multiprocessing.get_context("spawn")
        with context.Pool(1) as process:
            answers: list[Answer] = process.apply(_clients, (sessions, rounds))
        behind = _planned(stack)
        used = family_cpu_seconds(stack.pids[stacks.SERVER]) - used
    wrong = [answer.status for answer in answers if answer.status != 202]
    if wrong:
        raise ValueError(f"{len(wrong)} of {len(answers)} creations were answered {wrong[0]}")
    times = [answer.milliseconds for answer in answers]
    rate = _CLIENTS / _PERIOD
    return Topic(
        "create",
        f"{_CLIENTS} clients on kept connections, each creating {rounds} videos of 3 scenes, one per {_PERIOD:g} s, "
        f"starts spread evenly: {rate:g} creations per second, and {rate:g} plannings per second behind them on the "
        "same cores; rendering switched off (a server that takes every call and does nothing).",
        (
            Figure("answer, median", median(times), "ms", _MEDIAN_MS, beside=f"{len(times)} creations, all accepted"),
            Figure("answer, 99th percentile", percentile(times, 0.99), "ms", _WORST_MS),
            Figure("slowest answer", max(times), "ms"),
            Figure(
                "processor time per video, created and planned",
                used * 1000 / len(times),
                "CPU-ms",
                beside=f"server and function: {used * rate / len(times):.2f} of {_cores()} cores at this rate",
            ),
            Figure("last planning done after the last answer", behind, "s"),
        ),
        (f"Clients sent at most {max(a.late for a in answers) * 1000:.0f} ms after their time.",),
    )


def _cores() -> int:
    return Machine.here().cores


# ---- the clients, in a process of their own


def _clients(sessions: list[Session], rounds: int) -> list[Answer]:
    begin = time.perf_counter() + 0.5
    with ThreadPoolExecutor(len(sessions)) as pool:
        lists = pool.map(
            lambda numbered: _client(numbered[1], begin + numbered[0] * _PERIOD / len(sessions), rounds),
            enumerate(sessions),
        )
        return [answer for answers in lists for answer in answers]


def _client(session: Session, begin: float, rounds: int) -> list[Answer]:
    """Create, wait for the answer, wait for the next second."""
    wire = local.Wire(session.endpoint, {"x-appwrite-project": session.project, "x-appwrite-session": session.secret})
    body = json.dumps({"script": _SCRIPT})
    execution = {"path": "/videos", "method": "POST", "async": False, "headers": {}, "body": body}
    answers = []
    for number in range(rounds):
        due = begin + number * _PERIOD
        time.sleep(max(0.0, due - time.perf_counter()))
        sent = time.perf_counter()
        wire.send("POST", f"/functions/{FUNCTION}/executions", execution)
        status, answer = wire.answer()
        took = (time.perf_counter() - sent) * 1000
        answers.append(Answer(took, int(answer["responseStatusCode"]) if status == 201 else status, sent - due))
    wire.close()
    return answers


# ---- the rest of the system


class _Yes(BaseHTTPRequestHandler):
    """Takes every call and does nothing."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    numbers = count(1)

    def do_POST(self) -> None:
        """POST /calls of the render server."""
        self.rfile.read(int(self.headers.get("content-length", 0)))
        body = json.dumps({"call_id": f"call-{next(self.numbers)}"}).encode()
        self.send_response(202)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def _yes_saying_renderer(port: int) -> Iterator[None]:
    """Stand where the render server stood."""
    with ThreadingHTTPServer((local.HOST, port), _Yes) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join()


def _planned(stack: stacks.Stack) -> float:
    """Seconds until every video is handed to the renderer."""
    store, begun = AppwriteStore(local.operator(stack)), time.perf_counter()

    def none_waits() -> bool:
        return not any(store.list_videos("", status=s, limit=1)[1] for s in (VideoStatus.QUEUED, VideoStatus.PLANNING))

    local.wait_for(none_waits, _BACKLOG_SECONDS)
    return time.perf_counter() - begun
