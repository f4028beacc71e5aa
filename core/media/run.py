"""Runs ffmpeg: finds it, feeds it, bounds its time, and turns its complaints into sentences."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from core.errors import EngineError, MissingToolError, disk_full, of_system
from core.media.args import GLOBAL_ARGS

FFMPEG_VARIABLE = "SCENEWRIGHT_FFMPEG"
_SAID_LINES = 6  # last lines of ffmpeg's log that an error carries
_PIPE_BYTES = 1 << 20  # what Linux lets anybody have; of the usual 64 KiB a frame takes fifty turns to pass


@dataclass(frozen=True, slots=True)
class Finished:
    """What a run left behind."""

    stdout: bytes
    log: str  # standard error, whole


def ffmpeg_path() -> str:
    """The ffmpeg to use: SCENEWRIGHT_FFMPEG, else the one of the imageio-ffmpeg wheel. Raises MissingToolError."""
    chosen = os.environ.get(FFMPEG_VARIABLE, "")
    if chosen:
        if Path(chosen).is_file() and os.access(chosen, os.X_OK):
            return chosen
        raise MissingToolError(
            f"{FFMPEG_VARIABLE} names {chosen}, which is no program; correct it or remove it.", code="missing_ffmpeg"
        )
    import imageio_ffmpeg

    try:
        return str(imageio_ffmpeg.get_ffmpeg_exe())
    except RuntimeError as error:
        raise MissingToolError(
            f"There is no ffmpeg on this machine; install the package imageio-ffmpeg or set {FFMPEG_VARIABLE}.",
            code="missing_ffmpeg",
        ) from error


def run(
    args: Sequence[str],
    *,
    timeout: float = 900.0,
    feed: Iterable[bytes | memoryview] | None = None,
    on_frame: Callable[[int], None] | None = None,
    check: bool = True,
) -> Finished:
    """Run ffmpeg with `args` (without the program's name) and wait for it.

    timeout: seconds of wall time, after which it is killed.
    feed: buffers written to its standard input in order (`-i pipe:0`); an error raised by the iterable ends ffmpeg.
    on_frame: called in this thread with the number of the newest frame while it works; an error raised by it ends
        ffmpeg. Not together with `feed`, whose iterable knows where it is, nor with output on standard output.
    check: raise when ffmpeg fails; else the caller reads the log.
    Raises MissingToolError (no ffmpeg, disk full) and EngineError (its last lines; killed; too slow).
    """
    progress = ("-progress", "pipe:1", "-nostats") if on_frame else ()
    command = [ffmpeg_path(), *GLOBAL_ARGS, *progress, *args]
    process = _start(command, feed is not None)
    said: list[bytes] = []
    kept: list[bytes] = []
    readers = [_reader(process.stderr, said)]
    if on_frame is None:
        readers.append(_reader(process.stdout, kept))
    late = threading.Event()
    timer = threading.Timer(timeout, _stop, (process, late))
    timer.daemon = True
    timer.start()
    try:
        if feed is not None:
            _feed(process, feed)
        if on_frame is not None:
            _follow(process, on_frame)
        process.wait()
    finally:
        timer.cancel()
        if process.poll() is None:
            process.kill()
            process.wait()
        for thread in readers:
            thread.join()
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()
    log = b"".join(said).decode("utf-8", "replace")
    if check and process.returncode != 0:
        raise failure(process.returncode, log, timeout if late.is_set() else None)
    return Finished(b"".join(kept), log)


def stream(args: Sequence[str], size: int) -> Iterator[bytes]:
    """Run ffmpeg with `args` and yield its standard output in blocks of `size` bytes; closing the iterator ends it.

    Raises MissingToolError and EngineError as `run` does, after the last whole block.
    """
    process = _start([ffmpeg_path(), *GLOBAL_ARGS, *args], fed=False)
    assert process.stdout is not None
    said: list[bytes] = []
    reader = _reader(process.stderr, said)
    try:
        while len(block := process.stdout.read(size)) == size:
            yield block
        process.wait()
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        reader.join()
        for pipe in (process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()
    if process.returncode != 0:
        raise failure(process.returncode, b"".join(said).decode("utf-8", "replace"))


def failure(returncode: int, log: str, timeout: float | None = None) -> MissingToolError | EngineError:
    """The error for a run that ended badly; `timeout` is the limit in seconds if it was killed for it."""
    if os.strerror(errno.ENOSPC) in log or "disk full" in log.lower():
        return disk_full()
    last = " | ".join(line.strip() for line in log.strip().splitlines()[-_SAID_LINES:])
    if timeout is not None:
        return EngineError(f"ffmpeg was stopped after {timeout:g} seconds without a result.", code="ffmpeg_timeout")
    if returncode == -signal.SIGXFSZ:  # more than this process may write into one file
        return disk_full()
    if returncode < 0 or "received signal" in log:
        return EngineError(
            f"ffmpeg was killed from outside (often for want of memory). {last}".strip(),
            code="ffmpeg_killed",
            retryable=True,
        )
    return EngineError(f"ffmpeg failed with status {returncode}: {last or 'it said nothing'}", code="ffmpeg_failed")


def _stop(process: subprocess.Popen[bytes], late: threading.Event) -> None:
    """End a run that took too long, and note that it was this that ended it."""
    late.set()
    process.kill()


def _start(command: list[str], fed: bool) -> subprocess.Popen[bytes]:
    """Start ffmpeg with pipes; its standard input is closed unless it is to be fed."""
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE if fed else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
    except OSError as error:
        if error.errno in (errno.ENOMEM, errno.EAGAIN):  # no room for another process; a moment later there may be
            raise of_system(MemoryError()) from error
        raise MissingToolError(
            f"ffmpeg could not be started ({error.strerror}); check {FFMPEG_VARIABLE}.", code="missing_ffmpeg"
        ) from error
    for pipe in (process.stdin, process.stdout):
        _widen(pipe)
    return process


def _widen(pipe: IO[bytes] | None) -> None:
    """Let a pipe hold more at once, where the system knows how and the user has room left."""
    if pipe is not None and sys.platform == "linux":
        import fcntl

        with contextlib.suppress(OSError):
            fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)


def _reader(stream: IO[bytes] | None, into: list[bytes]) -> threading.Thread:
    """Drain a pipe in a thread of its own, so that ffmpeg never blocks on it."""
    assert stream is not None
    thread = threading.Thread(target=lambda: into.extend(iter(lambda: stream.read1(65_536), b"")), daemon=True)  # type: ignore[attr-defined]
    thread.start()
    return thread


def _feed(process: subprocess.Popen[bytes], buffers: Iterable[bytes | memoryview]) -> None:
    """Write every buffer; ffmpeg ending early is reported by its status, not by the broken pipe."""
    assert process.stdin is not None
    try:
        for buffer in buffers:
            process.stdin.write(buffer)
        process.stdin.close()
    except (BrokenPipeError, ConnectionResetError):
        return


def _follow(process: subprocess.Popen[bytes], on_frame: Callable[[int], None]) -> None:
    """Read ffmpeg's progress lines until it closes them."""
    assert process.stdout is not None
    for line in process.stdout:
        name, _, value = line.decode("ascii", "replace").strip().partition("=")
        if name == "frame" and value.isdigit():
            on_frame(int(value))
