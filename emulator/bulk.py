"""The routes that write many rows at once, for API keys only."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from emulator import row_store, wire
from emulator.access import Access
from emulator.errors import invalid_argument
from emulator.operations import BULK_MAX, Operation, require_bulk
from emulator.row_requests import begin_write, changes_in, missing_data, write
from emulator.wire import Body


def create(access: Access, body: Body) -> Response:
    """POST .../rows with a list: up to 100 new rows, all or none."""
    require_bulk(access.caller)
    items = rows_in(access, body.get("rows", body.get("documents")))
    return _many(access, Operation("bulkCreate", data=items), body, 201)


async def update(request: Request) -> Response:
    """PATCH .../rows: change every row that fits the queries; with a key only."""
    access, body = await begin_write(request)
    require_bulk(access.caller)
    data, granted = changes_in(access, body)
    operation = Operation("bulkUpdate", data=data, permissions=granted, queries=queries_in(body))
    return _many(access, operation, body)


async def upsert(request: Request) -> Response:
    """PUT .../rows: replace or create up to 100 rows; with a key only."""
    access, body = await begin_write(request)
    require_bulk(access.caller)
    return _many(access, Operation("bulkUpsert", data=rows_in(access, body.get(f"{access.family.row}s"))), body)


async def delete(request: Request) -> Response:
    """DELETE .../rows: remove every row that fits the queries; with a key only."""
    access, body = await begin_write(request)
    require_bulk(access.caller)
    return _many(access, Operation("bulkDelete", queries=queries_in(body)), body)


def rows_in(access: Access, items: object) -> list[Body]:
    """Up to 100 rows of a request, each with its `$id` and its checked `$permissions`.

    Raises row_missing_data, general_argument_invalid.
    """
    if not items:
        raise missing_data(access.family)
    if not isinstance(items, list) or len(items) > BULK_MAX or not all(isinstance(item, dict) for item in items):
        raise invalid_argument(f"{access.family.row}s", f"Value must be a list of at most {BULK_MAX} objects")
    return [
        {
            **item,
            "$id": wire.new_id(item, "$id"),
            "$permissions": row_store.granted_in(access.caller, item, "$permissions"),
        }
        for item in items
    ]


def queries_in(body: Body) -> list[str]:
    """The queries that say which rows, as they are written. Raises general_argument_invalid."""
    written = body.get("queries") or []
    if not isinstance(written, list) or not all(isinstance(each, str) for each in written):
        raise invalid_argument("queries", "Value must be a list of queries.")
    return written


def _many(access: Access, operation: Operation, body: Body, status: int = 200) -> Response:
    shown: list[dict[str, Any]] = write(access, operation, body)
    return wire.reply({"total": len(shown), f"{access.family.row}s": shown}, status)
