"""Warm child processes of one program; a child that crashes or loops is replaced."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import os
import signal
import socket
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from emulator import runtime
from emulator.programs import Call, Outcome, Program

GRACE_S = 1.0  # code that never yields cannot see its own timeout; after this much more its process is killed
LOADING_S = 60.0  # importing the function's code may take this long
RELIEF_S = 0.5  # an execution that waits this long for a free child gets an extra one
EXTRA_CHILDREN = 6
# Asynchronous executions of one function at a time, so that those somebody waits for stay quick.
BACKGROUND_LIMIT = 8
BACKGROUND_LIMIT_BESIDE_URGENT = 1
OUTPUT_LIMIT = 1_000_000  # characters of logs, and of errors, kept per execution; as Appwrite does
TAIL_BYTES = 8_000  # of what a child printed outside any execution: shown where it dies
RUNTIME = Path(runtime.__file__)


@dataclass(eq=False)
class _Job:
    call: Call
    result: asyncio.Future[Outcome]
    output: dict[str, str] = field(default_factory=lambda: {"logs": "", "errors": ""})
    on_start: Callable[[], None] | None = None
    started_at: float | None = None
    overrun: asyncio.TimerHandle | None = None
    spared: bool = False  # whether a process was killed before it could begin this

    def start(self) -> None:
        self.started_at = time.monotonic()
        if self.on_start is not None:
            self.on_start()

    def add(self, stream: str, text: str) -> None:
        self.output[stream] += text[: OUTPUT_LIMIT - len(self.output[stream])]

    def finish(self, status: int, headers: Mapping[str, str], body: bytes, timed_out: bool = False) -> None:
        if self.overrun is not None:
            self.overrun.cancel()
        if self.result.done():
            return
        seconds = time.monotonic() - self.started_at if self.started_at is not None else 0.0
        logs, errors = self.output["logs"], self.output["errors"]
        self.result.set_result(Outcome(status, headers, body, logs, errors, seconds, timed_out))

    def fail(self, sentence: str, timed_out: bool = False) -> None:
        self.add("errors", sentence + "\n")
        self.finish(500, {"content-type": "text/plain; charset=utf-8"}, b"", timed_out)


@dataclass(eq=False)
class _Child:
    process: asyncio.subprocess.Process
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    born: float  # wall clock, to compare with files' times
    ready: bool = False
    loaded: bool = True
    retiring: bool = False
    too_slow: bool = False  # to load
    jobs: dict[str, _Job] = field(default_factory=dict)
    files: dict[str, int] = field(default_factory=dict)
    culprit: _Job | None = None
    tail: bytearray = field(default_factory=bytearray)

    def send(self, message: Mapping[str, Any]) -> None:
        self.writer.write(runtime.encode(message))

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)

    def is_stale(self) -> bool:
        # Code that could not be imported left no files behind to look at: it is simply tried again.
        return not self.loaded or any(_changed_at(file) != changed for file, changed in self.files.items())


class _Queue:
    """Executions no child has begun: first those somebody waits for, and of the others only so many at a time."""

    def __init__(self) -> None:
        self._urgent: deque[_Job] = deque()
        self._background: deque[_Job] = deque()

    def add(self, job: _Job) -> None:
        (self._background if job.call.background else self._urgent).append(job)

    def take(self, background: bool) -> _Job | None:
        """The next one, of the background ones only where they may begin; None where there is none."""
        queues = [self._urgent, self._background] if background else [self._urgent]
        for queue in queues:
            while queue:
                job = queue.popleft()
                if not job.result.done():
                    return job
        return None

    def take_all(self) -> list[_Job]:
        """Everything, whether it may begin or not."""
        jobs = [*self._urgent, *self._background]
        self._urgent.clear()
        self._background.clear()
        return jobs

    def waits_for_child(self, job: _Job, background: bool) -> bool:
        """Whether the job is still here, and for want of a child alone."""
        return job in self._urgent or (job in self._background and background)

    def __contains__(self, job: _Job) -> bool:
        return job in self._urgent or job in self._background

    def __bool__(self) -> bool:
        return bool(self._urgent or self._background)


class Pool:
    """The children of one program. Executions wait here; children whose loop is free take them."""

    def __init__(self, program: Program, size: int) -> None:
        self.program = program
        self._size = size
        self._waiting = _Queue()
        self._children: set[_Child] = set()
        self._spawning = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False
        self._tokens_out, self._tokens_in = os.pipe()
        os.set_blocking(self._tokens_out, False)
        os.set_blocking(self._tokens_in, False)

    def submit(self, call: Call, on_start: Callable[[], None] | None = None) -> asyncio.Future[Outcome]:
        """Queues one execution; cancelling the future takes it out while it still waits."""
        loop = asyncio.get_running_loop()
        job = _Job(call, loop.create_future(), on_start=on_start)
        self._restart_stale_children()
        self.adopt([job])
        self.fill()
        return job.result

    def fill(self) -> None:
        """Starts a child where the pool has fewer than its size; the next follows when this one is ready.

        One at a time, because importing takes a whole core: two at once would make the first execution wait twice.
        """
        active = self._active()
        loading = self._spawning or not all(child.ready for child in active)
        if len(active) < self._size and not loading:
            self._start_child()

    def retire(self) -> None:
        """Takes no more executions; children end when they have finished theirs."""
        self._closed = True
        for child in self._active():
            self._retire_child(child)
        self._end_if_empty()

    def take_waiting(self) -> list[_Job]:
        """Removes and returns what no child has taken yet."""
        return self._waiting.take_all()

    def is_busy(self) -> bool:
        """Whether a child still lives."""
        return bool(self._children or self._spawning)

    def adopt(self, jobs: Iterable[_Job]) -> None:
        """Queues executions that no child has begun."""
        for job in jobs:
            self._waiting.add(job)
            self._offer()
            asyncio.get_running_loop().call_later(RELIEF_S, self._relieve, job)

    async def close(self) -> None:
        """Kills every child; what they held fails."""
        self._closed = True
        for child in list(self._children):
            child.kill()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=2)
        for job in self.take_waiting():
            job.fail("The server was stopped before this execution began.")
        self._end_if_empty()

    def _active(self) -> list[_Child]:
        return [child for child in self._children if not child.retiring]

    def _background_may_begin(self) -> bool:
        jobs = [job for child in self._children for job in child.jobs.values()]
        background = sum(job.call.background for job in jobs)
        return background < (BACKGROUND_LIMIT if background == len(jobs) else BACKGROUND_LIMIT_BESIDE_URGENT)

    def _offer(self) -> None:
        with contextlib.suppress(BlockingIOError):  # 65,536 tokens wait already: enough for every child to look
            os.write(self._tokens_in, b"\0")

    def _restart_stale_children(self) -> None:
        if not self.program.deployment.live:
            return
        for child in self._active():
            if child.is_stale():
                self._retire_child(child)

    def _retire_child(self, child: _Child) -> None:
        child.retiring = True
        child.send({"type": "retire"})

    def _relieve(self, job: _Job) -> None:
        if job not in self._waiting:
            return
        active = self._active()
        all_held = all(child.ready and child.jobs for child in active)
        due = self._waiting.waits_for_child(job, self._background_may_begin())
        if due and all_held and not self._spawning and len(active) < self._size + EXTRA_CHILDREN:
            self._start_child()
        asyncio.get_running_loop().call_later(RELIEF_S, self._relieve, job)

    def _start_child(self) -> None:
        if self._closed:
            return
        self._spawning += 1
        task = asyncio.get_running_loop().create_task(self._live())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _live(self) -> None:
        """The whole life of one child."""
        try:
            child = await self._spawn()
        except OSError as error:
            for job in self.take_waiting():
                job.fail(f"The function's process could not be started: {error}")
            return
        finally:
            self._spawning -= 1
        self._children.add(child)
        if self._closed:
            self._retire_child(child)
        loading = asyncio.get_running_loop().call_later(LOADING_S, self._end_unready, child)
        tail = asyncio.get_running_loop().create_task(_read_tail(child))
        try:
            await self._converse(child)
        finally:
            loading.cancel()
            child.kill()
            await child.process.wait()
            # A process that left the group may hold the pipe open; it is not worth waiting for.
            await asyncio.wait({tail}, timeout=0.2)
            tail.cancel()
            child.writer.close()
            self._children.discard(child)
            self._bury(child)

    async def _spawn(self) -> _Child:
        here, there = socket.socketpair()
        here.setblocking(False)
        deployment = self.program.deployment
        arguments = (str(there.fileno()), str(self._tokens_out), str(deployment.root), deployment.entrypoint)
        born = time.time()
        with there:
            process = await asyncio.create_subprocess_exec(
                deployment.python, "-P", str(RUNTIME), *arguments,
                pass_fds=(there.fileno(), self._tokens_out),
                cwd=tempfile.gettempdir(),  # as in production, the code's folder is not the working directory
                env=dict(self.program.environment),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
                start_new_session=True,  # killed as a group: with everything the function has started
            )  # fmt: skip
        reader, writer = await asyncio.open_connection(sock=here)
        return _Child(process, reader, writer, born)

    def _end_unready(self, child: _Child) -> None:
        if not child.ready:
            child.too_slow = True
            child.tail += f"Loading took more than {LOADING_S:.0f} s.\n".encode()
            child.kill()

    async def _converse(self, child: _Child) -> None:
        buffer = bytearray()
        with contextlib.suppress(ConnectionError):
            while part := await child.reader.read(262144):
                buffer += part
                for message in runtime.take_messages(buffer):
                    self._receive(child, message)

    def _receive(self, child: _Child, message: dict[str, Any]) -> None:
        kind = message["type"]
        if kind == "claim":
            self._assign(child)
        elif kind == "ready":
            child.ready, child.loaded = True, message["loaded"]
            self.fill()
        elif kind == "modules":
            self._note_files(child, message["files"])
        elif (job := child.jobs.get(message["id"])) is None:
            return
        elif kind == "start":
            job.start()
        elif kind == "output":
            job.add(message["stream"], message["text"])
        elif kind == "done":
            del child.jobs[job.call.id]
            job.finish(message["status"], message["headers"], base64.b64decode(message["body"]), message["timed_out"])
            if self._waiting:
                self._offer()  # for a background one that was held back
            if not child.jobs and len(self._active()) > self._size:
                self._retire_child(child)

    def _assign(self, child: _Child) -> None:
        if child.retiring:
            self._offer()  # it took the token before it heard; the token belongs to a current child
            return
        job = self._waiting.take(self._background_may_begin())
        if job is None:
            child.send({"type": "nothing"})
            return
        child.jobs[job.call.id] = job
        loop = asyncio.get_running_loop()
        job.overrun = loop.call_later(job.call.timeout + GRACE_S, self._end_overrun, child, job)
        child.send(_run_message(job.call))

    def _end_overrun(self, child: _Child, job: _Job) -> None:
        child.culprit = job
        child.kill()

    def _note_files(self, child: _Child, files: list[str]) -> None:
        if not self.program.deployment.live:
            return
        now = time.time_ns()
        for file in files:
            changed = _changed_at(file)
            # Saved while the child was importing: which of the two it read is unknown, so it counts as changed.
            doubtful = file not in child.files and child.born * 1e9 < changed <= now
            child.files.setdefault(file, -1 if doubtful else changed)

    def _bury(self, child: _Child) -> None:
        tail = child.tail.decode(errors="replace").strip()
        ending = _ending(child.process.returncode) + (f"\n{tail}" if tail else "")
        for job in child.jobs.values():
            if child.culprit is job:
                job.fail("Execution timed out.", timed_out=True)
            elif job.started_at is None and not self._closed:
                self.adopt([job])  # none of its code has run, so another child may
            elif child.culprit is not None:
                job.fail("The process was stopped because another execution in it did not end within its time.")
            else:
                job.fail(f"The process of this execution {ending}")
        if not child.ready and not any(other.ready for other in self._active()):
            killed = (child.process.returncode or 0) < 0 and not child.too_slow  # which says nothing of its code
            for job in self.take_waiting():
                if killed and not job.spared and not self._closed:
                    job.spared = True
                    self._waiting.add(job)
                else:
                    job.fail(f"The function could not be loaded: its process {ending}")
        if self._waiting:
            self._offer()  # the token may have died with the child
            self.fill()
        self._end_if_empty()

    def _end_if_empty(self) -> None:
        if self._closed and not self._children and not self._spawning and self._tokens_in >= 0:
            os.close(self._tokens_in)
            os.close(self._tokens_out)
            self._tokens_in = -1


def _run_message(call: Call) -> dict[str, Any]:
    return {
        "type": "run", "id": call.id, "method": call.method, "path": call.path, "headers": dict(call.headers),
        "body": base64.b64encode(call.body).decode(), "timeout": call.timeout,
        "scheme": call.scheme, "host": call.host, "port": call.port,
    }  # fmt: skip


async def _read_tail(child: _Child) -> None:
    assert child.process.stdout is not None
    while part := await child.process.stdout.read(65536):
        child.tail += part
        del child.tail[:-TAIL_BYTES]


def _changed_at(file: str) -> int:
    try:
        return os.stat(file).st_mtime_ns  # noqa: PTH116 - called for every imported file before an execution
    except OSError:
        return 0


def _ending(code: int | None) -> str:
    if code is not None and code < 0:
        return f"was ended by signal {signal.Signals(-code).name}."
    return f"ended unexpectedly with exit code {code}."
