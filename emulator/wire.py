"""Request parameters in, Appwrite-shaped answers out: what every handler shares."""

from __future__ import annotations

import json
import re
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from emulator.errors import AppwriteError, invalid_argument
from emulator.foreign import read_json

# The server whose behaviour is kept; clients read it from /health/version and from error bodies.
VERSION = "1.9.6"
BODY_MAX = 12 * 1024 * 1024  # bytes of JSON; real servers cut the connection beyond it
JSON_TYPE = "application/json; charset=UTF-8"

Handler = Callable[[Request], Awaitable[Response]]
Body = dict[str, Any]

_ID = re.compile(r"^[a-zA-Z0-9][a-zA-Z0-9._-]{0,35}$")
_ID_RULE = (
    "Parameter must contain at most 36 chars. Valid chars are a-z, A-Z, 0-9, period, hyphen, and underscore. "
    "Can't start with a special char"
)


def encode(body: object) -> bytes:
    """A JSON value as the bytes of an answer."""
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")


def reply(body: Mapping[str, Any], status: int = 200) -> Response:
    """A JSON answer."""
    return Response(encode(body), status, media_type=JSON_TYPE)


def no_content() -> Response:
    """204; its type is plain text because the official clients would parse an empty JSON body."""
    return Response(b"", 204, {"content-type": "text/plain; charset=UTF-8"})


def failure(error: AppwriteError) -> Response:
    """The envelope of a refusal."""
    body = {"message": error.message, "code": error.status, "type": error.type, "version": VERSION}
    return reply(body, error.status)


def response_format(request: Request) -> tuple[int, ...]:
    """The version whose shapes the client asked for, such as (1, 8, 0): the newest where it names none."""
    written = request.headers.get("x-appwrite-response-format", "")
    try:
        return tuple(int(part) for part in written.split(".")) if written else (9,)
    except ValueError:
        return (0,)  # a word is older than every version


async def json_body(request: Request) -> Body:
    """The request's JSON object; what cannot be read as one counts as empty, as PHP does it."""
    if "json" not in request.scope:  # the stream can be read once
        raw = await _limited_body(request)
        try:
            body = read_json(raw)
        except ValueError:
            body = {}
        request.scope["json"] = body if isinstance(body, dict) else {}
    read: Body = request.scope["json"]
    return read


async def _limited_body(request: Request) -> bytes:
    """The body, which is refused before memory is spent on it where it is too long."""
    if int(request.headers.get("content-length", 0)) > BODY_MAX:
        raise _too_long()
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > BODY_MAX:
            raise _too_long()
    return bytes(body)


def _too_long() -> AppwriteError:
    return AppwriteError("general_bad_request", f"The request body is longer than {BODY_MAX} bytes.", 413)


def list_parameter(request: Request, name: str) -> list[str]:
    """Every value of `name[0]=`, `name[]=` or `name=` in the query string, in order."""
    return [value for key, value in request.query_params.multi_items() if key.partition("[")[0] == name]


def flag(value: object, name: str) -> bool:
    """A boolean parameter, as JSON or as the text clients put into queries and forms."""
    if isinstance(value, bool):
        return value
    if value in ("true", "1", 1):
        return True
    if value in ("false", "0", 0):
        return False
    raise invalid_argument(name, "Value must be a valid boolean.")


def text(body: Mapping[str, Any], name: str, *, longest: int, default: str | None = None, shortest: int = 1) -> str:
    """A text parameter; absent it is `default`, and required where that is None."""
    value = body.get(name)
    if value is None:
        if default is None:
            raise missing(name)
        return default
    if not isinstance(value, str) or not shortest <= len(value) <= longest:
        raise invalid_argument(
            name, f"Value must be a valid string and at least {shortest} chars and no longer than {longest} chars."
        )
    return value


def missing(name: str) -> AppwriteError:
    """The refusal of a request without a required parameter."""
    return AppwriteError("general_argument_invalid", f'Param "{name}" is not optional.')


def id_is_valid(value: object) -> bool:
    """Whether the value may name a resource."""
    return isinstance(value, str) and _ID.match(value) is not None and not value.endswith("\n")


def existing_id(value: object, name: str) -> str:
    """An id that must already be one, as in a path. Raises general_argument_invalid."""
    if not isinstance(value, str) or not id_is_valid(value):
        raise invalid_argument(name, _ID_RULE)
    return value


def new_id(body: Mapping[str, Any], name: str) -> str:
    """The id the client chose, or a fresh one for `unique()`."""
    value = body.get(name)
    if value is None:
        raise missing(name)
    return unique_id() if value == "unique()" else existing_id(value, name)


def unique_id() -> str:
    """20 hexadecimal digits, the first 13 of them the time in microseconds, so that ids sort as they were made."""
    return f"{time.time_ns() // 1000:013x}{secrets.token_hex(4)[:7]}"
