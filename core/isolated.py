"""Python source that nobody vouches for, run in a process of its own: fresh folder, empty environment, hard limits."""

from __future__ import annotations

import base64
import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from core.sandbox.collect import collect
from core.sandbox.limits import Limits, impose, tasks_of
from core.sandbox.watch import remove, watch

_SOURCE_BYTES = 200_000
_WALL_SECONDS = (1.0, 600.0)
_MEMORY_MB = (64, 3072)
_STREAM_BYTES = 20_000  # of each stream's end that is told
_FILES, _FILE_BYTES, _ALL_BYTES = 20, 8_000_000, 10_000_000  # of what is handed back
_DISK_BYTES = 200_000_000  # of all files while it runs


def run_source(request: Mapping[str, Any]) -> dict[str, Any]:
    """Run Python source and tell how it ended.

    The process is no jail: it shares the machine's users and kernel. That is what the container around it is for,
    which has no network, no secrets, no volumes, and lives for one call.

    Args:
        request: {"source": text, "wall_seconds": 1 to 600 (60), "cpu_seconds": 1 to 600 (as wall_seconds),
            "memory_mb": 64 to 3072 (1024), "keep": patterns of the files that are handed back (all)}.

    Returns:
        {"state": "done", "exit_code": int (negative: the signal that ended it), "timed_out": bool, "stopped": the
        limit that ended it ("": none), "stdout": text, "stderr": text (the last 20 kB of each), "files":
        {path: base64} (small files it left, by safe names), "left_out": [path] (those too large or too many)}; or
        {"state": "failed", "code": "invalid_input", "sentence"} when the request is none.
    """
    source, wrong, keep = request.get("source"), "", request.get("keep", ["*"])
    wall = _limit(request, "wall_seconds", 60.0, *_WALL_SECONDS)
    cpu = _limit(request, "cpu_seconds", wall or 60.0, *_WALL_SECONDS)
    memory = _limit(request, "memory_mb", 1024, *_MEMORY_MB)
    if not isinstance(source, str) or not 0 < len(source.encode("utf-8", "replace")) <= _SOURCE_BYTES:
        wrong = f"`source` must be Python source of at most {_SOURCE_BYTES} bytes."
    elif wall is None or cpu is None:
        wrong = f"`wall_seconds` and `cpu_seconds` must be from {_WALL_SECONDS[0]:g} to {_WALL_SECONDS[1]:g}."
    elif memory is None:
        wrong = f"`memory_mb` must be from {_MEMORY_MB[0]} to {_MEMORY_MB[1]}."
    elif not (isinstance(keep, list) and all(isinstance(pattern, str) for pattern in keep[:_FILES])):
        wrong = "`keep` must be a list of patterns."
    if wrong or wall is None or cpu is None or memory is None or not isinstance(source, str):
        return {"state": "failed", "code": "invalid_input", "sentence": wrong}
    limits = Limits(
        wall_seconds=wall,
        cpu_seconds=int(cpu),
        memory_bytes=int(memory) * 1024 * 1024,
        file_bytes=_DISK_BYTES,
        disk_bytes=_DISK_BYTES,
    )
    scratch = Path(tempfile.mkdtemp(prefix="isolated-"))
    try:
        return {"state": "done", **_ran(source, scratch, limits), **_collected(scratch, limits, keep[:_FILES])}
    finally:
        remove(scratch)


def _limit(request: Mapping[str, Any], name: str, default: float, least: float, most: float) -> float | None:
    value = request.get(name, default)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return float(value) if least <= value <= most else None


def _ran(source: str, scratch: Path, limits: Limits) -> dict[str, Any]:
    """Run it in `scratch`/work."""
    work = scratch / "work"
    work.mkdir()
    program = scratch / "program.py"
    program.write_text(source, encoding="utf-8", errors="replace")
    environment = {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": str(work), "LANG": "C.UTF-8", "TMPDIR": str(work)}
    command = (sys.executable, "-I", "-B", str(program))
    ended = watch(command, work, limits, environment=environment, before=partial(impose, limits, tasks_of(os.getuid())))
    return {
        "exit_code": ended.exit_code,
        "timed_out": ended.stopped == "wall_time",
        "stopped": ended.stopped,
        "stdout": ended.stdout[-_STREAM_BYTES:],
        "stderr": ended.stderr[-_STREAM_BYTES:],
    }


def _collected(scratch: Path, limits: Limits, keep: Sequence[str]) -> dict[str, Any]:
    """The small files it left."""
    handed = replace(limits, kept_files=_FILES, file_bytes=_FILE_BYTES, kept_bytes=_ALL_BYTES)
    taken, left = collect(scratch / "work", scratch / "taken", handed, keep)
    files = {path: base64.b64encode((scratch / "taken" / path).read_bytes()).decode() for path in taken}
    return {"files": files, "left_out": sorted(left)}
