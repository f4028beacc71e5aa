"""File tokens: a secret in a URL that lets its holder see one private file until it expires."""

from __future__ import annotations

import sqlite3
from typing import Any

import jwt
from starlette.requests import Request
from starlette.responses import Response

from emulator import buckets, clock, files, wire
from emulator.auth import Caller, authenticate
from emulator.errors import AppwriteError, invalid_argument
from emulator.listing import View, page
from emulator.server import Server, server_of

TABLES = """
CREATE TABLE IF NOT EXISTS file_tokens (
    sequence INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, file_sequence INTEGER NOT NULL, resource_id TEXT NOT NULL,
    expire TEXT, accessed_at TEXT NOT NULL, created_at TEXT NOT NULL, updated_at TEXT NOT NULL
);
"""
ENDLESS_S = 100 * 365 * 86400  # a token without an end
ACCESS_NOTED_MS = 86_400_000  # the use of a token is noted once a day: a film is read in many parts
_TOKENS = View("file_tokens", {"expire": ("expire", "datetime"), "accessedAt": ("accessed_at", "string")}, ("id",))


async def create(request: Request) -> Response:
    """POST /tokens/buckets/{bucketId}/files/{fileId}."""
    server, file = await _file(request, "tokens.write")
    expire = _expire(await wire.json_body(request))
    token_id, now = wire.unique_id(), clock.now_text()
    with server.db.transaction() as connection:
        connection.execute(
            "INSERT INTO file_tokens (id, file_sequence, resource_id, expire, accessed_at, created_at, updated_at)"
            " VALUES (?, ?, ?, ?, '', ?, ?)",
            (token_id, file["sequence"], f"{file['bucket_id']}:{file['id']}", expire, now, now),
        )
    return wire.reply(_shape(server, _find(server, token_id)), 201)


async def list_all(request: Request) -> Response:
    """GET /tokens/buckets/{bucketId}/files/{fileId}."""
    server, file = await _file(request, "tokens.read")
    total, rows = page(request, server.db, _TOKENS, "file_sequence = ?", [file["sequence"]])
    return wire.reply({"total": total, "tokens": [_shape(server, row) for row in rows]})


async def get(request: Request) -> Response:
    """GET /tokens/{tokenId}."""
    server, _ = await _allowed(request, "tokens.read")
    return wire.reply(_shape(server, _find(server, request.path_params["tokenId"])))


async def update(request: Request) -> Response:
    """PATCH /tokens/{tokenId}: another end, or none."""
    server, _ = await _allowed(request, "tokens.write")
    token = _find(server, request.path_params["tokenId"])
    expire = _expire(await wire.json_body(request))
    with server.db.transaction() as connection:
        sql = "UPDATE file_tokens SET expire = ?, updated_at = ? WHERE id = ?"
        connection.execute(sql, (expire, clock.after(token["updated_at"]), token["id"]))
    return wire.reply(_shape(server, _find(server, token["id"])))


async def delete(request: Request) -> Response:
    """DELETE /tokens/{tokenId}: from now on it opens nothing."""
    server, _ = await _allowed(request, "tokens.write")
    token = _find(server, request.path_params["tokenId"])
    with server.db.transaction() as connection:
        connection.execute("DELETE FROM file_tokens WHERE id = ?", (token["id"],))
    return wire.no_content()


def opens(server: Server, secret: str, file: sqlite3.Row) -> bool:
    """Whether this secret lets its holder see this file now."""
    try:
        claims = server.keys.verify(secret)
    except jwt.InvalidTokenError:
        return False
    token = server.db.one("SELECT * FROM file_tokens WHERE id = ?", (claims.get("tokenId", ""),))
    now = clock.now_text()
    if token is None or token["file_sequence"] != file["sequence"]:
        return False
    if token["expire"] is not None and token["expire"] <= now:
        return False
    if token["accessed_at"] < clock.text(clock.milliseconds(now) - ACCESS_NOTED_MS):
        with server.db.transaction() as connection:
            connection.execute("UPDATE file_tokens SET accessed_at = ? WHERE id = ?", (now, token["id"]))
    return True


def _find(server: Server, token_id: str) -> sqlite3.Row:
    row = server.db.one("SELECT * FROM file_tokens WHERE id = ?", (token_id,))
    if row is None:
        raise AppwriteError("token_not_found", "The requested file token could not be found.")
    return row


async def _allowed(request: Request, scope: str) -> tuple[Server, Caller]:
    caller = await authenticate(request)
    caller.require_scope(scope)
    return server_of(request), caller


async def _file(request: Request, scope: str) -> tuple[Server, sqlite3.Row]:
    server, caller = await _allowed(request, scope)
    bucket = buckets.find(server, request.path_params["bucketId"], caller)
    return server, files.find(server, bucket.id, request.path_params["fileId"])


def _expire(body: wire.Body) -> str | None:
    written = body.get("expire")
    if not written:
        return None
    try:
        moment = clock.milliseconds(wire.text(body, "expire", longest=64))
    except ValueError:
        raise invalid_argument("expire", "Value must be a valid date in the future.") from None
    if clock.text(moment) <= clock.now_text():
        raise invalid_argument("expire", "Value must be a valid date in the future.")
    return clock.text(moment)


def _shape(server: Server, row: sqlite3.Row) -> dict[str, Any]:
    # Signed afresh for every answer, so that no usable secret lies in the store; the row decides when it ends.
    secret = server.keys.sign({"tokenId": row["id"], "resourceId": row["resource_id"]}, ENDLESS_S)
    return {
        "$id": row["id"], "$createdAt": row["created_at"], "resourceId": row["resource_id"], "resourceType": "files",
        "expire": row["expire"] or "", "secret": secret, "accessedAt": row["accessed_at"],
    }  # fmt: skip
