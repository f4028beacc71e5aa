"""The plane's own thread, and what tests see and do with it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Coroutine, Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import modal
import modal.client
from grpclib import Status
from grpclib.server import Server
from modal._utils.grpc_utils import custom_detail_codec
from modal_proto import api_pb2

from tests.plane.blobs import Blobs
from tests.plane.calls import Calls
from tests.plane.catalog import ENVIRONMENT, Catalog
from tests.plane.records import App, Call, Delivery, Deployed, Input
from tests.plane.scheduler import Means, Scheduler, Task
from tests.plane.wire import TOKEN_ID, Service, Wire

T = TypeVar("T")


class Plane:
    """A control plane for Modal's client on loopback; see the package for how to use it."""

    def __init__(
        self,
        *,
        python: str | Path = sys.executable,
        env: dict[str, str] | None = None,
        secrets: dict[str, dict[str, str]] | None = None,
        longest_delay: float = 0.2,
    ) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="plane-", dir="/tmp"))  # the path of a socket must be short
        self.means = Means(str(python), dict(env or {}), longest_delay)
        self._blobs = Blobs()
        self.catalog = Catalog(self.folder, self._blobs, self._published)
        self.catalog.secrets |= secrets or {}
        self.scheduler = Scheduler(self.folder / "tasks", self.catalog, self.means, self._serve)
        self.wire = Wire([self._blobs, self.catalog, Calls(self.catalog, self.scheduler)])
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="plane", daemon=True)
        self._server: Server | None = None
        self.url = ""

    def _published(self, app: App) -> None:
        self.scheduler.published(app)

    def _serve(self, task: Task) -> Service:
        return self.wire.service(task)

    # ---- life

    def __enter__(self) -> Plane:
        self._thread.start()
        self._run(self._open())
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self._run(self._close())
        finally:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()
            shutil.rmtree(self.folder, ignore_errors=True)

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(60)

    def _do(self, act: Callable[[], T]) -> T:
        """Run a plain function in the plane's loop, where alone its state may be touched."""

        async def work() -> T:
            return act()

        return self._run(work())

    async def _open(self) -> None:
        await self._blobs.open()
        self._server = Server([self.wire.service()], status_details_codec=custom_detail_codec)
        await self._server.start("127.0.0.1", 0)
        sockets = self._server._server.sockets  # type: ignore[union-attr]  # the library does not tell the port
        self.url = f"http://127.0.0.1:{sockets[0].getsockname()[1]}"

    async def _close(self) -> None:
        await self.scheduler.close()
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()
        await self._blobs.close()

    # ---- speaking to it

    @property
    def env(self) -> dict[str, str]:
        """Variables that make any Modal client, in this or another process, speak to this plane."""
        return {
            "MODAL_SERVER_URL": self.url,
            "MODAL_TOKEN_ID": TOKEN_ID,
            "MODAL_TOKEN_SECRET": "as-plane",
            "MODAL_ENVIRONMENT": ENVIRONMENT,
            "MODAL_CONFIG_PATH": str(self.folder / "none.toml"),
        }

    @contextlib.contextmanager
    def speaking(self, **changes: str | None) -> Iterator[None]:
        """Let the Modal client of this process speak to the plane; `changes`: other variables, None: unset."""
        wanted: dict[str, str | None] = {**self.env, "MODAL_MAX_THROTTLE_WAIT": None, **changes}
        before = {name: os.environ.get(name) for name in wanted}
        _forget_client()
        _set(wanted)
        try:
            yield
        finally:
            _forget_client()
            _set(before)

    def cli(self, *words: str, cwd: Path, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        """Run `modal WORDS` with the real command line tool, in a home of its own; at most 120 s."""
        home = self.folder / "home"
        home.mkdir(exist_ok=True)
        variables = {
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "LANG": "C.UTF-8",
            "NO_COLOR": "1",
            "COLUMNS": "200",
        }
        return subprocess.run(
            [sys.executable, "-m", "modal", *words],
            cwd=cwd,
            env=variables | self.env | (env or {}),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def deploy(self, source: str, *, cwd: Path, env: dict[str, str] | None = None) -> str:
        """`modal deploy SOURCE` (a file, or `-m` and a module, as one string); what it printed. Fails loudly."""
        done = self.cli("deploy", *source.split(), cwd=cwd, env=env)
        printed = done.stdout + done.stderr
        assert done.returncode == 0, printed
        return printed

    # ---- looking

    @property
    def secrets(self) -> dict[str, dict[str, str]]:
        """The Secrets by name; change it freely, containers started later see it."""
        return self.catalog.secrets

    @property
    def unimplemented(self) -> Counter[str]:
        """Calls the plane does not know, counted by name: a test that used it should find none."""
        return self.wire.unimplemented

    @property
    def seen(self) -> Counter[str]:
        """All calls so far, counted by name; a call sent again counts again."""
        return self.wire.seen

    def volume(self, name: str) -> Path:
        """The folder that is the Volume of that name."""
        return self.catalog.volume(name)

    def deployed(self, app: str) -> dict[str, Deployed]:
        """The functions of a deployed App by name; a class is `Name.*`. KeyError: no such App."""

        def look() -> dict[str, Deployed]:
            found = self.catalog.app_named(app)
            if found is None:
                raise KeyError(app)
            return {name: self.catalog.deployed(self.catalog.functions[one]) for name, one in found.functions.items()}

        return self._do(look)

    def deliveries(self, call: str) -> list[Delivery]:
        """Every time an input of this call was given to a container, in order."""
        return self._do(lambda: [one for one in self.scheduler.deliveries if one.call_id == call])

    def calls(self, function: str) -> list[str]:
        """Ids of the calls of a function there have been (`compose`, `Renderer.*`), in order; forgotten ones not."""

        def look() -> list[str]:
            named = self.catalog.functions
            return [call.id for call in self.scheduler.calls.values() if named[call.function_id].name == function]

        return self._do(look)

    def containers(self, function: str) -> list[str]:
        """Task ids of the containers of a function that live now."""
        return self._do(lambda: [task.id for task in self.scheduler.tasks.values() if task.function.name == function])

    def starts(self, function: str) -> int:
        """How many containers of a function have been started."""
        return self._do(lambda: self.scheduler.starts[function])

    def pids(self) -> list[int]:
        """Process ids of all containers that live now."""
        return self._do(lambda: [task.process.pid for task in self.scheduler.tasks.values() if task.process])

    def log(self) -> str:
        """What all containers have printed, for the message of a failed test."""
        files = sorted((self.folder / "tasks").glob("*/log"))
        return "\n".join(f"--- {file.parent.name}\n{file.read_text(errors='replace')}" for file in files)

    def wait(self, ready: Callable[[], T], what: str, seconds: float = 60) -> T:
        """What `ready` gives as soon as that is true; AssertionError with the containers' output otherwise."""
        end = time.monotonic() + seconds
        while not (value := ready()):
            assert not self.scheduler.errors, self.scheduler.errors
            assert time.monotonic() < end, f"no {what} within {seconds} s\n{self.log()}"
            time.sleep(0.02)
        return value

    # ---- disturbing

    def _inputs(self, call: str) -> list[Input]:
        return [one for one in self.scheduler.calls[call].inputs if not one.done]

    def _holding(self, call: str) -> list[Task]:
        wanted = {one.id for one in self._inputs(call)}
        return [task for task in self.scheduler.tasks.values() if wanted & set(task.running)]

    def running(self, call: str) -> list[str]:
        """Task ids of the containers that hold an input of this call."""
        return self._do(lambda: [task.id for task in self._holding(call)])

    def kill(self, call: str) -> None:
        """SIGKILL the container that runs this call."""
        self._disturb(call, self.scheduler.kill)

    def preempt(self, call: str) -> None:
        """SIGINT the container that runs this call; the same input id is delivered again, retry count unchanged."""
        self._disturb(call, self.scheduler.preempt)

    def _disturb(self, call: str, act: Callable[[Task], None]) -> None:
        self.wait(lambda: self.running(call), "running container")
        self._do(lambda: _each(act, self._holding(call)))

    def time_out(self, call: str) -> None:
        """Let the timeout of the running attempt strike now."""
        self.wait(lambda: self.running(call), "running container")
        self._do(lambda: _each(self.scheduler.time_out, self._inputs(call)))

    def expire_lease(self, call: str) -> None:
        """Deliver the input a second time, to another container, while the first still runs it."""
        self.wait(lambda: self.running(call), "running container")
        self._do(lambda: _each(self.scheduler.enqueue, self._inputs(call)))

    def forget(self, call: str) -> None:
        """Forget the call and its result, as the server does after seven days."""
        self._do(lambda: self.scheduler.calls.pop(call))

    def crash_at_start(self, function: str, times: int) -> None:
        """Kill the next `times` containers of a function before they take an input."""
        self._do(lambda: self.scheduler.crashes.update({function: times}))

    @contextlib.contextmanager
    def held(self, function: str) -> Iterator[None]:
        """A cold start that takes as long as the test likes: idle containers end, and none is started meanwhile."""
        self._do(lambda: self.scheduler.hold(function))
        try:
            yield
        finally:
            self._do(lambda: self._release(function))

    def _release(self, function: str) -> None:
        self.scheduler.held.discard(function)
        for one in list(self.catalog.functions.values()):
            if one.name == function:
                self.scheduler.scale(one.id)

    def lose_replies(self, name: str, times: int = 1) -> None:
        """Do what the next `times` calls of that name ask, and lose the reply."""
        self._do(lambda: self.wire.lost.update({name: times}))

    def refuse(self, name: str, status: Status, times: int = 1, retry_after: float | None = None) -> None:
        """Answer the next `times` calls of that name with a status; 0: none any more.

        retry_after: seconds after which the server lets the client try again, as when it throttles.
        """

        def act() -> None:
            self.wire.refusals[name] = deque([status] * times)
            self.wire.details = None if retry_after is None else [api_pb2.RPCRetryPolicy(retry_after_secs=retry_after)]

        self._do(act)

    def call(self, call: str) -> Call:
        """The plane's own record of a call. KeyError: there is none."""
        return self._do(lambda: self.scheduler.calls[call])


def _each(act: Callable[[T], None], things: Iterable[T]) -> None:
    for thing in things:
        act(thing)


def _set(variables: dict[str, str | None]) -> None:
    for name, value in variables.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


def _forget_client() -> None:
    """Close the client this process keeps, so that the next one reads the environment anew."""
    if modal.client._Client._client_from_env is not None:
        modal.Client.from_env().close()
