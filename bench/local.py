"""The local stack as the benchmarks use it: in a folder of its own, with users that sign in, listen and ask."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from websockets.sync.client import ClientConnection, connect

from core import stack as local
from core.adapters.appwrite_client import AppwriteClient
from core.adapters.appwrite_store import AppwriteStore
from core.documents import Video
from core.schema import database_id
from core.settings import Settings
from core.watch import Session, execute, sign_in

HOST = "127.0.0.1"
_ANSWER_SECONDS = 60.0
_JSON = {"content-type": "application/json"}


@contextlib.contextmanager
def running() -> Iterator[local.Stack]:
    """A local stack on an empty folder, as `scenewright up` starts it."""
    with (
        tempfile.TemporaryDirectory(prefix="bench-") as folder,
        local.start(Path(folder), settings=Settings()) as stack,
    ):
        yield stack


def operator(stack: local.Stack) -> AppwriteClient:
    """A client with the server key."""
    return AppwriteClient(stack.settings.endpoint, stack.settings.project_id, stack.settings.api_key)


def user(stack: local.Stack, name: str = "user") -> Session:
    """An anonymous user; another name gives another one."""
    return sign_in(stack.settings.endpoint, stack.settings.project_id, stack.data / f"{name}.json")


def create(session: Session, script: str, **options: object) -> str:
    """Ask the function for a video as any client does; returns its id."""
    return str(execute(session.client(), "POST", "/videos", {"script": script, **options})["videoId"])


@contextlib.contextmanager
def listening(session: Session, *tables: str) -> Iterator[ClientConnection]:
    """A Realtime socket on which all changes of these tables' rows arrive that the user may read."""
    parts = urlsplit(session.endpoint)
    url = f"ws://{parts.netloc}{parts.path}/realtime?project={session.project}"
    channels = [f"databases.{database_id()}.tables.{table}.rows" for table in tables]
    subscription = {"subscriptionId": "bench", "channels": channels, "queries": []}
    with connect(url, proxy=None, max_size=None) as socket:
        for kind, data in (("authentication", {"session": session.secret}), ("subscribe", [subscription])):
            socket.send(json.dumps({"type": kind, "data": data}))
            while heard(socket)["type"] != "response":
                pass
        yield socket


def heard(socket: ClientConnection) -> dict[str, Any]:
    """The next message; raises TimeoutError after a minute of silence."""
    message: dict[str, Any] = json.loads(socket.recv(timeout=_ANSWER_SECONDS))
    return message


def wait_for(condition: Callable[[], bool], seconds: float) -> None:
    """Look every tenth of a second until something holds. Raises TimeoutError when it never does."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {seconds:g} s in vain")
        time.sleep(0.1)


def finished(stack: local.Stack, video_id: str, seconds: float) -> Video:
    """Wait for the end of a video. Raises ValueError when it is not a film: then nothing was measured."""
    store = AppwriteStore(operator(stack))
    wait_for(lambda: store.get_video(video_id).is_terminal, seconds)
    video = store.get_video(video_id)
    if not video.final_file_id:
        raise ValueError(f"the video ended {video.status}: {video.error_message}")
    return video


class Wire:
    """One kept connection to the server, as a browser has it."""

    def __init__(self, endpoint: str, headers: Mapping[str, str]) -> None:
        parts = urlsplit(endpoint)
        self._path = parts.path
        self._headers = {**_JSON, **headers}
        self._connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=_ANSWER_SECONDS)
        self._connection.connect()

    def send(self, method: str, path: str, body: object) -> None:
        """Send a request."""
        self._connection.request(method, self._path + path, json.dumps(body), self._headers)

    def answer(self) -> tuple[int, Any]:
        """Read the answer to the request: its status and its JSON."""
        response = self._connection.getresponse()
        return response.status, json.loads(response.read())

    def close(self) -> None:
        """Let go of the connection."""
        self._connection.close()


def stop_renderer(stack: local.Stack) -> int:
    """End the render server of a stack and let the rest run; returns its port, which is then free."""
    pid = stack.pids[local.WORKER]
    os.killpg(pid, signal.SIGTERM)
    wait_for(lambda: stack.dead() == local.WORKER, 10)
    return urlsplit(stack.settings.render_url).port or 0
