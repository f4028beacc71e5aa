"""Files: uploads whole or in chunks, their records, permissions and events."""

from __future__ import annotations

import asyncio
import sqlite3
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from starlette.datastructures import FormData, UploadFile
from starlette.requests import Request
from starlette.responses import Response

from emulator import buckets, clock, permissions, wire
from emulator.auth import Caller, authenticate
from emulator.buckets import Bucket
from emulator.chunks import Chunk, chunk_at, chunk_of
from emulator.database import pack, unpack
from emulator.errors import AppwriteError
from emulator.events import file_event
from emulator.forms import multipart
from emulator.listing import View, page
from emulator.media_types import media_type
from emulator.server import Server, server_of

TABLES = """
CREATE TABLE IF NOT EXISTS files (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL, bucket_id TEXT NOT NULL, name TEXT NOT NULL,
    permissions TEXT NOT NULL, signature TEXT NOT NULL, mime_type TEXT NOT NULL, size_original INTEGER NOT NULL,
    size_actual INTEGER NOT NULL, chunks_total INTEGER NOT NULL, complete INTEGER NOT NULL,
    encryption INTEGER NOT NULL, compression TEXT NOT NULL, owner TEXT NOT NULL, -- who began the upload
    blob TEXT NOT NULL, created_at TEXT NOT NULL, updated_at TEXT NOT NULL, UNIQUE (bucket_id, id)
);
CREATE TABLE IF NOT EXISTS file_chunks (
    file_sequence INTEGER NOT NULL, number INTEGER NOT NULL, length INTEGER NOT NULL,
    PRIMARY KEY (file_sequence, number)
) WITHOUT ROWID;
"""
ACTIONS = ("read", "update", "delete")
_SELECT = (
    "SELECT files.*, (SELECT count(*) FROM file_chunks WHERE file_sequence = sequence) AS chunks_uploaded FROM files"
)
_KEEP_CHUNK = "INSERT OR REPLACE INTO file_chunks VALUES (?, ?, ?)"
_FILES = View(
    f"({_SELECT})",
    {
        "name": ("name", "string"), "signature": ("signature", "string"), "mimeType": ("mime_type", "string"),
        "sizeOriginal": ("size_original", "integer"), "sizeActual": ("size_actual", "integer"),
        "chunksTotal": ("chunks_total", "integer"), "chunksUploaded": ("chunks_uploaded", "integer"),
    },
)  # fmt: skip


@dataclass(frozen=True)
class _Upload:
    """A checked upload request; a file that is not sent `in_parts` is one chunk. `length`: bytes that came."""

    file_id: str
    name: str
    granted: list[str]
    source: UploadFile
    length: int
    chunk: Chunk
    in_parts: bool


def remove_leftovers(server: Server) -> None:
    """Removes contents that belong to no file: a process was killed in the middle of an upload or a delete."""
    server.blobs.keep_only({row["blob"] for row in server.db.all("SELECT blob FROM files")})


async def create(request: Request) -> Response:
    """POST /storage/buckets/{bucketId}/files: a whole file, or one chunk of it in any order."""
    caller = await authenticate(request)
    caller.require_scope("files.write")
    server = server_of(request)
    bucket = buckets.find(server, request.path_params["bucketId"], caller)
    if not bucket.allows(caller, "create"):
        raise _unauthorized()
    async with multipart(request) as form:
        upload = _upload(request, form, caller)
        _check_against(bucket, upload)
        async with server.uploads.of(bucket.id, upload.file_id):
            return await _store(server, bucket, caller, upload)


async def _store(server: Server, bucket: Bucket, caller: Caller, upload: _Upload) -> Response:
    """Bytes first, then their record in one transaction: whatever a record speaks of is on the disk."""
    row = _row(server, bucket.id, upload.file_id)
    if row is not None:
        _require_same_upload(row, caller, upload)
        if row["complete"]:
            return wire.reply(shape(row))
    blob = server.blobs.new_name() if row is None else row["blob"]
    try:
        await asyncio.to_thread(server.blobs.write_at, blob, upload.chunk.start, upload.source.file)
        missing = _missing_with(server, row, upload)
        whole = None if missing else await asyncio.to_thread(server.blobs.finish, blob)
        with server.db.transaction() as connection:
            if row is None:
                _insert(server, connection, bucket, caller, upload, blob)
            _note_chunk(connection, bucket, upload, whole)
    except BaseException:
        if _row(server, bucket.id, upload.file_id) is None:
            server.blobs.delete(blob)  # a first chunk that could not be kept, or the bucket went away meanwhile
        raise
    row = _existing(server, bucket.id, upload.file_id)
    if row["complete"]:
        _publish(server, bucket, caller, row, "create")
    return wire.reply(shape(row), 201)


def _require_same_upload(row: sqlite3.Row, caller: Caller, upload: _Upload) -> None:
    """Raises where this is no further chunk of the file that is there."""
    if not upload.in_parts or row["chunks_total"] == 1:
        raise AppwriteError("storage_file_already_exists", "A storage file with the requested ID already exists.")
    if not caller.is_key and row["owner"] != caller.user_id:
        raise _unauthorized()
    if row["size_original"] != upload.chunk.size and not row["complete"]:
        raise AppwriteError("storage_invalid_content_range", "The chunks of a file must name one size.")


def _missing_with(server: Server, row: sqlite3.Row | None, upload: _Upload) -> bool:
    """Whether chunks are missing once this one is there.

    A real server takes a chunk that holds less than its range, and so does this one; but a file with a hole is never
    complete: where nothing else is missing, such chunks must be sent again. Raises storage_invalid_content_range.
    """
    sequence, chunk = 0 if row is None else row["sequence"], upload.chunk
    kept = server.db.all("SELECT number, length FROM file_chunks WHERE file_sequence = ?", (sequence,))
    lengths = {each["number"]: each["length"] for each in kept} | {chunk.number: upload.length}
    if len(lengths) < chunk.total:
        return True
    short = [number for number, length in lengths.items() if length < chunk_at(number, chunk.size).length]
    if not short:
        return False
    with server.db.transaction() as connection:
        connection.executemany(
            "DELETE FROM file_chunks WHERE file_sequence = ? AND number = ?", [(sequence, each) for each in short]
        )
        if row is not None and chunk.number not in short:
            connection.execute(_KEEP_CHUNK, (sequence, chunk.number, upload.length))
    which = ", ".join(str(number + 1) for number in sorted(short))
    sentence = f"Chunk {which} held fewer bytes than its range; send it again."
    raise AppwriteError("storage_invalid_content_range", sentence)


def _insert(
    server: Server, connection: sqlite3.Connection, bucket: Bucket, caller: Caller, upload: _Upload, blob: str
) -> None:
    buckets.find(server, bucket.id, caller)  # it may have been deleted while the bytes were written
    now = clock.now_text()
    connection.execute(
        "INSERT INTO files (id, bucket_id, name, permissions, signature, mime_type, size_original, size_actual,"
        " chunks_total, complete, encryption, compression, owner, blob, created_at, updated_at)"
        " VALUES (?, ?, ?, ?, '', '', ?, 0, ?, 0, ?, '', ?, ?, ?, ?)",
        (
            upload.file_id, bucket.id, upload.name, pack(upload.granted), upload.chunk.size, upload.chunk.total,
            bucket.row["encryption"], caller.user_id, blob, now, now,
        ),
    )  # fmt: skip


def _note_chunk(
    connection: sqlite3.Connection, bucket: Bucket, upload: _Upload, whole: tuple[str, bytes] | None
) -> None:
    """The chunk is here; `whole`: signature and beginning of the file where nothing is missing any more."""
    sql = "SELECT sequence, name, updated_at FROM files WHERE bucket_id = ? AND id = ?"
    row = connection.execute(sql, (bucket.id, upload.file_id)).fetchone()
    if row is None:
        raise _not_found()  # the bucket was deleted while the bytes were written
    connection.execute(_KEEP_CHUNK, (row["sequence"], upload.chunk.number, upload.length))
    if whole is None:
        return
    signature, head = whole
    kind, now = media_type(head, row["name"]), clock.after(row["updated_at"])
    connection.execute(
        "UPDATE files SET complete = 1, signature = ?, mime_type = ?, size_actual = size_original,"
        " compression = ?, updated_at = ? WHERE sequence = ?",
        (signature, kind, bucket.row["compression"], now, row["sequence"]),
    )


async def get(request: Request) -> Response:
    """GET /storage/buckets/{bucketId}/files/{fileId}."""
    caller = await authenticate(request)
    caller.require_scope("files.read")
    server = server_of(request)
    bucket = buckets.find(server, request.path_params["bucketId"], caller)
    return wire.reply(shape(readable(server, bucket, request.path_params["fileId"], caller)))


async def list_all(request: Request) -> Response:
    """GET /storage/buckets/{bucketId}/files: those the caller may read."""
    caller = await authenticate(request)
    caller.require_scope("files.read")
    server = server_of(request)
    bucket = buckets.find(server, request.path_params["bucketId"], caller)
    where, values = "bucket_id = ?", [bucket.id]
    if not bucket.allows(caller, "read"):
        if not bucket.file_security:
            raise _unauthorized()
        held = [f'read("{role}")' for role in sorted(caller.roles)]
        where += f" AND EXISTS (SELECT 1 FROM json_each(permissions) WHERE value IN ({', '.join('?' * len(held))}))"
        values += held
    total, rows = page(request, server.db, _FILES, where, values)
    return wire.reply({"total": total, "files": [shape(row) for row in rows]})


async def update(request: Request) -> Response:
    """PUT /storage/buckets/{bucketId}/files/{fileId}: its name and permissions."""
    caller = await authenticate(request)
    caller.require_scope("files.write")
    server = server_of(request)
    bucket = buckets.find(server, request.path_params["bucketId"], caller)
    row = _changeable(server, bucket, request.path_params["fileId"], caller, "update")
    body = await wire.json_body(request)
    name = wire.text(body, "name", longest=255, default=row["name"])
    granted = row["permissions"]
    if body.get("permissions") is not None:
        granted = pack(_granted(body["permissions"], caller))
    with server.db.transaction() as connection:
        connection.execute(
            "UPDATE files SET name = ?, permissions = ?, updated_at = ? WHERE sequence = ?",
            (name, granted, clock.after(row["updated_at"]), row["sequence"]),
        )
    row = _existing(server, bucket.id, row["id"])
    _publish(server, bucket, caller, row, "update")
    return wire.reply(shape(row))


async def delete(request: Request) -> Response:
    """DELETE /storage/buckets/{bucketId}/files/{fileId}, with its tokens."""
    caller = await authenticate(request)
    caller.require_scope("files.write")
    server = server_of(request)
    bucket = buckets.find(server, request.path_params["bucketId"], caller)
    row = _changeable(server, bucket, request.path_params["fileId"], caller, "delete")
    async with server.uploads.of(bucket.id, row["id"]):
        with server.db.transaction() as connection:
            for table in ("file_chunks", "file_tokens"):
                connection.execute(f"DELETE FROM {table} WHERE file_sequence = ?", (row["sequence"],))
            connection.execute("DELETE FROM files WHERE sequence = ?", (row["sequence"],))
        server.blobs.delete(row["blob"])
    _publish(server, bucket, caller, row, "delete")
    return wire.no_content()


def readable(server: Server, bucket: Bucket, file_id: str, caller: Caller) -> sqlite3.Row:
    """The file's row. Raises storage_file_not_found, also for a file that is not the caller's to know of."""
    if not bucket.file_security and not bucket.allows(caller, "read"):
        raise _unauthorized()
    row = _row(server, bucket.id, file_id)
    if row is None or not bucket.allows_for(caller, "read", unpack(row["permissions"])):
        raise _not_found()
    return row


def find(server: Server, bucket_id: str, file_id: str) -> sqlite3.Row:
    """The file's row, whoever asks. Raises storage_file_not_found."""
    row = _row(server, bucket_id, file_id)
    if row is None:
        raise _not_found()
    return row


def shape(row: sqlite3.Row) -> dict[str, Any]:
    """The answer's body."""
    return {
        "$id": row["id"], "bucketId": row["bucket_id"], "$createdAt": row["created_at"],
        "$updatedAt": row["updated_at"], "$permissions": unpack(row["permissions"]), "name": row["name"],
        "signature": row["signature"], "mimeType": row["mime_type"], "sizeOriginal": row["size_original"],
        "sizeActual": row["size_actual"], "chunksTotal": row["chunks_total"], "chunksUploaded": row["chunks_uploaded"],
        "encryption": bool(row["encryption"]), "compression": row["compression"],
    }  # fmt: skip


def _row(server: Server, bucket_id: str, file_id: str) -> sqlite3.Row | None:
    return server.db.one(f"{_SELECT} WHERE bucket_id = ? AND id = ?", (bucket_id, file_id))


def _existing(server: Server, bucket_id: str, file_id: str) -> sqlite3.Row:
    row = _row(server, bucket_id, file_id)
    if row is None:
        raise _not_found()
    return row


def _changeable(server: Server, bucket: Bucket, file_id: str, caller: Caller, action: str) -> sqlite3.Row:
    row = find(server, bucket.id, file_id)
    if not bucket.allows_for(caller, action, unpack(row["permissions"])):
        raise _unauthorized()
    return row


def _publish(server: Server, bucket: Bucket, caller: Caller, row: sqlite3.Row, action: str) -> None:
    readers = bucket.readers(unpack(row["permissions"]))
    event = file_event(bucket.id, row["id"], action=action, payload=shape(row), roles=readers, user_id=caller.user_id)
    server.bus.publish(event)


# The request


def _upload(request: Request, form: FormData, caller: Caller) -> _Upload:
    source = form.get("file")
    if not isinstance(source, UploadFile):
        raise AppwriteError("storage_file_empty", "Empty file passed to the endpoint.")
    written = request.headers.get("content-range")
    length = source.size or 0
    chunk = chunk_of(written) if written else Chunk(0, length, length)
    file_id = request.headers.get("x-appwrite-id") if written else None
    if file_id is not None and not wire.id_is_valid(file_id):
        raise AppwriteError("storage_invalid_appwrite_id", "The x-appwrite-id header must be a valid id.")
    given = [str(value) for key, value in form.multi_items() if key.partition("[")[0] == "permissions"]
    granted = _granted(given, caller)
    if not given and caller.user_id:
        granted = permissions.own(caller.user_id)
    if length > chunk.length:
        raise AppwriteError("storage_invalid_content_range", "The chunk holds more bytes than its range.")
    name = PurePosixPath((source.filename or "").replace("\\", "/")).name[:255] or "file"
    return _Upload(
        file_id=file_id or wire.new_id({"fileId": form.get("fileId")}, "fileId"),
        name=name, granted=granted, source=source, length=length, chunk=chunk, in_parts=bool(written),
    )  # fmt: skip


def _granted(given: object, caller: Caller) -> list[str]:
    granted = permissions.checked(given, ACTIONS)
    if not caller.is_key:
        permissions.require_own_roles(granted, caller.roles)
    return granted


def _check_against(bucket: Bucket, upload: _Upload) -> None:
    extension = PurePosixPath(upload.name).suffix.lower().removeprefix(".")
    if bucket.extensions and extension not in bucket.extensions:
        raise AppwriteError("storage_file_type_unsupported", "File extension not allowed")
    if upload.chunk.size > bucket.maximum:
        sentence = f"The file has {upload.chunk.size:,} bytes; this bucket takes at most {bucket.maximum:,}."
        raise AppwriteError("storage_invalid_file_size", sentence)


def _not_found() -> AppwriteError:
    return AppwriteError("storage_file_not_found", "The requested file could not be found.")


def _unauthorized() -> AppwriteError:
    return AppwriteError("user_unauthorized", "The current user is not authorized to perform the requested action.")
