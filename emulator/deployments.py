"""Deployments of functions: uploads whole or in chunks, their records, activation, downloads, cancelling."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
from dataclasses import dataclass

from starlette.datastructures import FormData, UploadFile
from starlette.requests import Request
from starlette.responses import Response

from emulator import clock, contents, deployment_store, functions, wire
from emulator.auth import authenticate
from emulator.chunks import Chunk, chunk_of
from emulator.deployment_store import VIEW, find, shape
from emulator.errors import AppwriteError
from emulator.forms import multipart
from emulator.listing import page
from emulator.server import Server, server_of


@dataclass(frozen=True)
class _Upload:
    """A checked upload request; an archive that is sent whole is one chunk. `length`: bytes that came."""

    deployment_id: str
    type: str
    entrypoint: str
    commands: str
    activate: bool
    source: UploadFile
    length: int
    chunk: Chunk


async def create(request: Request) -> Response:
    """POST /functions/{functionId}/deployments: a whole archive, or one chunk of it in any order."""
    server, function = await _function_of(request, "functions.write")
    async with multipart(request) as form:
        upload = _upload(server, function, request, form)
        async with server.uploads.of(f"functions/{function['id']}", upload.deployment_id):
            row = await _store(server, function["id"], upload)
    return wire.reply(shape(row), 202)


async def get(request: Request) -> Response:
    """GET /functions/{functionId}/deployments/{deploymentId}."""
    server, function = await _function_of(request, "functions.read")
    return wire.reply(shape(find(server.db, function["id"], request.path_params["deploymentId"])))


async def list_all(request: Request) -> Response:
    """GET /functions/{functionId}/deployments."""
    server, function = await _function_of(request, "functions.read")
    total, rows = page(request, server.db, VIEW, "function_id = ?", [function["id"]])
    return wire.reply({"total": total, "deployments": [shape(row) for row in rows]})


async def delete(request: Request) -> Response:
    """DELETE /functions/{functionId}/deployments/{deploymentId}, with all that was built of it."""
    server, function = await _function_of(request, "functions.write")
    row = find(server.db, function["id"], request.path_params["deploymentId"])
    await server.builder.discard(row)
    server.executor.functions_changed()
    return wire.no_content()


async def download(request: Request) -> Response:
    """GET /functions/{functionId}/deployments/{deploymentId}/download: the archive that was uploaded."""
    server, function = await _function_of(request, "functions.read")
    row = find(server.db, function["id"], request.path_params["deploymentId"])
    kind = request.query_params.get("type", "source")
    if kind == "output":
        raise AppwriteError("general_not_implemented", "This server keeps no archive of what was built.", 501)
    if kind != "source":
        raise AppwriteError("general_argument_invalid", "Invalid `type` param: Value must be one of (source, output)")
    if not row["complete"]:
        raise AppwriteError("deployment_not_found", "The archive is not complete: some of its chunks are missing.")
    archive = {"size_original": row["source_size"], "name": f"{row['id']}-source.tar.gz"}
    path = server.builder.archives.path(row["blob"])
    return contents.send(request, path, archive, "application/gzip", "attachment")


async def cancel(request: Request) -> Response:
    """PATCH /functions/{functionId}/deployments/{deploymentId}/status: ends a build that has not ended."""
    server, function = await _function_of(request, "functions.write")
    row = find(server.db, function["id"], request.path_params["deploymentId"])
    await server.builder.cancel(row["sequence"])
    row = find(server.db, function["id"], row["id"])
    if row["status"] in ("ready", "failed"):
        raise AppwriteError("build_already_completed", "The build of this deployment has ended already.")
    logs = row["build_logs"] + "The build was canceled.\n"
    deployment_store.update(server.db, row["sequence"], status="canceled", build_logs=logs)
    return wire.reply(shape(find(server.db, function["id"], row["id"])))


async def duplicate(request: Request) -> Response:
    """POST /functions/{functionId}/deployments/duplicate: builds an archive again, with the function's settings."""
    server, function = await _function_of(request, "functions.write")
    body = await wire.json_body(request)
    old = find(server.db, function["id"], wire.text(body, "deploymentId", longest=36))
    if not old["complete"]:
        raise AppwriteError("deployment_not_found", "The archive is not complete: some of its chunks are missing.")
    archives, blob, new_id = server.builder.archives, server.builder.archives.new_name(), wire.unique_id()
    await asyncio.to_thread(shutil.copyfile, archives.path(old["blob"]), archives.path(blob))
    with server.db.transaction() as connection:
        fields = (new_id, old["type"], function["entrypoint"] or old["entrypoint"], function["commands"], True)
        _insert(connection, function["id"], blob, old["source_size"], 1, *fields)
        connection.execute("UPDATE deployments SET complete = 1 WHERE blob = ?", (blob,))
    row = find(server.db, function["id"], new_id)
    server.builder.enqueue(row["sequence"])
    return wire.reply(shape(row), 202)


async def _function_of(request: Request, scope: str) -> tuple[Server, sqlite3.Row]:
    (await authenticate(request)).require_scope(scope)
    server = server_of(request)
    return server, functions.find(server, request.path_params["functionId"])


# The upload


def _upload(server: Server, function: sqlite3.Row, request: Request, form: FormData) -> _Upload:
    fields = {name: value for name, value in form.multi_items() if isinstance(value, str)}
    if fields.get("activate") is None:
        raise wire.missing("activate")
    activate = wire.flag(fields["activate"], "activate")
    commands = wire.text(fields, "commands", longest=8192, default=function["commands"], shortest=0)
    entrypoint = functions.entrypoint_of(fields) or function["entrypoint"]
    source = form.get("code")
    if not isinstance(source, UploadFile) or not source.size:
        raise AppwriteError("storage_file_empty", "No file sent: the archive goes into the field code.")
    if not (source.filename or "").lower().endswith(".gz"):
        raise AppwriteError("storage_file_type_unsupported", "The code is sent as a tar.gz.")
    written, length = request.headers.get("content-range"), source.size
    chunk = chunk_of(written) if written else Chunk(0, length, length)
    if length != chunk.length:
        raise AppwriteError("storage_invalid_content_range", "The chunk does not hold as many bytes as its range.")
    if chunk.size > (most := server.compute.archive_bytes):
        sentence = f"The archive has {chunk.size:,} bytes; at most {most:,} are taken."
        raise AppwriteError("deployment_invalid_file_size", sentence)
    deployment_id = (request.headers.get("x-appwrite-id") if written else None) or wire.unique_id()
    if not wire.id_is_valid(deployment_id):
        raise AppwriteError("storage_invalid_appwrite_id", "The x-appwrite-id header must be a valid id.")
    kind = "cli" if request.headers.get("x-sdk-language") == "cli" else "manual"
    return _Upload(deployment_id, kind, entrypoint, commands, activate, source, length, chunk)


async def _store(server: Server, function_id: str, upload: _Upload) -> sqlite3.Row:
    """Bytes first, then their record in one transaction: whatever a record speaks of is on the disk."""
    row, archives = deployment_store.seek(server.db, function_id, upload.deployment_id), server.builder.archives
    if row is not None and row["complete"]:
        return row
    if row is not None and row["source_size"] != upload.chunk.size:
        raise AppwriteError("storage_invalid_content_range", "The chunks of an archive must name one size.")
    blob = archives.new_name() if row is None else row["blob"]
    try:
        await asyncio.to_thread(archives.write_at, blob, upload.chunk.start, upload.source.file)
        whole = _is_whole(server, row, upload)
        if whole:
            await asyncio.to_thread(archives.finish, blob)
        row = _record(server, function_id, blob, upload, whole)
    except BaseException:
        if deployment_store.seek(server.db, function_id, upload.deployment_id) is None:
            archives.delete(blob)  # a first chunk that could not be kept, or the function was deleted meanwhile
        raise
    if whole:
        server.builder.enqueue(row["sequence"])
    return row


def _is_whole(server: Server, row: sqlite3.Row | None, upload: _Upload) -> bool:
    """Whether the archive is complete with this chunk."""
    sql = "SELECT number FROM deployment_chunks WHERE deployment_sequence = ?"
    here = {each["number"] for each in server.db.all(sql, (row["sequence"] if row is not None else 0,))}
    return len(here | {upload.chunk.number}) == upload.chunk.total


def _record(server: Server, function_id: str, blob: str, upload: _Upload, whole: bool) -> sqlite3.Row:
    with server.db.transaction() as connection:
        functions.find(server, function_id)  # it may have been deleted while the bytes were written
        if deployment_store.seek(server.db, function_id, upload.deployment_id) is None:
            fields = (upload.deployment_id, upload.type, upload.entrypoint, upload.commands, upload.activate)
            _insert(connection, function_id, blob, upload.chunk.size, upload.chunk.total, *fields)
        row = find(server.db, function_id, upload.deployment_id)
        sql = "INSERT OR REPLACE INTO deployment_chunks VALUES (?, ?, ?)"
        connection.execute(sql, (row["sequence"], upload.chunk.number, upload.length))
        if whole:
            connection.execute("UPDATE deployments SET complete = 1 WHERE sequence = ?", (row["sequence"],))
    return find(server.db, function_id, upload.deployment_id)


def _insert(
    connection: sqlite3.Connection,
    function_id: str,
    blob: str,
    size: int,
    chunks: int,
    deployment_id: str,
    kind: str,
    entrypoint: str,
    commands: str,
    activate: bool,
) -> None:
    """A new deployment; where it is to become the active one, no earlier one is any more."""
    now = clock.now_text()
    if activate:
        connection.execute("UPDATE deployments SET activate = 0 WHERE function_id = ?", (function_id,))
    connection.execute(
        "INSERT INTO deployments (id, function_id, type, entrypoint, commands, activate, source_size, chunks_total,"
        " blob, created_at, updated_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (deployment_id, function_id, kind, entrypoint, commands, activate, size, chunks, blob, now, now),
    )
