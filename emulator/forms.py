"""Multipart forms that bring a file or one chunk of it, read without spending memory on what is too long."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, AsyncIterator

from starlette.datastructures import FormData
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect, Request

from emulator.errors import AppwriteError

LARGEST_REQUEST = 12 * 1024 * 1024  # as a real server: more than any client's chunk


@contextlib.asynccontextmanager
async def multipart(request: Request) -> AsyncIterator[FormData]:
    """The request's form; its files lie on disk while the block runs.

    Raises storage_file_empty where the body is no form, storage_invalid_file_size beyond 12 MiB, general_bad_request
    where it cannot be read.
    """
    length = request.headers.get("content-length", "0")
    if not length.isdigit() or int(length) > LARGEST_REQUEST:
        raise _too_long()
    if not request.headers.get("content-type", "").startswith("multipart/form-data"):
        raise AppwriteError("storage_file_empty", "Empty file passed to the endpoint: send it as multipart/form-data.")
    try:
        form = await MultiPartParser(request.headers, _limited(request), max_files=4, max_fields=200).parse()
    except MultiPartException as error:
        raise AppwriteError("general_bad_request", f"The form could not be read: {error.message}") from None
    except ClientDisconnect:
        raise AppwriteError("general_bad_request", "The client went away before the whole form was here.") from None
    try:
        yield form
    finally:
        await form.close()


async def _limited(request: Request) -> AsyncGenerator[bytes, None]:
    received = 0
    async for part in request.stream():
        received += len(part)
        if received > LARGEST_REQUEST:
            raise _too_long()
        yield part


def _too_long() -> AppwriteError:
    sentence = "A request holds at most 12 MiB; larger files are sent in chunks of 5 MiB."
    return AppwriteError("storage_invalid_file_size", sentence)
