"""The embedded server with the schema in it, and the adapters that are held to their contracts."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from core.adapters.appwrite_client import AppwriteClient
from core.adapters.appwrite_store import AppwriteFiles, AppwriteStore
from scripts.setup_db import SetUp
from tests.emulator.conftest import Running, running


@pytest.fixture(scope="session")
def appwrite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """One server for all contract tests; each test makes videos and files of its own."""
    with running(tmp_path_factory.mktemp("contract")) as server:
        SetUp(client_of(server)).run()
        yield server


def client_of(server: Running, endpoint: str = "") -> AppwriteClient:
    """The service's own client, with the key of the server; `endpoint`: another way to reach it."""
    return AppwriteClient(endpoint or server.endpoint, server.project, server.key)


@pytest.fixture
def store(appwrite: Running) -> AppwriteStore:
    """Documents in the embedded server."""
    return AppwriteStore(client_of(appwrite))


@pytest.fixture
def files(appwrite: Running) -> AppwriteFiles:
    """Files in the embedded server."""
    return AppwriteFiles(client_of(appwrite))
