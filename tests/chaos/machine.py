"""A local stack any process of which can be killed and started again at the same address, swept each second."""

from __future__ import annotations

import contextlib
import logging
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
from appwrite.exception import AppwriteException

from core import stack
from core.adapters.appwrite_client import AppwriteClient
from core.errors import ScenewrightError
from core.processes import HOST, port_of
from core.schema import FUNCTION
from core.settings import Settings
from core.sweep import sweep
from core.wiring import build_choices, build_parts
from tests.waiting import wait_for

log = logging.getLogger(__name__)

SERVER, WORKER = "appwrite", "worker"
_BELOW = {"function": SERVER, "renderer": WORKER}  # processes that a part starts again by itself
TARGETS = (SERVER, WORKER, *_BELOW)

# everything short, so that a silence is noticed while the test watches; tries have no end, because each kill is one
QUICK = Settings(
    workers=2,
    beat_seconds=0.5,
    stale_seconds=2.5,
    report_seconds=0.5,
    queued_due_seconds=3.0,
    call_deadline_seconds=60.0,
    tries_max=1000,
)
_TICK_SECONDS = 1.0
_PROGRAMS = {
    SERVER: "from emulator.__main__ import main; raise SystemExit(main())",
    WORKER: "from core.cli_worker import main; main()",
}


class Machine:
    """Server, function and worker as `scenewright up` starts them; who dies is started again by `start`."""

    def __init__(self, running: stack.Stack) -> None:
        self._stack = running
        self.settings = running.settings
        self.parts = build_parts(self.settings)
        self._pids = dict(running.pids)
        self._own: dict[str, subprocess.Popen[bytes]] = {}
        self._stop = threading.Event()
        self._sweeping = threading.Thread(target=self._sweep, name="sweep", daemon=True)
        self._sweeping.start()

    def pid(self, name: str) -> int:
        """The process that plays this part now."""
        return self._pids[name]

    def kill(self, name: str, choose: random.Random) -> None:
        """SIGKILL one process, and only that one. Server and worker stay away until `start`."""
        pid = self._one_below(_BELOW[name], choose) if name in _BELOW else self._pids[name]
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        if name not in _BELOW:
            wait_for(lambda: self._is_gone(name), f"the end of the {name}", 20)

    def stays_away(self, name: str) -> bool:
        """Whether nobody but `start` brings it back."""
        return name not in _BELOW

    def start(self, name: str) -> None:
        """Start a killed part at the address it had."""
        command = [sys.executable, "-P", "-c", _PROGRAMS[name], *self._arguments(name)]
        with (self._stack.data / "logs" / f"{name}.log").open("ab") as out:
            self._own[name] = subprocess.Popen(
                command,
                env={**os.environ, **self.settings.to_env()},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=out,
                start_new_session=True,
            )
        self._pids[name] = self._own[name].pid

    def close(self) -> None:
        """End everything."""
        self._stop.set()
        for process in self._own.values():
            with suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGTERM)
        for process in self._own.values():
            with suppress(subprocess.TimeoutExpired):
                process.wait(10)
            process.kill()
            process.wait(10)
        self._sweeping.join(60)

    def _one_below(self, name: str, choose: random.Random) -> int:
        """A process that executes functions for the server, or jobs for the worker; waits until there is one."""
        if name == SERVER:
            # a server starts them again when they are needed only
            wait_for(self._execute, "the server to take an execution", 30)

        def living() -> list[int]:
            children = psutil.Process(self._pids[name]).children()
            return sorted(child.pid for child in children if child.status() != psutil.STATUS_ZOMBIE)

        return choose.choice(wait_for(living, f"a process below the {name}", 30))

    def _execute(self) -> bool:
        """Have the function called, without waiting for what it answers; False while the server is starting."""
        at = self.settings
        body = {"path": "/health", "method": "GET", "async": True}
        try:
            AppwriteClient(at.endpoint, at.project_id, at.api_key).call(
                "post", f"/functions/{FUNCTION}/executions", {"content-type": "application/json"}, body
            )
        except AppwriteException:
            return False
        return True

    def _is_gone(self, name: str) -> bool:
        if name in self._own:
            return self._own[name].poll() is not None
        self._stack.dead()  # waits for the ended children of the first start
        return not psutil.pid_exists(self._pids[name])

    def _arguments(self, name: str) -> list[str]:
        if name == WORKER:
            return ["--host", HOST, "--port", str(port_of(self.settings.render_url))]
        return [
            *("--data", str((self._stack.data / "appwrite").resolve()), "--host", HOST),
            *("--port", str(port_of(self.settings.endpoint)), "--project", self.settings.project_id),
            *("--source", f"{FUNCTION}={stack.ROOT}"),
        ]

    def _sweep(self) -> None:
        """What the schedule does once a minute, each second."""
        choices = build_choices(self.settings, self.parts.files)
        while not self._stop.wait(_TICK_SECONDS):
            try:
                sweep(self.parts, choices)
            except ScenewrightError as error:  # the server is dead just now
                log.info("the sweep failed: %s", error.sentence)


@contextmanager
def machine(data: Path, settings: Settings = QUICK) -> Iterator[Machine]:
    """A running machine on an empty folder; the end of it shows the tails of the logs when something failed."""
    with stack.start(data, settings=settings) as running:
        started = Machine(running)
        try:
            yield started
        except BaseException:
            for path in stack.log_files(data):
                sys.stdout.write(f"---- {path.name}\n{path.read_text('utf-8', 'replace')[-4000:]}\n")
            raise
        finally:
            started.close()


def resident_bytes(pid: int) -> int:
    """Memory of a process and of everything below it."""
    total = 0
    with contextlib.suppress(psutil.NoSuchProcess):
        top = psutil.Process(pid)
        for process in [top, *top.children(recursive=True)]:
            with contextlib.suppress(psutil.NoSuchProcess):
                total += process.memory_info().rss
    return total


def idle_until(deadline: float) -> None:
    """Do nothing until that moment of the monotonic clock."""
    time.sleep(max(0.0, deadline - time.monotonic()))
