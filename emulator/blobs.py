"""File contents on disk, beside the database: written under another name first, so that what is there is whole."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import secrets
import shutil
import sys
from collections.abc import AsyncIterator, Collection
from pathlib import Path
from typing import BinaryIO

from emulator.media_types import HEAD_BYTES

COPY_BYTES = 1024 * 1024


class Blobs:
    """Named contents in one folder. Names are made here, so no id or file name of a client ever becomes a path.

    All methods but `new_name`, `path` and `delete` touch many bytes: they belong into a thread.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)

    def new_name(self) -> str:
        """A name that is not in use."""
        return secrets.token_hex(16)

    def path(self, name: str) -> Path:
        """Where the finished content lies."""
        return self._folder / name

    def write_at(self, name: str, start: int, source: BinaryIO) -> None:
        """Puts everything `source` holds at byte `start` of the unfinished content."""
        if self.path(name).exists():
            # Killed between finishing the content and noting it: the content is still the unfinished one.
            self.path(name).replace(self._part(name))
        descriptor = os.open(self._part(name), os.O_RDWR | os.O_CREAT, 0o600)
        with os.fdopen(descriptor, "r+b") as part:
            part.seek(start)
            source.seek(0)
            shutil.copyfileobj(source, part, COPY_BYTES)

    def finish(self, name: str) -> tuple[str, bytes]:
        """Makes the unfinished content the finished one; returns its MD5 in hexadecimal and its first bytes."""
        part = self._part(name)
        digest = hashlib.md5(usedforsecurity=False)  # Appwrite's signature of a file
        with part.open("rb") as file:
            head = file.read(HEAD_BYTES)
            digest.update(head)
            while block := file.read(COPY_BYTES):
                digest.update(block)
            os.fsync(file.fileno())  # once per file: what is said to be complete also survives a power cut
        part.replace(self.path(name))
        self._sync_folder()
        return digest.hexdigest(), head

    def delete(self, name: str) -> None:
        """Removes the content, finished or not."""
        self.path(name).unlink(missing_ok=True)
        self._part(name).unlink(missing_ok=True)

    def keep_only(self, names: Collection[str]) -> None:
        """Removes what belongs to no file: left by a process that was killed in the middle."""
        for path in self._folder.iterdir():
            if path.name.removesuffix(".part") not in names:
                path.unlink(missing_ok=True)

    def _sync_folder(self) -> None:
        """A new name survives a power cut only once its folder is on the disk too."""
        if sys.platform != "win32":
            folder = os.open(self._folder, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)

    def _part(self, name: str) -> Path:
        return self._folder / f"{name}.part"


class Uploads:
    """One upload at a time per file: chunks come in parallel, and the last one must see all others."""

    def __init__(self) -> None:
        self._locks: dict[tuple[str, str], tuple[asyncio.Lock, int]] = {}

    @contextlib.asynccontextmanager
    async def of(self, bucket_id: str, file_id: str) -> AsyncIterator[None]:
        """Waits for, and holds, the right to write this file."""
        key = (bucket_id, file_id)
        lock, users = self._locks.get(key, (asyncio.Lock(), 0))
        self._locks[key] = (lock, users + 1)
        try:
            async with lock:
                yield
        finally:
            lock, users = self._locks.pop(key)
            if users > 1:
                self._locks[key] = (lock, users - 1)
