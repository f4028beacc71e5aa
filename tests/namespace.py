"""A way to an Appwrite on which databases, buckets and functions get names of their own, and are deleted at the end."""

from __future__ import annotations

import json
import re
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

import requests

_OWNED = re.compile(r"^/v1/(tablesdb|databases|storage/buckets|tokens/buckets|functions)/(?!unique\(\))([^/?]+)")
_NAMED = {  # where something gets the id it is given -> the field of that id
    "/v1/tablesdb": "databaseId",
    "/v1/databases": "databaseId",
    "/v1/storage/buckets": "bucketId",
    "/v1/functions": "functionId",
}
_MADE = {  # where something is made -> where it is deleted, and the field of the answer with its id
    **{path: (path, "$id") for path in (*_NAMED, "/v1/users", "/v1/teams")},
    "/v1/account": ("/v1/users", "$id"),
    "/v1/account/sessions/anonymous": ("/v1/users", "userId"),
}
_WORDS = frozenset({"transactions", "runtimes", "specifications", "usage"})  # they stand where an id may stand
_PER_HOP = frozenset({"host", "connection", "content-length", "transfer-encoding", "content-encoding", "keep-alive"})


class Namespace:
    """Passes requests on; every id of a database, bucket or function carries a random prefix on the other side.

    The tests see the names they chose. `made`: the paths of what was made through it, to be deleted.
    """

    def __init__(self, endpoint: str) -> None:
        self.prefix = f"t{secrets.token_hex(3)}-"
        self.made: list[str] = []
        self._server = endpoint.removesuffix("/v1")
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._http.daemon_threads = True
        self.endpoint = f"http://127.0.0.1:{self._http.server_address[1]}/v1"
        threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def close(self, project: str, key: str) -> None:
        """Delete what was made, the newest first, then stop."""
        headers = {"x-appwrite-project": project, "x-appwrite-key": key, "content-type": "application/json"}
        left = []
        for path in reversed(self.made):
            answer = requests.delete(self._server + path, headers=headers, timeout=60)
            if answer.status_code not in (204, 404):
                left.append(f"{path}: {answer.status_code}")
        self._http.shutdown()
        self._http.server_close()
        assert left == [], "what the tests made could not be deleted"

    def _outward(self, path: str) -> str:
        owned = _OWNED.match(path)
        if owned is None or owned[2] in _WORDS:
            return path
        return f"{path[: owned.start(2)]}{self.prefix}{path[owned.start(2) :]}"

    def _named(self, path: str, body: bytes) -> bytes:
        field = _NAMED.get(urlsplit(path).path)
        if field is None:
            return body
        try:
            parsed = json.loads(body)
        except ValueError:
            return body
        if not isinstance(parsed, dict) or parsed.get(field) in (None, "unique()"):
            return body
        return json.dumps(parsed | {field: f"{self.prefix}{parsed[field]}"}).encode()

    def _remember(self, path: str, answer: requests.Response) -> None:
        made = _MADE.get(urlsplit(path).path)
        if answer.status_code == 201 and made is not None:
            self.made.append(f"{made[0]}/{answer.json()[made[1]]}")

    def pass_on(self, method: str, path: str, headers: dict[str, str], body: bytes) -> requests.Response:
        """Send a request to the server under the names there."""
        return requests.request(
            method,
            self._server + self._outward(path),
            headers=headers,
            data=self._named(path, body) if method == "POST" else body,
            allow_redirects=False,
            timeout=120,
        )

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        namespace = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def _pass(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length") or 0))
                sent = {k: v for k, v in self.headers.items() if k.lower() not in _PER_HOP | {"accept-encoding"}}
                answer = namespace.pass_on(self.command, self.path, sent, body)
                if self.command == "POST":
                    namespace._remember(self.path, answer)
                content = answer.content
                if answer.headers.get("content-type", "").startswith("application/json"):
                    content = content.replace(namespace.prefix.encode(), b"")
                self.send_response(answer.status_code)
                for name, value in answer.headers.items():
                    if name.lower() not in _PER_HOP | {"date", "server"}:
                        self.send_header(name, value)
                self.send_header("content-length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _pass

            def log_message(self, *_: Any) -> None:
                """Say nothing: headers and paths hold keys and tokens."""

        return Handler


@contextmanager
def namespace(endpoint: str, project: str, key: str) -> Iterator[Namespace]:
    """A namespace of its own on a server, gone at the end with all that was made in it."""
    opened = Namespace(endpoint)
    try:
        yield opened
    finally:
        opened.close(project, key)
