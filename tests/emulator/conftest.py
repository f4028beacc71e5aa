"""The embedded server as a real process, and official clients for its tests."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests
from appwrite.client import Client
from appwrite.services.account import Account
from appwrite.services.tables_db import TablesDB
from appwrite.services.users import Users
from websockets.sync.client import ClientConnection, connect

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Running:
    """A started server: where it listens, its key with all scopes, its process."""

    endpoint: str
    project: str
    key: str
    process: subprocess.Popen[str]
    data: Path

    def client(self, *, key: str = "", session: str = "", jwt: str = "") -> Client:
        """An official client; a guest's where nothing is given."""
        client = Client()
        client.set_endpoint(self.endpoint).set_project(self.project)
        if key:
            client.set_key(key)
        if session:
            client.set_session(session)
        if jwt:
            client.set_jwt(jwt)
        return client

    def send(self, method: str, path: str, body: object = None, **headers: str) -> requests.Response:
        """A raw request; header names are written with underscores."""
        sent = {"x-appwrite-project": self.project, **_named(headers)}
        return requests.request(method, self.endpoint + path, json=body, headers=sent, timeout=30)

    @contextmanager
    def socket(self, query: str = "", **headers: str) -> Iterator[ClientConnection]:
        """An open realtime socket; `query` follows the project, header names are written with underscores."""
        url = f"{self.endpoint.replace('http', 'ws', 1)}/realtime?project={self.project}{query}"
        with connect(url, additional_headers=_named(headers), ping_interval=None) as socket:
            yield socket


def _named(headers: dict[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in headers.items()}


@dataclass(frozen=True)
class Person:
    """A user of the server and the session it is signed in with."""

    id: str
    session: str
    account: Account
    rows: TablesDB


@contextmanager
def running(data: Path, *arguments: str) -> Iterator[Running]:
    """Start the server on a data folder, and end it with SIGTERM."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "emulator", "--data", str(data), *arguments]
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        ready = json.loads(process.stdout.readline())
        yield Running(ready["endpoint"], ready["project"], ready["key"], process, data)
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(5)
        finally:
            process.kill()
            process.communicate()


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """One server for all tests; each test uses databases, buckets and users of its own."""
    with running(tmp_path_factory.mktemp("appwrite")) as started:
        yield started


@pytest.fixture(scope="session")
def admin(server: Running) -> TablesDB:
    """TablesDB with the key that may do everything."""
    return TablesDB(server.client(key=server.key))


@pytest.fixture
def person(server: Running) -> Callable[..., Person]:
    """Makes a user, signed in."""
    users = Users(server.client(key=server.key))

    def make(**fields: Any) -> Person:
        user = users.create("unique()", **fields)
        session = users.create_session(user.id).secret
        client = server.client(session=session)
        return Person(user.id, session, Account(client), TablesDB(client))

    return make


def hear(socket: ClientConnection) -> dict[str, Any]:
    """The next frame; fails after five seconds."""
    frame: dict[str, Any] = json.loads(socket.recv(timeout=5))
    return frame


def hears_nothing(socket: ClientConnection) -> bool:
    """Whether nothing is queued: the answer to a ping is the next frame, since frames keep their order."""
    socket.send('{"type":"ping"}')
    return hear(socket) == {"type": "pong"}
