"""What one write does to the rows of a table: the same at once, rehearsed, and at the commit of a transaction."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from emulator import clock, permissions, row_store
from emulator.access import Access, fetch, unauthorized
from emulator.auth import Caller
from emulator.columns import INT64
from emulator.errors import AppwriteError, invalid_argument
from emulator.families import Family
from emulator.queries import Plan, compile_plan, parse

Row = dict[str, Any]
BULK_MAX = 100
# What listeners hear of each kind of write.
EVENTS = {
    "create": "create", "update": "update", "upsert": "upsert", "delete": "delete",
    "increment": "update", "decrement": "update",
    "bulkCreate": "create", "bulkUpdate": "update", "bulkUpsert": "upsert", "bulkDelete": "delete",
}  # fmt: skip


@dataclass(frozen=True)
class Operation:
    """One write, checked as far as its form goes.

    `action`: a key of EVENTS. `data`: a row's fields; the fields to change (bulkUpdate); a list of rows with `$id` and
    `$permissions` (bulkCreate, bulkUpsert); `{"column","value","limit"}` (increment, decrement). `permissions`: None
    where they stay. `queries`: which rows (bulkUpdate, bulkDelete). `seen`: the `$updatedAt` the client has read.
    """

    action: str
    row_id: str = ""
    data: Any = None
    permissions: list[str] | None = None
    queries: Sequence[str] = ()
    seen: str = ""


def perform(access: Access, operation: Operation) -> list[Row]:
    """Write inside the open transaction; returns the rows written, or deleted.

    Raises user_unauthorized, row_not_found, row_already_exists, row_invalid_structure, row_update_conflict,
    column_limit_exceeded, general_query_invalid.
    """
    return _PERFORMERS[operation.action](access, operation)


def _create(access: Access, operation: Operation) -> list[Row]:
    if not access.table_allows("create"):
        raise unauthorized()
    granted = operation.permissions
    if granted is None:
        granted = permissions.own(access.caller.user_id) if access.caller.user_id else []
    row = row_store.new_row(access, operation.row_id, operation.data, granted)
    row_store.insert_rows(access, [row])
    return [row]


def _update(access: Access, operation: Operation) -> list[Row]:
    row = access.existing(operation.row_id, "update")
    _require_unchanged(operation.seen, access.family, row)
    changed = row_store.merge(access, row, operation.data, operation.permissions)
    row_store.store_changed(access, row, changed)
    return [changed]


def _upsert(access: Access, operation: Operation) -> list[Row]:
    return [row_store.replace_or_create(access, operation.row_id, operation.data, operation.permissions)]


def _delete(access: Access, operation: Operation) -> list[Row]:
    row = access.existing(operation.row_id, "delete")
    _require_unchanged(operation.seen, access.family, row)
    row_store.delete_rows(access, [row])
    return [row]


def _step(access: Access, operation: Operation) -> list[Row]:
    sign = 1 if operation.action == "increment" else -1
    key, limit = operation.data["column"], operation.data["limit"]
    column = access.table.by_key.get(key)
    if column is None:
        raise access.family.not_found("column", key)
    if column.array or column.kind not in ("integer", "bigint", "float"):
        raise AppwriteError(access.family.error_type("column", "type_invalid"), f"'{key}' is not a number.")
    row = access.existing(operation.row_id, "update")
    value = (row[key] or 0) + sign * operation.data["value"]
    storable = math.isfinite(value) if column.kind == "float" else -INT64 <= value < INT64
    # The column's own limits are not looked at, as on real servers.
    if (limit is not None and sign * (value - limit) > 0) or not storable:
        reached = f'"{key}" has reached the {"maximum" if sign > 0 else "minimum"} value of {limit}'
        raise AppwriteError(access.family.error_type("column", "limit_exceeded"), reached)
    if column.kind != "float" and value != int(value):
        raise access.family.invalid_row(f'Attribute "{key}" has invalid type. Value must be an integer')
    return [row_store.store_number(access, row, column, float(value) if column.kind == "float" else int(value))]


def _create_many(access: Access, operation: Operation) -> list[Row]:
    rows = [row_store.new_row(access, item["$id"], item, item.get("$permissions") or []) for item in operation.data]
    row_store.insert_rows(access, rows)
    return rows


def _update_many(access: Access, operation: Operation) -> list[Row]:
    before = fetch(access, _plan(access, operation))
    rows = [row_store.merge(access, row, operation.data, operation.permissions) for row in before]
    for old, new in zip(before, rows, strict=True):
        row_store.store_changed(access, old, new)
    return rows


def _upsert_many(access: Access, operation: Operation) -> list[Row]:
    return [row_store.replace_or_create(access, item["$id"], item, item.get("$permissions")) for item in operation.data]


def _delete_many(access: Access, operation: Operation) -> list[Row]:
    rows = fetch(access, _plan(access, operation))
    row_store.delete_rows(access, rows)
    return rows


_PERFORMERS: dict[str, Callable[[Access, Operation], list[Row]]] = {
    "create": _create, "update": _update, "upsert": _upsert, "delete": _delete,
    "increment": _step, "decrement": _step,
    "bulkCreate": _create_many, "bulkUpdate": _update_many, "bulkUpsert": _upsert_many, "bulkDelete": _delete_many,
}  # fmt: skip


def _plan(access: Access, operation: Operation) -> Plan:
    queries = parse(operation.queries)
    plan = compile_plan(access.table, queries)
    if all(query.method != "limit" for query in queries):
        plan.limit = -1  # SQLite's word for all
    return plan


def _require_unchanged(seen: str, family: Family, row: Mapping[str, Any]) -> None:
    """Raises row_update_conflict where the row is newer than what the client has read, or its time is unreadable."""
    if not seen:
        return
    try:
        # A plus sign of an offset may arrive as a blank.
        fresh = clock.milliseconds(row["$updatedAt"]) <= clock.milliseconds(seen.strip().replace(" ", "+"))
    except (ValueError, OverflowError):
        fresh = False
    if not fresh:
        raise AppwriteError(family.error_type("row", "update_conflict"), "Remote document is newer than local.")


def step(row_id: str, action: str, column: str, value: Any, limit: Any) -> Operation:
    """An increment or decrement; `value` is 1 where it is None. Raises general_argument_invalid."""
    value = 1 if value is None else value
    if not _is_number(value) or value <= 0:
        raise AppwriteError("general_argument_invalid", "Value must be numeric and greater than 0")
    if limit is not None and not _is_number(limit):
        raise invalid_argument("max" if action == "increment" else "min", "Value must be numeric")
    return Operation(action, row_id, {"column": column, "value": value, "limit": limit})


def require_bulk(caller: Caller) -> None:
    """Raises general_unauthorized_scope where the caller is no API key."""
    if not caller.is_key:
        raise AppwriteError("general_unauthorized_scope", "Bulk operations need an API key.")


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
