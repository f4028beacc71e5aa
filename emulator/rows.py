"""Rows (documents): create, read, change, delete; permissions, the timestamp lock, and the event of every write."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping
from typing import Any, Literal

from starlette.requests import Request
from starlette.responses import Response

from emulator import clock, permissions, wire
from emulator.auth import Caller, authenticate
from emulator.columns import Column, ValueRefused
from emulator.database import Database, pack, unpack
from emulator.errors import AppwriteError, invalid_argument
from emulator.events import row_event
from emulator.families import Family, family_of
from emulator.queries import Plan, after_cursor, compile_plan, order_by, parse, parse_selection
from emulator.schema import Table
from emulator.server import Server, server_of
from emulator.wire import Body

ROW_ACTIONS = ("read", "update", "delete")
TOTAL_MAX = 5_000  # Appwrite counts no further
BULK_MAX = 100
Action = Literal["create", "read", "update", "delete"]
# Fields of an answer that clients send back unchanged; only an API key may set the two times.
_GIVEN_BACK = frozenset(
    {"$id", "$sequence", "$permissions", "$databaseId", "$tableId", "$collectionId", "$createdAt", "$updatedAt"}
)


class Call:
    """One request on one table: who asks, in which words, and what it may see."""

    def __init__(self, request: Request, server: Server, caller: Caller) -> None:
        self.server = server
        self.caller = caller
        self.family = family_of(request)
        self.database_id = request.path_params["database"]
        table_id = request.path_params["table"]
        database = server.schema.databases.get(self.database_id)
        if database is None or not (database.enabled or caller.is_key):
            raise AppwriteError("database_not_found", f"Database '{self.database_id}' was not found.")
        table = server.schema.tables.get((self.database_id, table_id))
        if table is None or not (table.enabled or caller.is_key):
            raise self.family.not_found("table", table_id)
        self.database_type = database.type
        self.table: Table = table
        self.numeric_sequence = wire.response_format(request) < (1, 9)

    @property
    def db(self) -> Database:
        """The store."""
        return self.server.db

    def table_allows(self, action: Action) -> bool:
        """Whether the caller may do this to every row."""
        return self.caller.is_key or permissions.allows(self.table.permissions, action, self.caller.roles)

    def row_allows(self, row: Mapping[str, Any], action: Action) -> bool:
        """Whether the caller may do this to this row."""
        return self.table_allows(action) or (
            self.table.row_security and permissions.allows(row["$permissions"], action, self.caller.roles)
        )

    def find(self, row_id: str) -> dict[str, Any] | None:
        """The row of this id, whoever asks."""
        found = self.db.one(f'{self.table.select} WHERE "$id" = ?', (row_id,))
        return None if found is None else read_row(self.table, found)

    def existing(self, row_id: str, action: Action) -> dict[str, Any]:
        """The row of this id, which the caller wants to change. Raises row_not_found, user_unauthorized."""
        row = self.find(row_id)
        if row is None:
            raise self.family.not_found("row", row_id)
        if not self.row_allows(row, action):
            raise _unauthorized()
        return row

    def show(self, row: Mapping[str, Any], select: frozenset[str] | None = None) -> dict[str, Any]:
        """The row as this client sees it."""
        shown = {key: value for key, value in row.items() if select is None or key[0] == "$" or key in select}
        shown["$sequence"] = row["$sequence"] if self.numeric_sequence else str(row["$sequence"])
        shown["$databaseId"] = self.database_id
        shown[f"${self.family.table}Id"] = self.table.id
        return shown

    def publish(self, action: str, row: Mapping[str, Any]) -> dict[str, Any]:
        """Tell the listeners of a committed write; returns the row as shown."""
        shown = self.show(row)
        readers = permissions.roles(self.table.permissions, "read")
        if self.table.row_security:
            readers |= permissions.roles(row["$permissions"], "read")
        event = row_event(
            self.database_type,
            self.database_id,
            self.table.id,
            row["$id"],
            action=action,
            payload=shown,
            roles=readers,
            user_id=self.caller.user_id,
        )
        self.server.bus.publish(event)
        return shown


def read_row(table: Table, stored: sqlite3.Row) -> dict[str, Any]:
    """A stored row as JSON values, system columns included; `$sequence` is an int."""
    sequence, row_id, created, updated, granted, *values = stored
    row = {
        key: value if convert is None else convert(value)
        for (key, convert), value in zip(table.converters, values, strict=True)
    }
    row["$id"], row["$sequence"], row["$createdAt"], row["$updatedAt"] = row_id, sequence, created, updated
    row["$permissions"] = unpack(granted)
    return row


async def create(request: Request) -> Response:
    """POST .../rows: one row, or up to 100 with a key."""
    call, body = await _begin_write(request)
    if "rows" in body or "documents" in body:
        return _create_many(call, body)
    data = _data(call.family, body)
    if not data:
        raise _missing_data(call.family)
    id_name = f"{call.family.row}Id"
    if body.get(id_name) is None:
        raise AppwriteError(
            call.family.error_type("row", "missing_data"),
            f"{call.family.row.capitalize()} ID is required when creating a single {call.family.row}.",
        )
    row_id = wire.new_id(body, id_name)
    granted = _granted(call.caller, body)
    if not call.table_allows("create"):
        raise _unauthorized()
    if granted is None:
        granted = permissions.own(call.caller.user_id) if call.caller.user_id else []
    row = new_row(call, row_id, data, granted)
    insert_rows(call, [row])
    return wire.reply(call.publish("create", row), 201)


def _create_many(call: Call, body: Body) -> Response:
    _require_bulk(call.caller)
    items = body.get("rows", body.get("documents"))
    if not items:
        raise _missing_data(call.family)
    if not isinstance(items, list) or len(items) > BULK_MAX or not all(isinstance(item, dict) for item in items):
        raise invalid_argument(f"{call.family.row}s", f"Value must be a list of at most {BULK_MAX} objects")
    rows = [
        new_row(call, wire.new_id(item, "$id"), item, _granted(call.caller, item, "$permissions") or [])
        for item in items
    ]
    insert_rows(call, rows)
    return _many(call, "create", rows, 201)


def new_row(call: Call, row_id: str, data: Body, granted: list[str]) -> dict[str, Any]:
    """A complete row from a client's data: checked, defaults filled in, times set; its sequence comes when stored."""
    values = check_data(call.family, call.table, data)
    row: dict[str, Any] = {}
    for column in call.table.columns:
        value = values.get(column.key, column.default)
        if value is None and column.required:
            raise _required(call.family, column)
        row[column.key] = [] if value is None and column.array else value
    now = clock.now_text()
    created, updated = _own_times(call.caller, data)
    row.update({"$id": row_id, "$createdAt": created or now, "$updatedAt": updated or now, "$permissions": granted})
    return row


def insert_rows(call: Call, rows: list[dict[str, Any]]) -> None:
    """Store new rows, all or none, and set their `$sequence`. Raises row_already_exists."""
    table = call.table
    with call.db.transaction() as connection:
        for row in rows:
            values = [column.to_sql(row[column.key]) for column in table.columns]
            system = (row["$id"], row["$createdAt"], row["$updatedAt"], pack(row["$permissions"]))
            try:
                sequence = connection.execute(table.insert, (*system, *values)).lastrowid
            except sqlite3.IntegrityError:
                raise call.family.already_exists("row", row["$id"]) from None
            row["$sequence"] = sequence
            _write_readers(connection, table, row)
            for column, value in zip(table.columns, values, strict=True):
                if value is not None and column.from_sql is None:
                    row[column.key] = value  # a date comes back as it is stored


def _write_readers(connection: sqlite3.Connection, table: Table, row: Mapping[str, Any]) -> None:
    readers = permissions.roles(row["$permissions"], "read")
    if readers:
        connection.executemany(
            f"INSERT INTO {table.readers} VALUES (?, ?)", [(role, row["$sequence"]) for role in readers]
        )


async def get(request: Request) -> Response:
    """GET .../rows/{row}"""
    caller = await authenticate(request)
    caller.require_scope(*family_of(request).scopes("row", "read"))
    call = Call(request, server_of(request), caller)
    plan = compile_plan(call.table, parse_selection(wire.list_parameter(request, "queries")))
    row_id = request.path_params["row"]
    row = call.find(row_id)
    if row is None or not call.row_allows(row, "read"):
        raise call.family.not_found("row", row_id)
    return wire.reply(call.show(row, plan.select))


async def list_rows(request: Request) -> Response:
    """GET .../rows: those the caller may read, filtered, ordered and paged by its queries."""
    caller = await authenticate(request)
    caller.require_scope(*family_of(request).scopes("row", "read"))
    call = Call(request, server_of(request), caller)
    plan = compile_plan(call.table, parse(wire.list_parameter(request, "queries")))
    counted = wire.flag(request.query_params.get("total", True), "total")
    restrict_to_readable(call, plan)
    total = count(call, plan) if counted else 0
    shown = [call.show(row, plan.select) for row in fetch(call, plan)]
    return wire.reply({"total": total, f"{call.family.row}s": shown})


def restrict_to_readable(call: Call, plan: Plan) -> None:
    """Add the condition "the caller may read it" to a plan. Raises user_unauthorized where nothing can be."""
    if call.table_allows("read"):
        return
    if not call.table.row_security:
        raise _unauthorized()
    roles = sorted(call.caller.roles)
    plan.where.append(
        f'"$sequence" IN (SELECT row FROM {call.table.readers} WHERE role IN ({", ".join("?" * len(roles))}))'
    )
    plan.parameters.extend(roles)


def count(call: Call, plan: Plan) -> int:
    """How many rows fit, at most TOTAL_MAX; paging does not matter."""
    where = " WHERE " + " AND ".join(plan.where) if plan.where else ""
    row = call.db.one(
        f"SELECT count(*) AS n FROM (SELECT 1 FROM {call.table.storage}{where} LIMIT {TOTAL_MAX})",
        tuple(plan.parameters),
    )
    assert row is not None
    return int(row["n"])


def fetch(call: Call, plan: Plan) -> list[dict[str, Any]]:
    """The page of rows a plan asks for. Raises general_cursor_not_found."""
    where, parameters = list(plan.where), list(plan.parameters)
    if plan.cursor:
        start = call.db.one(f'{call.table.select} WHERE "$id" = ?', (plan.cursor,))
        if start is None:
            raise AppwriteError("general_cursor_not_found", f"Row '{plan.cursor}' for the cursor was not found.")
        where.append(after_cursor(plan, start, parameters))
    clause = " WHERE " + " AND ".join(where) if where else ""
    sql = f"{call.table.select}{clause}{order_by(plan)} LIMIT ? OFFSET ?"
    rows = [read_row(call.table, stored) for stored in call.db.all(sql, (*parameters, plan.limit, plan.offset))]
    return rows[::-1] if plan.backwards else rows


async def update(request: Request) -> Response:
    """PATCH .../rows/{row}: only the given fields; guarded by `x-appwrite-timestamp` where the client sends it."""
    call, body = await _begin_write(request)
    data, granted = _data(call.family, body), _granted(call.caller, body)
    if not data and granted is None:
        raise AppwriteError(call.family.error_type("row", "missing_payload"), "Give data or permissions to be updated.")
    with call.db.transaction():
        row = call.existing(request.path_params["row"], "update")
        require_unchanged(request, call.family, row)
        changed = merge(call, row, data, granted)
        store_changed(call, row, changed)
    return wire.reply(call.publish("update", changed))


def merge(call: Call, row: dict[str, Any], data: Body, granted: list[str] | None) -> dict[str, Any]:
    """The row after a partial change, checked whole; its time moves only where something changed."""
    values = check_data(call.family, call.table, data)
    changed = {**row, **values}
    for column in call.table.columns:
        if changed[column.key] is None:
            if column.required:
                raise _required(call.family, column)
            if column.array:
                changed[column.key] = []
    if granted is not None:
        changed["$permissions"] = granted
    created, updated = _own_times(call.caller, data)
    if created:
        changed["$createdAt"] = created
    if updated:
        changed["$updatedAt"] = updated
    elif changed != row:
        changed["$updatedAt"] = clock.after(row["$updatedAt"])
    return changed


def store_changed(call: Call, before: Mapping[str, Any], row: dict[str, Any]) -> None:
    """Write the fields that differ. Raises row_already_exists where a unique index refuses."""
    different = [key for key in row if row[key] != before[key]]
    if not different:
        return
    values = []
    for key in different:
        column = call.table.by_key.get(key)
        values.append(pack(row[key]) if key == "$permissions" else column.to_sql(row[key]) if column else row[key])
    sets = ", ".join(f'"{key}" = ?' for key in different)
    with call.db.transaction() as connection:
        try:
            connection.execute(
                f'UPDATE {call.table.storage} SET {sets} WHERE "$sequence" = ?', (*values, row["$sequence"])
            )
        except sqlite3.IntegrityError:
            raise call.family.already_exists("row", row["$id"]) from None
        if "$permissions" in different:
            connection.execute(f"DELETE FROM {call.table.readers} WHERE row = ?", (row["$sequence"],))
            _write_readers(connection, call.table, row)


async def upsert(request: Request) -> Response:
    """PUT .../rows/{row}: replace the row, or create it."""
    call, body = await _begin_write(request)
    data = _data(call.family, body)
    granted = _granted(call.caller, body)
    if not data and granted is None:
        raise AppwriteError(call.family.error_type("row", "missing_payload"), "Give data or permissions.")
    row_id = wire.existing_id(request.path_params["row"], f"{call.family.row}Id")
    with call.db.transaction():
        row = _upserted(call, row_id, data, granted)
    return wire.reply(call.publish("upsert", row))


def _upserted(call: Call, row_id: str, data: Body, granted: list[str] | None) -> dict[str, Any]:
    before = call.find(row_id)
    if before is None:
        if not call.table_allows("create"):
            raise _unauthorized()
        if granted is None:
            granted = permissions.own(call.caller.user_id) if call.caller.user_id else []
        row = new_row(call, row_id, data, granted)
        insert_rows(call, [row])
        return row
    if not call.row_allows(before, "update"):
        raise _unauthorized()
    row = new_row(call, row_id, data, before["$permissions"] if granted is None else granted)
    created, updated = _own_times(call.caller, data)
    row["$sequence"] = before["$sequence"]
    row["$createdAt"] = created or before["$createdAt"]
    row["$updatedAt"] = updated or clock.after(before["$updatedAt"])
    store_changed(call, before, row)
    return row


async def delete(request: Request) -> Response:
    """DELETE .../rows/{row}; guarded by `x-appwrite-timestamp` as an update is."""
    call, _ = await _begin_write(request)
    with call.db.transaction():
        row = call.existing(request.path_params["row"], "delete")
        require_unchanged(request, call.family, row)
        delete_rows(call, [row])
    call.publish("delete", row)
    return wire.no_content()


def delete_rows(call: Call, rows: Iterable[Mapping[str, Any]]) -> None:
    """Remove rows and what is known of their readers."""
    sequences = [(row["$sequence"],) for row in rows]
    with call.db.transaction() as connection:
        connection.executemany(f'DELETE FROM {call.table.storage} WHERE "$sequence" = ?', sequences)
        connection.executemany(f"DELETE FROM {call.table.readers} WHERE row = ?", sequences)


async def increment(request: Request) -> Response:
    """PATCH .../rows/{row}/{column}/increment"""
    return await _step(request, 1, "max")


async def decrement(request: Request) -> Response:
    """PATCH .../rows/{row}/{column}/decrement"""
    return await _step(request, -1, "min")


async def _step(request: Request, sign: int, limit_name: str) -> Response:
    call, body = await _begin_write(request)
    key = request.path_params["column"]
    column = call.table.by_key.get(key)
    if column is None:
        raise call.family.not_found("column", key)
    if column.array or column.kind not in ("integer", "bigint", "float"):
        raise AppwriteError(call.family.error_type("column", "type_invalid"), f"'{key}' is not a number.")
    step, limit = body.get("value", 1), body.get(limit_name)
    step = 1 if step is None else step
    if not _is_number(step) or step <= 0:
        raise AppwriteError("general_argument_invalid", "Value must be numeric and greater than 0")
    if limit is not None and not _is_number(limit):
        raise invalid_argument(limit_name, "Value must be numeric")
    with call.db.transaction():
        row = call.existing(request.path_params["row"], "update")
        value = (row[key] or 0) + sign * step
        if limit is not None and sign * (value - limit) > 0:
            word = "maximum" if sign > 0 else "minimum"
            raise AppwriteError(
                call.family.error_type("column", "limit_exceeded"), f'"{key}" has reached the {word} value of {limit}'
            )
        changed = merge(call, row, {key: value}, None)
        store_changed(call, row, changed)
    return wire.reply(call.publish("update", changed))


async def update_many(request: Request) -> Response:
    """PATCH .../rows: change every row that fits the queries; with a key only."""
    call, body = await _begin_write(request)
    _require_bulk(call.caller)
    data, granted = _data(call.family, body), _granted(call.caller, body)
    if not data and granted is None:
        raise AppwriteError(call.family.error_type("row", "missing_payload"), "Give data or permissions.")
    with call.db.transaction():
        before = fetch(call, _bulk_plan(call, body))
        rows = [merge(call, row, data, granted) for row in before]
        for old, new in zip(before, rows, strict=True):
            store_changed(call, old, new)
    return _many(call, "update", rows)


async def upsert_many(request: Request) -> Response:
    """PUT .../rows: replace or create up to 100 rows; with a key only."""
    call, body = await _begin_write(request)
    _require_bulk(call.caller)
    items = body.get(f"{call.family.row}s")
    if not isinstance(items, list) or not items:
        raise _missing_data(call.family)
    if len(items) > BULK_MAX or not all(isinstance(item, dict) for item in items):
        raise invalid_argument(f"{call.family.row}s", f"Value must be a list of at most {BULK_MAX} objects")
    with call.db.transaction():
        rows = [
            _upserted(call, wire.new_id(item, "$id"), item, _granted(call.caller, item, "$permissions"))
            for item in items
        ]
    return _many(call, "upsert", rows)


async def delete_many(request: Request) -> Response:
    """DELETE .../rows: remove every row that fits the queries; with a key only."""
    call, body = await _begin_write(request)
    _require_bulk(call.caller)
    with call.db.transaction():
        rows = fetch(call, _bulk_plan(call, body))
        delete_rows(call, rows)
    return _many(call, "delete", rows)


def _bulk_plan(call: Call, body: Body) -> Plan:
    written = body.get("queries") or []
    if not isinstance(written, list) or not all(isinstance(each, str) for each in written):
        raise invalid_argument("queries", "Value must be a list of queries.")
    queries = parse(written)
    plan = compile_plan(call.table, queries)
    if all(query.method != "limit" for query in queries):
        plan.limit = -1  # SQLite's word for all
    return plan


def _many(call: Call, action: str, rows: list[dict[str, Any]], status: int = 200) -> Response:
    shown = [call.publish(action, row) for row in rows]
    return wire.reply({"total": len(shown), f"{call.family.row}s": shown}, status)


async def _begin_write(request: Request) -> tuple[Call, Body]:
    caller = await authenticate(request)
    caller.require_scope(*family_of(request).scopes("row", "write"))
    body = await wire.json_body(request)
    return Call(request, server_of(request), caller), body


def require_unchanged(request: Request, family: Family, row: Mapping[str, Any]) -> None:
    """Raises row_update_conflict where the row is newer than what the client has read, or its time is unreadable."""
    seen = request.headers.get("x-appwrite-timestamp")
    if not seen:
        return
    try:
        # A plus sign of an offset may arrive as a blank.
        fresh = clock.milliseconds(row["$updatedAt"]) <= clock.milliseconds(seen.strip().replace(" ", "+"))
    except (ValueError, OverflowError):
        fresh = False
    if not fresh:
        raise AppwriteError(family.error_type("row", "update_conflict"), "Remote document is newer than local.")


def check_data(family: Family, table: Table, data: Mapping[str, Any]) -> dict[str, Any]:
    """The client's fields, each fit for its column. Raises row_invalid_structure."""
    values: dict[str, Any] = {}
    for key, value in data.items():
        if key in _GIVEN_BACK:
            continue
        column = table.by_key.get(key)
        if column is None:
            raise family.invalid_row(f'Unknown attribute: "{key}"')
        try:
            stored = column.to_sql(value)
        except ValueRefused as refusal:
            raise family.invalid_row(str(refusal)) from None
        values[key] = stored if column.from_sql is None else column.from_sql(stored)
    return values


def _data(family: Family, body: Body) -> Body:
    """The `data` of a request: an object, or its JSON as text."""
    data = body.get("data")
    if isinstance(data, str):
        try:
            data = unpack(data)
        except ValueError:
            raise invalid_argument("data", "Value must be a valid JSON object") from None
    if not data:
        return {}
    if not isinstance(data, dict):
        raise family.invalid_row("The data must be an object")
    return data


def _granted(caller: Caller, body: Body, name: str = "permissions") -> list[str] | None:
    if body.get(name) is None:
        return None
    granted = permissions.checked(body[name], ROW_ACTIONS, name)
    if not caller.is_key:
        permissions.require_own_roles(granted, caller.roles)
    return granted


def _own_times(caller: Caller, data: Body) -> tuple[str, str]:
    """The times a key gives to a row itself, "" where it does not."""
    if not caller.is_key:
        return "", ""
    times = []
    for name in ("$createdAt", "$updatedAt"):
        try:
            times.append(clock.text(clock.milliseconds(data[name])) if data.get(name) else "")
        except (ValueError, TypeError, OverflowError):
            raise AppwriteError("general_argument_invalid", f"{name} must be a date and time in ISO 8601.") from None
    return times[0], times[1]


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _require_bulk(caller: Caller) -> None:
    if not caller.is_key:
        raise AppwriteError("general_unauthorized_scope", "Bulk operations need an API key.")


def _required(family: Family, column: Column) -> AppwriteError:
    return family.invalid_row(f'Missing required attribute "{column.key}"')


def _missing_data(family: Family) -> AppwriteError:
    return AppwriteError(family.error_type("row", "missing_data"), f"The {family.row} data is missing.")


def _unauthorized() -> AppwriteError:
    return AppwriteError("user_unauthorized", "The current user is not authorized to perform the requested action.")
