"""The peak memory of the whole local stack while it makes a short and a long video."""

from __future__ import annotations

import contextlib
import threading
from collections import defaultdict
from collections.abc import Iterator, Mapping

import psutil

from bench import local
from bench.figures import Figure, Topic
from bench.machine import family
from core import stack as stacks

_PEAK_MB = 900.0
_FLAT = 1.15
_PERIOD = 0.2  # seconds between two looks
_FEW, _MANY, _MANY_QUICK = 3, 60, 12
_VIDEO_SECONDS = 1800.0
_SENTENCE = "Number {} on our list is short, and it was soon told."


class Peak:
    """The largest memory that a stack was seen to use, in MB of 10^6 bytes."""

    def __init__(self, stack: stacks.Stack) -> None:
        self.megabytes = 0.0
        self.processes: Mapping[str, float] = {}  # their MB at the peak
        self._roots = dict(stack.pids)
        self._over = threading.Event()

    def watch(self) -> None:
        """Look until it is over."""
        while not self._over.wait(_PERIOD):
            now = self._look()
            if sum(now.values()) > self.megabytes:
                self.megabytes, self.processes = sum(now.values()), now

    def _look(self) -> Mapping[str, float]:
        """MB by what runs: the server's and the renderer's processes, and the programs they started."""
        found: defaultdict[str, float] = defaultdict(float)
        for name, pid in self._roots.items():
            for process in family(pid):
                with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
                    # the proportional share (PSS of /proc/PID/smaps_rollup): shared pages count once in the sum
                    found[_kind(name, process)] += process.memory_full_info().pss / 1e6
        return found

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """Watch in a thread."""
        thread = threading.Thread(target=self.watch)
        thread.start()
        try:
            yield
        finally:
            self._over.set()
            thread.join()


def _kind(name: str, process: psutil.Process) -> str:
    """The stack's name for a process of its own kind, else the program's name."""
    program = process.name()
    return name if program.startswith("python") else program.partition("-")[0]


def measure(*, quick: bool) -> Topic:
    """Make a video of few scenes and one of many, each with a stack of its own."""
    many = _MANY_QUICK if quick else _MANY
    short, long = _peak_of(_FEW), _peak_of(many)
    return Topic(
        "memory",
        f"Videos of {_FEW} and {many} short scenes at 1080x1920, made by a fresh local stack each; the sum of all its "
        f"processes' proportional shares (PSS), looked at every {_PERIOD:g} s.",
        (
            Figure(f"peak, {_FEW} scenes", short.megabytes, "MB", _PEAK_MB, beside=_shares(short)),
            Figure(f"peak, {many} scenes", long.megabytes, "MB", _PEAK_MB, beside=_shares(long)),
            Figure(f"{many} scenes against {_FEW}", long.megabytes / short.megabytes, "x", _FLAT),
        ),
    )


def _shares(peak: Peak) -> str:
    return ", ".join(f"{name} {megabytes:.0f}" for name, megabytes in peak.processes.items() if megabytes >= 1)


def _peak_of(scenes: int) -> Peak:
    """Make a video of so many scenes and watch."""
    script = "\n\n".join(_SENTENCE.format(number + 1) for number in range(scenes))
    with local.running() as stack:
        peak = Peak(stack)
        with peak.watching():
            video = local.finished(stack, local.create(local.user(stack), script, resolution=1080), _VIDEO_SECONDS)
    if video.scene_count != scenes:
        raise ValueError(f"the script fell into {video.scene_count} scenes instead of {scenes}")
    return peak
