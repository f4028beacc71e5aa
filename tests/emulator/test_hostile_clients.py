"""Clients that do not speak as they should: endless, cut off, no HTTP; the server stays small and serves on."""

from __future__ import annotations

import contextlib
import json
import socket as sockets
import sys
from pathlib import Path

import pytest
import requests
from appwrite.services.storage import Storage
from hypothesis import example, given, settings
from hypothesis import strategies as st

from .conftest import Running, running


def raw(server: Running, head: str, part: bytes = b"", times: int = 1) -> bytes:
    """Send a head and `part` so many times, or until the server has enough; what it answered."""
    host, port = server.endpoint.split("/")[2].split(":")
    with sockets.create_connection((host, int(port)), timeout=20) as socket:
        with contextlib.suppress(ConnectionError):
            socket.sendall(head.encode("latin-1"))
            for _ in range(times):
                socket.sendall(part)
            socket.shutdown(sockets.SHUT_WR)
        answer = b""
        with contextlib.suppress(ConnectionError):
            while received := socket.recv(65_536):
                answer += received
    return answer


def head_of(server: Running, line: str, *headers: str) -> str:
    """A request's head with project and key."""
    fixed = ("host: here", f"x-appwrite-project: {server.project}", f"x-appwrite-key: {server.key}")
    return "\r\n".join([line, *fixed, *headers, "", ""])


def most_memory(server: Running) -> float:
    """MiB the process has held at most since its start."""
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


FILES = "/v1/storage/buckets/b/files"
TEN_GB, CHUNKED = "content-length: 10737418240", "transfer-encoding: chunked"
UPLOAD = "content-type: multipart/form-data; boundary=x"


@pytest.mark.skipif(sys.platform != "linux", reason="the highest memory use of another process is asked of Linux")
@pytest.mark.parametrize(
    ("line", "headers", "part", "status"),
    [
        ("POST /v1/users HTTP/1.1", (TEN_GB,), b"a" * 65_536, 413),
        ("POST /v1/users HTTP/1.1", (CHUNKED,), b"10000\r\n" + b"a" * 65_536 + b"\r\n", 413),
        (f"POST {FILES} HTTP/1.1", (TEN_GB, UPLOAD), b"a" * 65_536, 400),
        (f"POST {FILES} HTTP/1.1", (CHUNKED, UPLOAD), b"10000\r\n--x\r\n" + b"a" * 65_531 + b"\r\n", 400),
        ("GET /v1/ping HTTP/1.1\r\nx-long: ", (), b"a" * 65_536, 431),
        ("GET /v1/ping?query=", (), b"a" * 65_536, 431),
        ("GET /v1/ping HTTP/1.1", (), b"x-many: bbbbbbbbbbbbbbbbbbbbbbbbbbb\r\n" * 2000, 431),
    ],
)  # fmt: skip
def test_what_never_ends_is_refused_early_and_fills_no_memory(
    tmp_path: Path, line: str, headers: tuple[str, ...], part: bytes, status: int
) -> None:
    with running(tmp_path) as server:
        Storage(server.client(key=server.key)).create_bucket("b", "B")
        before = most_memory(server)
        head = head_of(server, line, *headers) if headers else line
        if line.endswith("/ping HTTP/1.1"):
            head += "\r\n"
        answer = raw(server, head, part, times=4000)
        assert int(answer.split()[1] if answer else status) == status, "or the connection was cut while it still sent"
        assert most_memory(server) < before + 50
        assert server.send("GET", "/ping").text == "Pong!"
        assert not list((tmp_path / "files").iterdir())


@pytest.mark.parametrize(
    "sent",
    [
        "FLY /v1/ping HTTP/1.1\r\n\r\n", "get /v1/ping HTTP/1.1\r\n\r\n", "GET /v1/ping HTTP/9.9\r\n\r\n",
        "\x16\x03\x01\x02", "GET /v1/a\0b HTTP/1.1\r\n\r\n",
        "POST /v1/users HTTP/1.1\r\ncontent-length: -5\r\n\r\n", "GET /v1/ping HTTP/1.1\r\nx: a\0b\r\n\r\n",
        "POST /v1/users HTTP/1.1\r\ncontent-length: 3\r\ncontent-length: 4\r\n\r\nabcd",
        "POST /v1/users HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n", "GET http:///v1/ping HTTP/1.1\r\n\r\n",
    ],
)  # fmt: skip
def test_what_is_no_http_is_answered_in_the_envelope(server: Running, sent: str) -> None:
    answer = raw(server, sent)
    envelope = json.loads(answer.partition(b"\r\n\r\n")[2])
    assert (envelope["code"], envelope["type"]) in ((400, "general_bad_request"), (404, "project_not_found"))


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "TRACE", "PURGE", "LINK"])
def test_a_method_a_route_does_not_have_is_not_found(server: Running, method: str) -> None:
    answer = server.send(method, "/ping", {})
    assert (answer.status_code, answer.json()["type"]) == (404, "general_route_not_found")


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "a/b"])
def test_a_body_of_another_kind_is_refused_as_empty(server: Running, kind: str) -> None:
    headers = {"x-appwrite-project": server.project, "x-appwrite-key": server.key, "content-type": kind}
    answer = requests.post(server.endpoint + "/users", data=b"userId=x&email=y", headers=headers, timeout=10)
    assert (answer.status_code, answer.json()["type"]) == (400, "general_argument_invalid")


def test_a_client_that_goes_away_in_the_middle_leaves_nothing(server: Running) -> None:
    storage = Storage(server.client(key=server.key))
    storage.create_bucket("cut", "Cut")
    before = set((server.data / "files").iterdir())
    user = b'{"userId":"cut","name":"half'
    file = b'--x\r\ncontent-disposition: form-data; name="fileId"\r\n\r\ncut\r\n--x\r\ncontent-disposition: form-data; '
    file += b'name="file"; filename="a.bin"\r\n\r\n' + b"a" * 100_000
    for path, headers, body in (
        ("/v1/users", ("content-length: 5000",), user),
        ("/v1/storage/buckets/cut/files", ("content-length: 500000", UPLOAD), file),
    ):
        host, port = server.endpoint.split("/")[2].split(":")
        with sockets.create_connection((host, int(port)), timeout=5) as socket:
            socket.sendall(head_of(server, f"POST {path} HTTP/1.1", *headers).encode() + body)
    assert server.send("GET", "/users/cut", x_appwrite_key=server.key).json()["type"] == "user_not_found"
    assert storage.list_files("cut").total == 0
    assert set((server.data / "files").iterdir()) == before


@settings(max_examples=40)
@given(frames=st.binary(min_size=1, max_size=80))
@example(frames=b"\x81\x82\0\0\0\0\xff\xfe")
@example(frames=b"\x81\xff" + b"\xff" * 8)
@example(frames=b"\x01\xfe\xff\xff\0\0\0\0" + b"a" * 65_535 + b"\x00\xfe\xff\xff\0\0\0\0" + b"a" * 65_535)
@example(frames=b"\x89\xfe\x00\x80\0\0\0\0" + b"a" * 128)
def test_any_bytes_on_a_socket_end_at_most_that_socket(server: Running, frames: bytes) -> None:
    upgrade = (
        "upgrade: websocket", "connection: upgrade", "sec-websocket-version: 13",
        "sec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==",
    )  # fmt: skip
    answer = raw(server, head_of(server, f"GET /v1/realtime?project={server.project} HTTP/1.1", *upgrade), frames)
    assert answer.startswith(b"HTTP/1.1 101 ")
    assert server.send("GET", "/ping").text == "Pong!"
