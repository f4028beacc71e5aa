"""Execution records: the request is checked and written here, what it answers is read here."""

from __future__ import annotations

import re
import sqlite3
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from emulator import clock, functions, wire
from emulator.auth import Caller, authenticate
from emulator.database import pack, unpack
from emulator.errors import AppwriteError, invalid_argument
from emulator.events import Event, execution_event
from emulator.foreign import read_json
from emulator.listing import View, page
from emulator.server import Server, server_of

TABLES = """
CREATE TABLE IF NOT EXISTS executions (
    sequence INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, function_id TEXT NOT NULL, user_id TEXT NOT NULL,
    deployment_id TEXT NOT NULL, trigger TEXT NOT NULL, status TEXT NOT NULL, method TEXT NOT NULL, path TEXT NOT NULL,
    request_headers TEXT NOT NULL, response_status INTEGER NOT NULL, response_headers TEXT NOT NULL,
    logs TEXT NOT NULL, errors TEXT NOT NULL, duration REAL NOT NULL, scheduled_at TEXT,
    created_at TEXT NOT NULL, updated_at TEXT NOT NULL,
    request TEXT NOT NULL -- the whole request while it has not ended, so that a restart can still run it
);
CREATE INDEX IF NOT EXISTS executions_by_function ON executions (function_id, sequence);
CREATE INDEX IF NOT EXISTS executions_open ON executions (status)
    WHERE status IN ('waiting', 'processing', 'scheduled');
"""

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "HEAD")
PURGED_AT_ONCE = 500  # rows; a transaction of more would hold everybody up
LONGEST_BODY = 10 * 1024 * 1024
KEPT_REQUEST_HEADERS = ("content-type", "agent", "content-length", "host", "x-appwrite-client-ip")
KEPT_RESPONSE_HEADERS = ("content-type", "content-length")
_HEADER = re.compile(r"^[a-zA-Z0-9-]+$")

_EXECUTIONS = View(
    "executions",
    {
        "trigger": ("trigger", "string"), "status": ("status", "string"),
        "responseStatusCode": ("response_status", "integer"), "duration": ("duration", "float"),
        "requestMethod": ("method", "string"), "requestPath": ("path", "string"),
        "deploymentId": ("deployment_id", "string"), "scheduledAt": ("scheduled_at", "datetime"),
    },
    search=("id", "path"),
)  # fmt: skip


@dataclass(frozen=True)
class Order:
    """What is to be run, and for whom; kept with the execution until it has ended.

    `headers`: the caller's own, names in lower case. `event`: the event's full name where one was the trigger.
    """

    trigger: str
    method: str = "POST"
    path: str = "/"
    headers: Mapping[str, str] | None = None
    body: str = ""
    user_id: str = ""
    session_id: str = ""
    client_ip: str = ""
    event: str = ""

    def own_headers(self) -> dict[str, str]:
        """The headers that come before the server's own."""
        given = dict(self.headers or {})
        return {**given, "x-appwrite-client-ip": self.client_ip} if self.client_ip else given


# Records


def insert(
    server: Server, function_id: str, deployment_id: str, order: Order, status: str, scheduled_at: str | None
) -> str:
    """Writes a new execution that has not run; returns its id."""
    execution_id = wire.unique_id()
    now = clock.now_text()
    with server.db.transaction() as connection:
        connection.execute(
            "INSERT INTO executions (id, function_id, user_id, deployment_id, trigger, status, method, path,"
            " request_headers, response_status, response_headers, logs, errors, duration, scheduled_at, created_at,"
            " updated_at, request) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 0, '[]', '', '', 0, ?, ?, ?, ?)",
            (
                execution_id, function_id, order.user_id, deployment_id, order.trigger, status, order.method,
                order.path, pack(_pairs(order.own_headers(), KEPT_REQUEST_HEADERS)), scheduled_at, now, now,
                pack(vars(order)),
            ),
        )  # fmt: skip
    return execution_id


def order_of(row: sqlite3.Row) -> Order:
    """The order of an execution that has not ended."""
    return Order(**unpack(row["request"]))


def mark(server: Server, execution_id: str, status: str) -> None:
    """Notes that a waiting execution is being run."""
    with server.db.transaction() as connection:
        sql = "UPDATE executions SET status = ?, updated_at = ? WHERE id = ?"
        connection.execute(sql, (status, clock.now_text(), execution_id))


def finish(
    server: Server,
    execution_id: str,
    status_code: int,
    headers: Mapping[str, str],
    logs: str,
    errors: str,
    seconds: float,
) -> sqlite3.Row | None:
    """Writes how an execution ended: a status of 500 or more is a failure. None where it was deleted meanwhile."""
    status = "failed" if status_code >= 500 else "completed"
    kept = pack(_pairs(headers, KEPT_RESPONSE_HEADERS))
    with server.db.transaction() as connection:
        connection.execute(
            "UPDATE executions SET status = ?, response_status = ?, response_headers = ?, logs = ?, errors = ?,"
            " duration = ?, updated_at = ?, request = '' WHERE id = ?",
            (status, status_code, kept, logs, errors, round(seconds, 6), clock.now_text(), execution_id),
        )
    return server.db.one("SELECT * FROM executions WHERE id = ?", (execution_id,))


def purge(server: Server) -> int:
    """Deletes some of the ended executions that are too old or too many for their function; returns how many."""
    limits, deleted = server.compute, 0
    oldest = clock.text(int((time.time() - limits.kept_s) * 1000))
    ended = "function_id = ? AND status IN ('completed', 'failed')"
    for function in server.db.all("SELECT DISTINCT function_id AS id FROM executions"):
        sql = f"SELECT sequence FROM executions WHERE {ended} ORDER BY sequence DESC LIMIT 1 OFFSET ?"
        surplus = server.db.one(sql, (function["id"], limits.kept_executions))
        with server.db.transaction() as connection:
            deleted += connection.execute(
                f"DELETE FROM executions WHERE sequence IN (SELECT sequence FROM executions WHERE {ended}"
                " AND (sequence <= ? OR created_at < ?) LIMIT ?)",
                (function["id"], surplus["sequence"] if surplus is not None else 0, oldest, PURGED_AT_ONCE),
            ).rowcount
    return deleted


def find(server: Server, function_id: str, execution_id: str) -> sqlite3.Row:
    """The execution's row. Raises execution_not_found."""
    sql = "SELECT * FROM executions WHERE id = ? AND function_id = ?"
    row = server.db.one(sql, (execution_id, function_id))
    if row is None:
        raise AppwriteError("execution_not_found", "Execution with the requested ID could not be found.")
    return row


def shape(row: sqlite3.Row, with_output: bool, version: tuple[int, ...] = (9,)) -> dict[str, Any]:
    """The answer's body. Only keys see logs and errors; from format 2.0 on an execution has a resource."""
    owner = {"functionId": row["function_id"]}
    if (2,) <= version < (9,):
        owner = {"resourceId": row["function_id"], "resourceType": "functions"}
    return {
        "$id": row["id"], "$createdAt": row["created_at"], "$updatedAt": row["updated_at"],
        "$permissions": [f'read("user:{row["user_id"]}")'] if row["user_id"] else [], **owner,
        "deploymentId": row["deployment_id"], "trigger": row["trigger"], "status": row["status"],
        "requestMethod": row["method"], "requestPath": row["path"], "requestHeaders": unpack(row["request_headers"]),
        "responseStatusCode": row["response_status"], "responseBody": "",
        "responseHeaders": unpack(row["response_headers"]), "logs": row["logs"] if with_output else "",
        "errors": row["errors"] if with_output else "", "duration": row["duration"],
        "scheduledAt": row["scheduled_at"],
    }  # fmt: skip


def created_event(server: Server, row: sqlite3.Row) -> Event:
    """What listeners learn of a new execution: never its output."""
    payload = shape(row, with_output=False)
    return execution_event(
        server.project_id, row["function_id"], row["id"], action="create", payload=payload, roles=_readers(row)
    )


def ended_event(server: Server, row: sqlite3.Row) -> Event:
    """What listeners learn of an asynchronous execution's end: these fields, as Appwrite's worker sends them."""
    whole = shape(row, with_output=True)
    names = ("$id", "$permissions", "deploymentId", "trigger", "status", "responseStatusCode", "responseHeaders",
             "requestPath", "requestMethod", "requestHeaders", "errors", "logs", "duration", "functionId")  # fmt: skip
    payload = {name: whole[name] for name in names}
    return execution_event(
        server.project_id, row["function_id"], row["id"], action="update", payload=payload, roles=_readers(row)
    )


def _readers(row: sqlite3.Row) -> frozenset[str]:
    return frozenset({f"user:{row['user_id']}"} if row["user_id"] else ())


def _pairs(headers: Mapping[str, str], kept: tuple[str, ...] | None = None) -> list[dict[str, str]]:
    return [{"name": name, "value": value} for name, value in headers.items() if kept is None or name in kept]


# Routes


async def create(request: Request) -> Response:
    """POST /functions/{functionId}/executions: run now and answer (201), or later (202)."""
    caller = await authenticate(request)
    caller.require_scope("execution.write", "executions.write")
    server, version = server_of(request), wire.response_format(request)
    body = await wire.json_body(request)
    function = functions.find(server, request.path_params["functionId"])
    if not function["enabled"] and not caller.is_key:
        raise AppwriteError("function_not_found", "Function with the requested ID could not be found.")
    later, scheduled_at = _when(body)
    order = _order(body, caller, request, "schedule" if scheduled_at else "http")
    deployment = server.executor.runnable(function)
    if not caller.is_key and caller.roles.isdisjoint(unpack(function["execute"])):
        raise AppwriteError("user_unauthorized", "The current user may not execute this function.")
    status = "scheduled" if scheduled_at else "waiting"
    if later:
        execution_id = insert(server, function["id"], deployment.id, order, status, scheduled_at)
        row = find(server, function["id"], execution_id)
        server.bus.publish(created_event(server, row))
        server.executor.execution_added(row)
        return wire.reply(shape(row, caller.is_key, version), 202)
    row, outcome = await server.executor.run_now(function, deployment, order)
    answer = shape(row, caller.is_key, version)
    answer["responseBody"] = outcome.body.decode(errors="replace")
    answer["responseHeaders"] = _pairs(outcome.headers)
    return wire.reply(answer, 201)


async def get(request: Request) -> Response:
    """GET /functions/{functionId}/executions/{executionId}."""
    caller = await authenticate(request)
    caller.require_scope("execution.read", "executions.read")
    server = server_of(request)
    function = functions.find(server, request.path_params["functionId"])
    row = find(server, function["id"], request.path_params["executionId"])
    if not caller.is_key and (not caller.user_id or row["user_id"] != caller.user_id):
        raise AppwriteError("execution_not_found", "Execution with the requested ID could not be found.")
    return wire.reply(shape(row, caller.is_key, wire.response_format(request)))


async def list_all(request: Request) -> Response:
    """GET /functions/{functionId}/executions: a user's own, for a key all."""
    caller = await authenticate(request)
    caller.require_scope("execution.read", "executions.read")
    server = server_of(request)
    function = functions.find(server, request.path_params["functionId"])
    where, values = "function_id = ?", [function["id"]]
    if not caller.is_key:
        where, values = where + " AND user_id = ? AND user_id <> ''", [function["id"], caller.user_id]
    total, rows = page(request, server.db, _EXECUTIONS, where, values)
    version = wire.response_format(request)
    return wire.reply({"total": total, "executions": [shape(row, caller.is_key, version) for row in rows]})


async def delete(request: Request) -> Response:
    """DELETE /functions/{functionId}/executions/{executionId}: one that has ended, or is only scheduled."""
    caller = await authenticate(request)
    caller.require_scope("execution.write", "executions.write")
    if not caller.is_key:
        raise AppwriteError("general_unauthorized_scope", "Only a server with a key may delete executions.")
    server = server_of(request)
    function = functions.find(server, request.path_params["functionId"])
    row = find(server, function["id"], request.path_params["executionId"])
    if row["status"] in ("waiting", "processing"):
        raise AppwriteError("execution_in_progress", "Can't delete ongoing execution. Wait for it to finish.")
    with server.db.transaction() as connection:
        connection.execute("DELETE FROM executions WHERE id = ?", (row["id"],))
    return wire.no_content()


def _when(body: wire.Body) -> tuple[bool, str | None]:
    later = wire.flag(body.get("async") or False, "async")
    written = body.get("scheduledAt")
    if not written:
        return later, None
    if not later:
        sentence = "Scheduled executions must run asynchronously. Set async to true."
        raise AppwriteError("general_bad_request", sentence)
    try:
        moment = clock.milliseconds(wire.text(body, "scheduledAt", longest=64))
    except ValueError:
        raise invalid_argument("scheduledAt", "Value must be a valid date in the future.") from None
    if moment < clock.milliseconds(clock.now_text()) + 60_000:
        raise invalid_argument("scheduledAt", "Value must be at least one minute in the future.")
    return later, clock.text(moment)


def _order(body: wire.Body, caller: Caller, request: Request, trigger: str) -> Order:
    method = wire.text(body, "method", longest=16, default="POST")
    if method not in METHODS:
        raise invalid_argument("method", f"Value must be one of ({', '.join(METHODS)})")
    path = wire.text(body, "path", longest=2048, default="/", shortest=0) or "/"
    return Order(
        trigger=trigger, method=method, path=path if path.startswith("/") else "/" + path,
        headers=_headers(body.get("headers")),
        body=wire.text(body, "body", longest=LONGEST_BODY, default="", shortest=0),
        user_id=caller.user_id,
        # whoever came with a JWT gets no second one for the function, as on real servers
        session_id="" if "x-appwrite-jwt" in request.headers else caller.session_id,
        client_ip=request.client.host if request.client is not None else "127.0.0.1",
    )  # fmt: skip


def _headers(given: object) -> dict[str, str]:
    if isinstance(given, str):  # as multipart forms and command lines send it
        try:
            given = read_json(given or "{}")
        except ValueError:
            given = None
    if given in (None, []):
        return {}
    if isinstance(given, dict) and len(given) <= 100 and sum(len(k) + len(str(v)) for k, v in given.items()) <= 16384:
        headers = {name.lower(): str(value) for name, value in given.items() if _HEADER.match(name)}
        if len(headers) == len(given) and not any(name.startswith("x-appwrite") for name in headers):
            return headers
    raise invalid_argument(
        "headers", 'Alphanumeric characters or hyphens only, cannot start with "x-appwrite", at most 100, 16384 in all.'
    )
