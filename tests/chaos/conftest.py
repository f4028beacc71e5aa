"""Collects the rows of all chaos suites, and prints them as one table at the end of the run."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.chaos.machine import Machine, machine
from tests.chaos.results import Row, table

_ROWS = pytest.StashKey[list[Row]]()


@pytest.fixture
def record(pytestconfig: pytest.Config) -> Callable[[Row], None]:
    """Put a row into the table. Call it before asserting, so that what broke shows there too."""
    rows = pytestconfig.stash.setdefault(_ROWS, [])
    return rows.append


@pytest.fixture(scope="session")
def quick_machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """One machine for all suites that kill nothing."""
    with machine(tmp_path_factory.mktemp("chaos") / "data") as running:
        yield running


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """The table."""
    rows = config.stash.get(_ROWS, [])
    if rows:
        terminalreporter.section("chaos")
        for line in table(rows):
            terminalreporter.write_line(line)
