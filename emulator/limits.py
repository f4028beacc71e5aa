"""Rate limits as Appwrite sets them: announced with every limited answer, enforced where the server was told so."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial

from starlette.requests import Request
from starlette.responses import Response

from emulator import wire
from emulator.auth import Caller, authenticate
from emulator.errors import AppwriteError
from emulator.families import both
from emulator.wire import Handler

MINUTE, HOUR = 60, 3600  # seconds
_CHUNK = re.compile(r"^bytes (\d{1,15})-(\d{1,15})/")
_FORGET_EVERY = 10_000  # counters; then those whose time is over are dropped


@dataclass(frozen=True)
class Limit:
    """`count` requests in `seconds`; `by`: what has a counter of its own, beside the route.

    `by` names "address" (of the client), "user", "chunk" (of a file), or a parameter of the body. `forgiving`: a
    success lets the counter begin anew.
    """

    count: int
    seconds: int
    by: tuple[str, ...] = ("address",)
    forgiving: bool = False


_WRITES = Limit(120, MINUTE, ("address", "user"))
_DELETES = Limit(60, MINUTE, ("address", "user"))
_ROWS = "/tablesdb/{database}/tables/{table}/rows"
_FILES = "/storage/buckets/{bucketId}/files"
_ROW_ROUTES = {
    ("POST", _ROWS): _WRITES,
    ("PUT", _ROWS): _WRITES,
    ("PATCH", _ROWS): _WRITES,
    ("DELETE", _ROWS): _DELETES,
    ("PUT", _ROWS + "/{row}"): _WRITES,
    ("PATCH", _ROWS + "/{row}"): _WRITES,
    ("DELETE", _ROWS + "/{row}"): _DELETES,
    ("PATCH", _ROWS + "/{row}/{column}/increment"): _WRITES,
    ("PATCH", _ROWS + "/{row}/{column}/decrement"): _WRITES,
}
LIMITS: dict[tuple[str, str], Limit] = {
    ("POST", "/account"): Limit(10, HOUR),
    ("POST", "/account/sessions/email"): Limit(10, HOUR, ("address", "email"), forgiving=True),
    ("POST", "/account/sessions/anonymous"): Limit(50, HOUR),
    ("POST", "/account/sessions/token"): Limit(10, HOUR, ("address", "userId")),
    ("PATCH", "/account/sessions/{session}"): Limit(10, HOUR, ("address", "user")),
    ("POST", "/account/jwts"): Limit(120, MINUTE, ("user",)),
    ("POST", "/account/jwt"): Limit(120, MINUTE, ("user",)),
    ("POST", "/teams/{team}/memberships"): Limit(10, HOUR),
    **{(method, path): limit for (method, twins), limit in _ROW_ROUTES.items() for path in both(twins)},
    ("POST", _FILES): Limit(60, MINUTE, ("address", "user", "chunk")),
    ("DELETE", _FILES + "/{fileId}"): _DELETES,
    ("POST", "/tokens/buckets/{bucketId}/files/{fileId}"): _DELETES,
    ("POST", "/functions"): Limit(50, HOUR),
}


@dataclass
class Counters:
    """How often each limited thing was done in its running window; kept in memory, as a cache's would be.

    `enforced`: whether anybody is refused; otherwise nothing is counted and the headers say that all is left.
    """

    enforced: bool = False
    _counts: dict[tuple[str, ...], tuple[float, int]] = field(default_factory=dict)  # key: (end of window, count)

    def take(self, key: tuple[str, ...], count: int, seconds: int) -> tuple[int, float]:
        """Count one more; how many are left of `count` (-1: one too many) and when the window ends, in Unix time."""
        now = time.time()
        if len(self._counts) > _FORGET_EVERY:
            self._counts = {key: kept for key, kept in self._counts.items() if kept[0] > now}
        end, taken = self._counts.get(key, (0.0, 0))
        if end <= now:
            end, taken = now + seconds, 0
        if taken < count:
            taken += 1
            self._counts[key] = (end, taken)
            return count - taken, end
        return -1, end

    def forget(self, key: tuple[str, ...]) -> None:
        """Let the counter begin anew."""
        self._counts.pop(key, None)


def limited(routes: Iterable[tuple[str, str, Handler]], counters: Counters) -> Iterator[tuple[str, str, Handler]]:
    """The routes, those of `LIMITS` with their limits."""
    for method, path, handler in routes:
        limit = LIMITS.get((method, path))
        route = f"{method} {path}"
        yield method, path, handler if limit is None else partial(_answer, route, limit, counters, handler)


async def _answer(route: str, limit: Limit, counters: Counters, handler: Handler, request: Request) -> Response:
    """The handler's answer, or general_rate_limit_exceeded, with the headers that tell the limit."""
    caller = await authenticate(request)
    left, end = limit.count - 1, time.time() + limit.seconds
    key: tuple[str, ...] = ()
    if counters.enforced and not caller.is_key:
        key = (route, *[await _value(part, request, caller) for part in limit.by])
        left, end = counters.take(key, limit.count, limit.seconds)
    try:
        if left < 0:
            wait = max(1, math.ceil(end - time.time()))
            sentence = f"Too often: at most {limit.count} times in {limit.seconds} s. Try again in {wait} s."
            raise AppwriteError("general_rate_limit_exceeded", sentence)
        response = await handler(request)
    except AppwriteError as error:
        response = wire.failure(error)
    if limit.forgiving and response.status_code < 300:
        counters.forget(key)
    for name, number in (("limit", limit.count), ("remaining", max(left, 0)), ("reset", int(end))):
        response.raw_headers.append((b"x-ratelimit-" + name.encode(), str(number).encode()))
    return response


async def _value(part: str, request: Request, caller: Caller) -> str:
    if part == "address":
        return request.client.host if request.client else ""
    if part == "user":
        return caller.user_id
    if part == "chunk":
        match = _CHUNK.match(request.headers.get("content-range", ""))
        return str(int(match[1]) // max(1, int(match[2]) + 1 - int(match[1]))) if match else ""
    given = (await wire.json_body(request)).get(part)
    return given.lower()[:256] if isinstance(given, str) else ""
