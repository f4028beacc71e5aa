"""A network and a server that fail now and then: some calls before they are done, some after."""

from __future__ import annotations

import http.client
import random
import re
import socket
import struct
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from enum import StrEnum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

SHARE = 0.2  # of all calls fail
_PER_HOP = frozenset({"connection", "keep-alive", "transfer-encoding", "content-length"})
_WRITES = frozenset({"POST", "PUT", "PATCH", "DELETE"})
_SERVER_SECONDS = 60.0
_BLOCK = 1 << 16
_SLOW_SECONDS = 1.0
_NAMES = re.compile(r"(?<=rows/)[^/]+|(?<=files/)[^/]+")


class Fault(StrEnum):
    """What happens to a call. Half of the calls that fail are done all the same, but who asked does not hear of it."""

    ERROR_500 = "error 500"
    BUSY_503 = "error 503, Retry-After"
    LIMIT_429 = "error 429"
    RESET_BEFORE = "reset before the answer"  # before a byte of the answer was sent
    RESET_AFTER = "reset in the answer"  # after its first bytes
    TIME_OUT = "no answer"
    SLOW = "slow answer"
    CUT = "answer cut short"


Answer = tuple[int, list[tuple[str, str]], bytes]  # status, headers, body


class FaultyProxy:
    """Passes HTTP calls and sockets of messages on, and lets a share of the calls fail in one way.

    Args:
        endpoint: of the server behind it.
        answer_seconds: how long who asks waits for an answer; a call that gets none is held for longer.
    """

    def __init__(self, endpoint: str, answer_seconds: float) -> None:
        parts = urlsplit(endpoint)
        self.server = (parts.hostname or "", parts.port or 80)
        self.answer_seconds = answer_seconds
        self.closed = threading.Event()
        self._lock = threading.Lock()
        self.begin(None, 0)
        self._http = _Server(("127.0.0.1", 0), _handler(self))
        self.endpoint = f"http://127.0.0.1:{self._http.server_address[1]}{parts.path}"
        threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def begin(self, fault: Fault | None, seed: int) -> None:
        """From now on calls fail in this way, or in none. `seed` replays which ones, by method, route and turn."""
        with self._lock:
            self.fault, self._seed = fault, seed
            self.calls = 0
            self.failed = 0
            self.applied = 0  # writes that failed although the server had done them
            self._turns: Counter[str] = Counter()

    def close(self) -> None:
        """Stop accepting, and let go of the calls that are held."""
        self.closed.set()
        self._http.shutdown()
        self._http.server_close()

    def choose(self, method: str, path: str) -> tuple[Fault | None, bool]:
        """How this call fails, if it does, and whether the server does it first."""
        with self._lock:
            self.calls += 1
            called = f"{method} {_NAMES.sub('', path)}"
            self._turns[called] += 1
            draw = random.Random(f"{self._seed} {called} {self._turns[called]}")
            fails, applied = draw.random() < SHARE, draw.random() < 0.5
            if self.fault is None or not fails:
                return None, False
            self.failed += 1
            self.applied += applied and method in _WRITES
            return self.fault, applied


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, *_: Any) -> None:
        """Whoever asked has hung up, which here is nothing to tell of."""


_NOTHING: Answer = (500, [("content-type", "application/json")], b'{"message":"Try again."}')


def _handler(proxy: FaultyProxy) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def _pass(self) -> None:
            if self.headers.get("upgrade", "").lower() == "websocket":
                self._tunnel()
                return
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            fault, applied = proxy.choose(self.command, urlsplit(self.path).path)
            if fault is Fault.SLOW and not applied:
                proxy.closed.wait(_SLOW_SECONDS)
            answer = None if fault and fault is not Fault.SLOW and not applied else self._ask(body)
            if fault is Fault.SLOW and applied:
                proxy.closed.wait(_SLOW_SECONDS)
            if fault and fault is not Fault.SLOW:
                self._fail(fault, answer or _NOTHING)
            elif answer:
                self._answer(*answer)

        def _ask(self, body: bytes) -> Answer:
            connection = http.client.HTTPConnection(*proxy.server, timeout=_SERVER_SECONDS)
            try:
                kept = {k: v for k, v in self.headers.items() if k.lower() not in _PER_HOP}
                connection.request(self.command, self.path, body or None, kept)
                answer = connection.getresponse()
                return answer.status, answer.getheaders(), answer.read()
            finally:
                connection.close()

        def _answer(self, status: int, headers: list[tuple[str, str]], body: bytes, *, sent: int | None = None) -> None:
            self.send_response_only(status)
            for name, value in headers:
                if name.lower() not in _PER_HOP:
                    self.send_header(name, value)
            if status != 204:
                self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body[:sent])

        def _fail(self, fault: Fault, answer: Answer) -> None:
            match fault:
                case Fault.ERROR_500:
                    self._refuse(500, "general_unknown")
                case Fault.BUSY_503:
                    self._refuse(503, "general_service_disabled", ("retry-after", "1"))
                case Fault.LIMIT_429:
                    self._refuse(429, "general_rate_limit_exceeded")
                case Fault.TIME_OUT:
                    proxy.closed.wait(proxy.answer_seconds * 1.5)
                    self.close_connection = True
                case Fault.RESET_AFTER:
                    self.wfile.write(b"HTTP/1.1 200 OK\r\ncontent-ty")
                    self._reset()
                case Fault.CUT if answer[2]:
                    self._answer(*answer, sent=len(answer[2]) // 2)
                    self.close_connection = True
                case _:
                    self._reset()

        def _refuse(self, status: int, kind: str, *headers: tuple[str, str]) -> None:
            body = f'{{"message":"Try again.","code":{status},"type":"{kind}","version":"1.9.6"}}'.encode()
            self._answer(status, [("content-type", "application/json"), *headers], body)

        def _reset(self) -> None:
            """End the connection as a crashed peer does: with RST, not with FIN."""
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.close_connection = True
            self.connection.close()

        def _tunnel(self) -> None:
            """Bytes both ways until one side ends; the handshake is sent as it came."""
            lines = [self.requestline, *(f"{k}: {v}" for k, v in self.headers.items())]
            with socket.create_connection(proxy.server) as server:
                server.sendall("\r\n".join([*lines, "", ""]).encode("latin-1"))
                back = threading.Thread(target=_pump, args=(server, self.connection), daemon=True)
                back.start()
                _pump(self.connection, server)
            back.join(5)
            self.close_connection = True

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = _pass

        def log_message(self, *_: Any) -> None:
            """Say nothing: headers and paths hold keys and tokens."""

    return Handler


def _pump(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while block := source.recv(_BLOCK):
            target.sendall(block)
    with suppress(OSError):
        target.shutdown(socket.SHUT_RDWR)


@contextmanager
def faulty_proxy(endpoint: str, answer_seconds: float) -> Iterator[FaultyProxy]:
    """A proxy in front of an endpoint that lets nothing fail until it is told to."""
    proxy = FaultyProxy(endpoint, answer_seconds)
    try:
        yield proxy
    finally:
        proxy.close()
