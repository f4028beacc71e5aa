"""Files kept in Appwrite Storage: whole and with the bytes that were sent, or not believed."""

from __future__ import annotations

import contextlib
import logging
import re
import tempfile
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

from appwrite.input_file import InputFile
from appwrite.query import Query

from core.adapters.appwrite_client import AppwriteClient, iso, owner_permissions
from core.adapters.retries import with_retries
from core.errors import ConflictError, NotFoundError, UnavailableError
from core.identity import file_md5
from core.ports import StoredFile

log = logging.getLogger(__name__)

_CHUNK = 5 * 1024 * 1024  # bytes; Appwrite takes no larger request, and counts chunks by this size
_CHUNKS_AT_ONCE = 4
_PAGE = 100
_MD5 = re.compile(r"[0-9a-f]{32}")


class AppwriteFiles:
    """Implements ports.Files on Appwrite Storage."""

    def __init__(self, client: AppwriteClient, public_endpoint: str = "") -> None:
        self._client = client
        self._public = (public_endpoint or client.endpoint).rstrip("/")

    def _path(self, bucket_id: str, file_id: str = "") -> str:
        path = f"/storage/buckets/{bucket_id}/files"
        return f"{path}/{quote(file_id, safe='')}" if file_id else path

    def max_bytes(self, bucket_id: str) -> int:
        """See ports.Files. Needs a key with the scope buckets.read."""
        bucket = self._client.ask("get", f"/storage/buckets/{bucket_id}", f"bucket {bucket_id}")
        return int(bucket["maximumFileSize"])

    def upload(self, bucket_id: str, file_id: str, path: Path, owner_id: str, stem: str = "") -> StoredFile:
        """See ports.Files.

        A file that is there with other bytes, or in part, is deleted first: two encodes are never joined into one
        file. Each chunk is sent again by itself when its answer is lost.

        Raises:
            UnavailableError: storage took the bytes but does not hold them all.
        """
        size, md5 = path.stat().st_size, file_md5(path)
        there = self.stat(bucket_id, file_id)
        if there and there.holds(size, md5):
            return there
        if there:
            self.delete(bucket_id, file_id)
        try:
            self._send(bucket_id, file_id, path, f"{stem or path.stem}{path.suffix}", owner_permissions(owner_id))
        except ConflictError:
            log.info("file %s is there already", file_id, extra={"action": "upload_exists"})
        kept = self.stat(bucket_id, file_id)
        if kept is None or not kept.holds(size, md5):
            raise UnavailableError(f"Storage does not hold all of file {file_id}.")
        return kept

    def _send(self, bucket_id: str, file_id: str, path: Path, name: str, permissions: list[str]) -> None:
        """One request, or the first chunk, which makes the file, and then the others side by side."""
        size = path.stat().st_size

        def send(start: int) -> None:
            with path.open("rb") as file:
                file.seek(start)
                data = file.read(_CHUNK)
            headers = {"content-type": "multipart/form-data", "accept": "application/json"}
            if size > _CHUNK:
                headers["content-range"] = f"bytes {start}-{start + len(data) - 1}/{size}"
                headers["x-appwrite-id"] = file_id
            sent = {"fileId": file_id, "file": InputFile.from_bytes(data, name), "permissions": permissions}
            self._client.ask("post", self._path(bucket_id), f"file {file_id}", sent, headers)

        send(0)
        if size > _CHUNK:
            with ThreadPoolExecutor(_CHUNKS_AT_ONCE, thread_name_prefix="upload") as pool:
                list(pool.map(send, range(_CHUNK, size, _CHUNK)))

    def stat(self, bucket_id: str, file_id: str) -> StoredFile | None:
        """See ports.Files."""
        try:
            raw = self._client.ask("get", self._path(bucket_id, file_id), f"file {file_id}")
        except NotFoundError:
            return None
        return StoredFile(
            bucket_id=bucket_id,
            file_id=raw["$id"],
            name=raw["name"],
            bytes=int(raw["sizeOriginal"]),
            complete=int(raw["chunksUploaded"]) >= int(raw["chunksTotal"]),
            permissions=tuple(raw["$permissions"]),
            # some storage behind Appwrite gives a mark of its own instead of the checksum
            md5=raw["signature"] if _MD5.fullmatch(raw["signature"]) else "",
            created_at=raw["$createdAt"],
        )

    def called(self, bucket_id: str, stem: str) -> list[str]:
        """See ports.Files."""
        found: list[dict[str, Any]] = []
        while True:
            page = [Query.limit(_PAGE), Query.offset(len(found)), Query.order_asc("$createdAt")]
            queries = [Query.starts_with("name", f"{stem}."), *page]
            files = self._client.ask("get", self._path(bucket_id), f"bucket {bucket_id}", {"queries": queries})["files"]
            found += files
            if len(files) < _PAGE:
                # the query knows no difference between upper and lower case
                return [file["$id"] for file in found if file["name"].rpartition(".")[0] == stem]

    def head(self, bucket_id: str, file_id: str, size: int) -> bytes:
        """See ports.Files."""
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder) / "head"
            path = self._path(bucket_id, file_id) + "/view"
            self._fetch(path, out, file_id, size)
            return out.read_bytes()

    def download(self, bucket_id: str, file_id: str, out: Path) -> None:
        """See ports.Files."""
        self._fetch(self._path(bucket_id, file_id) + "/download", out, file_id)

    def _fetch(self, path: str, out: Path, file_id: str, first_bytes: int = 0) -> None:
        client = self._client
        with_retries(lambda: client.download(path, out, first_bytes=first_bytes), f"file {file_id}", client.patience)

    def delete(self, bucket_id: str, file_id: str) -> None:
        """See ports.Files."""
        with contextlib.suppress(NotFoundError):
            self._client.ask("delete", self._path(bucket_id, file_id), f"file {file_id}")

    def view_url(self, bucket_id: str, file_id: str) -> str:
        """See ports.Files."""
        return f"{self._public}{self._path(bucket_id, file_id)}/view?project={self._client.project}"

    def play_url(self, bucket_id: str, file_id: str, seconds: int) -> str:
        """See ports.Files."""
        expire = iso(datetime.now(UTC) + timedelta(seconds=seconds))
        path = f"/tokens/buckets/{bucket_id}/files/{file_id}"
        token = self._client.ask("post", path, f"file {file_id}", {"expire": expire})
        return f"{self.view_url(bucket_id, file_id)}&token={token['secret']}"
