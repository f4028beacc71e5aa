"""Function records and their variables: create, read, list, update, delete, and which code is active."""

from __future__ import annotations

import datetime as dt
import sqlite3
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from emulator import clock, deployment_store, permissions, schedule, wire
from emulator.auth import authenticate
from emulator.database import pack, unpack
from emulator.errors import AppwriteError, invalid_argument
from emulator.listing import View, page
from emulator.programs import Deployment, Program, child_environment
from emulator.server import Server, server_of

TABLES = """
CREATE TABLE IF NOT EXISTS functions (
    sequence INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, name TEXT NOT NULL, runtime TEXT NOT NULL,
    execute TEXT NOT NULL, events TEXT NOT NULL, schedule TEXT NOT NULL, timeout INTEGER NOT NULL,
    enabled INTEGER NOT NULL, logging INTEGER NOT NULL, entrypoint TEXT NOT NULL, commands TEXT NOT NULL,
    scopes TEXT NOT NULL, specification TEXT NOT NULL, created_at TEXT NOT NULL, updated_at TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS function_variables (
    sequence INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, function_id TEXT NOT NULL REFERENCES functions (id),
    key TEXT NOT NULL, value TEXT NOT NULL, secret INTEGER NOT NULL, created_at TEXT NOT NULL, updated_at TEXT NOT NULL,
    UNIQUE (function_id, key)
);
"""

RUNTIMES = (
    *(f"python-3.{minor}" for minor in range(8, 15)),
    *(f"python-ml-3.{minor}" for minor in range(11, 14)),
)
LONGEST_TIMEOUT_S = 900
SPECIFICATION = "s-8vcpu-8gb"  # what Appwrite gives where nothing was asked for
WORKING_TREE = "working-tree"  # the id of the deployment that is a folder named at the server's start

_FUNCTIONS = View(
    "functions",
    {
        "name": ("name", "string"), "enabled": ("enabled", "boolean"), "runtime": ("runtime", "string"),
        "schedule": ("schedule", "string"), "timeout": ("timeout", "integer"),
        "entrypoint": ("entrypoint", "string"), "commands": ("commands", "string"),
    },
)  # fmt: skip
_VARIABLES = View(
    "function_variables", {"key": ("key", "string"), "secret": ("secret", "boolean")}, search=("id", "key")
)


# What others need to know about a function


def find(server: Server, function_id: str) -> sqlite3.Row:
    """The function's row. Raises function_not_found."""
    row = server.db.one("SELECT * FROM functions WHERE id = ?", (function_id,))
    if row is None:
        raise AppwriteError("function_not_found", "Function with the requested ID could not be found.")
    return row


def active_deployment(server: Server, function: sqlite3.Row) -> Deployment | None:
    """The code an execution runs: what was deployed, else a working tree; None where there is none that is built."""
    row = deployment_store.active(server.db, function["id"])
    if row is not None:
        return deployment_store.code_of(row, server.data_dir) if row["status"] == "ready" else None
    root = server.sources.get(function["id"])
    if root is None:
        return None
    return Deployment(WORKING_TREE, root, function["entrypoint"], live=True)


def program(server: Server, function: sqlite3.Row, deployment: Deployment) -> Program:
    """A deployment with the environment its code sees; Appwrite's own names win over variables."""
    rows = server.db.all("SELECT key, value FROM function_variables WHERE function_id = ?", (function["id"],))
    variables = {row["key"]: row["value"] for row in rows}
    own = {**_own_environment(server, function, deployment), **deployment.environment()}
    return Program(deployment, child_environment({**variables, **own}))


def _own_environment(server: Server, function: sqlite3.Row, deployment: Deployment) -> dict[str, str]:
    vcs = ("REPOSITORY_ID", "REPOSITORY_NAME", "REPOSITORY_OWNER", "REPOSITORY_URL", "REPOSITORY_BRANCH",
           "REPOSITORY_BRANCH_URL", "COMMIT_HASH", "COMMIT_MESSAGE", "COMMIT_URL", "COMMIT_AUTHOR",
           "COMMIT_AUTHOR_URL", "ROOT_DIRECTORY")  # fmt: skip
    return {
        "APPWRITE_FUNCTION_API_ENDPOINT": server.endpoint,
        "APPWRITE_FUNCTION_ID": function["id"],
        "APPWRITE_FUNCTION_NAME": function["name"],
        "APPWRITE_FUNCTION_DEPLOYMENT": deployment.id,
        "APPWRITE_FUNCTION_PROJECT_ID": server.project_id,
        "APPWRITE_FUNCTION_RUNTIME_NAME": "Python ML" if "-ml-" in function["runtime"] else "Python",
        "APPWRITE_FUNCTION_RUNTIME_VERSION": function["runtime"].rpartition("-")[2],
        "APPWRITE_FUNCTION_CPUS": "1",
        "APPWRITE_FUNCTION_MEMORY": "512",
        "APPWRITE_VERSION": wire.VERSION,
        "APPWRITE_REGION": "default",
        "APPWRITE_DEPLOYMENT_TYPE": deployment.kind,
        **{f"APPWRITE_VCS_{name}": "" for name in vcs},
    }


# Functions


async def create(request: Request) -> Response:
    """POST /functions."""
    server = await _server_for(request, "functions.write")
    body = await wire.json_body(request)
    record = {"id": wire.new_id(body, "functionId"), **_record(body, None)}
    now = clock.now_text()
    columns = {**record, "created_at": now, "updated_at": now}
    try:
        with server.db.transaction() as connection:
            names, marks = ", ".join(columns), ", ".join(f":{name}" for name in columns)
            connection.execute(f"INSERT INTO functions ({names}) VALUES ({marks})", columns)
    except sqlite3.IntegrityError:
        sentence = "Function with the requested ID already exists. Try again with a different ID."
        raise AppwriteError("function_already_exists", sentence) from None
    server.executor.functions_changed()
    return wire.reply(_shape(server, find(server, record["id"]), request), 201)


async def get(request: Request) -> Response:
    """GET /functions/{functionId}."""
    server = await _server_for(request, "functions.read")
    return wire.reply(_shape(server, find(server, request.path_params["functionId"]), request))


async def list_all(request: Request) -> Response:
    """GET /functions."""
    server = await _server_for(request, "functions.read")
    total, rows = page(request, server.db, _FUNCTIONS)
    return wire.reply({"total": total, "functions": [_shape(server, row, request) for row in rows]})


async def update(request: Request) -> Response:
    """PUT /functions/{functionId}: what is not given falls back to its default, as Appwrite does."""
    server = await _server_for(request, "functions.write")
    old = find(server, request.path_params["functionId"])
    columns = {**_record(await wire.json_body(request), old), "updated_at": clock.after(old["updated_at"])}
    with server.db.transaction() as connection:
        assignments = ", ".join(f"{name} = :{name}" for name in columns)
        connection.execute(f"UPDATE functions SET {assignments} WHERE id = :id", {**columns, "id": old["id"]})
    server.executor.functions_changed()
    return wire.reply(_shape(server, find(server, old["id"]), request))


async def delete(request: Request) -> Response:
    """DELETE /functions/{functionId}, with its deployments, variables, executions and rules."""
    server = await _server_for(request, "functions.write")
    function = find(server, request.path_params["functionId"])
    for row in server.db.all("SELECT * FROM deployments WHERE function_id = ?", (function["id"],)):
        await server.builder.discard(row)
    with server.db.transaction() as connection:
        connection.execute("DELETE FROM executions WHERE function_id = ?", (function["id"],))
        connection.execute("DELETE FROM function_variables WHERE function_id = ?", (function["id"],))
        connection.execute("DELETE FROM rules WHERE resource_id = ?", (function["id"],))
        connection.execute("DELETE FROM functions WHERE id = ?", (function["id"],))
    server.executor.functions_changed()
    return wire.no_content()


async def activate(request: Request) -> Response:
    """PATCH /functions/{functionId}/deployment: from now on executions run this deployment."""
    server = await _server_for(request, "functions.write")
    function = find(server, request.path_params["functionId"])
    body = await wire.json_body(request)
    deployment_id = wire.existing_id(wire.text(body, "deploymentId", longest=36), "deploymentId")
    row = deployment_store.find(server.db, function["id"], deployment_id)
    if row["status"] != "ready":
        raise AppwriteError("build_not_ready", "The build of this deployment is not ready.")
    deployment_store.make_active(server.db, row)
    server.executor.functions_changed()
    return wire.reply(_shape(server, find(server, function["id"]), request))


# Variables


async def create_variable(request: Request) -> Response:
    """POST /functions/{functionId}/variables."""
    server = await _server_for(request, "functions.write")
    function = find(server, request.path_params["functionId"])
    body = await wire.json_body(request)
    variable_id = wire.new_id({"variableId": "unique()", **body}, "variableId")
    key, value = wire.text(body, "key", longest=255), wire.text(body, "value", longest=8192, shortest=0)
    secret = wire.flag(body.get("secret", True), "secret")
    now = clock.now_text()
    try:
        with server.db.transaction() as connection:
            connection.execute(
                "INSERT INTO function_variables (id, function_id, key, value, secret, created_at, updated_at)"
                " VALUES (?, ?, ?, ?, ?, ?, ?)",
                (variable_id, function["id"], key, value, secret, now, now),
            )
    except sqlite3.IntegrityError:
        raise _variable_exists() from None
    server.executor.functions_changed()
    return wire.reply(_variable_shape(_find_variable(server, function["id"], variable_id)), 201)


async def get_variable(request: Request) -> Response:
    """GET /functions/{functionId}/variables/{variableId}."""
    server = await _server_for(request, "functions.read")
    function = find(server, request.path_params["functionId"])
    return wire.reply(_variable_shape(_find_variable(server, function["id"], request.path_params["variableId"])))


async def list_variables(request: Request) -> Response:
    """GET /functions/{functionId}/variables."""
    server = await _server_for(request, "functions.read")
    function = find(server, request.path_params["functionId"])
    total, rows = page(request, server.db, _VARIABLES, "function_id = ?", [function["id"]])
    return wire.reply({"total": total, "variables": [_variable_shape(row) for row in rows]})


async def update_variable(request: Request) -> Response:
    """PUT /functions/{functionId}/variables/{variableId}; a secret stays one."""
    server = await _server_for(request, "functions.write")
    function = find(server, request.path_params["functionId"])
    old = _find_variable(server, function["id"], request.path_params["variableId"])
    body = await wire.json_body(request)
    key = wire.text(body, "key", longest=255, default=old["key"])
    value = wire.text(body, "value", longest=8192, shortest=0, default=old["value"])
    secret = wire.flag(body.get("secret") if body.get("secret") is not None else bool(old["secret"]), "secret")
    if old["secret"] and not secret:
        raise AppwriteError("variable_cannot_unset_secret", "Secret variables cannot be marked as non-secret.")
    try:
        with server.db.transaction() as connection:
            connection.execute(
                "UPDATE function_variables SET key = ?, value = ?, secret = ?, updated_at = ? WHERE id = ?",
                (key, value, secret, clock.after(old["updated_at"]), old["id"]),
            )
    except sqlite3.IntegrityError:
        raise _variable_exists() from None
    server.executor.functions_changed()
    return wire.reply(_variable_shape(_find_variable(server, function["id"], old["id"])))


async def delete_variable(request: Request) -> Response:
    """DELETE /functions/{functionId}/variables/{variableId}."""
    server = await _server_for(request, "functions.write")
    function = find(server, request.path_params["functionId"])
    variable = _find_variable(server, function["id"], request.path_params["variableId"])
    with server.db.transaction() as connection:
        connection.execute("DELETE FROM function_variables WHERE id = ?", (variable["id"],))
    server.executor.functions_changed()
    return wire.no_content()


async def _server_for(request: Request, scope: str) -> Server:
    (await authenticate(request)).require_scope(scope)
    return server_of(request)


def _record(body: wire.Body, old: sqlite3.Row | None) -> dict[str, Any]:
    """The columns of a checked request."""
    runtime = wire.text(body, "runtime", longest=64, default=old["runtime"] if old is not None else None)
    if runtime not in RUNTIMES:
        raise invalid_argument("runtime", f"This server runs Python; value must be one of ({', '.join(RUNTIMES)})")
    specification = body.get("runtimeSpecification") or body.get("specification") or SPECIFICATION
    return {
        "name": wire.text(body, "name", longest=128),
        "runtime": runtime,
        "execute": pack(_roles(body)),
        "events": pack(_texts(body, "events", 100, 1024)),
        "schedule": _schedule(body),
        "timeout": _timeout(body),
        "enabled": _flag(body, "enabled"),
        "logging": _flag(body, "logging"),
        "entrypoint": entrypoint_of(body),
        "commands": wire.text(body, "commands", longest=8192, default="", shortest=0),
        "scopes": pack(_texts(body, "scopes", 100, 64)),
        "specification": wire.text({"specification": specification}, "specification", longest=64),
    }


def _roles(body: wire.Body) -> list[str]:
    roles = _texts(body, "execute", 100, 64)
    if any(not permissions.role_is_valid(role) for role in roles):
        raise invalid_argument("execute", "Each value must be a role, such as any, users or user:ID.")
    return roles


def _texts(body: wire.Body, name: str, most: int, longest: int) -> list[str]:
    values = body.get(name) or []
    if not isinstance(values, list) or len(values) > most:
        raise invalid_argument(name, f"Value must be a list of at most {most} items.")
    return [wire.text({name: value}, name, longest=longest) for value in values]


def _flag(body: wire.Body, name: str) -> bool:
    value = body.get(name)
    return True if value is None else wire.flag(value, name)


def _schedule(body: wire.Body) -> str:
    expression = wire.text(body, "schedule", longest=128, default="", shortest=0)
    if expression:
        try:
            schedule.next_time(expression, dt.datetime.now(dt.UTC))
        except ValueError:
            raise invalid_argument("schedule", "Value must be a valid cron expression of five fields.") from None
    return expression


def _timeout(body: wire.Body) -> int:
    timeout = body.get("timeout")
    if timeout is None:
        return 15
    if isinstance(timeout, bool) or not isinstance(timeout, int) or not 1 <= timeout <= LONGEST_TIMEOUT_S:
        raise invalid_argument("timeout", f"Value must be a valid range between 1 and {LONGEST_TIMEOUT_S}")
    return timeout


def entrypoint_of(body: Mapping[str, Any]) -> str:
    """The entrypoint a request names, empty where it names none. Raises general_argument_invalid."""
    entrypoint = wire.text(body, "entrypoint", longest=1028, default="", shortest=0)
    path = PurePosixPath(entrypoint)
    if path.is_absolute() or ".." in path.parts:
        raise invalid_argument("entrypoint", "Value must be a path below the function's folder.")
    return entrypoint


def _shape(server: Server, row: sqlite3.Row, request: Request) -> dict[str, Any]:
    variables = server.db.all("SELECT * FROM function_variables WHERE function_id = ? ORDER BY sequence", (row["id"],))
    specification = {"buildSpecification": row["specification"], "runtimeSpecification": row["specification"]}
    if wire.response_format(request) < (1, 9):
        specification = {"specification": row["specification"]}
    return {
        "$id": row["id"], "$createdAt": row["created_at"], "$updatedAt": row["updated_at"],
        "execute": unpack(row["execute"]), "name": row["name"], "enabled": bool(row["enabled"]), "live": True,
        "logging": bool(row["logging"]), "runtime": row["runtime"], "deploymentRetention": 0,
        **_deployed(server, row),
        "scopes": unpack(row["scopes"]), "vars": [_variable_shape(variable) for variable in variables],
        "events": unpack(row["events"]), "schedule": row["schedule"], "timeout": row["timeout"],
        "entrypoint": row["entrypoint"], "commands": row["commands"], "version": "v5", "installationId": "",
        "providerRepositoryId": "", "providerBranch": "", "providerRootDirectory": "", "providerSilentMode": False,
        "providerBranches": [], "providerPaths": [], **specification,
    }  # fmt: skip


def _deployed(server: Server, function: sqlite3.Row) -> dict[str, str]:
    active = deployment_store.active(server.db, function["id"])
    latest = deployment_store.latest(server.db, function["id"])
    active_id, active_at = (active["id"], active["created_at"]) if active else ("", "")
    if active is None and function["id"] in server.sources:
        active_id, active_at = WORKING_TREE, function["created_at"]
    latest_id, latest_at, status = (latest["id"], latest["created_at"], latest["status"]) if latest else ("", "", "")
    if latest is None and active_id:
        latest_id, latest_at, status = active_id, active_at, "ready"
    return {
        "deploymentId": active_id, "deploymentCreatedAt": active_at, "latestDeploymentId": latest_id,
        "latestDeploymentCreatedAt": latest_at, "latestDeploymentStatus": status,
    }  # fmt: skip


def _find_variable(server: Server, function_id: str, variable_id: str) -> sqlite3.Row:
    sql = "SELECT * FROM function_variables WHERE function_id = ? AND id = ?"
    row = server.db.one(sql, (function_id, variable_id))
    if row is None:
        raise AppwriteError("variable_not_found", "Variable with the requested ID could not be found.")
    return row


def _variable_shape(row: sqlite3.Row) -> dict[str, Any]:
    return {
        "$id": row["id"], "$createdAt": row["created_at"], "$updatedAt": row["updated_at"], "key": row["key"],
        "value": "" if row["secret"] else row["value"], "secret": bool(row["secret"]),
        "resourceType": "function", "resourceId": row["function_id"],
    }  # fmt: skip


def _variable_exists() -> AppwriteError:
    return AppwriteError("variable_already_exists", "Variable with the same ID or key already exists.")
