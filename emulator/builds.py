"""Builds deployments one after another: unpack, make or find a virtual environment, run the commands, activate."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import secrets
import shutil
import signal
import sqlite3
import sys
import time
from collections.abc import Callable, Collection, Mapping
from pathlib import Path

from emulator import deployment_store, functions, unpacking
from emulator.blobs import Blobs
from emulator.environments import key_of
from emulator.server import Server

log = logging.getLogger(__name__)

LOG_BYTES = 1_000_000  # of the end of what a build prints
SAVED_EVERY_S = 1.0  # so often somebody who watches sees more of it
BUILT_BYTES = 2_000_000_000  # code and packages together
# The machine's memory killer takes a build before it takes the server; no file grows beyond what may be built.
_PRELUDE = """{ echo 1000 > /proc/self/oom_score_adj; } 2>/dev/null || true
ulimit -f 4000000
"""


class BuildFailed(Exception):
    """Why a build failed, as a sentence for its logs."""


class BuildLog:
    """What a build prints: the end of it is kept, and saved from time to time."""

    def __init__(self, save: Callable[[str], None]) -> None:
        self._save, self._saved_at = save, 0.0
        self._kept = bytearray()

    def add(self, output: bytes) -> None:
        """More output."""
        self._kept += output
        del self._kept[:-LOG_BYTES]
        if time.monotonic() - self._saved_at > SAVED_EVERY_S:
            self._saved_at = time.monotonic()
            self._save(self.text())

    def say(self, sentence: str) -> None:
        """A line of the server's own."""
        if self._kept and not self._kept.endswith(b"\n"):
            self.add(b"\n")
        self.add(sentence.encode() + b"\n")

    def text(self) -> str:
        """All that is kept."""
        return self._kept.decode(errors="replace").replace("\0", "")


class Builder:
    """The queue of builds. Every step that runs what was uploaded is a process group of its own."""

    def __init__(self, server: Server) -> None:
        self._server, self._db = server, server.db
        data = server.data_dir.resolve()
        self.archives = Blobs(deployment_store.archives(data))
        self._folders, self._environments = deployment_store.folders(data), deployment_store.environments(data)
        for folder in (self._folders, self._environments):
            folder.mkdir(exist_ok=True, mode=0o700)
        self._turn = asyncio.Lock()
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._clearing: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Removes what belongs to no deployment; builds what an earlier run of the server left unbuilt."""
        with self._db.transaction() as connection:
            connection.execute("DELETE FROM environments WHERE folder NOT IN (SELECT environment FROM deployments)")
        rows = self._db.all("SELECT * FROM deployments ORDER BY sequence")
        shared = {row["folder"] for row in self._db.all("SELECT folder FROM environments")}
        await asyncio.to_thread(self.archives.keep_only, {row["blob"] for row in rows})
        self._clear(_others(self._folders, {row["folder"] for row in rows}))
        self._clear(_others(self._environments, shared | {row["environment"] for row in rows}))
        for row in rows:
            unfinished = row["complete"] and row["status"] in ("waiting", "processing", "building")
            if unfinished or (row["active"] and not self._can_run(row)):
                deployment_store.update(self._db, row["sequence"], status="waiting")
                self.enqueue(row["sequence"])

    async def stop(self) -> None:
        """Ends running builds; the next start takes them up."""
        tasks = [*self._tasks.values(), *self._clearing]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=5)

    def enqueue(self, sequence: int) -> None:
        """Builds a deployment whose archive is complete, after those before it."""
        task = asyncio.get_running_loop().create_task(self._build(sequence))
        self._tasks[sequence] = task
        task.add_done_callback(lambda done: self._ended(sequence, done))

    async def cancel(self, sequence: int) -> None:
        """Ends a waiting or running build; its record is the caller's."""
        task = self._tasks.get(sequence)
        if task is not None:
            task.cancel()
            await asyncio.wait({task}, timeout=5)

    async def discard(self, row: sqlite3.Row) -> None:
        """Deletes a deployment with all that was made of it, except an environment that others may share."""
        await self.cancel(row["sequence"])
        row = self._row(row["sequence"]) or row
        deployment_store.forget(self._db, row)
        self.archives.delete(row["blob"])
        folders = [self._folders / row["folder"]] if row["folder"] else []
        shared = self._db.one("SELECT 1 FROM environments WHERE folder = ?", (row["environment"],))
        if row["environment"] and shared is None:
            folders.append(self._environments / row["environment"])
        self._clear(folders)

    def _row(self, sequence: int) -> sqlite3.Row | None:
        return self._db.one("SELECT * FROM deployments WHERE sequence = ?", (sequence,))

    def _can_run(self, row: sqlite3.Row) -> bool:
        """Whether the interpreter is still there: it is a link into the Python that the server ran with then."""
        return Path(deployment_store.code_of(row, self._server.data_dir).python).exists()

    def _clear(self, folders: Collection[Path]) -> None:
        task = asyncio.get_running_loop().create_task(asyncio.to_thread(_remove, folders))
        self._clearing.add(task)
        task.add_done_callback(self._clearing.discard)

    def _ended(self, sequence: int, task: asyncio.Task[None]) -> None:
        self._tasks.pop(sequence, None)
        if not task.cancelled() and task.exception() is not None:
            log.error("a deployment could not be built", exc_info=task.exception())

    # One build

    async def _build(self, sequence: int) -> None:
        async with self._turn:
            row = self._row(sequence)
            if row is None or row["status"] != "waiting":
                return  # deleted or canceled while it waited
            began, limit = time.monotonic(), self._server.compute.build_s
            output = BuildLog(lambda text: self._note(sequence, build_logs=text))
            status = "failed"
            try:
                async with asyncio.timeout(limit):
                    size = await self._make(row, output)
                    self._note(sequence, build_size=size)
                    status = "ready"
            except TimeoutError:
                output.say(f"The build was stopped: it took more than {limit} s.")
            except BuildFailed as failure:
                output.say(str(failure))
            except OSError as error:
                output.say(f"The build could not be run: {error.strerror}.")
            seconds = int(time.monotonic() - began)
            self._note(sequence, status=status, build_logs=output.text(), build_duration=seconds)
            self._finish(sequence)

    def _note(self, sequence: int, **columns: object) -> None:
        deployment_store.update(self._db, sequence, **columns)

    def _finish(self, sequence: int) -> None:
        row = self._row(sequence)
        if row is not None and row["status"] == "ready" and row["activate"]:
            deployment_store.make_active(self._db, row)
        self._server.executor.functions_changed()

    async def _make(self, row: sqlite3.Row, output: BuildLog) -> int:
        """Everything that is to be made; returns its bytes. Raises BuildFailed, OSError."""
        sequence, name = row["sequence"], secrets.token_hex(8)  # a build that was killed may still write into its own
        self._note(sequence, status="processing", folder=name, build_size=0, build_logs="", build_duration=0)
        folder = self._folders / name
        folder.mkdir(mode=0o700)
        archive = self.archives.path(row["blob"])
        command = [sys.executable, "-I", "-S", str(unpacking.__file__), str(archive), str(folder)]
        if await _run(command, folder, os.environ, output):
            raise BuildFailed("The archive could not be unpacked.")
        self._note(sequence, status="building")
        await self._prepare(row, folder, output)
        if row["entrypoint"] and not (folder / row["entrypoint"]).is_file():
            output.say(f"Warning: the entrypoint {row['entrypoint']} is not in the archive; executions will fail.")
        row = self._row(sequence) or row
        size = await asyncio.to_thread(_bytes_below, (folder, self._environments / row["environment"]))
        if size > BUILT_BYTES:
            raise BuildFailed(f"The build made {size:,} bytes; at most {BUILT_BYTES:,} are kept.")
        return size

    async def _prepare(self, row: sqlite3.Row, folder: Path, output: BuildLog) -> None:
        """Gives the deployment its environment, and runs its commands unless another one ran the same."""
        key = await asyncio.to_thread(key_of, row["commands"], folder)
        known = self._db.one("SELECT folder FROM environments WHERE key = ?", (key or "",))
        if known is not None and (self._environments / known["folder"] / "bin" / "python").exists():
            self._note(row["sequence"], environment=known["folder"])
            output.say("Packages were installed by an earlier build of the same requirements.")
            return
        environment = self._environments / secrets.token_hex(8)
        self._note(row["sequence"], environment=environment.name)
        pip = [] if row["commands"].strip() else ["--without-pip"]
        if await _run([sys.executable, "-m", "venv", *pip, str(environment)], folder, os.environ, output):
            raise BuildFailed("The virtual environment could not be made.")
        if row["commands"].strip():
            await self._run_commands(row["sequence"], folder, output)
        if key is not None:
            with self._db.transaction() as connection:
                connection.execute("INSERT OR REPLACE INTO environments VALUES (?, ?)", (key, environment.name))

    async def _run_commands(self, sequence: int, folder: Path, output: BuildLog) -> None:
        row = self._row(sequence)
        if row is None:
            raise BuildFailed("The deployment was deleted.")
        deployment = deployment_store.code_of(row, self._server.data_dir)
        program = functions.program(self._server, functions.find(self._server, row["function_id"]), deployment)
        installer = {name: value for name, value in os.environ.items() if name.startswith("PIP_")}
        environment = {**installer, **dict(program.environment)}
        # Niced: executions and answers come first.
        command = ["nice", "-n", "10", "/bin/sh", "-ec", _PRELUDE + row["commands"]]
        if status := await _run(command, folder, environment, output):
            raise BuildFailed(f"The build commands ended with exit status {status}.")


async def _run(command: list[str], folder: Path, environment: Mapping[str, str], output: BuildLog) -> int:
    """Runs one program to its end; it, and all that it has started, ends with this call. Returns its exit status."""
    process = await asyncio.create_subprocess_exec(
        *command, cwd=folder, env=dict(environment), start_new_session=True,
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    reading = asyncio.get_running_loop().create_task(_read(process, output))
    try:
        status = await process.wait()
    finally:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        # A process that left the group may hold the pipe open; it is not worth waiting for.
        await asyncio.wait({reading}, timeout=1)
        reading.cancel()
    return status


async def _read(process: asyncio.subprocess.Process, output: BuildLog) -> None:
    assert process.stdout is not None
    while part := await process.stdout.read(65536):
        output.add(part)


def _others(folder: Path, names: Collection[str]) -> list[Path]:
    return [path for path in folder.iterdir() if path.name not in names]


def _remove(folders: Collection[Path]) -> None:
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)


def _bytes_below(folders: Collection[Path]) -> int:
    size = 0
    for folder in folders:
        for parent, _, files in os.walk(folder):
            for name in files:
                with contextlib.suppress(OSError):  # a temporary file of a process that has just been ended
                    size += os.lstat(os.path.join(parent, name)).st_size  # noqa: PTH118 - tens of thousands
    return size
