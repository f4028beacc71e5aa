"""The routes of single rows (documents): create, read, list, change, delete; the event of every write."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from emulator import bulk, clock, permissions, row_store, wire
from emulator.access import Access, count, fetch, restrict_to_readable, unauthorized
from emulator.auth import authenticate
from emulator.errors import AppwriteError, invalid_argument
from emulator.families import Family, family_of
from emulator.queries import compile_plan, parse, parse_selection
from emulator.row_requests import begin_write, changes_in, data_in, missing_data


async def create(request: Request) -> Response:
    """POST .../rows: one row, or up to 100 with a key."""
    access, body = await begin_write(request)
    if "rows" in body or "documents" in body:
        return bulk.create(access, body)
    data = data_in(access.family, body)
    if not data:
        raise missing_data(access.family)
    id_name = f"{access.family.row}Id"
    if body.get(id_name) is None:
        raise AppwriteError(
            access.family.error_type("row", "missing_data"),
            f"{access.family.row.capitalize()} ID is required when creating a single {access.family.row}.",
        )
    row_id = wire.new_id(body, id_name)
    granted = row_store.granted_in(access.caller, body)
    if not access.table_allows("create"):
        raise unauthorized()
    if granted is None:
        granted = permissions.own(access.caller.user_id) if access.caller.user_id else []
    row = row_store.new_row(access, row_id, data, granted)
    row_store.insert_rows(access, [row])
    return wire.reply(access.publish("create", row), 201)


async def get(request: Request) -> Response:
    """GET .../rows/{row}"""
    caller = await authenticate(request)
    caller.require_scope(*family_of(request).scopes("row", "read"))
    access = Access.of(request, caller)
    plan = compile_plan(access.table, parse_selection(wire.list_parameter(request, "queries")))
    row_id = request.path_params["row"]
    row = access.find(row_id)
    if row is None or not access.row_allows(row, "read"):
        raise access.family.not_found("row", row_id)
    return wire.reply(access.show(row, plan.select))


async def list_rows(request: Request) -> Response:
    """GET .../rows: those the caller may read, filtered, ordered and paged by its queries."""
    caller = await authenticate(request)
    caller.require_scope(*family_of(request).scopes("row", "read"))
    access = Access.of(request, caller)
    plan = compile_plan(access.table, parse(wire.list_parameter(request, "queries")))
    counted = wire.flag(request.query_params.get("total", True), "total")
    restrict_to_readable(access, plan)
    total = count(access, plan) if counted else 0
    shown = [access.show(row, plan.select) for row in fetch(access, plan)]
    return wire.reply({"total": total, f"{access.family.row}s": shown})


async def update(request: Request) -> Response:
    """PATCH .../rows/{row}: only the given fields; guarded by `x-appwrite-timestamp` where the client sends it."""
    access, body = await begin_write(request)
    data, granted = changes_in(access, body)
    with access.db.transaction():
        row = access.existing(request.path_params["row"], "update")
        require_unchanged(request, access.family, row)
        changed = row_store.merge(access, row, data, granted)
        row_store.store_changed(access, row, changed)
    return wire.reply(access.publish("update", changed))


async def upsert(request: Request) -> Response:
    """PUT .../rows/{row}: replace the row, or create it."""
    access, body = await begin_write(request)
    data, granted = changes_in(access, body)
    row_id = wire.existing_id(request.path_params["row"], f"{access.family.row}Id")
    with access.db.transaction():
        row = row_store.replace_or_create(access, row_id, data, granted)
    return wire.reply(access.publish("upsert", row))


async def delete(request: Request) -> Response:
    """DELETE .../rows/{row}; guarded by `x-appwrite-timestamp` as an update is."""
    access, _ = await begin_write(request)
    with access.db.transaction():
        row = access.existing(request.path_params["row"], "delete")
        require_unchanged(request, access.family, row)
        row_store.delete_rows(access, [row])
    access.publish("delete", row)
    return wire.no_content()


async def increment(request: Request) -> Response:
    """PATCH .../rows/{row}/{column}/increment"""
    return await _step(request, 1, "max")


async def decrement(request: Request) -> Response:
    """PATCH .../rows/{row}/{column}/decrement"""
    return await _step(request, -1, "min")


async def _step(request: Request, sign: int, limit_name: str) -> Response:
    access, body = await begin_write(request)
    key = request.path_params["column"]
    column = access.table.by_key.get(key)
    if column is None:
        raise access.family.not_found("column", key)
    if column.array or column.kind not in ("integer", "bigint", "float"):
        raise AppwriteError(access.family.error_type("column", "type_invalid"), f"'{key}' is not a number.")
    step, limit = body.get("value", 1), body.get(limit_name)
    step = 1 if step is None else step
    if not _is_number(step) or step <= 0:
        raise AppwriteError("general_argument_invalid", "Value must be numeric and greater than 0")
    if limit is not None and not _is_number(limit):
        raise invalid_argument(limit_name, "Value must be numeric")
    with access.db.transaction():
        row = access.existing(request.path_params["row"], "update")
        value = (row[key] or 0) + sign * step
        if limit is not None and sign * (value - limit) > 0:
            word = "maximum" if sign > 0 else "minimum"
            raise AppwriteError(
                access.family.error_type("column", "limit_exceeded"), f'"{key}" has reached the {word} value of {limit}'
            )
        changed = row_store.merge(access, row, {key: value}, None)
        row_store.store_changed(access, row, changed)
    return wire.reply(access.publish("update", changed))


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


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
