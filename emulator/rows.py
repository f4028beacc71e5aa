"""The routes of single rows (documents): create, read, list, change, delete; the event of every write."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from emulator import bulk, row_store, wire
from emulator.access import Access, count, fetch, restrict_to_readable
from emulator.auth import authenticate
from emulator.errors import AppwriteError
from emulator.families import family_of
from emulator.operations import Operation, step
from emulator.queries import compile_plan, parse, parse_selection
from emulator.row_requests import begin_write, changes_in, data_in, missing_data, write
from emulator.staging import seen_from


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
    operation = Operation("create", wire.new_id(body, id_name), data, row_store.granted_in(access.caller, body))
    return wire.reply(write(access, operation, body)[0], 201)


async def get(request: Request) -> Response:
    """GET .../rows/{row}"""
    caller = await authenticate(request)
    caller.require_scope(*family_of(request).scopes("row", "read"))
    access = Access.of(request, caller)
    plan = compile_plan(access.table, parse_selection(wire.list_parameter(request, "queries")))
    row_id = request.path_params["row"]
    with seen_from(access, request.query_params.get("transactionId")):
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
    with seen_from(access, request.query_params.get("transactionId")):
        total = count(access, plan) if counted else 0
        rows = fetch(access, plan)
    shown = [access.show(row, plan.select) for row in rows]
    return wire.reply({"total": total, f"{access.family.row}s": shown})


async def update(request: Request) -> Response:
    """PATCH .../rows/{row}: only the given fields; guarded by `x-appwrite-timestamp` where the client sends it."""
    access, body = await begin_write(request)
    data, granted = changes_in(access, body)
    operation = Operation("update", request.path_params["row"], data, granted, seen=_seen(request))
    return wire.reply(write(access, operation, body)[0])


async def upsert(request: Request) -> Response:
    """PUT .../rows/{row}: replace the row, or create it."""
    access, body = await begin_write(request)
    data, granted = changes_in(access, body)
    row_id = wire.existing_id(request.path_params["row"], f"{access.family.row}Id")
    return wire.reply(write(access, Operation("upsert", row_id, data, granted), body)[0])


async def delete(request: Request) -> Response:
    """DELETE .../rows/{row}; guarded by `x-appwrite-timestamp` as an update is."""
    access, body = await begin_write(request)
    body = {"transactionId": request.query_params.get("transactionId"), **body}
    write(access, Operation("delete", request.path_params["row"], seen=_seen(request)), body)
    return wire.no_content()


async def increment(request: Request) -> Response:
    """PATCH .../rows/{row}/{column}/increment"""
    return await _step(request, "increment", "max")


async def decrement(request: Request) -> Response:
    """PATCH .../rows/{row}/{column}/decrement"""
    return await _step(request, "decrement", "min")


async def _step(request: Request, action: str, limit: str) -> Response:
    access, body = await begin_write(request)
    place = request.path_params
    operation = step(place["row"], action, place["column"], body.get("value"), body.get(limit))
    return wire.reply(write(access, operation, body)[0])


def _seen(request: Request) -> str:
    return request.headers.get("x-appwrite-timestamp", "")
