"""Threads that run one at a time, in an order drawn from a seed, in a time of their own."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

_START = datetime(2026, 1, 1, tzinfo=UTC)
_SWITCH_SECONDS = 10.0  # of real time: a thread that is not back by then waits for something it should not


class KilledError(BaseException):
    """The process of this thread was killed: no handler of the code under test is to catch it."""


@dataclass(eq=False)
class Process:
    """Threads that live and die together; `attempt` is the newest that this process may write in."""

    name: str
    kind: str  # planner, renderer, sweep or person
    attempt: int = -1
    alive: bool = True
    frozen_until: float = 0.0  # it lives, and does nothing
    while_frozen: Callable[[], object] = lambda: None  # may let it go on earlier
    began: float | None = None  # when its first thread began to run
    error: BaseException | None = None  # what its main thread ended with


@dataclass(eq=False)
class Task:
    """One thread under the scheduler's hand."""

    process: Process
    go: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    ready: Callable[[], bool] | None = None  # what it waits for; None: nothing
    wake_at: float | None = None  # when it goes on in any case
    ended: bool = False


class Scheduler:
    """Lets one thread at a time go on, from one call of a port to the next."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.rng = random.Random(seed)
        self.seconds = 0.0  # since the simulation began
        self.steps = 0
        self.tasks: list[Task] = []
        self.stray: list[BaseException] = []  # what threads ended with that nobody waits for
        self._back = threading.Semaphore(0)
        self._here = threading.local()

    # ---- asked by the threads

    @property
    def process(self) -> Process | None:
        """Who is running; None: the test itself."""
        task: Task | None = getattr(self._here, "task", None)
        return task.process if task else None

    def pause(self, ready: Callable[[], bool] | None = None, seconds: float | None = None) -> None:
        """Stop here until the scheduler says so: when `ready` holds or after `seconds`.

        Raises:
            KilledError: the process was killed meanwhile.
        """
        task: Task | None = getattr(self._here, "task", None)
        if task is None:
            return
        if task.process.alive:
            task.ready, task.wake_at = ready, None if seconds is None else self.seconds + seconds
            self._back.release()
            task.go.acquire()
        if not task.process.alive:
            raise KilledError

    def spawn(self, process: Process, work: Callable[[], object], *, after: float = 0.0, main: bool = False) -> Task:
        """A new thread of a process; `main`: what it raises is kept as the end of its process."""
        task = Task(process, ready=(lambda: False) if after else None, wake_at=self.seconds + after if after else None)

        def run() -> None:
            self._here.task = task
            task.go.acquire()
            process.began = self.seconds if process.began is None else process.began
            try:
                if process.alive:
                    work()
            except KilledError:
                pass
            except BaseException as error:
                if main:
                    process.error = error
                else:
                    self.stray.append(error)
            finally:
                task.ended = True
                self._back.release()

        self.tasks.append(task)
        threading.Thread(target=run, daemon=True).start()
        return task

    # ---- asked by the test

    def kill(self, process: Process) -> None:
        """Let a process end where it stands; its threads unwind without doing anything any more."""
        process.alive = False

    def running(self, process: Process) -> bool:
        """Whether any thread of it is left."""
        return any(not t.ended for t in self.tasks if t.process is process)

    def step(self) -> bool:
        """Let one thread go on, in a moment drawn at random; False: nobody is left.

        Raises:
            AssertionError: everybody waits for somebody else.
        """
        self.tasks = [t for t in self.tasks if not t.ended]
        if not self.tasks:
            return False
        self.steps += 1
        self.seconds += self.rng.uniform(0.0, 0.02)
        while not (able := [t for t in self.tasks if self._able(t)]):
            later = [moment for moment in self._moments() if moment > self.seconds]
            assert later, f"all wait: {[t.process.name for t in self.tasks]}"
            self.seconds = min(later)
        self._switch(self.rng.choice(able))
        return True

    def _able(self, task: Task) -> bool:
        if not task.process.alive:
            return True
        if self.seconds < task.process.frozen_until:
            task.process.while_frozen()
        if self.seconds < task.process.frozen_until:
            return False
        if task.wake_at is not None and self.seconds >= task.wake_at:
            return True
        return task.ready() if task.ready else task.wake_at is None

    def _moments(self) -> Iterator[float]:
        for task in self.tasks:
            if self.seconds < task.process.frozen_until:
                yield task.process.frozen_until
            elif task.wake_at is not None:
                yield task.wake_at

    def _switch(self, task: Task) -> None:
        task.go.release()
        assert self._back.acquire(timeout=_SWITCH_SECONDS), f"{task.process.name} waits outside the scheduler"

    def end(self) -> None:
        """Kill whatever is left."""
        for task in self.tasks:
            task.process.alive = False
        while self.step():
            pass

    # ---- the clock, as ports.Clock

    def now(self) -> datetime:
        """The simulation's time."""
        return _START + timedelta(seconds=self.seconds)

    def sleep(self, seconds: float) -> None:
        """Wait in the simulation's time."""
        self.pause(lambda: False, seconds)


# ---- what the code under test uses of the standard library, under the scheduler's hand


class Event:
    """threading.Event."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler, self._set = scheduler, False

    def set(self) -> None:
        """See threading.Event."""
        self._set = True

    def is_set(self) -> bool:
        """See threading.Event."""
        return self._set

    def wait(self, timeout: float | None = None) -> bool:
        """See threading.Event."""
        self._scheduler.pause(self.is_set, timeout)
        return self._set


class Lock:
    """threading.Lock, as a context manager."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler, self._held = scheduler, False

    def __enter__(self) -> None:
        while self._held:
            self._scheduler.pause(lambda: not self._held)
        self._held = True

    def __exit__(self, *_: object) -> None:
        self._held = False


class Thread:
    """threading.Thread: a further thread of the process that made it."""

    def __init__(
        self, scheduler: Scheduler, target: Callable[..., object], args: Iterable[Any] = (), **_: object
    ) -> None:
        self._scheduler, self._work = scheduler, lambda: target(*args)
        self._task: Task | None = None

    def start(self) -> None:
        """See threading.Thread."""
        process = self._scheduler.process
        assert process is not None
        self._task = self._scheduler.spawn(process, self._work)

    def join(self, timeout: float | None = None) -> None:
        """See threading.Thread."""
        task = self._task
        assert task is not None
        self._scheduler.pause(lambda: task.ended, timeout)


class Future:
    """concurrent.futures.Future."""

    def __init__(self, scheduler: Scheduler, call: Callable[[], Any]) -> None:
        self._scheduler, self._call = scheduler, call
        self._value: Any = None
        self._error: BaseException | None = None
        process = scheduler.process
        assert process is not None
        self.task = scheduler.spawn(process, self._run)

    def _run(self) -> None:
        try:
            self._value = self._call()
        except Exception as error:
            self._error = error

    def result(self) -> Any:
        """See concurrent.futures.Future."""
        self._scheduler.pause(lambda: self.task.ended)
        if self._error is not None:
            raise self._error
        return self._value


class Pool:
    """concurrent.futures.ThreadPoolExecutor; there is no limit to its threads."""

    def __init__(self, scheduler: Scheduler, *_: object, **__: object) -> None:
        self._scheduler = scheduler
        self._futures: list[Future] = []

    def __enter__(self) -> Pool:
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()

    def submit(self, call: Callable[..., Any], *args: Any) -> Future:
        """See ThreadPoolExecutor."""
        self._futures.append(Future(self._scheduler, lambda: call(*args)))
        return self._futures[-1]

    def map(self, call: Callable[..., Any], *iterables: Iterable[Any]) -> Iterator[Any]:
        """See ThreadPoolExecutor."""
        futures = [self.submit(call, *args) for args in zip(*iterables, strict=False)]
        return (future.result() for future in futures)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """See ThreadPoolExecutor."""
        self._scheduler.pause(lambda: not wait or all(f.task.ended for f in self._futures))
