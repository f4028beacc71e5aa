"""A real Appwrite, given by the environment, in the place of the embedded server; what the tests make is deleted."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from scripts.setup_db import SetUp
from tests.contract.conftest import client_of, files, store
from tests.emulator.conftest import Running, admin, person
from tests.namespace import namespace

__all__ = ["admin", "files", "person", "store"]

NAMES = ("APPWRITE_ENDPOINT", "APPWRITE_PROJECT_ID", "APPWRITE_API_KEY")


@dataclass(frozen=True)
class Foreign(Running):
    """A server that somebody else runs: it has no process and no folder here."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark all that lies here, and skip it where no server is named."""
    missing = [name for name in NAMES if not os.environ.get(name)]
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.live)
            if missing:
                item.add_marker(pytest.mark.skip(reason=f"needs a real Appwrite: set {', '.join(missing)}"))


@pytest.fixture(scope="session")
def server() -> Iterator[Running]:
    """The named server, seen through names of our own."""
    endpoint, project, key = (os.environ[name] for name in NAMES)
    with namespace(endpoint.rstrip("/"), project, key) as names:
        yield Foreign(names.endpoint, project, key, None, Path("/nonexistent"))  # type: ignore[arg-type]


@pytest.fixture(scope="session")
def appwrite(server: Running) -> Running:
    """The same with the schema in it."""
    SetUp(client_of(server)).run()
    return server


@pytest.fixture
def make_key() -> Callable[..., str]:
    """Keys of a real server are made in its Console."""
    pytest.skip("a real server's keys are made in its Console")
