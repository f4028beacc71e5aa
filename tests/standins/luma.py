"""A local server in the shape of Luma's API, as the vendor's client calls it, and of where its films are fetched."""

from __future__ import annotations

import json
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

KEY = "luma-the-right-key-of-the-standin"
PREFIX = "/dream-machine/v1"
STATES = ("queued", "dreaming", "completed")
LOST, CUT = "lost", "cut"  # tricks: the work is done and nothing is answered; the film breaks off


@dataclass
class Made:
    """One generation."""

    id: str
    request: dict[str, Any]
    states: list[str]  # one per look, the last one for ever; "failed: why" says why
    created_at: datetime
    addresses: int = 1  # how many of the film were given; only the newest is good

    def body(self, base: str) -> dict[str, Any]:
        """As the API answers it."""
        state, _, reason = self.states[0].partition(": ")
        film = f"{base}/films/{self.id}.mp4?address={self.addresses}"
        return {
            "id": self.id,
            "generation_type": "video",
            "state": state,
            "failure_reason": reason or None,
            "created_at": self.created_at.isoformat().replace("+00:00", "Z"),
            "assets": {"video": film} if state == "completed" else None,
            "model": self.request.get("model"),
            "request": {"generation_type": "video", **self.request},
        }


@dataclass
class Trick:
    """Something that goes wrong in the next call of this kind: "POST", "GET", "LIST", "DELETE" or "FILM"."""

    kind: str
    status: int = 0
    detail: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    how: str = ""  # LOST or CUT


class Luma:
    """The server: `made` in the order of creation, `log` of all calls, `tricks` used up one by one."""

    def __init__(self, film: bytes) -> None:
        self.film = film
        self.made: list[Made] = []
        self.deleted: list[str] = []
        self.log: list[tuple[str, str]] = []  # (kind, id of the generation, or empty)
        self.tricks: list[Trick] = []
        self.states: Callable[[dict[str, Any]], Sequence[str]] = lambda request: STATES
        self.released = threading.Event()  # until then no generation leaves the state it is in
        self.released.set()
        self.expired = 0  # so many addresses are bad when they are used
        self._lock = threading.Lock()
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._http.daemon_threads = True
        self.base = f"http://127.0.0.1:{self._http.server_address[1]}"
        self.url = self.base + PREFIX
        threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def close(self) -> None:
        """Stop."""
        self._http.shutdown()
        self._http.server_close()

    def count(self, kind: str) -> int:
        """How many calls of a kind there were."""
        return sum(k == kind for k, _ in self.log)

    def of(self, generation_id: str) -> Made | None:
        """A generation that is there."""
        return next((m for m in self.made if m.id == generation_id and m.id not in self.deleted), None)

    # ---- what it answers: (status, body)

    def _answer(self, kind: str, name: str, query: Mapping[str, Sequence[str]], body: Any) -> tuple[int, Any]:
        if kind == "POST":
            return 201, self._create(body).body(self.base)
        if kind == "LIST":
            first, count = (int(query.get(n, [str(usual)])[0]) for n, usual in (("offset", 0), ("limit", 10)))
            there = [m.body(self.base) for m in reversed(self.made) if m.id not in self.deleted]
            return 200, {"generations": there[first : first + count], "count": len(there), "has_more": False}
        found = self.of(name)
        if found is None:
            return 404, {"detail": "Generation not found"}
        if kind == "DELETE":
            self.deleted.append(name)
            return 204, None
        if len(found.states) > 1 and self.released.is_set():
            found.states.pop(0)
        return 200, found.body(self.base)

    def _create(self, body: dict[str, Any]) -> Made:
        now = datetime.now(UTC)
        made = Made(str(uuid.uuid4()), body, [STATES[0], *self.states(body)], now)
        self.made.append(made)
        return made

    def _film(self, name: str, query: Mapping[str, Sequence[str]]) -> bytes | None:
        """The film of an address; None when it is not good any more."""
        found = self.of(name.removesuffix(".mp4"))
        if found is None or query.get("address") != [str(found.addresses)]:
            return None
        if self.expired:
            self.expired -= 1
            found.addresses += 1
            return None
        return self.film

    def _trick(self, kind: str) -> Trick | None:
        found = next((t for t in self.tricks if t.kind == kind), None)
        if found is not None:
            self.tricks.remove(found)
        return found

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        standin = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _serve(self) -> None:
                path = urlsplit(self.path)
                length = int(self.headers.get("content-length", 0))
                body = json.loads(self.rfile.read(length) or b"null")
                name = path.path.rpartition("/")[2]
                if path.path.startswith("/films/"):
                    return self._send_film(name, parse_qs(path.query))
                kind = "LIST" if path.path == f"{PREFIX}/generations" else self.command
                with standin._lock:
                    standin.log.append((kind, name if kind in ("GET", "DELETE") else ""))
                    trick = standin._trick(kind)
                    if self.headers.get("authorization") != f"Bearer {KEY}":
                        status, told = 401, {"detail": "Invalid API key"}
                    elif trick is not None and trick.status:
                        status, told = trick.status, {"detail": trick.detail}
                    else:
                        status, told = standin._answer(kind, name, parse_qs(path.query), body)
                if trick is not None and trick.how == LOST:
                    self.close_connection = True
                    return None
                data = b"" if told is None else json.dumps(told).encode()
                self.send_response(status)
                for header, value in (trick.headers if trick else {}).items():
                    self.send_header(header, value)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)
                return None

            do_GET = do_POST = do_DELETE = _serve

            def _send_film(self, name: str, query: Mapping[str, Sequence[str]]) -> None:
                with standin._lock:
                    standin.log.append(("FILM", name.removesuffix(".mp4")))
                    trick, data = standin._trick("FILM"), standin._film(name, query)
                self.send_response(403 if data is None else 200)
                shown = data or b"<Error><Code>AccessDenied</Code></Error>"
                self.send_header("content-length", str(len(shown)))
                self.end_headers()
                if trick is not None and trick.how == CUT:
                    shown, self.close_connection = shown[: len(shown) // 2], True
                self.wfile.write(shown)

            def log_message(self, *_: object) -> None:
                """Nothing on the terminal."""

        return Handler


@contextmanager
def luma(film: bytes) -> Iterator[Luma]:
    """A running server whose films are all these bytes."""
    running = Luma(film)
    try:
        yield running
    finally:
        running.close()
