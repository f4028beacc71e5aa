"""Runs executions: at once, in the background, on events and on schedules, and again after a restart."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import time
from collections.abc import Callable, Coroutine
from typing import Any
from urllib.parse import urlsplit

from emulator import deployment_store, executions, functions
from emulator.database import pack, unpack
from emulator.errors import AppwriteError
from emulator.events import Event
from emulator.executions import Order
from emulator.programs import Call, Deployment, Outcome, Program
from emulator.runner import Runner
from emulator.schedule import Schedule
from emulator.server import Server

log = logging.getLogger(__name__)

SYNCHRONOUS_S = 30  # nobody's connection is held longer
TOKENS_OUTLIVE_S = 60  # the function's key and the user's JWT live this much longer than the execution may
KEY_SHARED_S = 30
PURGE_EVERY_S = 3600
SETTLE_S = 0.3  # after a change children start when no other change followed for so long


class Executor:
    """The one place that starts function code."""

    def __init__(self, server: Server, children: int = 2) -> None:
        self._server = server
        self._runner = Runner(children)
        self._schedule = Schedule(server.db, self._run_scheduled_function, self._run_scheduled_execution)
        self._tasks: set[asyncio.Task[None]] = set()
        self._triggers: dict[str, list[str]] = {}
        self._programs: dict[str, Program] = {}
        self._keys: dict[str, tuple[str, float]] = {}
        self._warming: asyncio.TimerHandle | None = None

    async def start(self) -> None:
        """Listens for events and times; takes up what an earlier run of the server left open."""
        self._server.bus.subscribe(self._on_event)
        self.functions_changed()
        for function_id in self._server.sources:
            if (row := deployment_store.active(self._server.db, function_id)) is not None:
                log.warning("function %s runs its deployment %s, not the working tree", function_id, row["id"])
        self._recover()
        self._spawn(self._schedule.run())
        self._spawn(self._purge())

    async def stop(self) -> None:
        """Ends every child; waiting executions are taken up by the next start."""
        for task in self._tasks:
            task.cancel()
        await self._runner.close()

    # What the routes call

    def functions_changed(self) -> None:
        """A function or a variable was made, changed or deleted."""
        self._triggers, self._programs, self._keys = {}, {}, {}
        rows = self._server.db.all("SELECT id, events FROM functions WHERE events <> '[]' AND enabled")
        for row in rows:
            for pattern in unpack(row["events"]):
                self._triggers.setdefault(pattern, []).append(row["id"])
        self._schedule.changed()
        if self._warming is not None:
            self._warming.cancel()
        self._warming = asyncio.get_running_loop().call_later(SETTLE_S, self._warm)

    def runnable(self, function: sqlite3.Row) -> Deployment:
        """The code to run. Raises deployment_not_found, build_not_ready, function_entrypoint_missing."""
        row = deployment_store.active(self._server.db, function["id"])
        if row is not None and row["status"] != "ready":
            raise AppwriteError("build_not_ready", "The active deployment is being built again.")
        deployment = functions.active_deployment(self._server, function)
        if deployment is None:
            sentence = "Deployment not found. Create a deployment before trying to execute a function."
            raise AppwriteError("deployment_not_found", sentence)
        if not deployment.entrypoint:
            raise AppwriteError("function_entrypoint_missing", "The function's entrypoint is missing.")
        return deployment

    async def run_now(self, function: sqlite3.Row, deployment: Deployment, order: Order) -> tuple[sqlite3.Row, Outcome]:
        """Runs one execution while its caller waits. Raises function_synchronous_timeout after 30 seconds."""
        server = self._server
        execution_id = executions.insert(server, function["id"], deployment.id, order, "processing", None)
        limit = min(function["timeout"], SYNCHRONOUS_S)
        running = self._run(function, deployment, order, execution_id, limit, None)
        try:
            outcome = await asyncio.wait_for(running, SYNCHRONOUS_S + 2)
        except TimeoutError:
            outcome = _failure("The execution waited too long for a free process.", timed_out=True)
        row = self._finish(function, execution_id, outcome)
        if row is None:
            raise AppwriteError("execution_not_found", "The execution was deleted while it ran.")
        server.bus.publish(executions.created_event(server, row))
        if outcome.timed_out and function["timeout"] > limit:
            sentence = "Synchronous function execution timed out after 30 seconds. Use asynchronous execution instead."
            raise AppwriteError("function_synchronous_timeout", sentence)
        return row, outcome

    def execution_added(self, row: sqlite3.Row) -> None:
        """An asynchronous execution was recorded: run it, or at its time."""
        if row["status"] == "scheduled":
            self._schedule.changed()
        else:
            self._spawn(self._run_recorded(row["id"]))

    # Triggers

    def _on_event(self, event: Event) -> None:
        if self._triggers.keys().isdisjoint(event.names):
            return
        matching = dict.fromkeys(id_ for name in event.names for id_ in self._triggers.get(name, ()))
        order = Order(
            trigger="event", headers={"content-type": "application/json"}, body=pack(event.payload),
            user_id=event.user_id, event=event.names[0],
        )  # fmt: skip
        for function_id in matching:
            if not event.names[0].startswith(f"functions.{function_id}."):  # else its own runs would call it for ever
                self._trigger(function_id, order)

    def _run_scheduled_function(self, function_id: str) -> None:
        self._trigger(function_id, Order(trigger="schedule"))

    def _trigger(self, function_id: str, order: Order) -> None:
        function = functions.find(self._server, function_id)
        try:
            deployment = self.runnable(function)
        except AppwriteError as error:
            log.info("function %s was not run: %s", function_id, error.message)
            return
        execution_id = executions.insert(self._server, function_id, deployment.id, order, "waiting", None)
        self._spawn(self._run_recorded(execution_id))

    def _run_scheduled_execution(self, execution_id: str) -> None:
        executions.mark(self._server, execution_id, "waiting")
        self._spawn(self._run_recorded(execution_id))

    def _recover(self) -> None:
        """Waiting executions are run; those that had begun are not begun twice: they fail with a sentence."""
        rows = self._server.db.all(
            "SELECT id, function_id, status FROM executions WHERE status IN ('waiting', 'processing')"
        )
        for row in rows:
            if row["status"] == "waiting":
                self._spawn(self._run_recorded(row["id"]))
            else:
                executions.finish(self._server, row["id"], 500, {}, "", "The server ended while this ran.\n", 0)

    # Running

    async def _run_recorded(self, execution_id: str) -> None:
        server = self._server
        row = server.db.one("SELECT * FROM executions WHERE id = ?", (execution_id,))
        function = row and server.db.one("SELECT * FROM functions WHERE id = ?", (row["function_id"],))
        if row is None or function is None:
            return
        try:
            deployment = self.runnable(function)
        except AppwriteError as error:
            outcome = _failure(error.message)
        else:
            order, limit = executions.order_of(row), function["timeout"]
            outcome = await self._run(
                function, deployment, order, execution_id, limit,
                lambda: executions.mark(server, execution_id, "processing"),
            )  # fmt: skip
        ended = self._finish(function, execution_id, outcome)
        if ended is not None:
            server.bus.publish(executions.ended_event(server, ended))

    async def _run(
        self,
        function: sqlite3.Row,
        deployment: Deployment,
        order: Order,
        execution_id: str,
        limit: int,
        on_start: Callable[[], None] | None,
    ) -> Outcome:
        program = self._program(function, deployment)
        call = self._call(function, order, execution_id, limit, background=on_start is not None)
        return await self._runner.run(function["id"], program, call, on_start)

    def _program(self, function: sqlite3.Row, deployment: Deployment) -> Program:
        program = self._programs.get(function["id"])
        if program is None or program.deployment != deployment:
            program = functions.program(self._server, function, deployment)
            self._programs[function["id"]] = program
        return program

    def _call(self, function: sqlite3.Row, order: Order, execution_id: str, limit: int, background: bool) -> Call:
        keys, lifetime = self._server.keys, function["timeout"] + TOKENS_OUTLIVE_S
        jwt = ""
        if order.trigger == "http" and order.session_id:
            jwt = keys.sign({"userId": order.user_id, "sessionId": order.session_id}, lifetime)
        headers = {
            **order.own_headers(),
            "x-appwrite-trigger": order.trigger,
            "x-appwrite-execution-id": execution_id,
            "x-appwrite-user-id": order.user_id,
            "x-appwrite-user-jwt": jwt,
            "x-appwrite-key": self._key(function),
            "x-appwrite-country-code": "",
            "x-appwrite-continent-code": "",
            "x-appwrite-continent-eu": "false",
        }
        if order.event:
            headers["x-appwrite-event"] = order.event
        host = urlsplit(self._server.endpoint)
        return Call(
            execution_id, order.method, order.path, headers, order.body.encode(), limit,
            host.scheme or "http", host.hostname or "localhost", host.port or 80, background,
        )  # fmt: skip

    def _key(self, function: sqlite3.Row) -> str:
        """The function's own key, good for longer than the execution may take.

        Executions of the same half minute share one: functions that keep a client per key then keep its connections.
        """
        key, made_at = self._keys.get(function["id"], ("", 0.0))
        now = time.monotonic()
        if not key or now - made_at > KEY_SHARED_S:
            lifetime = function["timeout"] + TOKENS_OUTLIVE_S + KEY_SHARED_S
            key = self._server.keys.make_ephemeral_key(frozenset(unpack(function["scopes"])), lifetime)
            self._keys[function["id"]] = (key, now)
        return key

    def _finish(self, function: sqlite3.Row, execution_id: str, outcome: Outcome) -> sqlite3.Row | None:
        logs, errors = (outcome.logs, outcome.errors) if function["logging"] else ("", "")
        return executions.finish(
            self._server, execution_id, outcome.status_code, outcome.headers, logs, errors, outcome.seconds
        )

    def _warm(self) -> None:
        """Children of every function with code start before the first execution asks for them."""
        known = set()
        for function in self._server.db.all("SELECT * FROM functions WHERE enabled"):
            deployment = functions.active_deployment(self._server, function)
            if deployment is not None and deployment.entrypoint:
                known.add(function["id"])
                self._runner.warm(function["id"], self._program(function, deployment))
        self._runner.keep_only(known)

    async def _purge(self) -> None:
        """Deletes old executions now and then, a few at a time."""
        while True:
            while executions.purge(self._server):
                await asyncio.sleep(0)
            await asyncio.sleep(PURGE_EVERY_S)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.error("an execution could not be run", exc_info=task.exception())


def _failure(sentence: str, timed_out: bool = False) -> Outcome:
    return Outcome(500, {"content-type": "text/plain; charset=utf-8"}, b"", "", sentence + "\n", 0.0, timed_out)
