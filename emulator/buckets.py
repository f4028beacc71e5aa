"""Buckets: create, read, list, update, delete, and what they allow."""

from __future__ import annotations

import sqlite3
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from emulator import clock, permissions, wire
from emulator.auth import Caller, authenticate
from emulator.database import pack, unpack
from emulator.errors import AppwriteError, invalid_argument
from emulator.listing import View, page
from emulator.server import Server, server_of

TABLES = """
CREATE TABLE IF NOT EXISTS buckets (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, name TEXT NOT NULL, permissions TEXT NOT NULL,
    file_security INTEGER NOT NULL, enabled INTEGER NOT NULL, maximum_file_size INTEGER NOT NULL,
    allowed_extensions TEXT NOT NULL, compression TEXT NOT NULL, encryption INTEGER NOT NULL,
    antivirus INTEGER NOT NULL, transformations INTEGER NOT NULL, created_at TEXT NOT NULL, updated_at TEXT NOT NULL
);
"""
LARGEST_FILE = 5_000_000_000
USUAL_LARGEST_FILE = 30_000_000
_ACTIONS = ("create", "read", "update", "delete")
_BUCKETS = View(
    "buckets",
    {
        "name": ("name", "string"), "enabled": ("enabled", "boolean"), "fileSecurity": ("file_security", "boolean"),
        "maximumFileSize": ("maximum_file_size", "integer"), "encryption": ("encryption", "boolean"),
        "antivirus": ("antivirus", "boolean"), "compression": ("compression", "string"),
        "transformations": ("transformations", "boolean"),
    },
)  # fmt: skip


class Bucket:
    """A stored bucket and what a caller may do with its files."""

    def __init__(self, row: sqlite3.Row) -> None:
        self.row = row
        self.id: str = row["id"]
        self.permissions: list[str] = unpack(row["permissions"])
        self.file_security = bool(row["file_security"])
        self.extensions: list[str] = unpack(row["allowed_extensions"])
        self.maximum: int = row["maximum_file_size"]

    def allows(self, caller: Caller, action: str) -> bool:
        """Whether the caller may do this to every file."""
        return caller.is_key or permissions.allows(self.permissions, action, caller.roles)

    def allows_for(self, caller: Caller, action: str, granted: list[str]) -> bool:
        """Whether the caller may do this to a file with these permissions."""
        return self.allows(caller, action) or (self.file_security and permissions.allows(granted, action, caller.roles))

    def readers(self, granted: list[str]) -> frozenset[str]:
        """The roles that may learn of a file with these permissions."""
        held = permissions.roles(self.permissions, "read")
        return held | permissions.roles(granted, "read") if self.file_security else held


def find(server: Server, bucket_id: str, caller: Caller) -> Bucket:
    """The bucket; a disabled one exists for keys only. Raises storage_bucket_not_found."""
    row = server.db.one("SELECT * FROM buckets WHERE id = ?", (bucket_id,))
    if row is None or not (row["enabled"] or caller.is_key):
        raise AppwriteError("storage_bucket_not_found", "Storage bucket with the requested ID could not be found.")
    return Bucket(row)


async def create(request: Request) -> Response:
    """POST /storage/buckets."""
    server, _ = await _allowed(request, "buckets.write")
    body = await wire.json_body(request)
    now = clock.now_text()
    columns = {"id": wire.new_id(body, "bucketId"), **_record(body, None), "created_at": now, "updated_at": now}
    try:
        with server.db.transaction() as connection:
            names, marks = ", ".join(columns), ", ".join(f":{name}" for name in columns)
            connection.execute(f"INSERT INTO buckets ({names}) VALUES ({marks})", columns)
    except sqlite3.IntegrityError:
        sentence = "A storage bucket with the requested ID already exists."
        raise AppwriteError("storage_bucket_already_exists", sentence) from None
    return wire.reply(_shown(server, columns["id"]), 201)


async def get(request: Request) -> Response:
    """GET /storage/buckets/{bucketId}."""
    server, caller = await _allowed(request, "buckets.read")
    return wire.reply(_shown(server, find(server, request.path_params["bucketId"], caller).id))


async def list_all(request: Request) -> Response:
    """GET /storage/buckets."""
    server, _ = await _allowed(request, "buckets.read")
    total, rows = page(request, server.db, _BUCKETS)
    return wire.reply({"total": total, "buckets": [_shown(server, row["id"]) for row in rows]})


async def update(request: Request) -> Response:
    """PUT /storage/buckets/{bucketId}; what is not given stays, but for fileSecurity and compression."""
    server, caller = await _allowed(request, "buckets.write")
    old = find(server, request.path_params["bucketId"], caller).row
    columns = {**_record(await wire.json_body(request), old), "updated_at": clock.after(old["updated_at"])}
    with server.db.transaction() as connection:
        assignments = ", ".join(f"{name} = :{name}" for name in columns)
        connection.execute(f"UPDATE buckets SET {assignments} WHERE id = :id", {**columns, "id": old["id"]})
    return wire.reply(_shown(server, old["id"]))


async def delete(request: Request) -> Response:
    """DELETE /storage/buckets/{bucketId}, with its files and their tokens."""
    server, caller = await _allowed(request, "buckets.write")
    bucket = find(server, request.path_params["bucketId"], caller)
    blobs = [row["blob"] for row in server.db.all("SELECT blob FROM files WHERE bucket_id = ?", (bucket.id,))]
    with server.db.transaction() as connection:
        of_bucket = "SELECT sequence FROM files WHERE bucket_id = ?"
        connection.execute(f"DELETE FROM file_chunks WHERE file_sequence IN ({of_bucket})", (bucket.id,))
        connection.execute(f"DELETE FROM file_tokens WHERE file_sequence IN ({of_bucket})", (bucket.id,))
        connection.execute("DELETE FROM files WHERE bucket_id = ?", (bucket.id,))
        connection.execute("DELETE FROM buckets WHERE id = ?", (bucket.id,))
    for blob in blobs:
        server.blobs.delete(blob)
    return wire.no_content()


async def _allowed(request: Request, scope: str) -> tuple[Server, Caller]:
    caller = await authenticate(request)
    caller.require_scope(scope)
    return server_of(request), caller


def _record(body: wire.Body, old: sqlite3.Row | None) -> dict[str, Any]:
    """The columns of a checked request; `old`: what an update changes."""

    def given(name: str, column: str, usual: Any) -> Any:
        value = body.get(name)
        return (old[column] if old is not None else usual) if value is None else value

    def flag(name: str, column: str, usual: bool) -> bool:
        value = given(name, column, usual)
        return bool(value) if body.get(name) is None else wire.flag(value, name)

    granted = body.get("permissions")
    extensions = body.get("allowedFileExtensions")
    compression = body.get("compression") or "none"
    if compression not in ("none", "gzip", "zstd"):
        raise invalid_argument("compression", "Value must be one of (none, gzip, zstd)")
    return {
        "name": wire.text(body, "name", longest=128),
        "permissions": given("permissions", "permissions", "[]")
        if granted is None
        else pack(permissions.checked(granted, _ACTIONS)),
        "file_security": wire.flag(body.get("fileSecurity") or False, "fileSecurity"),
        "enabled": flag("enabled", "enabled", True),
        "maximum_file_size": _size(given("maximumFileSize", "maximum_file_size", USUAL_LARGEST_FILE)),
        "allowed_extensions": given("allowedFileExtensions", "allowed_extensions", "[]")
        if extensions is None
        else pack(_extensions(extensions)),
        "compression": compression,
        "encryption": flag("encryption", "encryption", True),
        "antivirus": flag("antivirus", "antivirus", True),
        "transformations": flag("transformations", "transformations", True),
    }


def _size(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= LARGEST_FILE:
        raise invalid_argument("maximumFileSize", f"Value must be a valid range between 1 and {LARGEST_FILE:,}")
    return value


def _extensions(values: object) -> list[str]:
    if not isinstance(values, list) or len(values) > 100:
        raise invalid_argument("allowedFileExtensions", "Value must be a list of at most 100 extensions.")
    checked = [wire.text({"allowedFileExtensions": value}, "allowedFileExtensions", longest=64) for value in values]
    return [extension.lower().lstrip(".") for extension in checked]


def _shown(server: Server, bucket_id: str) -> dict[str, Any]:
    row = server.db.one("SELECT * FROM buckets WHERE id = ?", (bucket_id,))
    used = server.db.one("SELECT coalesce(sum(size_actual), 0) AS n FROM files WHERE bucket_id = ?", (bucket_id,))
    assert row is not None
    assert used is not None
    return {
        "$id": row["id"], "$createdAt": row["created_at"], "$updatedAt": row["updated_at"],
        "$permissions": unpack(row["permissions"]), "fileSecurity": bool(row["file_security"]), "name": row["name"],
        "enabled": bool(row["enabled"]), "maximumFileSize": row["maximum_file_size"],
        "allowedFileExtensions": unpack(row["allowed_extensions"]), "compression": row["compression"],
        "encryption": bool(row["encryption"]), "antivirus": bool(row["antivirus"]),
        "transformations": bool(row["transformations"]), "totalSize": used["n"],
    }  # fmt: skip
