"""The routes of transactions: begin, add operations, commit or roll back, read, delete."""

from __future__ import annotations

import sqlite3
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from emulator import bulk, clock, staging, wire
from emulator.access import Access, old_sequence, unauthorized
from emulator.auth import authenticate
from emulator.errors import AppwriteError, invalid_argument
from emulator.families import Family, family_of
from emulator.listing import View, page
from emulator.operations import EVENTS, Operation, require_bulk, step
from emulator.row_store import granted_in
from emulator.server import server_of
from emulator.staging import OPERATIONS_MAX, Client
from emulator.wire import Body

TTL_S, TTL_LEAST_S, TTL_MOST_S = 300, 60, 3600
_KEPT_MS = 24 * 3600 * 1000  # an ended or expired transaction can be looked up for a day
_TRANSACTIONS = View(
    "transactions",
    {
        "status": ("status", "string"),
        "operations": ("operations", "integer"),
        "expiresAt": ("expires_at", "datetime"),
    },
    ("id",),
)


async def create(request: Request) -> Response:
    """POST /tablesdb/transactions"""
    client, body = await _begin(request, "write")
    if not (client.caller.is_key or client.caller.user_id):
        raise unauthorized()
    ttl = TTL_S if body.get("ttl") is None else body["ttl"]
    if isinstance(ttl, bool) or not isinstance(ttl, int) or not TTL_LEAST_S <= ttl <= TTL_MOST_S:
        raise invalid_argument("ttl", f"Value must be a valid range between {TTL_LEAST_S} and {TTL_MOST_S:,}")
    db, now = client.server.db, clock.now_text()
    moment = clock.milliseconds(now)
    old = db.all("SELECT id FROM transactions WHERE expires_at < ?", (clock.text(moment - _KEPT_MS),))
    staging.forget(db, [row["id"] for row in old])
    transaction_id = wire.unique_id()
    with db.transaction() as connection:
        connection.execute(
            "INSERT INTO transactions (id, owner, status, operations, created_at, updated_at, expires_at)"
            " VALUES (?, ?, 'pending', 0, ?, ?, ?)",
            (transaction_id, client.caller.user_id, now, now, clock.text(moment + ttl * 1000)),
        )
    return wire.reply(_shape(staging.find(db, client.caller, transaction_id)), 201)


async def list_all(request: Request) -> Response:
    """GET /tablesdb/transactions: all for a key, its own for a user."""
    client, _ = await _begin(request, "read")
    caller = client.caller
    where, values = ("1", []) if caller.is_key else ("owner = ? AND owner != ''", [caller.user_id])
    total, rows = page(request, client.server.db, _TRANSACTIONS, where, values)
    return wire.reply({"total": total, "transactions": [_shape(row) for row in rows]})


async def get(request: Request) -> Response:
    """GET /tablesdb/transactions/{transaction}"""
    client, _ = await _begin(request, "read")
    return wire.reply(_shape(_named(client, request)))


async def delete(request: Request) -> Response:
    """DELETE /tablesdb/transactions/{transaction}: what waits in it is never done."""
    client, _ = await _begin(request, "write")
    staging.forget(client.server.db, [_named(client, request)["id"]])
    return wire.no_content()


async def update(request: Request) -> Response:
    """PATCH /tablesdb/transactions/{transaction}: commit it or roll it back."""
    client, body = await _begin(request, "write")
    commits, rolls_back = (wire.flag(body.get(name) or False, name) for name in ("commit", "rollback"))
    if commits == rolls_back:
        raise AppwriteError("general_bad_request", "Either commit or rollback must be true.")
    if commits:
        staging.commit(client, request.path_params["transaction"])
    else:
        db = client.server.db
        transaction = staging.open_transaction(db, client.caller, request.path_params["transaction"])
        staging.end(db, transaction, "failed")
    return wire.reply(_shape(_named(client, request)))


async def create_operations(request: Request) -> Response:
    """POST /tablesdb/transactions/{transaction}/operations"""
    client, body = await _begin(request, "write")
    items = body.get("operations")
    if not isinstance(items, list) or not items or not all(isinstance(item, dict) for item in items):
        raise invalid_argument("operations", "Value must be a list of operations")
    transaction_id = request.path_params["transaction"]
    transaction = staging.open_transaction(client.server.db, client.caller, transaction_id)
    if transaction["operations"] + len(items) > OPERATIONS_MAX:
        raise AppwriteError("transaction_limit_exceeded", f"A transaction holds at most {OPERATIONS_MAX} operations.")
    staging.stage_unseen(client, [_operation(client, item) for item in items], transaction_id)
    return wire.reply(_shape(_named(client, request)), 201)


def _operation(client: Client, item: Body) -> tuple[Access, Operation]:
    """One operation of a list. Raises general_argument_invalid, database_not_found, table_not_found."""
    family, action = client.family, item.get("action")
    if not isinstance(action, str) or action not in EVENTS:
        raise invalid_argument("operations", f"'{action}' is no action; use one of {', '.join(EVENTS)}")
    places = [item.get("databaseId"), item.get(f"{family.table}Id", item.get("tableId", item.get("collectionId")))]
    if not all(isinstance(place, str) for place in places):
        raise invalid_argument("operations", f"Each names its databaseId and {family.table}Id")
    access = client.access(str(places[0]), str(places[1]))
    data = item.get("data")
    if action.startswith("bulk"):
        require_bulk(client.caller)
        return access, _bulk(access, action, data)
    id_name = f"{family.row}Id"
    row_id = item.get(id_name, item.get("rowId", item.get("documentId")))
    if action in ("create", "upsert"):
        row_id = wire.new_id({id_name: row_id}, id_name)
    row_id = wire.existing_id(row_id, id_name)
    if action == "delete":
        return access, Operation(action, row_id)
    if not isinstance(data, dict):
        raise invalid_argument("operations", f"The data of '{action}' must be an object")
    if action in ("increment", "decrement"):
        return access, _step(family, action, row_id, data)
    return access, Operation(action, row_id, data, granted_in(client.caller, data, "$permissions"))


def _step(family: Family, action: str, row_id: str, data: Body) -> Operation:
    column = data.get(family.column, data.get("column", data.get("attribute")))
    if not isinstance(column, str):
        raise invalid_argument("operations", f"The data of '{action}' names its {family.column}")
    return step(row_id, action, column, data.get("value"), data.get("max" if action == "increment" else "min"))


def _bulk(access: Access, action: str, data: Any) -> Operation:
    if action in ("bulkCreate", "bulkUpsert"):
        return Operation(action, data=bulk.rows_in(access, data))
    if not isinstance(data, dict):
        raise invalid_argument("operations", f"The data of '{action}' must be an object")
    fields = data.get("data") if action == "bulkUpdate" else {}
    if not isinstance(fields, dict):
        raise invalid_argument("operations", f"The data of '{action}' holds data and queries")
    granted = granted_in(access.caller, fields, "$permissions")
    return Operation(action, data=fields, permissions=granted, queries=bulk.queries_in(data))


async def _begin(request: Request, verb: str) -> tuple[Client, Body]:
    caller = await authenticate(request)
    family = family_of(request)
    caller.require_scope(*family.scopes("row", verb))
    return Client(server_of(request), caller, family, old_sequence(request)), await wire.json_body(request)


def _named(client: Client, request: Request) -> sqlite3.Row:
    return staging.find(client.server.db, client.caller, request.path_params["transaction"])


def _shape(row: sqlite3.Row) -> dict[str, Any]:
    return {
        "$id": row["id"], "$createdAt": row["created_at"], "$updatedAt": row["updated_at"],
        "status": row["status"], "operations": row["operations"], "expiresAt": row["expires_at"],
    }  # fmt: skip
