"""A renderer in the simulation: each call is a process, which may be late, come twice, die or be forgotten."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from core.errors import BusyError
from core.ports import CallState, Job
from tests.simulation.scheduler import Process, Scheduler
from tests.simulation.store import Way


@dataclass
class Call:
    """One call and the processes that work at it."""

    job: Job
    processes: list[Process]
    forgotten: bool = False


@dataclass
class Calls:
    """Implements ports.Dispatcher."""

    way: Way
    run: Callable[[Job], None]
    unreliable: Callable[[float], bool]  # whether something goes wrong now that goes wrong so often
    deaf: float = 0.2  # how often a cancel does not arrive
    id: str = "simulated"
    parallel_calls: int = 2
    scenes_per_call: int = 0
    calls: dict[str, Call] = field(default_factory=dict)

    @property
    def scheduler(self) -> Scheduler:
        """Under whose hand all this is."""
        return self.way.scheduler

    def submit(self, job: Job) -> str:
        """See ports.Dispatcher: it begins now or later, sometimes twice."""
        if self.unreliable(0.05):
            raise BusyError("The renderer is full.")
        return self.way.call(lambda: self._take(job))

    def _take(self, job: Job) -> str:
        call_id = f"call-{len(self.calls) + 1}"
        job = replace(job, call=call_id)
        copies = 2 if self.unreliable(0.1) else 1
        call = Call(job, [Process(f"{call_id}.{n}", "renderer", job.attempt) for n in range(copies)])
        self.calls[call_id] = call
        call.forgotten = self.unreliable(0.05)  # and yet it begins, when others have long been asked instead
        for process in call.processes:
            after = self.scheduler.rng.choice([0.01, 0.5, 3.0, 25.0])
            self.scheduler.spawn(process, lambda: self.run(job), after=after, main=True)
        return call_id

    def status(self, call_id: str) -> CallState:
        """See ports.Dispatcher."""
        self.scheduler.pause()
        if self.unreliable(0.05):
            return CallState.UNKNOWN
        call = self.calls.get(call_id)
        if call is None or call.forgotten:
            return CallState.LOST
        if any(p.alive and self.scheduler.running(p) for p in call.processes):
            return CallState.PENDING
        ended_well = any(p.alive and p.error is None for p in call.processes)
        return CallState.DONE if ended_well else CallState.FAILED

    def cancel(self, call_id: str) -> None:
        """See ports.Dispatcher: it does not always arrive."""
        self.scheduler.pause()
        if call_id in self.calls and not self.unreliable(self.deaf):
            for process in self.calls[call_id].processes:
                self.scheduler.kill(process)

    def restart(self, *, leave_running: bool) -> None:
        """The renderer forgets its calls, and ends them, unless it is only the way to it that broke."""
        for call in self.calls.values():
            call.forgotten = True
            for process in [] if leave_running else call.processes:
                self.scheduler.kill(process)

    def processes(self) -> list[Process]:
        """Those that still work."""
        found = [p for call in self.calls.values() for p in call.processes]
        return [p for p in found if p.alive and self.scheduler.running(p)]
