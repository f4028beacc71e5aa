"""What the routes that write rows share: the caller's access, the parts of the request, and the writing."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request

from emulator import staging, wire
from emulator.access import Access
from emulator.auth import authenticate
from emulator.errors import AppwriteError, invalid_argument
from emulator.families import Family, family_of
from emulator.foreign import read_json
from emulator.operations import EVENTS, Operation, perform
from emulator.row_store import granted_in
from emulator.wire import Body


async def begin_write(request: Request) -> tuple[Access, Body]:
    """The access and the body of a writing request. Raises general_unauthorized_scope, table_not_found."""
    caller = await authenticate(request)
    caller.require_scope(*family_of(request).scopes("row", "write"))
    body = await wire.json_body(request)
    return Access.of(request, caller), body


def write(access: Access, operation: Operation, body: Body) -> list[dict[str, Any]]:
    """Do it at once and tell the listeners, or keep it in the transaction the body names; the rows as shown.

    Raises as `perform` and `staging.stage` do.
    """
    if transaction_id := body.get("transactionId"):
        return [access.show(row) for row in staging.stage(access, operation, transaction_id)]
    with access.db.transaction():
        rows = perform(access, operation)
    return [access.publish(EVENTS[operation.action], row) for row in rows]


def data_in(family: Family, body: Body) -> Body:
    """The `data` of a request: an object, or its JSON as text."""
    data = body.get("data")
    if isinstance(data, str):
        try:
            data = read_json(data)
        except ValueError:
            raise invalid_argument("data", "Value must be a valid JSON object") from None
    if not data:
        return {}
    if not isinstance(data, dict):
        raise family.invalid_row("The data must be an object")
    return data


def missing_data(family: Family) -> AppwriteError:
    """The 400 of a request without data."""
    return AppwriteError(family.error_type("row", "missing_data"), f"The {family.row} data is missing.")


def changes_in(access: Access, body: Body) -> tuple[Body, list[str] | None]:
    """The data and permissions a change asks for. Raises row_missing_payload where it asks for neither."""
    data, granted = data_in(access.family, body), granted_in(access.caller, body)
    if not data and granted is None:
        raise AppwriteError(
            access.family.error_type("row", "missing_payload"), "Give data or permissions to be updated."
        )
    return data, granted
