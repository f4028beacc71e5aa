"""When scheduled things are due: cron expressions of functions, and executions set for a later time."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
from collections.abc import Callable

from cronsim import CronSim, CronSimError

from emulator.database import Database

LONGEST_WAIT_S = 60.0  # a suspended machine's timers stand still; so often the wall clock is read again


def next_time(expression: str, after: dt.datetime) -> dt.datetime:
    """The first moment later than `after` that a five-field cron expression names, in UTC.

    Raises ValueError where the expression is none, or names no moment at all.
    """
    if len(expression.split()) != 5:
        raise ValueError("a cron expression has five fields")
    try:
        return next(CronSim(expression, after))
    except (CronSimError, StopIteration):
        raise ValueError("not a cron expression, or one that names no moment") from None


class Schedule:
    """Calls `run_function` at every moment a function's cron expression names, and `run_execution` when one is due.

    Moments that passed while the server was down are not made up for; executions set for a time then are run at once.
    """

    def __init__(
        self,
        db: Database,
        run_function: Callable[[str], None],
        run_execution: Callable[[str], None],
        now: Callable[[], dt.datetime] = lambda: dt.datetime.now(dt.UTC),
    ) -> None:
        self._db, self._run_function, self._run_execution, self._now = db, run_function, run_execution, now
        self._due: dict[str, tuple[str, dt.datetime]] = {}
        self._changed = asyncio.Event()

    def changed(self) -> None:
        """Something about functions or scheduled executions changed: look again."""
        self._changed.set()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            self._changed.clear()
            wait = self._run_due(self._now())
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), wait)

    def _run_due(self, now: dt.datetime) -> float:
        """Runs what is due; returns the seconds until the next look."""
        self._read_functions(now)
        for function_id, (expression, moment) in list(self._due.items()):
            if moment <= now:
                self._due[function_id] = (expression, next_time(expression, now))
                self._run_function(function_id)
        rows = self._db.all(
            "SELECT id, scheduled_at FROM executions WHERE status = 'scheduled' ORDER BY scheduled_at LIMIT 100"
        )
        moments = [moment for _, moment in self._due.values()]
        for row in rows:
            moment = dt.datetime.fromisoformat(row["scheduled_at"])
            if moment <= now:
                self._run_execution(row["id"])
            else:
                moments.append(moment)
        return min([LONGEST_WAIT_S, *(max(0.0, (moment - now).total_seconds()) for moment in moments)])

    def _read_functions(self, now: dt.datetime) -> None:
        rows = self._db.all("SELECT id, schedule FROM functions WHERE schedule <> '' AND enabled")
        current = {row["id"]: row["schedule"] for row in rows}
        kept = {id_: due for id_, due in self._due.items() if current.get(id_) == due[0]}
        fresh = {id_: (text, next_time(text, now)) for id_, text in current.items() if id_ not in kept}
        self._due = {**kept, **fresh}
