"""A place to break out of: a sandbox as each kind of user starts it, and a world around it that must stay as it was."""

from __future__ import annotations

import json
import os
import shutil
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

import psutil
import pytest

from core.sandbox.limits import Limits
from core.sandbox.privileges import NOBODY
from core.sandbox.runner import Outcome, Program, run
from core.sandbox.watch import Ended

ROOT = Path(__file__).resolve().parents[2]
SECRET = "the key of the deployment"

# what every attempt may use: `w` names the world, `call` makes a system call and raises what it answers
PRELUDE = """
import ctypes, errno, json, os, platform, sys
w = json.loads(sys.argv[1])
def call(name, *arguments):
    number = w["numbers"][name][0 if platform.machine() == "x86_64" else 1]
    words = [a if isinstance(a, bytes) else ctypes.c_long(a) for a in arguments]
    answer = ctypes.CDLL(None, use_errno=True).syscall(ctypes.c_long(number), *words)
    if answer < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return answer
def attempt():
{body}
try:
    said = ["through", str(attempt())]
except BaseException as error:
    said = ["refused", f"{{type(error).__name__}}: {{error}}"]
print(json.dumps(said), flush=True)
"""

# what a process of another user runs: one request a line, one answer a line
SERVER = """
import json, sys
from dataclasses import asdict
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from core.sandbox.limits import Limits
from core.sandbox.runner import Program, run
for line in sys.stdin:
    asked = json.loads(line)
    limits = Limits(**asked["program"].pop("limits"))
    outcome = run(Program(**asked["program"], limits=limits), Path(asked["out"]))
    print(json.dumps(asdict(outcome)), flush=True)
"""


def attempt(body: str) -> str:
    """A program that tries something and says how that went; `body`: statements, the last may return."""
    return PRELUDE.format(body="\n".join(f"    {line}" for line in body.strip().splitlines()))


@dataclass
class World:
    """What lies around a sandbox and belongs to the same user: files, a process, servers that listen."""

    folder: Path
    user: int
    victim: subprocess.Popen[bytes]
    listeners: dict[str, socket.socket]
    before: dict[str, Any] = field(default_factory=dict)

    @property
    def facts(self) -> dict[str, Any]:
        """What an attempt is told, so that it need not search."""
        return {
            "folder": str(self.folder),
            "secret": str(self.folder / "home/secret.txt"),
            "project": str(self.folder / "project/module.py"),
            "other": str(self.folder / "other-video/scene.mp4"),
            "victim": self.victim.pid,
            "tcp": self.listeners["tcp"].getsockname()[1],
            "udp": self.listeners["udp"].getsockname()[1],
            "unix": self.listeners["unix"].getsockname(),
            "abstract": self.listeners["abstract"].getsockname()[1:].decode(),
            "numbers": NUMBERS,
        }

    def state(self) -> dict[str, Any]:
        """Everything that an attempt could have changed."""
        seen: dict[str, Any] = {}
        for path in sorted(self.folder.rglob("*")):
            about = path.lstat()
            content = path.read_bytes() if stat.S_ISREG(about.st_mode) else b""
            attributes = os.listxattr(path, follow_symlinks=False)
            seen[str(path)] = (about.st_mode, about.st_uid, about.st_nlink, about.st_mtime_ns, content, attributes)
        process = psutil.Process(self.victim.pid)
        limits = Path(f"/proc/{self.victim.pid}/limits").read_text()
        status = Path(f"/proc/{self.victim.pid}/status").read_text()
        traced = [line for line in status.splitlines() if line.startswith(("TracerPid", "State"))]
        return {"files": seen, "victim": (self.victim.poll(), process.nice(), process.cpu_affinity(), limits, traced)}

    def heard(self) -> list[str]:
        """Which servers were spoken to."""
        called = []
        for name, listener in self.listeners.items():
            with suppress(BlockingIOError):
                if name == "udp":
                    listener.recv(100)
                else:
                    listener.accept()[0].close()
                called.append(name)
        return called

    def assert_untouched(self) -> None:
        """Nothing changed, nobody was spoken to."""
        now = self.state()
        changed = {name: (was, now[name]) for name, was in self.before.items() if now[name] != was}
        assert not changed, changed
        assert self.heard() == []


def _numbers() -> dict[str, tuple[int, int]]:
    """System calls by name, as the filter's own tables have them."""
    from core.sandbox import seccomp

    rows = f"{seccomp._REFUSED},{seccomp._PRETENDED},{seccomp._OWN_ALONE},{seccomp._CLONE}".split(",")
    rows += [call for call, *_ in (*seccomp._ANSWERED, *seccomp._REFUSED_ARGUMENTS)]
    cells = [row.split() for row in rows]
    return {name: (int(x86), -1 if arm == "-" else int(arm)) for name, x86, arm in cells}


NUMBERS = _numbers()


@contextmanager
def world(user: int) -> Iterator[World]:
    """A world whose files and process belong to `user`."""
    with ExitStack() as stack:
        base = Path(tempfile.mkdtemp(prefix="around-"))
        stack.callback(shutil.rmtree, base, ignore_errors=True)
        os.chown(base, user, -1)
        folder = base / "around"
        folder.mkdir()
        for name in ("home/secret.txt", "project/module.py", "other-video/scene.mp4", "sockets/none"):
            path = folder / name
            path.parent.mkdir()
            path.write_text(f"WORD = {SECRET!r}")
        victim = subprocess.Popen(["sleep", "600"], env={"SECRET": SECRET}, start_new_session=True, **_as(user))
        stack.callback(victim.wait)
        stack.callback(victim.kill)
        listeners = {
            "tcp": socket.create_server(("127.0.0.1", 0)),
            "udp": socket.socket(type=socket.SOCK_DGRAM),
            "unix": socket.socket(socket.AF_UNIX),
            "abstract": socket.socket(socket.AF_UNIX),
        }
        for listener in listeners.values():
            stack.enter_context(listener)
            listener.setblocking(False)
        listeners["udp"].bind(("127.0.0.1", 0))
        listeners["unix"].bind(str(folder / "sockets/server"))
        listeners["abstract"].bind(f"\0around-{os.getpid()}-{victim.pid}")
        listeners["unix"].listen()
        listeners["abstract"].listen()
        for path in (folder, *folder.rglob("*")):
            os.chown(path, user, -1)
        made = World(folder, user, victim, listeners)
        while not _sleeps(victim.pid):  # it has not become itself yet
            assert victim.poll() is None
            time.sleep(0.002)
        made.before = made.state()
        yield made


def _sleeps(pid: int) -> bool:
    process = psutil.Process(pid)
    return process.name() == "sleep" and process.status() == psutil.STATUS_SLEEPING


def _as(user: int) -> dict[str, Any]:
    """How `subprocess` starts a process of that user."""
    return {} if user == os.getuid() else {"user": user, "group": user, "extra_groups": []}


@dataclass
class Cell:
    """A sandbox that a process of `user` starts: this one, or (`server`) one of another user."""

    user: int
    python: str
    world: World
    scratch: Path  # where its folders are made
    server: subprocess.Popen[str] | None = None

    @property
    def root(self) -> bool:
        """Whether root starts it."""
        return self.user == 0

    def run(self, source: str, **more: Any) -> tuple[Outcome, Path]:
        """How a program ended in the sandbox, and the folder with what it left."""
        out = self.world.folder.parent / "out"
        program = Program(source=source, python=self.python, arguments=(json.dumps(self.world.facts),), **more)
        shutil.rmtree(out, ignore_errors=True)
        if self.server is None:
            outcome = run(program, out)
            assert list(self.scratch.iterdir()) == []  # nothing stays
            return outcome, out
        assert self.server.stdin is not None and self.server.stdout is not None
        self.server.stdin.write(json.dumps({"program": asdict(program), "out": str(out)}) + "\n")
        self.server.stdin.flush()
        said = json.loads(self.server.stdout.readline())
        assert list(self.scratch.iterdir()) == []
        return Outcome(Ended(**said["ended"]), tuple(said["files"]), said["left_out"]), out

    def tries(self, body: str, **limits: Any) -> tuple[str, str]:
        """("through" | "refused", what it got or what it was told) of an attempt in the sandbox."""
        outcome, _ = self.run(attempt(body), limits=Limits(wall_seconds=60, **limits))
        assert outcome.ended.stdout, outcome.ended
        how, said = json.loads(outcome.ended.stdout.splitlines()[-1])
        return how, said

    def tries_outside(self, body: str) -> tuple[str, str]:
        """The same by the same user without any lock."""
        arguments = [self.python, "-I", "-B", "-c", attempt(body), json.dumps(self.world.facts)]
        done = subprocess.run(
            arguments,
            cwd=self.world.folder,
            env={},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            **_as(self.user),
        )
        assert done.stdout, done.stderr
        how, said = json.loads(done.stdout.splitlines()[0])
        return how, said

    def refuses(self, *bodies: str, outside: bool = True) -> str:
        """Assert that attempts fail in the sandbox and change nothing, though they go through without one."""
        said = ""
        for body in bodies:
            how, said = self.tries(body)
            assert how == "refused", said
        self.world.assert_untouched()
        for body in bodies if outside else ():
            how, said_outside = self.tries_outside(body)
            assert how == "through", said_outside
        return said


class Household:
    """The process of an ordinary user that starts sandboxes, for when the tests are run by root."""

    def __init__(self) -> None:
        self.python = _python_for_nobody()
        self.folder = Path(tempfile.mkdtemp(prefix="household-"))
        self.scratch = self.folder / "scratch"
        self.server: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        if not self.python:
            return self
        self.folder.chmod(0o755)
        self.scratch.mkdir()
        os.chown(self.scratch, NOBODY, -1)
        for name in ("core/__init__.py", "core/errors.py"):
            (self.folder / name).parent.mkdir(exist_ok=True)
            shutil.copy(ROOT / name, self.folder / name)
        shutil.copytree(ROOT / "core/sandbox", self.folder / "core/sandbox")
        self.server = subprocess.Popen(
            [self.python, "-I", "-B", "-c", SERVER, str(self.folder)],
            cwd="/",
            env={"APPWRITE_API_KEY": SECRET, "TMPDIR": str(self.scratch)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            **_as(NOBODY),
        )
        return self

    def __exit__(self, *error: object) -> None:
        if self.server is not None:
            self.server.communicate()
        shutil.rmtree(self.folder)


def _python_for_nobody() -> str:
    """An interpreter that the user who owns nothing can start; "" when there is none."""
    for python in (sys.executable, "/usr/bin/python3", "/usr/local/bin/python3"):
        command = [python, "-I", "-c", "import sys; sys.exit(sys.version_info < (3, 11))"]
        with suppress(OSError):
            if subprocess.run(command, cwd="/", capture_output=True, check=False, **_as(NOBODY)).returncode == 0:
                return python
    return ""


@pytest.fixture(scope="module")
def household() -> Iterator[Household | None]:
    """A process of an ordinary user, where these tests are run by root."""
    if os.getuid() != 0:
        yield None
        return
    with Household() as made:
        yield made


@pytest.fixture(params=["started by root", "started by an ordinary user"][os.getuid() != 0 :])
def cell(
    request: pytest.FixtureRequest, household: Household | None, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Cell]:
    """A sandbox with a secret in the environment of who starts it, and a world around it."""
    monkeypatch.setenv("APPWRITE_API_KEY", SECRET)
    if household is not None and request.param != "started by root":
        if household.server is None:
            pytest.skip("no Python on this machine can be started by another user")
        with world(NOBODY) as around:
            yield Cell(NOBODY, household.python, around, household.scratch, household.server)
        return
    with world(os.getuid()) as around:
        scratch = around.folder.parent / "scratch"
        scratch.mkdir()
        monkeypatch.setattr("tempfile.tempdir", str(scratch))
        yield Cell(os.getuid(), sys.executable, around, scratch)
