"""A subscriber as web pages are: connects again when cut off, reads once after that, keeps the newest state."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections import Counter
from typing import Any

from appwrite.exception import AppwriteException
from appwrite.query import Query
from websockets.exceptions import WebSocketException
from websockets.sync.client import ClientConnection

from core.documents import Scene, Video
from core.errors import UnavailableError
from core.schema import SCENES, VIDEOS, database_id
from core.status import SceneStatus
from core.watch import Session, subscribed

_PAUSE_SECONDS = 0.1  # before connecting again
_PING_SECONDS = 10.0
_MOST = 500  # videos of one user


class Watcher:
    """Follows all videos of one user until closed. `complaints` are sentences about what must never be seen."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._client = session.client()
        self.held: dict[str, Video] = {}
        self.connections = 0  # that were made and brought up to date
        self.events = 0
        self.regressions: list[str] = []
        self.remade: list[str] = []  # scenes that were written again after they were rendered
        self.ended: list[tuple[float, str]] = []  # monotonic time and id of each video that ended
        self._rendered: dict[str, int] = {}  # scene id -> its revision when it was rendered
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watcher", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop watching."""
        self._stop.set()
        self._thread.join(30)

    def _run(self) -> None:
        tables = f"databases.{database_id()}.tables"
        channels = [f"{tables}.{VIDEOS}.rows", f"{tables}.{SCENES}.rows"]
        while not self._stop.is_set():
            gone = contextlib.suppress(OSError, WebSocketException, UnavailableError, AppwriteException)
            with gone, subscribed(self._session, channels) as socket:
                self._listen(socket)
            self._stop.wait(_PAUSE_SECONDS)

    def _listen(self, socket: ClientConnection) -> None:
        for row in self._rows():
            self._keep(Video.from_row(row))
        self.connections += 1
        pinged = time.monotonic()
        on_this_socket: Counter[str] = Counter()  # row id -> highest revision that an event told
        while not self._stop.is_set():
            if time.monotonic() - pinged > _PING_SECONDS:
                socket.send(json.dumps({"type": "ping"}))
                pinged = time.monotonic()
            try:
                message = json.loads(socket.recv(timeout=0.5))
            except TimeoutError:
                continue
            if message["type"] == "event":
                self._hear(message["data"]["payload"], on_this_socket)

    def _rows(self) -> list[dict[str, Any]]:
        path = f"/tablesdb/{database_id()}/tables/{VIDEOS}/rows"
        queries = [Query.limit(_MOST)]
        return list(self._client.call("get", path, {}, {"queries": queries})["rows"])

    def _hear(self, row: dict[str, Any], told: Counter[str]) -> None:
        """One event: on one socket they come once each, in the order of the writes."""
        self.events += 1
        name, revision = row["$id"], int(row["revision"] or 0)
        if name in told and revision <= told[name]:
            self.regressions.append(f"{row['$tableId']}/{name}: revision {revision} told after {told[name]}")
        told[name] = max(told[name], revision)
        if row["$tableId"] == VIDEOS:
            self._keep(Video.from_row(row))
        else:
            self._keep_scene(Scene.from_row(row))

    def _keep(self, video: Video) -> None:
        before = self.held.get(video.id)
        if before is not None and video.revision <= before.revision:
            return
        if before is not None and video.progress < before.progress:
            self.regressions.append(f"{video.id}: {before.progress} % fell to {video.progress} % ({video.stage})")
        if video.is_terminal and not (before and before.is_terminal):
            self.ended.append((time.monotonic(), video.id))
        self.held[video.id] = video

    def _keep_scene(self, scene: Scene) -> None:
        done = self._rendered.get(scene.id)
        if done is not None and scene.revision > done:
            self.remade.append(f"scene {scene.scene_number} of {scene.video_id} became {scene.status} again")
        if scene.status is SceneStatus.RENDERED:
            self._rendered[scene.id] = scene.revision
