"""Runs a Python program in the sandbox: a fresh folder, an empty environment, no network, hard limits."""

from __future__ import annotations

import json
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

from core.errors import MissingToolError
from core.sandbox import child, landlock, privileges, seccomp
from core.sandbox.collect import collect
from core.sandbox.limits import Limits, tasks_of
from core.sandbox.watch import Ended, remove, watch


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """What is to be run."""

    source: str  # Python; runs as __main__ in an empty folder, the only one it can write to
    arguments: tuple[str, ...] = ()
    python: str = sys.executable  # 3.11 or newer; its packages can be imported
    read: tuple[str, ...] = ()  # more files and folders it may read
    keep: tuple[str, ...] = ("*",)  # files that are handed back, as patterns of their paths
    limits: Limits = field(default_factory=Limits)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a program ended, and what it left."""

    ended: Ended
    files: tuple[str, ...]  # paths in the folder given to `run`
    left_out: dict[str, str]  # path: why it was not taken

    @property
    def done(self) -> bool:
        """Whether it came to its end by itself, without an error."""
        return self.ended.exit_code == 0 and not self.ended.stopped


def available(abi: int | None = None) -> str:
    """Why there can be no sandbox on this machine, as a sentence; "" when there can. `abi`: of Landlock, if known."""
    found = landlock.abi() if abi is None else abi
    if found < landlock.LEAST_ABI:
        why = f"it needs Linux 6.2 or newer with Landlock (its ABI here is {found}, {landlock.LEAST_ABI} is needed)"
    elif platform.machine() not in seccomp.MACHINES:
        why = f"no list of system calls is known for this machine ({platform.machine()})"
    elif not seccomp.is_there():
        why = "this kernel cannot filter system calls (seccomp)"
    else:
        return ""
    return f"Code of scenes cannot be run safely here: {why}."


def run(program: Program, out: Path, look: Callable[[], None] = lambda: None) -> Outcome:
    """Run a program, and put the files it leaves into `out`.

    look: called about twenty times a second; what it raises ends the program and is raised on.
    Raises MissingToolError: `sandbox_unavailable` where the machine has no such locks, or they did not close;
    `missing_python`.
    """
    if refusal := available():
        raise MissingToolError(refusal, code="sandbox_unavailable")
    if shutil.which(program.python) is None:
        raise MissingToolError("The Python for code of scenes is not installed.", code="missing_python")
    scratch = Path(tempfile.mkdtemp(prefix="sandbox-"))
    try:
        work = scratch / "work"
        work.mkdir(mode=0o700)
        if os.getuid() == 0:
            scratch.chmod(0o711)
            os.chown(work, privileges.NOBODY, privileges.NOBODY)
        ended = _ended(program, work, look)
        files, left_out = collect(work, out, program.limits, program.keep)
        return Outcome(ended, tuple(files), left_out)
    finally:
        remove(scratch)


def _ended(program: Program, work: Path, look: Callable[[], None]) -> Ended:
    """Run the child, and see that its locks stood before it ran anything."""
    read_end, write_end = os.pipe()
    try:
        os.set_blocking(read_end, False)
        ended = _watched(program, work, write_end, look)
        try:
            said = os.read(read_end, 1000)
        except BlockingIOError:
            said = b""
    finally:
        os.close(read_end)
        os.close(write_end)
    if said != child.SHUT and not (ended.stopped and not said):
        why = said.decode("utf-8", "replace") or ended.stderr.strip()[-300:] or f"status {ended.exit_code}"
        raise MissingToolError(f"The sandbox for code of scenes did not close ({why}).", code="sandbox_unavailable")
    return ended


def _watched(program: Program, work: Path, report: int, look: Callable[[], None]) -> Ended:
    """Start the child and tell it what to run; `report`: where it says that its locks stand."""
    told = {
        "source": program.source,
        "arguments": program.arguments,
        "read": [str(Path(path).absolute()) for path in program.read],
        "work": str(work),
        "limits": asdict(program.limits),
        "tasks": tasks_of(os.getuid() or privileges.NOBODY),
        "parent": os.getpid(),
        "report": report,
    }
    command = (program.python, "-I", "-B", str(Path(child.__file__).absolute()))
    with tempfile.TemporaryFile() as stdin:
        stdin.write(json.dumps(told).encode())
        stdin.seek(0)
        return watch(command, work, program.limits, environment={}, stdin=stdin, pass_fds=(report,), look=look)
