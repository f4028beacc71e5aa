"""The leanest clients there can be, so that what is measured is the server: HTTP and realtime on bare sockets."""

from __future__ import annotations

import json
import selectors
import socket
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import urlsplit

_PATIENCE_SECONDS = 60.0
_TEXT, _CLOSE = 1, 8  # opcodes, RFC 6455, 5.2


class Http:
    """One kept connection; requests are bytes that were made before the clock runs."""

    def __init__(self, endpoint: str, headers: Mapping[str, str]) -> None:
        parts = urlsplit(endpoint)
        self._prefix = parts.path
        self._headers = {"host": parts.netloc, "content-type": "application/json", **headers}
        self.socket = socket.create_connection((parts.hostname or "", parts.port or 80), _PATIENCE_SECONDS)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def request(self, method: str, path: str, body: object = None) -> bytes:
        """The bytes of a request."""
        content = b"" if body is None else json.dumps(body).encode()
        lines = [f"{method} {self._prefix}{path} HTTP/1.1"]
        lines += [f"{name}: {value}" for name, value in {**self._headers, "content-length": len(content)}.items()]
        return "\r\n".join([*lines, "", ""]).encode() + content

    def send(self, request: bytes) -> None:
        """Send, and do not wait."""
        self.socket.sendall(request)

    def answer(self) -> tuple[int, bytes]:
        """Status and body of the next answer."""
        received = b""
        while (end := received.find(b"\r\n\r\n")) < 0:
            received += self._more()
        head = received[:end].lower()
        length = int(head.partition(b"content-length: ")[2].partition(b"\r")[0])
        while len(received) < end + 4 + length:
            received += self._more()
        return int(head[9:12]), received[end + 4 :]

    def call(self, method: str, path: str, body: object = None) -> Any:
        """The JSON of an answer. Raises ValueError for a refusal."""
        self.send(self.request(method, path, body))
        status, content = self.answer()
        if status >= 300:
            raise ValueError(f"{method} {path} was answered {status}: {content.decode()}")
        return json.loads(content)

    def close(self) -> None:
        """Let go of the connection."""
        self.socket.close()

    def _more(self) -> bytes:
        part = self.socket.recv(65_536)
        if not part:
            raise ConnectionError("the server closed the connection")
        return part


def in_turn(clients: Iterable[Http], requests: Iterable[bytes]) -> None:
    """Let every client have one request under way until all are answered. Raises ValueError for a refusal."""
    waiting = iter(requests)
    with selectors.DefaultSelector() as selector:
        for client in clients:
            selector.register(client.socket, selectors.EVENT_READ, client)
            client.send(next(waiting))
        while selector.get_map():
            for key, _ in selector.select(_PATIENCE_SECONDS):
                status, content = key.data.answer()
                if status >= 300:
                    raise ValueError(f"a request was answered {status}: {content.decode()}")
                if (request := next(waiting, None)) is None:
                    selector.unregister(key.fileobj)
                else:
                    key.data.send(request)


class Listener:
    """A realtime socket of a guest with one subscription."""

    def __init__(self, endpoint: str, project: str, channel: str) -> None:
        parts = urlsplit(endpoint)
        self.socket = socket.create_connection((parts.hostname or "", parts.port or 80), _PATIENCE_SECONDS)
        path = f"{parts.path}/realtime?project={project}&channels[]={channel}"
        self.socket.sendall(
            f"GET {path} HTTP/1.1\r\nhost: {parts.netloc}\r\nupgrade: websocket\r\nconnection: upgrade\r\n"
            "sec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n".encode()
        )
        self._received = bytearray()
        while b"\r\n\r\n" not in self._received:
            self._receive()
        del self._received[: self._received.index(b"\r\n\r\n") + 4]
        if json.loads(self.next())["type"] != "connected":
            raise ConnectionError("the subscription was refused")

    def next(self) -> bytes:
        """The next text frame; waits for it."""
        while (frame := self.pop()) is None:
            self._receive()
        return frame

    def pop(self) -> bytes | None:
        """The next text frame that is here as a whole. Raises ConnectionError where it is no text frame."""
        received = self._received
        if len(received) < 2:
            return None
        if received[0] & 15 != _TEXT:
            raise ConnectionError("the server closed the socket" if received[0] & 15 == _CLOSE else "no text frame")
        width = {126: 2, 127: 8}.get(received[1], 0)
        start = 2 + width
        length = int.from_bytes(received[2:start], "big") if width else received[1]
        if len(received) < start or len(received) < start + length:
            return None
        frame = bytes(received[start : start + length])
        del received[: start + length]
        return frame

    def read(self) -> int:
        """Take what has come; how many frames that completed."""
        self._receive()
        frames = 0
        while self.pop() is not None:
            frames += 1
        return frames

    def close(self) -> None:
        """Let go of the connection."""
        self.socket.close()

    def _receive(self) -> None:
        part = self.socket.recv(65_536)
        if not part:
            raise ConnectionError("the server closed the socket")
        self._received += part
