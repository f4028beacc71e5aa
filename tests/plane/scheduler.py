"""Gives queued inputs to containers and decides what becomes of them: retries, timeouts, deaths, redelivery."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import signal
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from grpclib.server import Server
from modal_proto import api_pb2

from tests.plane import container
from tests.plane.catalog import Catalog
from tests.plane.pulse import Pulse
from tests.plane.records import App, Call, Delivery, Function, Input, new_id

Result = api_pb2.GenericResult
TIMEOUT = 300  # seconds, when the definition has none
SCALEDOWN = 60.0
INTERRUPT, KILL = 30.0, 60.0  # seconds after a timeout at which an input that goes on is interrupted, then killed
BACKOFF = 0.1  # seconds before a container that died at its start is started again; doubles


@dataclass
class Task:
    """One container from its start to its end."""

    id: str
    function: Function
    origin: Any  # the deployed definition at the start
    folder: Path
    process: asyncio.subprocess.Process | None = None
    server: Server | None = None
    waiting: int = 0  # questions for inputs that are open
    ready: bool = False  # it has asked for an input
    stopping: bool = False
    preempted: bool = False
    running: dict[str, Input] = field(default_factory=dict)
    cancels: list[str] = field(default_factory=list)
    timers: dict[str, asyncio.TimerHandle] = field(default_factory=dict)


@dataclass
class Means:
    """What the scheduler starts containers with; tests may change it at any time."""

    python: str
    env: dict[str, str]
    longest_delay: float  # seconds: the most that is waited before a retry


class Scheduler:
    """All calls, inputs and containers of the plane; used from its loop alone."""

    def __init__(self, folder: Path, catalog: Catalog, means: Means, serve: Callable[[Task], Any]) -> None:
        self.pulse = Pulse()
        self.calls: dict[str, Call] = {}
        self.tasks: dict[str, Task] = {}
        self.deliveries: list[Delivery] = []
        self.exits: dict[str, int] = {}  # task id -> exit code
        self.held: set[str] = set()  # names of functions that get no container now
        self.crashes: Counter[str] = Counter()  # starts still to be crashed, by name of the function
        self.starts: Counter[str] = Counter()  # containers started, by name of the function
        self.errors: list[BaseException] = []  # of the plane itself, for the test to fail with
        self._folder, self._catalog, self._means, self._serve = folder, catalog, means, serve
        self._queues: dict[str, deque[Input]] = {}
        self._died_early: Counter[str] = Counter()  # in a row, by id of the function
        self._background: set[asyncio.Task[None]] = set()
        self._closing = False

    # ---- inputs

    def enqueue(self, made: Input) -> None:
        """Queue an input, and start a container for it when none is free."""
        self._queues.setdefault(made.function_id, deque()).append(made)
        self.pulse.beat()
        self.scale(made.function_id)

    def _take(self, task: Task, most: int) -> list[Input]:
        """The next inputs for a container; it never gets one that it has already."""
        queue = self._queues.get(task.function.id, deque())
        given = [one for one in queue if task.id not in one.holders][:most]
        for one in given:
            queue.remove(one)
            one.holders.add(task.id)
            one.task_id = task.id
            task.running[one.id] = one
            self.deliveries.append(Delivery(one.call_id, one.id, one.retry_count, task.id))
            seconds = task.function.definition.timeout_secs or TIMEOUT
            task.timers[one.id] = asyncio.get_running_loop().call_later(seconds, self.time_out, one)
        return given

    async def next_inputs(self, task: Task, most: int) -> list[Input]:
        """What a container is to do next; nothing: it shall end."""
        task.ready = True
        self._died_early.pop(task.function.id, None)
        window = float(task.function.definition.autoscaler_settings.scaledown_window or SCALEDOWN)
        task.waiting += 1
        try:
            given = await self.pulse.until(lambda: [] if task.stopping else self._take(task, most) or None, window)
        finally:
            task.waiting -= 1
        if not given and not task.running:
            task.stopping = True
        self.pulse.beat()
        return given or []

    def output(self, task: Task, item: Any) -> None:
        """One output of a container; late ones (of an attempt that is over) are dropped."""
        made = task.running.pop(item.input_id, None)
        if made is None:
            return
        made.holders.discard(task.id)
        task.timers.pop(made.id).cancel()
        if not made.done and item.retry_count == made.retry_count:
            self._settle(made, item.result, item.data_format, task.id)

    def _settle(self, made: Input, result: Any, data_format: Any = 0, task_id: str = "") -> None:
        """End an attempt: with a value, a failure, or with another attempt as the retry policy says."""
        policy = self._catalog.functions[made.function_id].definition.retry_policy
        if result.status != Result.GENERIC_STATUS_SUCCESS and made.retry_count < policy.retries:
            delay = policy.initial_delay_ms / 1000 * (policy.backoff_coefficient or 1) ** made.retry_count
            made.retry_count += 1
            asyncio.get_running_loop().call_later(min(delay, self._means.longest_delay), self._again, made)
            return
        self._finish(made, result, data_format, task_id)

    def _again(self, made: Input) -> None:
        if not made.done:
            self.enqueue(made)

    def _finish(self, made: Input, result: Any, data_format: Any = 0, task_id: str = "") -> None:
        made.status = result.status
        for queue in self._queues.values():
            if made in queue:
                queue.remove(made)
        call = self.calls.get(made.call_id)
        if call is not None:
            call.outputs.append(
                api_pb2.FunctionGetOutputsItem(
                    result=result,
                    idx=made.idx,
                    input_id=made.id,
                    data_format=data_format,
                    task_id=task_id,
                    output_created_at=time.time(),
                    retry_count=made.retry_count,
                )
            )
        self.pulse.beat()

    def time_out(self, made: Input) -> None:
        """The attempt has taken too long: it fails, and its container is told to stop it."""
        if made.done:
            return
        for task in self._holding(made):
            task.cancels.append(made.id)
            for seconds, number in ((INTERRUPT, signal.SIGINT), (KILL, signal.SIGKILL)):
                asyncio.get_running_loop().call_later(seconds, self._insist, task, made, made.retry_count, number)
        seconds = self._catalog.functions[made.function_id].definition.timeout_secs or TIMEOUT
        failed = Result(
            status=Result.GENERIC_STATUS_TIMEOUT, exception=f"The input took longer than the timeout of {seconds} s"
        )
        self._settle(made, failed)
        self.pulse.beat()

    def _insist(self, task: Task, made: Input, attempt: int, number: signal.Signals) -> None:
        if task.id in self.tasks and task.running.get(made.id) is made and task.process:
            container.send(task.process, number)

    def cancel(self, call: Call, *, terminate: bool) -> None:
        """End all inputs of a call that are not done; their containers are told, or killed."""
        for made in [one for one in call.inputs if not one.done]:
            self._finish(made, Result(status=Result.GENERIC_STATUS_TERMINATED, exception="The call was cancelled"))
            for task in self._holding(made):
                task.cancels.append(made.id)
                if terminate:
                    task.preempted = task.stopping = True  # what else runs there is delivered again
                    self.kill(task)
        self.pulse.beat()

    def _holding(self, made: Input) -> list[Task]:
        return [task for task in self.tasks.values() if made.id in task.running]

    # ---- containers

    def scale(self, function_id: str) -> None:
        """Start the containers that the queue of a function wants."""
        function = self._catalog.functions[function_id]
        if self._closing or function.name in self.held:
            return
        mine = [task for task in self.tasks.values() if task.function.id == function_id and not task.stopping]
        most = function.definition.autoscaler_settings.max_containers or len(mine) + 1000
        coming = sum(task.waiting if task.ready else 1 for task in mine)
        wanted = len(self._queues.get(function_id, ())) - coming
        for _ in range(min(wanted, most - len(mine))):
            task = Task(new_id("ta"), function, self._catalog.origin(function), Path())
            task.folder = self._folder / task.id
            self.tasks[task.id] = task
            self._spawn(self._live(task))

    def _spawn(self, work: Any) -> None:
        done = asyncio.get_running_loop().create_task(work)
        self._background.add(done)
        done.add_done_callback(self._finished)

    def _finished(self, done: asyncio.Task[None]) -> None:
        self._background.discard(done)
        if not done.cancelled() and (error := done.exception()):
            self.errors.append(error)

    async def _live(self, task: Task) -> None:
        """One container from its socket to its exit code."""
        task.folder.mkdir(parents=True)
        socket = task.folder / "socket"
        task.server = Server([self._serve(task)])
        await task.server.start(path=str(socket))
        self.starts[task.function.name] += 1
        means = self._means
        task.process = await container.start(
            self._catalog, task.function, task.id, socket, means.python, dict(means.env)
        )
        code = await task.process.wait()
        container.send(task.process, signal.SIGKILL)  # what it has left running dies with it
        task.server.close()
        self._ended(task, code if code >= 0 else 128 - code)
        await task.server.wait_closed()

    def hello(self, task: Task) -> None:
        """The container has come up; a crash asked for by the test comes now."""
        if self.crashes[task.function.name] > 0 and task.process:
            self.crashes[task.function.name] -= 1
            container.send(task.process, signal.SIGKILL)

    def _ended(self, task: Task, code: int) -> None:
        """A container is gone: its inputs fail, wait for their other copy, or (preempted) are queued again."""
        del self.tasks[task.id]
        self.exits[task.id] = code
        for timer in task.timers.values():
            timer.cancel()
        for made in task.running.values():
            made.holders.discard(task.id)
            if made.done or self._closing:
                continue
            if task.preempted:
                self._queues.setdefault(made.function_id, deque()).appendleft(made)
            elif not made.holders:
                died = Result(status=Result.GENERIC_STATUS_FAILURE, exitcode=code)
                died.exception = f"container exited with code {code}"
                self._settle(made, died)
        self.pulse.beat()
        if task.ready or task.stopping:
            self.scale(task.function.id)
        else:  # the platform tries again and again, ever later
            self._died_early[task.function.id] += 1
            delay = BACKOFF * 2 ** min(self._died_early[task.function.id] - 1, 5)
            asyncio.get_running_loop().call_later(delay, self.scale, task.function.id)

    def start_failed(self, task: Task, result: Any) -> None:
        """The container could not import or enter: what is queued fails with it, without retry."""
        task.stopping = True
        for made in list(self._queues.get(task.function.id, ())):
            self._finish(made, result, task_id=task.id)

    def published(self, app: App) -> None:
        """Containers of an older definition finish what they do and end."""
        for task in self.tasks.values():
            if task.function.app_id == app.id and task.origin is not self._catalog.origin(task.function):
                task.stopping = True
        self.pulse.beat()

    def hold(self, name: str) -> None:
        """No container takes an input of this function from now on."""
        self.held.add(name)
        for task in self.tasks.values():
            task.stopping |= task.function.name == name
        self.pulse.beat()

    def preempt(self, task: Task) -> None:
        """SIGINT, then SIGKILL; what runs there is delivered again under the same input id and retry count."""
        task.preempted = task.stopping = True
        if task.process:
            container.send(task.process, signal.SIGINT)
            process = task.process
            asyncio.get_running_loop().call_later(INTERRUPT, container.send, process, signal.SIGKILL)

    def kill(self, task: Task) -> None:
        """SIGKILL, as the kernel does when memory is short."""
        if task.process:
            container.send(task.process, signal.SIGKILL)

    async def close(self) -> None:
        """Kill every container and wait until all are gone."""
        self._closing = True
        for task in self.tasks.values():
            task.stopping = True
            self.kill(task)
        self.pulse.beat()
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(asyncio.gather(*self._background, return_exceptions=True), 20)
        shutil.rmtree(self._folder, ignore_errors=True)
