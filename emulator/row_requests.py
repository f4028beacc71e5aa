"""What the routes that write rows share: the caller's access and the parts of the request."""

from __future__ import annotations

from starlette.requests import Request

from emulator import wire
from emulator.access import Access
from emulator.auth import authenticate
from emulator.errors import AppwriteError, invalid_argument
from emulator.families import Family, family_of
from emulator.foreign import read_json
from emulator.row_store import granted_in
from emulator.wire import Body


async def begin_write(request: Request) -> tuple[Access, Body]:
    """The access and the body of a writing request. Raises general_unauthorized_scope, table_not_found."""
    caller = await authenticate(request)
    caller.require_scope(*family_of(request).scopes("row", "write"))
    body = await wire.json_body(request)
    if body.get("transactionId"):
        raise AppwriteError("general_not_implemented", "Transactions are not served by this server.", 501)
    return Access.of(request, caller), body


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
