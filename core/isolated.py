"""Python source that nobody vouches for, run in a process of its own: fresh folder, empty environment, hard limits."""

from __future__ import annotations

import base64
import contextlib
import os
import resource
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_SOURCE_BYTES = 200_000
_WALL_SECONDS = (1.0, 600.0)
_MEMORY_MB = (64, 8192)
_STREAM_BYTES = 20_000  # of each stream's end that is told
_FILES, _FILE_BYTES, _ALL_BYTES = 20, 2_000_000, 4_000_000  # of what is handed back
_DISK_BYTES = 200_000_000  # of any one file while it runs
_PROCESSES = 256


def run_source(request: Mapping[str, Any]) -> dict[str, Any]:
    """Run Python source and tell how it ended.

    The process is no jail: it shares the machine's users and kernel. That is what the container around it is for,
    which has no network, no secrets, no volumes, and lives for one call.

    Args:
        request: {"source": text, "wall_seconds": 1 to 600 (60), "cpu_seconds": 1 to 600 (as wall_seconds),
            "memory_mb": 64 to 8192 (1024)}.

    Returns:
        {"state": "done", "exit_code": int (negative: the signal that ended it), "timed_out": bool, "stdout": text,
        "stderr": text (the last 20 kB of each), "files": {path: base64} (small files it left, by their names in its
        folder), "left_out": [path] (files that are too large or too many)}; or
        {"state": "failed", "code": "invalid_input", "sentence"} when the request is none.
    """
    source, wrong = request.get("source"), ""
    wall = _limit(request, "wall_seconds", 60.0, *_WALL_SECONDS)
    cpu = _limit(request, "cpu_seconds", wall or 60.0, *_WALL_SECONDS)
    memory = _limit(request, "memory_mb", 1024, *_MEMORY_MB)
    if not isinstance(source, str) or not 0 < len(source.encode("utf-8", "replace")) <= _SOURCE_BYTES:
        wrong = f"`source` must be Python source of at most {_SOURCE_BYTES} bytes."
    elif wall is None or cpu is None:
        wrong = f"`wall_seconds` and `cpu_seconds` must be from {_WALL_SECONDS[0]:g} to {_WALL_SECONDS[1]:g}."
    elif memory is None:
        wrong = f"`memory_mb` must be from {_MEMORY_MB[0]} to {_MEMORY_MB[1]}."
    if wrong or wall is None or cpu is None or memory is None or not isinstance(source, str):
        return {"state": "failed", "code": "invalid_input", "sentence": wrong}
    with tempfile.TemporaryDirectory(prefix="isolated-") as folder:
        ended = _ran(source, Path(folder), wall, cpu, memory)
        return {"state": "done", **ended, **_collected(Path(folder) / "work")}


def _limit(request: Mapping[str, Any], name: str, default: float, least: float, most: float) -> float | None:
    value = request.get(name, default)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return float(value) if least <= value <= most else None


def _ran(source: str, folder: Path, wall: float, cpu: float, memory: float) -> dict[str, Any]:
    """Run it in `folder`/work; the streams go to files, so that no amount of output fills this process."""
    work = folder / "work"
    work.mkdir()
    program = folder / "program.py"
    program.write_text(source, encoding="utf-8", errors="replace")
    environment = {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": str(work), "LANG": "C.UTF-8", "TMPDIR": str(work)}
    bounds = {
        resource.RLIMIT_CPU: int(cpu),
        resource.RLIMIT_AS: int(memory) * 1024 * 1024,
        resource.RLIMIT_FSIZE: _DISK_BYTES,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_NPROC: _PROCESSES,
    }

    def bound() -> None:  # in the child, before its program
        for kind, value in bounds.items():
            resource.setrlimit(kind, (value, value))

    with (folder / "stdout").open("wb") as out, (folder / "stderr").open("wb") as err:
        process = subprocess.Popen(
            [sys.executable, "-I", "-B", str(program)],
            cwd=work,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            start_new_session=True,
            preexec_fn=bound,  # noqa: PLW1509  no thread of ours holds a lock that the few calls above need
        )
        timed_out = False
        try:
            process.wait(wall)
        except subprocess.TimeoutExpired:
            timed_out = True
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # with all that it has started
            process.wait()
    ended = {"exit_code": process.returncode, "timed_out": timed_out}
    return ended | {name: _end_of(folder / name) for name in ("stdout", "stderr")}


def _end_of(path: Path) -> str:
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - _STREAM_BYTES))
        return file.read().decode("utf-8", "replace")


def _collected(work: Path) -> dict[str, Any]:
    """The small files it left, never through a link."""
    files: dict[str, str] = {}
    left_out: list[str] = []
    total = 0
    for folder, _, names in os.walk(work, followlinks=False):
        for name in sorted(names):
            path = Path(folder) / name
            shown = path.relative_to(work).as_posix().encode("utf-8", "replace").decode()
            size = path.lstat().st_size
            plain = path.is_file() and not path.is_symlink()
            if not plain or size > _FILE_BYTES or total + size > _ALL_BYTES or len(files) >= _FILES:
                left_out.append(shown)
                continue
            files[shown] = base64.b64encode(path.read_bytes()).decode()
            total += size
    return {"files": files, "left_out": sorted(left_out)[:100]}
