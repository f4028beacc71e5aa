"""The seams to storage, renderers and time: what the steps need of them, as protocols and frozen values."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol, TypeVar

from core.documents import Asset, Event, Scene, Video
from core.engine_ports import StoryboardEngine
from core.settings import Settings

D = TypeVar("D", Video, Scene)


# ---- what is recorded, and where files are kept


class Store(Protocol):
    """Documents, with ownership by creation and one guarded write."""

    def create_video(self, video: Video) -> Video:
        """Raises AlreadyExistsError; a lost reply to one's own create is recognised and returned."""
        ...

    def get_video(self, video_id: str) -> Video:
        """Raises NotFoundError."""
        ...

    def list_videos(
        self, owner_id: str, *, status: str = "", limit: int = 25, offset: int = 0
    ) -> tuple[list[Video], int]:
        """The newest first, and how many there are in all."""
        ...

    def due_videos(self, now: datetime, limit: int) -> list[Video]:
        """Those somebody must look at, the longest waiting first; a working video without a date is due."""
        ...

    def ended_videos(self, before: datetime, limit: int) -> list[Video]:
        """Those that ended and were last written before, the oldest first."""
        ...

    def videos_since(self, owner_id: str, moment: datetime) -> list[Video]:
        """All videos of a user that were last written at or after a moment."""
        ...

    def in_front(self, video: Video) -> tuple[int, int]:
        """How many unfinished videos were recorded before this one, and the most seconds any of them still needs."""
        ...

    def create_scene(self, scene: Scene, owner_id: str) -> Scene:
        """Like create_video; an existing scene is returned as it is."""
        ...

    def scenes(self, video_id: str) -> list[Scene]:
        """All scenes, by number."""
        ...

    def advance(self, document: D, **changes: Any) -> D:
        """Write `changes` if nobody wrote since `document` was read.

        Grows `revision`, checks the status arrow. Raises ConflictError (somebody was faster), TransitionError,
        NotFoundError (deleted).
        """
        ...

    def adopt(self, video: Video, **changes: Any) -> Video:
        """Like advance, and gives the row the permissions of its owner: for rows made by hand."""
        ...

    def claim(self, *parts: str | int, video_id: str, by: str = "") -> bool:
        """Whether this process won the race for (kind, video, attempt, ...): one winner, for ever.

        `by`: who asks; under the name that has won once it may be won again. Empty: whoever asks is somebody else.
        """
        ...

    def asset(self, asset_id: str) -> Asset | None:
        """The recorded asset with this id (`identity.asset_id`), if there is one."""
        ...

    def create_asset(self, asset: Asset, owner_id: str) -> Asset:
        """Record a file that is whole; an existing one is returned."""
        ...

    def replace_asset(self, old: Asset, new: Asset) -> Asset:
        """Let a recorded asset point at another file. Raises ConflictError: somebody did so since `old` was read."""
        ...

    def assets(self, video_id: str) -> list[Asset]:
        """All recorded assets of a video."""
        ...

    def made_since(self, kinds: Sequence[str], moment: datetime) -> bool:
        """Whether an asset of one of these kinds was recorded since, of whatever video."""
        ...

    def record(self, event: Event, owner_id: str) -> None:
        """Add to the video's log, readable by its owner."""
        ...

    def events(self, video_id: str, *, limit: int = 100, offset: int = 0) -> list[Event]:
        """The video's log, oldest first."""
        ...

    def forget(self, video_id: str) -> None:
        """Delete every row of a video, its own last; what is gone already is no error."""
        ...

    def setting(self, name: str) -> str | None:
        """A server-only setting that may change at run time."""
        ...

    def put_setting(self, name: str, value: str) -> None:
        """Set a server-only setting."""
        ...


@dataclass(frozen=True, slots=True)
class StoredFile:
    """What storage says of a file."""

    bucket_id: str
    file_id: str
    name: str
    bytes: int
    complete: bool
    permissions: tuple[str, ...]
    md5: str = ""  # hex, of the bytes as they were sent; empty: this storage does not say
    created_at: str = ""  # a file's bytes never change, but another may come under its id

    @property
    def mark(self) -> str:
        """What no file of the same id with other bytes has."""
        return self.md5 or f"{self.bytes} {self.created_at}"

    def holds(self, size: int, md5: str) -> bool:
        """Whether these are all of these bytes, as far as storage can say."""
        return self.complete and self.bytes == size and (not self.md5 or not md5 or self.md5 == md5)


class Files(Protocol):
    """Files by bucket and id; readable by their owner alone."""

    def max_bytes(self, bucket_id: str) -> int:
        """The largest file the bucket takes: what its server allowed, which may be less than the schema asks."""
        ...

    def upload(self, bucket_id: str, file_id: str, path: Path, owner_id: str, stem: str = "") -> StoredFile:
        """Send a file whole; what is there with other bytes is deleted first, the same file is left as it is.

        `stem`: its name without the extension; empty: as it is called here.
        """
        ...

    def called(self, bucket_id: str, stem: str) -> list[str]:
        """The ids of all files whose name without the extension is `stem`, those that are not whole too."""
        ...

    def stat(self, bucket_id: str, file_id: str) -> StoredFile | None:
        """None when there is no such file."""
        ...

    def head(self, bucket_id: str, file_id: str, size: int) -> bytes:
        """The first `size` bytes."""
        ...

    def download(self, bucket_id: str, file_id: str, out: Path) -> None:
        """Stream to a part file, then rename. Raises NotFoundError."""
        ...

    def delete(self, bucket_id: str, file_id: str) -> None:
        """What is gone already is no error."""
        ...

    def view_url(self, bucket_id: str, file_id: str) -> str:
        """The plain URL, without any token."""
        ...

    def play_url(self, bucket_id: str, file_id: str, seconds: int) -> str:
        """A URL that plays in a browser without cookies for so long. Never stored, never logged."""
        ...


# ---- renderers


class CallState(StrEnum):
    """What a renderer says of a call."""

    WAITING = "waiting"  # taken in, not begun
    PENDING = "pending"  # running
    DONE = "done"
    FAILED = "failed"
    LOST = "lost"  # the renderer does not know it any more
    UNKNOWN = "unknown"  # the renderer could not be asked


@dataclass(frozen=True, slots=True)
class Job:
    """What crosses the border to a renderer: ids only."""

    kind: str  # render or compose
    video_id: str
    attempt: int
    scenes: tuple[int, ...] = ()  # numbers; empty for compose
    call: str = ""  # id of the call, where a renderer may deliver it twice; known to who does it, never sent


class Dispatcher(Protocol):
    """Hands jobs to a renderer and asks after them."""

    id: str
    parallel_calls: int  # how many calls one video is spread over
    scenes_per_call: int  # at most, in more calls if need be; 0: any number

    def submit(self, job: Job) -> str:
        """Return the call id at once. Raises BusyError (come back later), UnavailableError."""
        ...

    def status(self, call_id: str) -> CallState:
        """Never raises: a renderer that cannot be asked is UNKNOWN."""
        ...

    def cancel(self, call_id: str) -> None:
        """Stop it if it still runs; unknown calls are no error."""
        ...


class Clock(Protocol):
    """The time; tests move it by hand."""

    def now(self) -> datetime:
        """Aware, UTC."""
        ...

    def sleep(self, seconds: float) -> None:
        """Wait."""
        ...


@dataclass(frozen=True, slots=True)
class Parts:
    """What every step works with."""

    store: Store
    files: Files
    dispatcher: Dispatcher
    storyboard: StoryboardEngine
    settings: Settings
    clock: Clock
    # asks for an execution of its own that plans a queued video, by its id; None: whoever asks plans it himself
    plan_soon: Callable[[str], None] | None = None
    # takes back an order of footage, by its id, or raises UnavailableError; None: nobody here takes orders
    take_back: Callable[[str], None] | None = None
