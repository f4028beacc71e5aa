"""Documents and files in memory with Appwrite's rules: the lock, ids of one's own, and answers that get lost."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeVar

from core.documents import Asset, Event, Scene, Video
from core.errors import AlreadyExistsError, ConflictError, NotFoundError, UnavailableError
from core.identity import digest
from core.ports import D, StoredFile
from core.status import check_scene, check_video
from tests.simulation.scheduler import KilledError, Scheduler

T = TypeVar("T")


class Fate(StrEnum):
    """What happens to one call."""

    FINE = "fine"
    REFUSED = "refused"  # never reached the server
    ANSWER_LOST = "answer lost"  # done, and the caller is told that it was not
    KILLED_BEFORE = "killed before"
    KILLED_AFTER = "killed after"


@dataclass
class Way:
    """The way from a caller to a server: each call is a step of the scheduler, and may go wrong."""

    scheduler: Scheduler
    fate: Callable[[], Fate]

    def call(self, work: Callable[[], T]) -> T:
        """Do it when it is this thread's turn, or let it go wrong."""
        self.scheduler.pause()
        fate, process = self.fate(), self.scheduler.process
        if fate is Fate.REFUSED:
            raise UnavailableError("The server did not answer.")
        if fate is Fate.KILLED_BEFORE and process:
            self.scheduler.kill(process)
            raise KilledError
        result = work()
        if fate is Fate.ANSWER_LOST:
            raise UnavailableError("The server did not answer in time.")
        if fate is Fate.KILLED_AFTER and process:
            self.scheduler.kill(process)
            raise KilledError
        return result


def _column(value: Any) -> Any:
    return value.isoformat(timespec="milliseconds") if isinstance(value, datetime) else value


@dataclass
class MemoryStore:
    """Implements ports.Store. `wrote` hears of each write to a video or scene: (before, after)."""

    way: Way
    wrote: Callable[[Any, Any], None]
    before_step: Callable[[], None] = lambda: None  # called by whoever is about to change a status
    read: Callable[[list[Scene]], None] = lambda _: None  # hears of the scenes that somebody was given
    videos: dict[str, Video] = field(default_factory=dict)
    rows: dict[str, Scene] = field(default_factory=dict)
    claims: dict[str, str] = field(default_factory=dict)  # purpose -> video
    winners: dict[str, str] = field(default_factory=dict)  # purpose -> who has won it
    kept: dict[str, Asset] = field(default_factory=dict)
    born: dict[str, datetime] = field(default_factory=dict)  # asset -> when somebody first recorded it
    log: list[Event] = field(default_factory=list)
    settings: dict[str, str] = field(default_factory=dict)
    _last: datetime = datetime.min

    def _stamp(self) -> str:
        """A time that grows with each write, in Appwrite's milliseconds."""
        now = self.way.scheduler.now()
        self._last = max(now, self._last.replace(tzinfo=now.tzinfo) + timedelta(milliseconds=1))
        return self._last.isoformat(timespec="milliseconds")

    def _new(self, table: dict[str, Any], document: Any) -> bool:
        if document.id in table:
            return False
        at = self._stamp()
        table[document.id] = replace(document, created_at=at, updated_at=at, revision=1)
        self.wrote(None, table[document.id])
        return True

    # ---- videos and scenes

    def create_video(self, video: Video) -> Video:
        """See ports.Store."""
        if not self.way.call(lambda: self._new(self.videos, video)):
            raise AlreadyExistsError(f"The video {video.id} exists already.")
        return self.videos[video.id]

    def get_video(self, video_id: str) -> Video:
        """See ports.Store."""

        def get() -> Video:
            if video_id not in self.videos:
                raise NotFoundError(f"There is no video {video_id}.")
            return self.videos[video_id]

        return self.way.call(get)

    def list_videos(
        self, owner_id: str, *, status: str = "", limit: int = 25, offset: int = 0
    ) -> tuple[list[Video], int]:
        """See ports.Store."""
        found = [v for v in self.videos.values() if v.owner_id == owner_id and status in ("", v.status)]
        return self.way.call(lambda: (found[::-1][offset : offset + limit], len(found)))

    def due_videos(self, now: datetime, limit: int) -> list[Video]:
        """See ports.Store."""

        def due(video: Video) -> bool:
            return datetime.fromisoformat(video.due_at) <= now if video.due_at else not video.is_terminal

        return self.way.call(
            lambda: sorted((v for v in self.videos.values() if due(v)), key=lambda v: v.due_at or "")[:limit]
        )

    def ended_videos(self, before: datetime, limit: int) -> list[Video]:
        """See ports.Store."""
        at = before.isoformat(timespec="milliseconds")
        return self.way.call(lambda: [v for v in self.videos.values() if v.is_terminal and v.updated_at < at][:limit])

    def videos_since(self, owner_id: str, moment: datetime) -> list[Video]:
        """See ports.Store."""
        at = moment.isoformat(timespec="milliseconds")
        found = [v for v in self.videos.values() if v.owner_id == owner_id and v.updated_at >= at]
        return self.way.call(lambda: found)

    def in_front(self, video: Video) -> tuple[int, int]:
        """See ports.Store."""
        older = [v for v in self.videos.values() if not v.is_terminal and v.created_at < video.created_at]
        return self.way.call(lambda: (len(older), max((v.eta_seconds or 0 for v in older), default=0)))

    def create_scene(self, scene: Scene, owner_id: str) -> Scene:
        """See ports.Store."""
        self.way.call(lambda: self._new(self.rows, scene))
        return self.rows[scene.id]

    def scenes(self, video_id: str) -> list[Scene]:
        """See ports.Store."""
        found = self.way.call(lambda: self.scenes_of(video_id))
        self.read(found)
        return found

    def scenes_of(self, video_id: str) -> list[Scene]:
        """The same, for the test itself."""
        return sorted((s for s in self.rows.values() if s.video_id == video_id), key=lambda s: s.scene_number)

    def advance(self, document: D, **changes: Any) -> D:
        """See ports.Store."""
        if "status" in changes:
            if isinstance(document, Video):
                check_video(document.status, changes["status"])
            else:
                check_scene(document.status, changes["status"])
            self.before_step()
        table: dict[str, Any] = self.videos if isinstance(document, Video) else self.rows
        columns = {
            k: v.isoformat(timespec="milliseconds") if isinstance(v, datetime) else v for k, v in changes.items()
        }

        def write() -> D:
            if document.id not in table:
                raise NotFoundError(f"{document.id} does not exist.")
            before = table[document.id]
            if before.updated_at != document.updated_at:
                raise ConflictError(f"{document.id} was changed meanwhile.")
            after: D = replace(before, **columns, revision=document.revision + 1, updated_at=self._stamp())
            table[document.id] = after
            self.wrote(before, after)
            return after

        return self.way.call(write)

    def adopt(self, video: Video, **changes: Any) -> Video:
        """See ports.Store."""
        return self.advance(video, **changes)

    # ---- claims, assets, events, settings

    def claim(self, *parts: str | int, video_id: str, by: str = "") -> bool:
        """See ports.Store."""
        purpose = digest("claim", *parts, video_id)

        def win() -> bool:
            won = purpose not in self.claims or (bool(by) and self.winners.get(purpose) == by)
            self.claims.setdefault(purpose, video_id)
            self.winners.setdefault(purpose, by)
            return won

        return self.way.call(win)

    def asset(self, asset_id: str) -> Asset | None:
        """See ports.Store."""
        return self.way.call(lambda: self.kept.get(asset_id))

    def create_asset(self, asset: Asset, owner_id: str) -> Asset:
        """See ports.Store."""
        self.born.setdefault(asset.id, self.way.scheduler.now())
        return self.way.call(lambda: self.kept.setdefault(asset.id, asset))

    def made_since(self, kinds: Sequence[str], moment: datetime) -> bool:
        """See ports.Store."""
        return self.way.call(lambda: any(a.kind in kinds and self.born[a.id] >= moment for a in self.kept.values()))

    def replace_asset(self, old: Asset, new: Asset) -> Asset:
        """See ports.Store."""

        def write() -> Asset:
            if self.kept.get(old.id) != old:
                raise ConflictError(f"{old.id} was changed meanwhile.")
            self.kept[old.id] = new
            return new

        return self.way.call(write)

    def assets(self, video_id: str) -> list[Asset]:
        """See ports.Store."""
        return self.way.call(lambda: [a for a in self.kept.values() if a.video_id == video_id])

    def record(self, event: Event, owner_id: str) -> None:
        """See ports.Store."""
        self.way.call(lambda: self.log.append(event))

    def events(self, video_id: str, *, limit: int = 100, offset: int = 0) -> list[Event]:
        """See ports.Store."""
        return self.way.call(lambda: self.log_of(video_id)[offset : offset + limit])

    def log_of(self, video_id: str) -> list[Event]:
        """The same, for the test itself."""
        return sorted((e for e in self.log if e.video_id == video_id), key=lambda e: e.at)

    def forget(self, video_id: str) -> None:
        """See ports.Store: row by row, the video last."""
        for table in (self.rows, self.kept):
            of_video: list[str] = [k for k, row in table.items() if row.video_id == video_id]
            for key in of_video:
                self.way.call(lambda table=table, key=key: table.pop(key, None))  # type: ignore[misc]
        for purpose in [p for p, of in self.claims.items() if of == video_id]:
            self.claims.pop(purpose)
        self.log = [e for e in self.log if e.video_id != video_id]
        self.way.call(lambda: self.videos.pop(video_id, None))

    def setting(self, name: str) -> str | None:
        """See ports.Store."""
        return self.way.call(lambda: self.settings.get(name))

    def put_setting(self, name: str, value: str) -> None:
        """See ports.Store."""
        self.way.call(lambda: self.settings.update({name: value}))


@dataclass
class MemoryFiles:
    """Implements ports.Files. A file of which a part arrived is there, and is not whole."""

    way: Way
    held: dict[tuple[str, str], tuple[bytes, StoredFile]] = field(default_factory=dict)

    def max_bytes(self, bucket_id: str) -> int:
        """See ports.Files."""
        return 5_000_000

    def upload(self, bucket_id: str, file_id: str, path: Path, owner_id: str, stem: str = "") -> StoredFile:
        """See ports.Files: a first step that makes an unfinished file, and a second that makes it whole."""
        data = path.read_bytes()

        def put(complete: bool) -> StoredFile:
            there = self.held.get((bucket_id, file_id))
            if there and there[1].complete:
                return there[1]
            md5 = hashlib.md5(data, usedforsecurity=False).hexdigest()
            name = f"{stem or path.stem}{path.suffix}"
            stored = StoredFile(bucket_id, file_id, name, len(data), complete, (), md5)
            self.held[bucket_id, file_id] = (data, stored)
            return stored

        self.way.call(lambda: put(False))
        return self.way.call(lambda: put(True))

    def called(self, bucket_id: str, stem: str) -> list[str]:
        """See ports.Files."""
        return self.way.call(
            lambda: [
                file_id
                for (bucket, file_id), (_, file) in self.held.items()
                if bucket == bucket_id and Path(file.name).stem == stem
            ]
        )

    def stat(self, bucket_id: str, file_id: str) -> StoredFile | None:
        """See ports.Files."""
        return self.way.call(lambda: self.held[bucket_id, file_id][1] if (bucket_id, file_id) in self.held else None)

    def _bytes(self, bucket_id: str, file_id: str) -> bytes:
        if (bucket_id, file_id) not in self.held:
            raise NotFoundError(f"There is no file {file_id}.")
        return self.held[bucket_id, file_id][0]

    def head(self, bucket_id: str, file_id: str, size: int) -> bytes:
        """See ports.Files."""
        return self.way.call(lambda: self._bytes(bucket_id, file_id)[:size])

    def download(self, bucket_id: str, file_id: str, out: Path) -> None:
        """See ports.Files."""
        out.write_bytes(self.way.call(lambda: self._bytes(bucket_id, file_id)))

    def delete(self, bucket_id: str, file_id: str) -> None:
        """See ports.Files."""
        self.way.call(lambda: self.held.pop((bucket_id, file_id), None))

    def view_url(self, bucket_id: str, file_id: str) -> str:
        """See ports.Files."""
        return f"memory:{bucket_id}/{file_id}"

    def play_url(self, bucket_id: str, file_id: str, seconds: int) -> str:
        """See ports.Files."""
        return self.view_url(bucket_id, file_id)
