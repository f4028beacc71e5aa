"""What a program may use up, and the part of it that the kernel itself enforces."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_TASKS_SLACK = 256  # threads that the user's other processes may start meanwhile


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds of one run. The kernel holds the process to some; the rest is watched, twenty times a second."""

    wall_seconds: float = 300.0
    cpu_seconds: int = 300
    memory_bytes: int = 3 * 1024**3  # of addresses, which is more than what is touched
    stream_bytes: int = 1_000_000  # standard output and error together
    file_bytes: int = 500_000_000  # of any one file
    disk_bytes: int = 1_000_000_000  # of all files that it holds at one time
    entries: int = 10_000  # files and folders that it holds at one time
    threads: int = 128
    open_files: int = 256
    kept_files: int = 100  # files that are handed back
    kept_bytes: int = 1_000_000_000  # all files that are handed back


def tasks_of(user: int) -> int:
    """How many threads a user has on this machine; 0 where there is no /proc."""
    count = 0
    with suppress(OSError):
        for entry in os.scandir("/proc"):
            if entry.name.isdigit():
                with suppress(OSError):
                    if entry.stat().st_uid == user:
                        count += threads_of(int(entry.name))
    return count


def threads_of(pid: int) -> int:
    """How many threads a process has; 0 when it is gone."""
    with suppress(OSError, IndexError, ValueError):
        return int(Path(f"/proc/{pid}/stat").read_text("ascii", "replace").rpartition(")")[2].split()[17])
    return 0


def impose(limits: Limits, tasks: int) -> None:
    """Let the kernel hold this process to its limits, for good; on POSIX systems alone.

    `tasks`: threads its user has already. The kernel counts all processes of a user together, so that this only stops
    what grows faster than it can be watched; not for root.
    """
    import resource

    bounds = {
        resource.RLIMIT_CPU: limits.cpu_seconds,
        resource.RLIMIT_AS: limits.memory_bytes,
        resource.RLIMIT_FSIZE: limits.file_bytes,
        resource.RLIMIT_NOFILE: limits.open_files,
        resource.RLIMIT_NPROC: tasks + limits.threads + _TASKS_SLACK,
        resource.RLIMIT_CORE: 0,
    }
    for kind, wanted in bounds.items():
        most = resource.getrlimit(kind)[1]
        value = wanted if most == resource.RLIM_INFINITY else min(wanted, most)
        # a second more of CPU: the first signal may be ignored, the last cannot
        last = value + 1 if kind == resource.RLIMIT_CPU and most == resource.RLIM_INFINITY else value
        resource.setrlimit(kind, (value, last))
