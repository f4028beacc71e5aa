"""Documents and files kept in Appwrite: ownership by creation, one guarded write, own lost replies recognised."""

from __future__ import annotations

import contextlib
import logging
import random
import re
import secrets
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, fields
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Any
from urllib.parse import quote

from appwrite.exception import AppwriteException
from appwrite.input_file import InputFile
from appwrite.query import Query

from core.adapters.appwrite_client import AppwriteClient
from core.documents import Asset, Event, Scene, Video
from core.errors import (
    AlreadyExistsError,
    ConflictError,
    InvalidInputError,
    NotAllowedError,
    NotFoundError,
    ScenewrightError,
    UnavailableError,
)
from core.identity import digest
from core.ports import D, StoredFile
from core.schema import ASSETS, CLAIMS, EVENTS, SCENES, SETTINGS, VIDEOS, database_id
from core.status import check_scene, check_video

log = logging.getLogger(__name__)

_TRIES = 4  # calls that never got an answer are safe to repeat: ids are our own, writes carry a lock and a token
_BACKOFF_SECONDS = 0.25
_PAGE = 100
_ID = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9._-]{0,35}")  # Appwrite's own rule
_SYSTEM = frozenset({"id", "created_at", "updated_at"})
_JSON_HEADERS = {"content-type": "application/json", "accept": "application/json"}


def iso(moment: datetime) -> str:
    """Appwrite's own form of a time: UTC with milliseconds."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds")


def _column(value: Any) -> Any:
    if isinstance(value, StrEnum):
        return value.value
    if isinstance(value, datetime):
        return iso(value)
    return value


def translate(error: AppwriteException, what: str) -> ScenewrightError:
    """Our word for Appwrite's answer; the vendor's error becomes the cause."""
    if error.code == 404:
        return NotFoundError(f"{what} does not exist.")
    if error.code in (401, 403):
        return NotAllowedError(f"Appwrite refused access to {what}: {error.message}", code="appwrite_refused")
    if error.code == 409:
        return ConflictError(f"{what} was changed meanwhile.")
    if error.code in (0, 408, 425, 429) or error.code >= 500:
        return UnavailableError(f"Appwrite did not answer for {what} ({error.code or 'no connection'}).")
    return InvalidInputError(f"Appwrite refused {what}: {error.message}", code="appwrite_invalid")


def with_retries(call: Callable[[], Any], what: str) -> Any:
    """Call until an answer comes, at most _TRIES times, waiting longer each time (or as the server asks).

    Raises:
        ScenewrightError: our word for Appwrite's refusal, or UnavailableError after the last try.
    """
    for attempt in range(_TRIES):
        try:
            return call()
        except AppwriteException as error:
            ours = translate(error, what)
            if not ours.retryable or attempt == _TRIES - 1:
                raise ours from error
            asked = str(getattr(error, "retry_after", "") or "")
            wait = float(asked) if asked.isdigit() else _BACKOFF_SECONDS * 2**attempt * random.uniform(0.7, 1.3)
            log.info("%s, trying again in %.1f s", ours.sentence, wait, extra={"action": "retry"})
            time.sleep(min(wait, 10.0))
    raise AssertionError("unreachable")


class AppwriteStore:
    """Implements ports.Store on TablesDB."""

    def __init__(self, client: AppwriteClient) -> None:
        self._client = client

    def _path(self, table: str, row_id: str | None = None) -> str:
        path = f"/tablesdb/{database_id()}/tables/{table}/rows"
        if row_id is None:
            return path
        if not _ID.fullmatch(row_id):  # such as "..", which would lead to another route
            raise NotFoundError(f"{table} has no {row_id[:36]!r}.")
        return f"{path}/{row_id}"

    def _get(self, table: str, row_id: str) -> dict[str, Any]:
        row: dict[str, Any] = with_retries(
            lambda: self._client.call("get", self._path(table, row_id)), f"{table}/{row_id}"
        )
        return row

    def _list(self, table: str, queries: list[str]) -> dict[str, Any]:
        answer: dict[str, Any] = with_retries(
            lambda: self._client.call("get", self._path(table), params={"queries": queries}), table
        )
        return answer

    def _create(self, table: str, row_id: str, data: dict[str, Any], owner_id: str) -> tuple[dict[str, Any], bool]:
        """Create a row with our own id; (row, True) when this call made it, (row, False) when it was there."""
        writer = secrets.token_hex(8)
        body = {
            "rowId": row_id,
            "data": {k: _column(v) for k, v in data.items()} | {"writer": writer},
            "permissions": owner_permissions(owner_id),
        }
        try:
            row: dict[str, Any] = with_retries(
                lambda: self._client.call("post", self._path(table), dict(_JSON_HEADERS), body), f"{table}/{row_id}"
            )
        except ConflictError:
            row = self._get(table, row_id)
            return row, row["writer"] == writer
        return row, True

    # ---- videos and scenes

    def create_video(self, video: Video) -> Video:
        """See ports.Store."""
        row, made = self._create(VIDEOS, video.id, _columns(video, revision=1), video.owner_id)
        if not made:
            raise AlreadyExistsError(f"The video {video.id} exists already.")
        return Video.from_row(row)

    def get_video(self, video_id: str) -> Video:
        """See ports.Store."""
        try:
            return Video.from_row(self._get(VIDEOS, video_id))
        except NotFoundError as error:
            raise NotFoundError(f"There is no video {video_id[:36]!r}.") from error

    def list_videos(
        self, owner_id: str, *, status: str = "", limit: int = 25, offset: int = 0
    ) -> tuple[list[Video], int]:
        """See ports.Store."""
        queries = [Query.order_desc("$createdAt"), Query.limit(limit), Query.offset(offset)]
        if owner_id:
            queries.append(Query.equal("owner_id", [owner_id]))
        if status:
            queries.append(Query.equal("status", [status]))
        answer = self._list(VIDEOS, queries)
        return [Video.from_row(r) for r in answer["rows"]], int(answer["total"])

    def due_videos(self, now: datetime, limit: int) -> list[Video]:
        """See ports.Store."""
        queries = [Query.less_than_equal("due_at", iso(now)), Query.order_asc("due_at"), Query.limit(limit)]
        return [Video.from_row(r) for r in self._list(VIDEOS, queries)["rows"]]

    def create_scene(self, scene: Scene, owner_id: str) -> Scene:
        """See ports.Store."""
        row, _ = self._create(SCENES, scene.id, _columns(scene, revision=1), owner_id)
        return Scene.from_row(row)

    def scenes(self, video_id: str) -> list[Scene]:
        """See ports.Store."""
        return [Scene.from_row(r) for r in self._all(SCENES, video_id, Query.order_asc("scene_number"))]

    def _all(self, table: str, video_id: str, *order: str) -> list[dict[str, Any]]:
        """Every row of a video in one table, page by page."""
        found: list[dict[str, Any]] = []
        while True:
            queries = [Query.equal("video_id", [video_id]), *order, Query.limit(_PAGE), Query.offset(len(found))]
            rows = self._list(table, queries)["rows"]
            found += rows
            if len(rows) < _PAGE:
                return found

    def advance(self, document: D, **changes: Any) -> D:
        """See ports.Store."""
        return self._advance(document, changes, None)

    def adopt(self, video: Video, **changes: Any) -> Video:
        """See ports.Store."""
        return self._advance(video, changes, owner_permissions(str(changes.get("owner_id", video.owner_id))))

    def _advance(self, document: D, changes: dict[str, Any], permissions: list[str] | None) -> D:
        if "status" in changes:
            if isinstance(document, Video):
                check_video(document.status, changes["status"])
            else:
                check_scene(document.status, changes["status"])
        table = VIDEOS if isinstance(document, Video) else SCENES
        writer = secrets.token_hex(8)
        data = {k: _column(v) for k, v in changes.items()}
        body: dict[str, Any] = {"data": data | {"revision": document.revision + 1, "writer": writer}}
        if permissions is not None:
            body["permissions"] = permissions
        headers = {**_JSON_HEADERS, "x-appwrite-timestamp": document.updated_at}
        path = self._path(table, document.id)
        try:
            row = with_retries(lambda: self._client.call("patch", path, dict(headers), body), f"{table}/{document.id}")
        except ConflictError:
            row = self._get(table, document.id)
            if row["writer"] != writer:
                raise
        return type(document).from_row(row)

    # ---- claims, assets, events, settings

    def claim(self, *parts: str | int, video_id: str) -> bool:
        """See ports.Store."""
        purpose = "/".join(map(str, (*parts, video_id)))
        _, made = self._create(CLAIMS, digest("claim", purpose)[:36], {"video_id": video_id, "purpose": purpose}, "")
        return made

    def asset(self, asset_id: str) -> Asset | None:
        """See ports.Store."""
        try:
            return Asset.from_row(self._get(ASSETS, asset_id))
        except NotFoundError:
            return None

    def create_asset(self, asset: Asset, owner_id: str) -> Asset:
        """See ports.Store."""
        row, _ = self._create(ASSETS, asset.id, asset.columns(), owner_id)
        return Asset.from_row(row)

    def assets(self, video_id: str) -> list[Asset]:
        """See ports.Store."""
        return [Asset.from_row(r) for r in self._all(ASSETS, video_id)]

    def record(self, event: Event, owner_id: str) -> None:
        """See ports.Store."""
        self._create(EVENTS, secrets.token_hex(10), asdict(event), owner_id)

    def events(self, video_id: str, *, limit: int = 100, offset: int = 0) -> list[Event]:
        """See ports.Store."""
        queries = [Query.equal("video_id", [video_id]), Query.order_asc("at"), Query.order_asc("$sequence")]
        rows = self._list(EVENTS, [*queries, Query.limit(limit), Query.offset(offset)])["rows"]
        return [Event.from_row(r) for r in rows]

    def forget(self, video_id: str) -> None:
        """See ports.Store."""
        for table in (SCENES, ASSETS, EVENTS, CLAIMS):
            for row in self._all(table, video_id):
                self._delete(table, row["$id"])
        self._delete(VIDEOS, video_id)

    def _delete(self, table: str, row_id: str) -> None:
        with contextlib.suppress(NotFoundError):
            path, headers = self._path(table, row_id), dict(_JSON_HEADERS)
            with_retries(lambda: self._client.call("delete", path, headers), f"{table}/{row_id}")

    def setting(self, name: str) -> str | None:
        """See ports.Store."""
        try:
            value = self._get(SETTINGS, name)["value"]
        except NotFoundError:
            return None
        return str(value) if value else None

    def put_setting(self, name: str, value: str) -> None:
        """See ports.Store."""
        row, made = self._create(SETTINGS, name, {"value": value}, "")
        if not made and row["value"] != value:
            body = {"data": {"value": value}}
            with_retries(
                lambda: self._client.call("patch", self._path(SETTINGS, name), dict(_JSON_HEADERS), body), name
            )


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
        what = f"bucket {bucket_id}"
        bucket = with_retries(lambda: self._client.call("get", f"/storage/buckets/{bucket_id}"), what)
        return int(bucket["maximumFileSize"])

    def upload(self, bucket_id: str, file_id: str, path: Path, owner_id: str) -> StoredFile:
        """See ports.Files.

        Raises:
            UnavailableError: storage took the bytes but does not hold them all.
        """
        size = path.stat().st_size
        there = self.stat(bucket_id, file_id)
        if there and there.complete and there.bytes == size:
            return there
        if there:
            self.delete(bucket_id, file_id)

        def send() -> Any:
            params = {
                "fileId": file_id,
                "file": InputFile.from_path(str(path)),
                "permissions": owner_permissions(owner_id),
            }
            headers = {"content-type": "multipart/form-data", "accept": "application/json"}
            return self._client.chunked_upload(self._path(bucket_id), headers, params, "file", None, file_id)

        try:
            with_retries(send, f"file {file_id}")
        except ConflictError:
            log.info("file %s is there already", file_id, extra={"action": "upload_exists"})
        kept = self.stat(bucket_id, file_id)
        if kept is None or not kept.complete or kept.bytes != size:
            raise UnavailableError(f"Storage does not hold all of file {file_id}.")
        return kept

    def stat(self, bucket_id: str, file_id: str) -> StoredFile | None:
        """See ports.Files."""
        try:
            raw = with_retries(lambda: self._client.call("get", self._path(bucket_id, file_id)), f"file {file_id}")
        except NotFoundError:
            return None
        return StoredFile(
            bucket_id=bucket_id,
            file_id=raw["$id"],
            name=raw["name"],
            bytes=int(raw["sizeOriginal"]),
            complete=int(raw["chunksUploaded"]) >= int(raw["chunksTotal"]),
            permissions=tuple(raw["$permissions"]),
        )

    def head(self, bucket_id: str, file_id: str, size: int) -> bytes:
        """See ports.Files."""
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder) / "head"
            path = self._path(bucket_id, file_id) + "/view"
            with_retries(lambda: self._client.download(path, out, first_bytes=size), f"file {file_id}")
            return out.read_bytes()

    def download(self, bucket_id: str, file_id: str, out: Path) -> None:
        """See ports.Files."""
        path = self._path(bucket_id, file_id) + "/download"
        with_retries(lambda: self._client.download(path, out), f"file {file_id}")

    def delete(self, bucket_id: str, file_id: str) -> None:
        """See ports.Files."""
        path, headers = self._path(bucket_id, file_id), dict(_JSON_HEADERS)
        with contextlib.suppress(NotFoundError):
            with_retries(lambda: self._client.call("delete", path, headers), f"file {file_id}")

    def view_url(self, bucket_id: str, file_id: str) -> str:
        """See ports.Files."""
        return f"{self._public}{self._path(bucket_id, file_id)}/view?project={self._client.project}"

    def play_url(self, bucket_id: str, file_id: str, seconds: int) -> str:
        """See ports.Files."""
        expire = iso(datetime.now(UTC) + timedelta(seconds=seconds))
        path = f"/tokens/buckets/{bucket_id}/files/{file_id}"
        token = with_retries(
            lambda: self._client.call("post", path, dict(_JSON_HEADERS), {"expire": expire}), f"file {file_id}"
        )
        return f"{self.view_url(bucket_id, file_id)}&token={token['secret']}"


def owner_permissions(owner_id: str) -> list[str]:
    """Exactly what every row and file gets: its owner may read it; without an owner only keys may."""
    return [f'read("user:{owner_id}")'] if owner_id else []


def _columns(document: Video | Scene, **changes: Any) -> dict[str, Any]:
    """The columns of a new row."""
    values = {f.name: getattr(document, f.name) for f in fields(document) if f.name not in _SYSTEM | {"writer"}}
    return values | changes
