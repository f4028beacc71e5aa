"""The local stack: the embedded Appwrite server, its schema and a render server, as processes on one data folder."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import importlib.util
import json
import os
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import IO, Any

from appwrite.exception import AppwriteException

from core import processes
from core.adapters.appwrite_client import AppwriteClient
from core.adapters.retries import translate
from core.errors import InvalidInputError, MissingToolError, RefusedError, UnavailableError
from core.identity import digest, file_sha256
from core.processes import HOST
from core.schema import FUNCTION
from core.schema import PATH as SCHEMA_PATH
from core.settings import Settings

ROOT = Path(__file__).resolve().parents[1]
SETUP_SCRIPT = ROOT / "scripts" / "setup_db.py"
_SETUP_FILES = (SCHEMA_PATH, SETUP_SCRIPT, SETUP_SCRIPT.with_name("schema_plan.py"))
SERVER, WORKER = "appwrite", "worker"  # names of the processes and of their logs
_READY_SECONDS = 30.0
_POLL_SECONDS = 0.02
_LOG_BYTES = 5_000_000  # a log that has grown beyond this is set aside when the stack starts

# Linux tells a child that its parent died; run before the child's own program
_TIE = "import ctypes; ctypes.CDLL(None).prctl(1, 15);" if sys.platform == "linux" else ""
_PROGRAMS = {
    SERVER: "from emulator.__main__ import main; raise SystemExit(main())",
    WORKER: "from core.cli_worker import main; main()",
}


@dataclass
class Stack:
    """A running local stack. `settings` reach it with its server key; `started`: by this very call."""

    data: Path
    settings: Settings
    started: bool
    pids: dict[str, int]
    _users: IO[bytes] = field(repr=False)  # holds a shared lock: whoever has one keeps the stack in use
    _children: list[subprocess.Popen[bytes]] = field(default_factory=list, repr=False)

    def dead(self) -> str:
        """The name of a process that has ended by itself, else ""."""
        for child in self._children:
            child.poll()  # an ended child counts as alive until it is waited for
        known = _read(self.data).get("processes", {})
        return next((name for name, entry in known.items() if not processes.lives(entry)), "")

    def in_use(self) -> bool:
        """Whether another command works with this stack."""
        try:
            fcntl.flock(self._users, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        fcntl.flock(self._users, fcntl.LOCK_SH)
        return False

    def stop(self, *, wait: bool = True) -> None:
        """Let go of the stack; the call that started it ends its processes.

        Args:
            wait: first wait until no other command uses it.
        """
        if self.started:
            while wait and self.in_use() and not self.dead():
                time.sleep(0.2)
            with _locked(self.data):
                _end(self.data, self._children)
        self._users.close()

    def __enter__(self) -> Stack:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def start(
    data: Path,
    port: int | None = None,
    workers: int = 0,
    *,
    settings: Settings | None = None,
    detached: bool = False,
) -> Stack:
    """Start the stack on a data folder, or join the one that runs there.

    Args:
        data: folder of all its state; made if missing.
        port: of the server; None: the one it had before, else a free one.
        workers: render processes, 0: as the settings say.
        settings: what the renderer and the function get beside the addresses; default: the environment.
        detached: it goes on when this process ends, until `stop_running`.

    Raises:
        MissingToolError: the folder cannot be written (not_writable), the disk is full.
        InvalidInputError: the port is taken (port_taken) or another than that of the running stack.
        UnavailableError: a process did not come up; the sentence names its log.
    """
    wanted = settings or Settings.from_env()
    if workers:
        wanted = replace(wanted, workers=workers)
    with writable(data, "data"):
        data.mkdir(parents=True, exist_ok=True, mode=0o700)
        (data / "logs").mkdir(exist_ok=True)
        with _locked(data), contextlib.ExitStack() as undone:
            users = undone.enter_context((data / "users").open("ab"))
            fcntl.flock(users, fcntl.LOCK_SH)
            known = _read(data)
            if _healthy(known):
                _same_port(known, port)
                stack = _joined(data, wanted, known, users)
            else:
                _end(data, [])
                stack = _Launch(data, wanted, known, detached).run(port, users)
            undone.pop_all()  # the stack lets go of it
            return stack


def running(data: Path, settings: Settings | None = None) -> Stack | None:
    """The stack that runs on this folder, or None; nothing is started."""
    known = _read(data)
    if not _healthy(known):
        return None
    users = (data / "users").open("ab")
    fcntl.flock(users, fcntl.LOCK_SH)
    return _joined(data, settings or Settings.from_env(), known, users)


def stop_running(data: Path) -> bool:
    """End the processes of this folder's stack, whoever started them; False when there were none."""
    if not any(processes.lives(entry) for entry in _read(data).get("processes", {}).values()):
        return False
    with _locked(data):
        _end(data, [])
    return True


def purge(data: Path) -> None:
    """Delete what the stack keeps in this folder, and nothing else there.

    Raises:
        RefusedError: the stack runs (code stack_running), or none was ever kept there (code no_stack).
    """
    if not (data / "stack.json").exists():
        raise RefusedError(f"{data} holds no local stack; nothing was deleted.", code="no_stack", field="data")
    with writable(data, "data"), _locked(data):
        if any(processes.lives(entry) for entry in _read(data).get("processes", {}).values()):
            raise RefusedError("The local stack runs: stop it first (`scenewright down`).", code="stack_running")
        for name in (SERVER, "logs"):
            shutil.rmtree(data / name, ignore_errors=True)
        for name in ("session.json", "users", "lock", "stack.json"):
            (data / name).unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        data.rmdir()  # only if nothing of somebody else is in it


def _joined(data: Path, wanted: Settings, known: Mapping[str, Any], users: IO[bytes]) -> Stack:
    pids = {name: int(entry["pid"]) for name, entry in known["processes"].items()}
    return Stack(data, _reached(wanted, known), False, pids, users)


def _reached(settings: Settings, known: Mapping[str, Any]) -> Settings:
    """Settings that reach the stack these facts describe."""
    return replace(
        settings,
        endpoint=known["endpoint"],
        project_id=known["project"],
        api_key=known["key"],
        render_url=known["render_url"],
        render_token=known["render_token"],
        renderer="http",
    )


@dataclass
class _Launch:
    """One start: what is known of the last one, and the processes so far."""

    data: Path
    settings: Settings
    known: dict[str, Any]
    detached: bool
    children: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def run(self, port: int | None, users: IO[bytes]) -> Stack:
        server_port, worker_port = self._ports(port)
        facts = {
            "endpoint": f"http://{HOST}:{server_port}/v1",
            "project": self.settings.project_id,
            "render_url": f"http://{HOST}:{worker_port}",
            "render_token": self.known.get("render_token") or secrets.token_urlsafe(24),
            "key": self.known.get("key", ""),
        }
        ready_file = self.data / "ready.json"
        ready_file.unlink(missing_ok=True)
        try:
            self._spawn(SERVER, self._server_arguments(server_port, ready_file))
            if facts["key"]:  # known from an earlier start: both come up at the same time
                self._start_worker(facts)
            self._wait(SERVER, ready_file.exists)
            facts |= {"key": json.loads(ready_file.read_text())["key"]}
            ready_file.unlink()
            if WORKER not in self.children:
                self._start_worker(facts)
            facts["schema"] = self._set_up(facts)
            self._wait(WORKER, lambda: processes.tells(f"{facts['render_url']}/health", "processes"))
        except BaseException:
            processes.kill([c.pid for c in self.children.values()], list(self.children.values()))
            raise
        kept = {name: self.children[name] for name in (SERVER, WORKER)}
        _write(self.data / "stack.json", facts | {"processes": {n: processes.entry(c.pid) for n, c in kept.items()}})
        pids = {name: child.pid for name, child in kept.items()}
        children = list(kept.values())
        return Stack(self.data, _reached(self.settings, facts), not self.detached, pids, users, children)

    def _ports(self, port: int | None) -> tuple[int, int]:
        """Of the server and of the worker: those they had before, where they can be had again."""
        before = [processes.port_of(self.known.get(name, "")) for name in ("endpoint", "render_url")]
        wanted = before[0] if port is None else port
        server, worker = processes.free_ports(wanted, before[1])
        if port and server != port:
            raise InvalidInputError(
                f"Port {port} is taken by another program or not allowed; choose another with --port.",
                code="port_taken",
                field="port",
            )
        return server, worker

    def _server_arguments(self, port: int, ready_file: Path) -> list[str]:
        return [
            *("--data", str((self.data / "appwrite").resolve()), "--port", str(port), "--host", HOST),
            *("--project", self.settings.project_id, "--source", f"{FUNCTION}={ROOT}"),
            *("--ready-file", str(ready_file.resolve())),
        ]

    def _start_worker(self, facts: Mapping[str, str]) -> None:
        port = processes.port_of(facts["render_url"])
        self._spawn(WORKER, ["--host", HOST, "--port", str(port)], _reached(self.settings, facts).to_env())

    def _set_up(self, facts: Mapping[str, str]) -> str:
        """Make the schema and the function's variables real; returns what they were made from, as one digest.

        Nothing is asked again when that is what the last start has made.
        """
        reached = _reached(self.settings, facts)
        # every setting spelled out, so that one that returned to its default does so in the function too
        values = {f.metadata["env"]: str(getattr(reached, f.name)) for f in fields(reached)}
        script = load_setup()
        variables = script.function_variables({name: value for name, value in values.items() if value})
        made_from = digest(*(file_sha256(path) for path in _SETUP_FILES), variables)
        if made_from != self.known.get("schema"):
            client = AppwriteClient(reached.endpoint, reached.project_id, reached.api_key)
            try:
                script.SetUp(client).run(variables)
            except AppwriteException as error:
                raise translate(error, "the schema") from error
        return made_from

    def _spawn(self, name: str, arguments: list[str], env: Mapping[str, str] | None = None) -> None:
        """Start one process in a group of its own, its complaints in its log."""
        # -P: a folder called like one of our packages, where the person stands, must not take its place
        tie = "" if self.detached else _TIE
        command = [sys.executable, "-P", "-c", tie + _PROGRAMS[name], *arguments]
        log = _log_of(self.data, name)
        if log.exists() and log.stat().st_size > _LOG_BYTES:
            log.replace(log.with_suffix(".old.log"))
        with log.open("ab") as out:
            self.children[name] = subprocess.Popen(
                command,
                env={**os.environ, **(env or {})},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,  # the server's one line there holds its key
                stderr=out,
                start_new_session=True,
            )

    def _wait(self, name: str, ready: Any) -> None:
        """Wait until a process is ready. Raises UnavailableError when it ends or takes too long."""
        deadline = time.monotonic() + _READY_SECONDS
        while not ready():
            if self.children[name].poll() is not None or time.monotonic() > deadline:
                raise self._failed(name)
            time.sleep(_POLL_SECONDS)

    def _failed(self, name: str) -> UnavailableError:
        log = _log_of(self.data, name)
        lines = log.read_text("utf-8", "replace").strip().splitlines()
        said = f": {lines[-1].strip()[:300]}" if lines else ""
        return UnavailableError(f"The local stack did not start ({name}{said}); see {log}.", code="stack_failed")


def load_setup() -> Any:
    """scripts/setup_db.py as a module: it stands outside the package because people run it on their own servers."""
    spec = importlib.util.spec_from_file_location("setup_db", SETUP_SCRIPT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # its dataclasses look themselves up there
    spec.loader.exec_module(module)
    return module


def _log_of(data: Path, name: str) -> Path:
    return data / "logs" / f"{name}.log"


def log_files(data: Path) -> list[Path]:
    """The logs of this folder's stack."""
    return sorted((data / "logs").glob("*.log"))


# ---- what is known of a stack


def _read(data: Path) -> dict[str, Any]:
    try:
        known = json.loads((data / "stack.json").read_text())
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}


def _write(path: Path, value: object) -> None:
    """Write JSON that others cannot read, whole or not at all."""
    part = path.with_name(path.name + ".part")
    part.unlink(missing_ok=True)
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        json.dump(value, file, indent=1)
    part.replace(path)


def _healthy(known: Mapping[str, Any]) -> bool:
    entries = known.get("processes", {}).values()
    if not entries or not all(processes.lives(entry) for entry in entries):
        return False
    return processes.answers(f"{known['endpoint']}/ping") and processes.answers(f"{known['render_url']}/health")


def _same_port(known: Mapping[str, Any], port: int | None) -> None:
    present = processes.port_of(known["endpoint"])
    if port and port != present:
        raise InvalidInputError(
            f"The local stack runs already, on port {present}: stop it first (`scenewright down`).",
            code="already_running",
            field="port",
        )


@contextlib.contextmanager
def _locked(data: Path) -> Iterator[None]:
    """One start or stop of a stack at a time."""
    with (data / "lock").open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def writable(path: Path, option: str) -> Iterator[None]:
    """Turn the system's refusals to write to `path`, which `--option` names, into sentences."""
    try:
        yield
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise MissingToolError("The disk is full; free some space and try again.", code="disk_full") from error
        raise MissingToolError(
            f"{path} cannot be written ({error.strerror}); choose another place with --{option}.",
            code="not_writable",
            field=option,
        ) from error


def _end(data: Path, children: list[subprocess.Popen[bytes]]) -> None:
    """End what stack.json names, and keep its addresses and key for the next start."""
    known = _read(data)
    processes.kill([int(e["pid"]) for e in known.get("processes", {}).values() if processes.lives(e)], children)
    if known:
        _write(data / "stack.json", known | {"processes": {}})
