"""Starts a process in a session of its own, watches what it uses up, and leaves nothing of it running."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import stat
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING

from core.sandbox.limits import Limits, threads_of

if TYPE_CHECKING:
    from resource import struct_rusage

_LOOK_SECONDS = 0.05
_END_SECONDS = 0.002  # between looks at one that has closed its streams, and so is about to end
_CHUNK = 65_536


@dataclass(frozen=True, slots=True)
class Ended:
    """How a process ended."""

    exit_code: int  # negative: the signal that ended it
    stopped: str  # "" or the limit that ended it: wall_time, cpu_time, output, disk, files, threads
    stdout: str
    stderr: str
    seconds: float  # wall time
    cpu_seconds: float
    memory_bytes: int  # most that it held in memory


@dataclass(slots=True)
class _Streams:
    """Both streams of a process, as far as they have been read."""

    selector: selectors.BaseSelector
    taken: dict[str, bytearray] = field(default_factory=dict)

    def add(self, name: str, stream: IO[bytes]) -> None:
        os.set_blocking(stream.fileno(), False)
        self.selector.register(stream, selectors.EVENT_READ, name)
        self.taken[name] = bytearray()

    def read(self, timeout: float) -> None:
        """What there is now, at most one chunk of each."""
        if not self.selector.get_map():
            time.sleep(min(timeout, _END_SECONDS))
            return
        for key, _ in self.selector.select(timeout):
            data = os.read(key.fd, _CHUNK)
            self.taken[key.data] += data
            if not data:
                self.selector.unregister(key.fileobj)

    def rest(self, most: int) -> None:
        """What still lies in the pipes after the end."""
        while self.selector.get_map() and self.size < most:
            before = self.size, len(self.selector.get_map())
            self.read(0)
            if before == (self.size, len(self.selector.get_map())):
                return

    @property
    def size(self) -> int:
        return sum(map(len, self.taken.values()))

    def text(self, name: str, most: int) -> str:
        return bytes(self.taken[name][:most]).decode("utf-8", "replace")


def watch(
    command: Sequence[str],
    folder: Path,
    limits: Limits,
    *,
    environment: Mapping[str, str],
    stdin: IO[bytes] | int = subprocess.DEVNULL,
    pass_fds: Sequence[int] = (),
    before: Callable[[], None] | None = None,
    look: Callable[[], None] = lambda: None,
) -> Ended:
    """Run a command in `folder` until it ends or breaks a limit; then its whole process group is killed.

    before: called in the child before its program. look: called about twenty times a second; what it raises ends the
    process and is raised on. Raises OSError when the command cannot be started.
    """
    began = time.monotonic()
    process = subprocess.Popen(
        command,
        cwd=folder,
        env=environment,
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        pass_fds=pass_fds,
        start_new_session=True,
        preexec_fn=before,  # noqa: PLW1509  the few calls above need no lock that a thread of ours may hold
    )
    with selectors.DefaultSelector() as selector:
        streams = _Streams(selector)
        try:
            for name, stream in (("stdout", process.stdout), ("stderr", process.stderr)):
                assert stream is not None
                streams.add(name, stream)
            stopped, used = _follow(process, folder, limits, streams, began, look)
        finally:
            _kill(process)
            with contextlib.suppress(OSError):
                streams.rest(limits.stream_bytes)
            for open_stream in (process.stdout, process.stderr):
                if open_stream is not None:
                    open_stream.close()
    code, cpu = process.returncode, used.ru_utime + used.ru_stime
    if not stopped and (code == -signal.SIGXCPU or (code == -signal.SIGKILL and cpu >= limits.cpu_seconds)):
        stopped = "cpu_time"
    said = (streams.text("stdout", limits.stream_bytes), streams.text("stderr", limits.stream_bytes))
    return Ended(code, stopped, *said, time.monotonic() - began, cpu, used.ru_maxrss * 1024)


def _follow(
    process: subprocess.Popen[bytes],
    folder: Path,
    limits: Limits,
    streams: _Streams,
    began: float,
    look: Callable[[], None],
) -> tuple[str, struct_rusage]:
    """Until it has ended ("") or has been ended for the limit it broke."""
    next_look = began
    while (used := _used_by_ended(process, os.WNOHANG)) is None:
        streams.read(_LOOK_SECONDS)
        now = time.monotonic()
        if streams.size > limits.stream_bytes:
            broken = "output"
        elif now < next_look:
            continue
        else:
            look()
            broken = _broken(process.pid, folder, limits, now - began)
            next_look = time.monotonic() + _LOOK_SECONDS
        if broken:
            os.killpg(process.pid, signal.SIGKILL)
            used = _used_by_ended(process, 0)
            assert used is not None
            return broken, used
    return "", used


def _used_by_ended(process: subprocess.Popen[bytes], options: int) -> struct_rusage | None:
    """What a process used up, if it has ended."""
    pid, status, used = os.wait4(process.pid, options)
    if not pid:
        return None
    process.returncode = os.waitstatus_to_exitcode(status)
    return used


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End all that is left of its group."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    if process.returncode is None:
        process.wait()


def _broken(pid: int, folder: Path, limits: Limits, seconds: float) -> str:
    """Which limit is broken, if one is."""
    if seconds > limits.wall_seconds:
        return "wall_time"
    if threads_of(pid) > limits.threads:
        return "threads"
    return _room_broken(pid, folder, limits)


# ---- room on the disk


def _room_broken(pid: int, folder: Path, limits: Limits) -> str:
    """Which limit of the disk is broken: "", "disk" or "files"."""
    size = entries = 0
    try:
        for found in _below(folder):
            entries += 1
            size += found.st_blocks * 512
            if entries > limits.entries:
                return "files"
    except FileNotFoundError:
        pass  # gone while it was looked at
    except OSError:
        return "files"  # a folder nobody can look into, or too deep to be named
    return "disk" if size + _unnamed(pid) > limits.disk_bytes else ""


def _below(folder: Path) -> Iterator[os.stat_result]:
    """Every file and folder below; a link is itself."""
    waiting = [str(folder)]
    while waiting:
        with os.scandir(waiting.pop()) as entries:
            for entry in entries:
                with contextlib.suppress(FileNotFoundError):
                    yield (found := entry.stat(follow_symlinks=False))
                    if stat.S_ISDIR(found.st_mode):
                        waiting.append(entry.path)


def _unnamed(pid: int) -> int:
    """Bytes in files that have no name any more, and live as long as they are open."""
    size = 0
    with contextlib.suppress(OSError):
        for entry in os.scandir(f"/proc/{pid}/fd"):
            with contextlib.suppress(OSError):
                found = entry.stat()
                if stat.S_ISREG(found.st_mode) and found.st_nlink == 0:
                    size += found.st_blocks * 512
    return size


def remove(scratch: Path) -> None:
    """Delete a folder whose own entries are ours, whatever lies in its folders: no rights, trees too deep to be named.

    The process that filled it must be gone.
    """
    count = 0
    doomed = [Path(entry.path) for entry in os.scandir(scratch)]
    while doomed:
        top = doomed.pop()
        if not top.is_dir() or top.is_symlink():
            top.unlink()
            continue
        top.chmod(0o700)
        for entry in list(os.scandir(top)):
            if entry.is_dir(follow_symlinks=False):
                count += 1
                raised = scratch / f"doomed-{count}"  # so that no path grows
                Path(entry.path).chmod(0o700)
                doomed.append(Path(entry.path).rename(raised))
            else:
                Path(entry.path).unlink()
        top.rmdir()
    scratch.rmdir()
