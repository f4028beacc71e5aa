"""The parts one running server consists of, handed to every handler."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, cast

from starlette.requests import HTTPConnection

from emulator.blobs import Blobs, Uploads
from emulator.compute import Limits, limits_from
from emulator.database import Database
from emulator.events import Bus
from emulator.keys import Keys
from emulator.schema import Schema

if TYPE_CHECKING:
    from emulator.builds import Builder  # it holds the server itself
    from emulator.executor import Executor  # so does this
    from emulator.limits import Counters


@dataclass
class Server:
    """What a handler may use; `server_of(request)` finds it.

    `endpoint`: the public URL ending in /v1, known once the port is open. `sources`: function id -> working tree
    that stands in for its active deployment. `console`: the project whose users operate this one.
    `on_start`, `on_stop`: run by the event loop in order, and in reverse.
    """

    db: Database
    bus: Bus
    keys: Keys
    schema: Schema
    project_id: str
    data_dir: Path
    endpoint: str = ""
    sources: dict[str, Path] = field(default_factory=dict)
    on_start: list[Callable[[], Awaitable[None]]] = field(default_factory=list)
    on_stop: list[Callable[[], Awaitable[None]]] = field(default_factory=list)
    executor: Executor = field(init=False)
    builder: Builder = field(init=False)
    compute: Limits = field(default_factory=limits_from)
    limits: Counters = field(init=False)
    console: Server | None = None
    blobs: Blobs = field(init=False)
    uploads: Uploads = field(init=False, default_factory=Uploads)

    def __post_init__(self) -> None:
        self.blobs = Blobs(self.data_dir / "files")


def server_of(request: HTTPConnection) -> Server:
    """The server this request or socket came to."""
    return cast("Server", request.app.state.server)
