"""The render server: takes job ids over HTTP, answers at once, renders in processes of its own; keeps nothing."""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import logging
import multiprocessing
import os
import secrets
import shutil
import signal
import tempfile
import threading
from collections import OrderedDict, deque
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from core import logs
from core.errors import InvalidInputError, ScenewrightError, of_system
from core.job import read_job
from core.media.heap import share_one_arena
from core.ports import Job
from core.scratch import Scratch
from core.settings import Settings

log = logging.getLogger(__name__)

_KEPT_CALLS = 1000  # finished calls that can still be asked after
_RETRY_AFTER_SECONDS = 15
_MAX_PROCESSES = 8
_RESPAWN_SECONDS = 3.0
_GONE_SECONDS = 10.0  # a killed process is gone long before
_REAP_SECONDS = 0.5  # its pipe ends a moment before the process does


def process_count(settings: Settings) -> int:
    """How many render processes: the setting, else one per core, at most 8."""
    return settings.workers or min(_MAX_PROCESSES, len(os.sched_getaffinity(0)))


@dataclass
class Call:
    """One accepted job."""

    id: str
    job: Job
    state: str = "waiting"  # waiting, running, done, failed, cancelled
    error: str = ""

    def body(self) -> dict[str, Any]:
        """What GET /calls/{id} answers."""
        return {
            "call_id": self.id,
            "state": self.state,
            "kind": self.job.kind,
            "video_id": self.job.video_id,
            "attempt": self.job.attempt,
            "scenes": list(self.job.scenes),
            "error": self.error,
        }


def _serve_jobs(settings: Settings, room: str, shared: str, pipe: Connection, lifeline: Connection) -> None:
    """A render process: builds the engines once, then does one job after another. Dies with its parent.

    room: the folder in which it leaves nothing but what may be removed when it dies.
    shared: the folder in which all render processes keep what none need do again.
    """
    os.setsid()  # ffmpeg and espeak belong to this group and end with it
    share_one_arena()
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def watch() -> None:
        with contextlib.suppress(EOFError, OSError):
            lifeline.recv_bytes()  # returns only when the parent is gone
        os.killpg(0, signal.SIGKILL)

    threading.Thread(target=watch, daemon=True).start()
    logs.set_up(settings.log_level)
    from core.job import do
    from core.wiring import build_engines, build_parts

    if not settings.work_dir:  # one that was chosen may be closed to the user of sandboxed programs
        tempfile.tempdir = room
    settings = replace(settings, work_dir=room)
    parts, engines = build_parts(settings), build_engines(settings, Path(shared))
    pipe.send(None)  # ready
    while True:
        job: Job = pipe.recv()
        failure = do(parts, engines, job)
        pipe.send(failure.sentence if failure else "")


@dataclass
class _Process:
    """A render process as its parent sees it."""

    process: multiprocessing.process.BaseProcess
    pipe: Connection
    lifeline: Connection
    room: Path
    call: Call | None = None
    ready: bool = False


@dataclass
class Pool:
    """N render processes and the calls that wait for one. All methods run on the event loop."""

    settings: Settings
    calls: OrderedDict[str, Call] = field(default_factory=OrderedDict)
    waiting: deque[Call] = field(default_factory=deque)
    processes: list[_Process] = field(default_factory=list)
    stopped: bool = False
    _scratch: Scratch = field(init=False)

    def start(self) -> None:
        """Start the processes."""
        self._scratch = Scratch(self.settings.work_dir)
        for _ in range(process_count(self.settings)):
            self._spawn()

    def _spawn(self) -> None:
        if self.stopped:
            return
        try:
            room, shared = self._scratch.room(), self._scratch.shared
        except OSError as error:
            log.error("no render process: %s", of_system(error).sentence, extra={"action": "no_process"})
            asyncio.get_running_loop().call_later(_RESPAWN_SECONDS, self._spawn)
            return
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        life_ours, life_theirs = context.Pipe()
        given = (self.settings, str(room), str(shared), theirs, life_theirs)
        process = context.Process(target=_serve_jobs, args=given, daemon=True)
        process.start()
        theirs.close()
        life_theirs.close()
        entry = _Process(process, ours, life_ours, room)
        self.processes.append(entry)
        asyncio.get_running_loop().add_reader(ours.fileno(), self._on_message, entry)

    def _on_message(self, entry: _Process) -> None:
        try:
            error: str | None = entry.pipe.recv()
        except (EOFError, OSError):
            entry.process.join(_REAP_SECONDS)
            self._end(entry, _death(entry.process.exitcode))
            if entry.ready:
                self._spawn()
            else:  # it could not even begin, and the next one will hardly fare better: no storm of processes
                asyncio.get_running_loop().call_later(_RESPAWN_SECONDS, self._spawn)
            return
        if error is None:
            entry.ready = True
        elif entry.call is not None:
            entry.call.state = "failed" if error else "done"
            entry.call.error = error
            entry.call = None
        self._feed()

    def _end(self, entry: _Process, why: str) -> None:
        """Let go of a process, with everything it started, which may have outlived it, and all it left."""
        asyncio.get_running_loop().remove_reader(entry.pipe.fileno())
        self.processes.remove(entry)
        entry.pipe.close()
        entry.lifeline.close()
        if entry.call is not None and entry.call.state == "running":
            entry.call.state, entry.call.error = "failed", why
        kill_group(entry.process.pid)
        threading.Thread(target=_remove_after, args=(entry,), daemon=True).start()  # a long film takes a while

    def _feed(self) -> None:
        for entry in self.processes:
            if entry.ready and entry.call is None and self.waiting:
                call = self.waiting.popleft()
                call.state = "running"
                entry.call = call
                entry.pipe.send(call.job)
        finished = [c for c in self.calls.values() if c.state not in ("waiting", "running")]
        for call in finished[:-_KEPT_CALLS]:
            del self.calls[call.id]

    def submit(self, job: Job) -> Call | None:
        """Take a job in; None when the queue is full."""
        if len(self.waiting) >= self.settings.worker_queue:
            return None
        call = Call(f"call-{secrets.token_hex(8)}", job)
        self.calls[call.id] = call
        self.waiting.append(call)
        self._feed()
        return call

    def cancel(self, call: Call) -> None:
        """Stop a call: out of the queue, or by killing the process that does it."""
        if call.state == "waiting":
            self.waiting.remove(call)
        elif call.state == "running":
            (entry,) = (e for e in self.processes if e.call is call)
            self._end(entry, "")
            self._spawn()
        else:
            return
        call.state = "cancelled"

    def stop(self) -> None:
        """End all processes, at once: whatever they did is found and continued later."""
        self.stopped = True
        for entry in list(self.processes):
            self._end(entry, "The render server stopped.")
        self._scratch.close()


def _remove_after(entry: _Process) -> None:
    """Remove what a process left when it is gone."""
    entry.process.join(_GONE_SECONDS)
    shutil.rmtree(entry.room, ignore_errors=True)


def _death(exitcode: int | None) -> str:
    """How a render process ended, as far as its parent can know."""
    if exitcode == -signal.SIGKILL:
        return "The render process was killed from outside, often for want of memory."
    return "The render process died."


def kill_group(pid: int | None) -> None:
    """Kill a render process with everything it started."""
    if pid is None:
        return
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def build_app(settings: Settings, sweep_once: Callable[[], object] | None = None) -> Starlette:
    """The HTTP face: POST /calls, GET and DELETE /calls/{id}, GET /health.

    Args:
        settings: as read from the environment.
        sweep_once: called in a thread once the processes are started.
    """
    pool = Pool(settings)

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        pool.start()
        sweeping = asyncio.create_task(_sweep(sweep_once)) if sweep_once else None
        yield
        if sweeping:
            sweeping.cancel()
        pool.stop()

    async def create(request: Request) -> JSONResponse:
        try:
            job = read_job(await request.json())
        except (ValueError, InvalidInputError) as error:
            if not isinstance(error, InvalidInputError):
                error = InvalidInputError("The body is no JSON.", field="body")
            return JSONResponse({"error": error.sentence, "code": error.code, "field": error.field}, 400)
        call = pool.submit(job)
        if call is None:
            body = {"error": "The queue is full; come back later.", "code": "renderer_busy"}
            return JSONResponse(body, 429, {"Retry-After": str(_RETRY_AFTER_SECONDS)})
        return JSONResponse(call.body(), 202)

    async def read(request: Request) -> JSONResponse:
        call = pool.calls.get(request.path_params["call_id"])
        if call is None:
            return JSONResponse({"error": "There is no such call.", "code": "not_found"}, 404)
        return JSONResponse(call.body())

    async def cancel(request: Request) -> JSONResponse:
        call = pool.calls.get(request.path_params["call_id"])
        if call is None:
            return JSONResponse({"error": "There is no such call.", "code": "not_found"}, 404)
        pool.cancel(call)
        return JSONResponse(call.body())

    async def health(_: Request) -> JSONResponse:
        ready = sum(p.ready for p in pool.processes)
        running = sum(p.call is not None for p in pool.processes)
        body = {
            "status": "ok" if ready else "starting",
            "processes": len(pool.processes),
            "ready": ready,
            "running": running,
            "waiting": len(pool.waiting),
        }
        return JSONResponse(body, 200 if ready else 503)

    guard = _guard(settings.render_token)
    return Starlette(
        routes=[
            Route("/calls", guard(create), methods=["POST"]),
            Route("/calls/{call_id}", guard(read), methods=["GET"]),
            Route("/calls/{call_id}", guard(cancel), methods=["DELETE"]),
            Route("/health", health),
        ],
        lifespan=lifespan,
    )


Endpoint = Callable[[Request], Awaitable[JSONResponse]]


def _guard(token: str) -> Callable[[Endpoint], Endpoint]:
    """Let only callers with the token through, where one is set."""

    def wrap(endpoint: Endpoint) -> Endpoint:
        async def guarded(request: Request) -> JSONResponse:
            shown = request.headers.get("authorization", "").removeprefix("Bearer ")
            if token and not hmac.compare_digest(shown.encode(), token.encode()):
                return JSONResponse({"error": "Show the render token.", "code": "not_allowed"}, 401)
            return await endpoint(request)

        return guarded

    return wrap


async def _sweep(sweep_once: Callable[[], object]) -> None:
    try:
        await asyncio.to_thread(sweep_once)
    except ScenewrightError as error:
        log.warning("the sweep at the start failed: %s", error.sentence, extra={"action": "sweep_failed"})
