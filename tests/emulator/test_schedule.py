"""Cron expressions and executions set for later, by a clock that stands just before the minute."""

from __future__ import annotations

import asyncio
import datetime as dt
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from emulator import executions, functions
from emulator.database import Database
from emulator.schedule import Schedule, next_time


def moment(text: str) -> dt.datetime:
    return dt.datetime.fromisoformat(text + "+00:00")


@pytest.mark.parametrize(
    ("expression", "after", "expected"),
    [
        ("* * * * *", "2026-11-20T10:00:00", "2026-11-20T10:01:00"),
        ("*/5 * * * *", "2026-11-20T10:04:59", "2026-11-20T10:05:00"),
        ("0 9 * * MON", "2026-11-20T10:00:00", "2026-11-23T09:00:00"),
        ("0 0 29 2 *", "2026-11-20T10:00:00", "2028-02-29T00:00:00"),
    ],
)
def test_a_cron_expression_names_its_next_moment(expression: str, after: str, expected: str) -> None:
    assert next_time(expression, moment(after)) == moment(expected)


@pytest.mark.parametrize("expression", ["", "* * * *", "* * * * * *", "60 * * * *", "a b c d e", "0 0 31 2 *"])
def test_what_names_no_moment_is_refused(expression: str) -> None:
    with pytest.raises(ValueError, match="cron"):
        next_time(expression, moment("2026-11-20T10:00:00"))


@pytest.fixture
def db(tmp_path: Path) -> Database:
    db = Database(tmp_path / "db.sqlite")
    db.declare(functions.TABLES)
    db.declare(executions.TABLES)
    return db


def add_function(db: Database, function_id: str, schedule: str, enabled: bool = True) -> None:
    db.connection.execute(
        "INSERT INTO functions (id, name, runtime, execute, events, schedule, timeout, enabled, logging, entrypoint,"
        " commands, scopes, specification, created_at, updated_at)"
        " VALUES (?, '', '', '[]', '[]', ?, 15, ?, 1, '', '', '[]', '', '', '')",
        (function_id, schedule, enabled),
    )


def add_execution(db: Database, execution_id: str, scheduled_at: str) -> None:
    db.connection.execute(
        "INSERT INTO executions VALUES (NULL, ?, 'f', '', '', 'schedule', 'scheduled', 'POST', '/', '[]', 0, '[]', '',"
        " '', 0, ?, '', '', '{}')",
        (execution_id, scheduled_at),
    )


def play(db: Database, until: Callable[[list[str]], bool], then: Callable[[Schedule], None] | None = None) -> list[str]:
    """What the schedule runs, by a clock that shows 0.3 s before a full minute at the start."""
    begun = time.monotonic()
    start = moment("2026-11-20T09:59:59") + dt.timedelta(seconds=0.7)
    ran: list[str] = []

    def now() -> dt.datetime:
        return start + dt.timedelta(seconds=time.monotonic() - begun)

    def run_execution(execution_id: str) -> None:
        db.connection.execute("UPDATE executions SET status = 'waiting' WHERE id = ?", (execution_id,))
        ran.append(execution_id)

    async def story() -> None:
        schedule = Schedule(db, ran.append, run_execution, now)
        task = asyncio.create_task(schedule.run())
        await asyncio.sleep(0)
        if then is not None:
            then(schedule)
        deadline = time.monotonic() + 10
        while not until(ran):
            assert time.monotonic() < deadline, f"only {ran} ran"
            await asyncio.sleep(0.01)
        task.cancel()

    asyncio.run(story())
    assert now() >= moment("2026-11-20T10:00:00")
    return ran


def test_functions_run_at_the_minute_their_schedule_names_and_once(db: Database) -> None:
    add_function(db, "minutely", "* * * * *")
    add_function(db, "at ten", "0 10 * * *")
    add_function(db, "at eleven", "0 11 * * *")
    add_function(db, "disabled", "* * * * *", enabled=False)
    assert sorted(play(db, lambda ran: len(ran) >= 2)) == ["at ten", "minutely"]


def test_a_function_made_meanwhile_is_not_overlooked(db: Database) -> None:
    def then(schedule: Schedule) -> None:
        add_function(db, "new", "* * * * *")
        schedule.changed()

    assert play(db, lambda ran: ran == ["new"], then) == ["new"]


def test_executions_run_when_their_time_has_come(db: Database) -> None:
    add_execution(db, "overdue", "2026-11-20T08:00:00.000+00:00")
    add_execution(db, "soon", "2026-11-20T10:00:00.000+00:00")
    add_execution(db, "late", "2026-11-20T12:00:00.000+00:00")
    assert play(db, lambda ran: len(ran) == 2) == ["overdue", "soon"]
