"""The routes that write many rows at once, for API keys only."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from emulator import row_store, wire
from emulator.access import Access, fetch
from emulator.auth import Caller
from emulator.errors import AppwriteError, invalid_argument
from emulator.queries import Plan, compile_plan, parse
from emulator.row_requests import begin_write, changes_in, missing_data
from emulator.wire import Body

BULK_MAX = 100


def create(access: Access, body: Body) -> Response:
    """POST .../rows with a list: up to 100 new rows, all or none."""
    _require_bulk(access.caller)
    items = body.get("rows", body.get("documents"))
    if not items:
        raise missing_data(access.family)
    if not isinstance(items, list) or len(items) > BULK_MAX or not all(isinstance(item, dict) for item in items):
        raise invalid_argument(f"{access.family.row}s", f"Value must be a list of at most {BULK_MAX} objects")
    rows = [
        row_store.new_row(
            access, wire.new_id(item, "$id"), item, row_store.granted_in(access.caller, item, "$permissions") or []
        )
        for item in items
    ]
    row_store.insert_rows(access, rows)
    return _many(access, "create", rows, 201)


async def update(request: Request) -> Response:
    """PATCH .../rows: change every row that fits the queries; with a key only."""
    access, body = await begin_write(request)
    _require_bulk(access.caller)
    data, granted = changes_in(access, body)
    with access.db.transaction():
        before = fetch(access, _bulk_plan(access, body))
        rows = [row_store.merge(access, row, data, granted) for row in before]
        for old, new in zip(before, rows, strict=True):
            row_store.store_changed(access, old, new)
    return _many(access, "update", rows)


async def upsert(request: Request) -> Response:
    """PUT .../rows: replace or create up to 100 rows; with a key only."""
    access, body = await begin_write(request)
    _require_bulk(access.caller)
    items = body.get(f"{access.family.row}s")
    if not isinstance(items, list) or not items:
        raise missing_data(access.family)
    if len(items) > BULK_MAX or not all(isinstance(item, dict) for item in items):
        raise invalid_argument(f"{access.family.row}s", f"Value must be a list of at most {BULK_MAX} objects")
    with access.db.transaction():
        rows = [
            row_store.replace_or_create(
                access, wire.new_id(item, "$id"), item, row_store.granted_in(access.caller, item, "$permissions")
            )
            for item in items
        ]
    return _many(access, "upsert", rows)


async def delete(request: Request) -> Response:
    """DELETE .../rows: remove every row that fits the queries; with a key only."""
    access, body = await begin_write(request)
    _require_bulk(access.caller)
    with access.db.transaction():
        rows = fetch(access, _bulk_plan(access, body))
        row_store.delete_rows(access, rows)
    return _many(access, "delete", rows)


def _bulk_plan(access: Access, body: Body) -> Plan:
    written = body.get("queries") or []
    if not isinstance(written, list) or not all(isinstance(each, str) for each in written):
        raise invalid_argument("queries", "Value must be a list of queries.")
    queries = parse(written)
    plan = compile_plan(access.table, queries)
    if all(query.method != "limit" for query in queries):
        plan.limit = -1  # SQLite's word for all
    return plan


def _many(access: Access, action: str, rows: list[dict[str, Any]], status: int = 200) -> Response:
    shown = [access.publish(action, row) for row in rows]
    return wire.reply({"total": len(shown), f"{access.family.row}s": shown}, status)


def _require_bulk(caller: Caller) -> None:
    if not caller.is_key:
        raise AppwriteError("general_unauthorized_scope", "Bulk operations need an API key.")
