"""Documents kept in Appwrite: ownership by creation, one guarded write, own lost replies recognised."""

from __future__ import annotations

import contextlib
import re
import secrets
from collections.abc import Sequence
from dataclasses import asdict, fields
from datetime import datetime
from enum import StrEnum
from typing import Any

from appwrite.query import Query

from core.adapters.appwrite_client import JSON_HEADERS, AppwriteClient, iso, owner_permissions
from core.documents import Asset, Event, Scene, Video
from core.errors import AlreadyExistsError, ConflictError, NotFoundError
from core.identity import digest
from core.ports import D
from core.schema import ASSETS, CLAIMS, EVENTS, SCENES, SETTINGS, VIDEOS, database_id
from core.status import TERMINAL, WORKING, check_scene, check_video

_PAGE = 100
_ID = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9._-]{0,35}")  # Appwrite's own rule
_SYSTEM = frozenset({"id", "created_at", "updated_at"})


def _column(value: Any) -> Any:
    if isinstance(value, StrEnum):
        return value.value
    if isinstance(value, datetime):
        return iso(value)
    return value


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
        row: dict[str, Any] = self._client.ask("get", self._path(table, row_id), f"{table}/{row_id}")
        return row

    def _list(self, table: str, queries: list[str]) -> dict[str, Any]:
        answer: dict[str, Any] = self._client.ask("get", self._path(table), table, {"queries": queries})
        return answer

    def _create(
        self, table: str, row_id: str, data: dict[str, Any], owner_id: str, writer: str = ""
    ) -> tuple[dict[str, Any], bool]:
        """Create a row with our own id; (row, True) when this call made it, (row, False) when it was there.

        `writer`: who makes it, where that may be somebody who has made it before.
        """
        writer = writer or secrets.token_hex(8)
        body = {
            "rowId": row_id,
            "data": {k: _column(v) for k, v in data.items()} | {"writer": writer},
            "permissions": owner_permissions(owner_id),
        }
        try:
            row: dict[str, Any] = self._client.ask("post", self._path(table), f"{table}/{row_id}", body)
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
        # nobody takes a working video's date away; who made or changed a row by hand may have given it none
        dateless = Query.and_queries([Query.is_null("due_at"), Query.equal("status", sorted(WORKING))])
        due = Query.or_queries([Query.less_than_equal("due_at", iso(now)), dateless])
        queries = [due, Query.order_asc("due_at"), Query.limit(limit)]
        return [Video.from_row(r) for r in self._list(VIDEOS, queries)["rows"]]

    def ended_videos(self, before: datetime, limit: int) -> list[Video]:
        """See ports.Store."""
        ended = [Query.equal("status", sorted(TERMINAL)), Query.less_than("$updatedAt", iso(before))]
        queries = [*ended, Query.order_asc("$updatedAt"), Query.limit(limit)]
        return [Video.from_row(r) for r in self._list(VIDEOS, queries)["rows"]]

    def videos_since(self, owner_id: str, moment: datetime) -> list[Video]:
        """See ports.Store."""
        wanted = [Query.equal("owner_id", [owner_id]), Query.greater_than_equal("$updatedAt", iso(moment))]
        return [Video.from_row(r) for r in self._pages(VIDEOS, [*wanted, Query.order_asc("$sequence")])]

    def in_front(self, video: Video) -> tuple[int, int]:
        """See ports.Store."""
        queries = [
            Query.equal("status", [s.value for s in sorted(WORKING)]),
            Query.less_than("$createdAt", video.created_at),
            Query.order_desc("eta_seconds"),
            Query.limit(1),
        ]
        answer = self._list(VIDEOS, queries)
        return int(answer["total"]), max((r["eta_seconds"] or 0 for r in answer["rows"]), default=0)

    def create_scene(self, scene: Scene, owner_id: str) -> Scene:
        """See ports.Store."""
        row, _ = self._create(SCENES, scene.id, _columns(scene, revision=1), owner_id)
        return Scene.from_row(row)

    def scenes(self, video_id: str) -> list[Scene]:
        """See ports.Store."""
        return [Scene.from_row(r) for r in self._all(SCENES, video_id, Query.order_asc("scene_number"))]

    def _all(self, table: str, video_id: str, *order: str) -> list[dict[str, Any]]:
        """Every row of a video in one table."""
        return self._pages(table, [Query.equal("video_id", [video_id]), *order])

    def _pages(self, table: str, queries: list[str]) -> list[dict[str, Any]]:
        """Every row that is asked for, page by page."""
        found: list[dict[str, Any]] = []
        while True:
            rows = self._list(table, [*queries, Query.limit(_PAGE), Query.offset(len(found))])["rows"]
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
        row = self._write(
            table, document.id, document.updated_at, changes | {"revision": document.revision + 1}, permissions
        )
        return type(document).from_row(row)

    def _write(
        self, table: str, row_id: str, read_at: str, changes: dict[str, Any], permissions: list[str] | None = None
    ) -> dict[str, Any]:
        """Change a row as it was read at `read_at`. Raises ConflictError, unless the write in between was this one."""
        writer = secrets.token_hex(8)
        body: dict[str, Any] = {"data": {k: _column(v) for k, v in changes.items()} | {"writer": writer}}
        if permissions is not None:
            body["permissions"] = permissions
        headers = {**JSON_HEADERS, "x-appwrite-timestamp": read_at}
        try:
            row: dict[str, Any] = self._client.ask(
                "patch", self._path(table, row_id), f"{table}/{row_id}", body, headers
            )
        except ConflictError:
            row = self._get(table, row_id)
            if row["writer"] != writer:
                raise
        return row

    # ---- claims, assets, events, settings

    def claim(self, *parts: str | int, video_id: str, by: str = "") -> bool:
        """See ports.Store."""
        purpose = "/".join(map(str, (*parts, video_id)))
        row_id, writer = digest("claim", purpose)[:36], digest("caller", by)[:36] if by else ""
        _, made = self._create(CLAIMS, row_id, {"video_id": video_id, "purpose": purpose}, "", writer)
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

    def replace_asset(self, old: Asset, new: Asset) -> Asset:
        """See ports.Store."""
        return Asset.from_row(self._write(ASSETS, old.id, old.updated_at, new.columns()))

    def assets(self, video_id: str) -> list[Asset]:
        """See ports.Store."""
        return [Asset.from_row(r) for r in self._all(ASSETS, video_id)]

    def made_since(self, kinds: Sequence[str], moment: datetime) -> bool:
        """See ports.Store."""
        wanted = [Query.greater_than_equal("$createdAt", iso(moment)), Query.equal("kind", list(kinds))]
        return bool(self._list(ASSETS, [*wanted, Query.limit(1)])["rows"])

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
            self._client.ask("delete", self._path(table, row_id), f"{table}/{row_id}")

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
            self._client.ask("patch", self._path(SETTINGS, name), name, {"data": {"value": value}})


def _columns(document: Video | Scene, **changes: Any) -> dict[str, Any]:
    """The columns of a new row."""
    values = {f.name: getattr(document, f.name) for f in fields(document) if f.name not in _SYSTEM | {"writer"}}
    return values | changes
