"""A watcher whose connection breaks is right again without anybody doing anything."""

from __future__ import annotations

import contextlib
import secrets
import socket
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from core.errors import NotFoundError
from core.status import VideoStatus
from core.watch import Session, execute, follow, sign_in
from tests.e2e.conftest import RunningStack

SCRIPT = "A red kite climbs over the dunes.\n\nThe wind drops, and the string goes slack.\n\nThen it rises again."


class Proxy:
    """A way to the server that can be cut: what goes through it ends at once, what comes later is let through."""

    def __init__(self, target: tuple[str, int]) -> None:
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open: list[socket.socket] = []
        self.accepted = 0
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self._listener.getsockname()[1]}"

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(self._target)
                self.accepted += 1
                self._open += [client, server]
                for ends in ((client, server), (server, client)):
                    threading.Thread(target=self._pump, args=ends, daemon=True).start()

    @staticmethod
    def _pump(source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65_536):
                sink.sendall(data)
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def cut(self) -> None:
        """End every connection there is."""
        for end in self._open:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
        self._open.clear()

    def close(self) -> None:
        """Let nobody through any more."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()


@pytest.fixture
def proxy(running_stack: RunningStack) -> Iterator[Proxy]:
    parts = urlsplit(running_stack.endpoint)
    assert parts.hostname and parts.port
    way = Proxy((parts.hostname, parts.port))
    yield way
    way.close()


@pytest.fixture
def session(running_stack: RunningStack, tmp_path: Path) -> Session:
    return sign_in(running_stack.endpoint, running_stack.project, tmp_path / "session.json")


def _create(session: Session) -> str:
    body = {"script": SCRIPT, "resolution": 360, "captions": "off"}
    answer = execute(session.client(), "POST", "/videos", body, {"Idempotency-Key": secrets.token_hex(8)})
    return str(answer["videoId"])


def test_states_keep_coming_in_order_after_the_connection_was_cut_twice(session: Session, proxy: Proxy) -> None:
    through = replace(session, endpoint=f"http://{proxy.address}/v1")
    video_id = _create(session)
    states, cuts = [], 0

    for video in follow(through, video_id):
        states.append(video)
        if (video.status is VideoStatus.RENDERING and cuts == 0) or (video.progress >= 50 and cuts == 1):
            cuts += 1
            proxy.cut()

    assert cuts == 2
    assert states[-1].status is VideoStatus.COMPLETED
    assert [v.revision for v in states] == sorted({v.revision for v in states})
    assert [v.progress for v in states] == sorted(v.progress for v in states)


def test_a_stranger_sees_nothing_of_the_video(session: Session, running_stack: RunningStack, tmp_path: Path) -> None:
    stranger = sign_in(running_stack.endpoint, running_stack.project, tmp_path / "other.json")
    video_id = _create(session)

    with pytest.raises(NotFoundError):
        next(follow(stranger, video_id))
    with pytest.raises(NotFoundError):
        execute(stranger.client(), "GET", f"/videos/{video_id}")


def test_the_same_user_comes_back_and_the_file_is_private(
    session: Session, running_stack: RunningStack, tmp_path: Path
) -> None:
    again = sign_in(running_stack.endpoint, running_stack.project, tmp_path / "session.json")

    assert again == session
    assert session.secret not in repr(session)
    assert (tmp_path / "session.json").stat().st_mode & 0o077 == 0


def test_an_ended_session_is_replaced(session: Session, running_stack: RunningStack, tmp_path: Path) -> None:
    session.client().call("delete", "/account/sessions/current")

    again = sign_in(running_stack.endpoint, running_stack.project, tmp_path / "session.json")

    assert again.user_id != session.user_id
