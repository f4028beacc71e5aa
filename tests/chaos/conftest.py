"""Collects the rows of all chaos suites, and prints them as one table at the end of the run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict

import pytest

from tests.chaos.machine import Machine, machine
from tests.chaos.results import Row, table

_ROW = "chaos"  # property of a test's report: it travels from the process that ran the test to the one that reports


@pytest.fixture
def record(request: pytest.FixtureRequest) -> Callable[[Row], None]:
    """Put a row into the table. Call it before asserting, so that what broke shows there too."""
    return lambda row: request.node.user_properties.append((_ROW, asdict(row)))


@pytest.fixture(scope="session")
def quick_machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """One machine for all suites that kill nothing."""
    with machine(tmp_path_factory.mktemp("chaos") / "data") as running:
        yield running


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """The table."""
    reports = [report for kind in ("passed", "failed") for report in terminalreporter.stats.get(kind, [])]
    told = [value for r in reports if r.when == "call" for name, value in r.user_properties if name == _ROW]
    rows = sorted((Row(**value) for value in told), key=lambda row: (row.suite, row.seed))
    if rows:
        terminalreporter.section("chaos")
        for line in table(rows):
            terminalreporter.write_line(line)
