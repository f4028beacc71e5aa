"""View, download and preview of files: by permission or by token, whole or by range."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import anyio
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from emulator import buckets, files, preview, tokens
from emulator.auth import authenticate
from emulator.buckets import Bucket
from emulator.chunks import byte_range
from emulator.errors import AppwriteError
from emulator.media_types import inline_type
from emulator.server import Server, server_of

READ_BYTES = 256 * 1024
# Contents never change under one id, so browsers may keep them; nobody else may.
_CACHE = "private, max-age=3888000"


async def download(request: Request) -> Response:
    """GET .../files/{fileId}/download: the bytes, to be saved."""
    server, _, file = await _visible(request)
    return send(request, server.blobs.path(file["blob"]), file, file["mime_type"], "attachment")


async def view(request: Request) -> Response:
    """GET .../files/{fileId}/view: the bytes, to be shown; a type that could run as a page is plain text."""
    server, _, file = await _visible(request)
    return send(request, server.blobs.path(file["blob"]), file, inline_type(file["mime_type"]), "inline")


async def show_preview(request: Request) -> Response:
    """GET .../files/{fileId}/preview: the picture, changed as asked; for other files a sheet with their kind."""
    server, bucket, file = await _visible(request)
    if not bucket.row["transformations"]:
        sentence = "Image transformations are disabled for the requested bucket."
        raise AppwriteError("storage_bucket_transformations_disabled", sentence)
    wanted = preview.wanted(request.query_params)
    content, kind = await asyncio.to_thread(
        preview.render, server.blobs.path(file["blob"]), file["mime_type"], file["name"], wanted
    )
    return Response(content, 200, {"content-type": kind, "cache-control": _CACHE})


async def _visible(request: Request) -> tuple[Server, Bucket, sqlite3.Row]:
    """The file, where the caller may read it or brought a token for it. Raises storage_file_not_found."""
    caller = await authenticate(request)
    caller.require_scope("files.read")
    server = server_of(request)
    bucket = buckets.find(server, request.path_params["bucketId"], caller)
    file_id, secret = request.path_params["fileId"], request.query_params.get("token", "")
    if secret and tokens.opens(server, secret, files.find(server, bucket.id, file_id)):
        file = files.find(server, bucket.id, file_id)
    else:
        file = files.readable(server, bucket, file_id, caller)
    if not file["complete"]:
        raise AppwriteError("storage_file_not_found", "The file is not complete yet: some of its chunks are missing.")
    return server, bucket, file


def send(request: Request, path: Path, file: Any, kind: str, disposition: str) -> Response:
    """A file's bytes, or the range of them that is asked for. `file`: has `size_original` and `name`.

    Raises storage_invalid_range.
    """
    size = file["size_original"]
    headers = {
        "content-type": kind,
        "content-disposition": _disposition(disposition, file["name"]),
        "accept-ranges": "bytes",
        "cache-control": _CACHE,
        "x-content-type-options": "nosniff",
        "content-security-policy": "script-src 'none'",
        "content-length": str(size),
    }
    written = request.headers.get("range")
    if written is None:
        return _stream(request, path, 0, size, headers, 200)
    start, end = byte_range(written, size)
    headers["content-range"] = f"bytes {start}-{end}/{size}"
    headers["content-length"] = str(end - start + 1)
    return _stream(request, path, start, end - start + 1, headers, 206)


def _stream(request: Request, path: Path, start: int, length: int, headers: dict[str, str], status: int) -> Response:
    if request.method == "HEAD":
        return Response(None, status, headers)
    return StreamingResponse(_read(path, start, length), status, headers)


async def _read(path: Path, start: int, length: int) -> AsyncIterator[bytes]:
    async with await anyio.open_file(path, "rb") as file:
        await file.seek(start)
        while length > 0 and (block := await file.read(min(READ_BYTES, length))):
            length -= len(block)
            yield block


def _disposition(disposition: str, name: str) -> str:
    """The header value with a plain name for everybody and the exact one (RFC 6266) where it differs."""
    plain = "".join(character if " " <= character <= "~" and character not in '"\\' else "_" for character in name)
    value = f'{disposition}; filename="{plain}"'
    return value if plain == name else f"{value}; filename*=UTF-8''{quote(name, safe='')}"
