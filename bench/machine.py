"""Names the machine a figure was measured on, and counts what processes cost it."""

from __future__ import annotations

import contextlib
import os
import platform
import resource
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import psutil

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Cost:
    """What some work took: seconds on the clock, and seconds of all processors together."""

    wall: float
    cpu: float


@dataclass(frozen=True, slots=True)
class Machine:
    """Where and when. `load`: average number of running processes over the last minute, before the work began."""

    cpu: str
    cores: int
    memory_gib: float
    system: str
    python: str
    load: float
    date: str

    @classmethod
    def here(cls) -> Machine:
        """This machine, now."""
        return cls(
            cpu=_cpu_model(),
            cores=len(os.sched_getaffinity(0)),
            memory_gib=round(psutil.virtual_memory().total / 2**30, 1),
            system=f"{platform.system()} {platform.release()}",
            python=platform.python_version(),
            load=round(os.getloadavg()[0], 2),
            date=datetime.now(UTC).isoformat(timespec="seconds"),
        )

    def sentence(self) -> str:
        """In one line."""
        return (
            f"{self.cpu}, {self.cores} cores, {self.memory_gib:g} GiB, {self.system}, Python {self.python}, "
            f"load {self.load:g} before the run, {self.date}"
        )

    def record(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)


def _cpu_model() -> str:
    """The processor's name as Linux tells it, else its architecture."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith(("model name", "Model"))]
    return names[0] if names else platform.processor() or platform.machine()


def cpu_seconds() -> float:
    """User and system time of this process and of all its children that have ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(u.ru_utime + u.ru_stime for u in used)


def costed(work: Callable[[], T]) -> tuple[T, Cost]:
    """Do some work in this process; its result and its cost, that of ended children included."""
    wall, cpu = time.perf_counter(), cpu_seconds()
    result = work()
    return result, Cost(time.perf_counter() - wall, cpu_seconds() - cpu)


def family(pid: int) -> list[psutil.Process]:
    """A process and its descendants; nothing when it is gone."""
    try:
        process = psutil.Process(pid)
        return [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def family_cpu_seconds(pid: int) -> float:
    """User and system time of a process and its descendants, those that have ended and were waited for included."""
    total = 0.0
    for process in family(pid):
        with contextlib.suppress(psutil.NoSuchProcess):
            total += sum(process.cpu_times()[:4])  # own user and system time, then that of ended children
    return total
