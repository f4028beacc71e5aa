"""What happened, under every name and channel a listener may use for it, and the bus that carries it."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Event:
    """One committed change.

    `names`: the full name first, then each shorter and starred form. `channels`: where realtime clients listen.
    `payload`: the answer's body of the request that made the change. `roles`: who may learn of it.
    `user_id`: whose request it was, "" for a key.
    """

    names: tuple[str, ...]
    channels: tuple[str, ...]
    payload: dict[str, Any]
    roles: frozenset[str]
    user_id: str = ""


Receiver = Callable[[Event], Awaitable[None] | None]


class Bus:
    """Hands every published event to every receiver; a failing receiver harms neither the writer nor the others."""

    def __init__(self) -> None:
        self._receivers: list[Receiver] = []
        self._running: set[asyncio.Future[None]] = set()

    def subscribe(self, receiver: Receiver) -> None:
        """`receiver` is called, or awaited in the background, for each event from now on."""
        self._receivers.append(receiver)

    def publish(self, event: Event) -> None:
        """To be called after the commit, on the event loop."""
        for receiver in self._receivers:
            try:
                result = receiver(event)
            except Exception:
                log.exception("an event receiver failed")
                continue
            if inspect.isawaitable(result):
                task = asyncio.ensure_future(result)
                self._running.add(task)
                task.add_done_callback(self._finished)

    def _finished(self, task: asyncio.Future[None]) -> None:
        self._running.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.error("an event receiver failed", exc_info=task.exception())


def row_event(
    family: str,
    database: str,
    table: str,
    row: str,
    *,
    action: str,
    payload: dict[str, Any],
    roles: frozenset[str],
    user_id: str = "",
) -> Event:
    """A row was made, changed or deleted.

    `family`: the type of its database, "tablesdb" or "legacy"; `action`: create, update, upsert or delete.
    """
    return Event(
        names=_row_names(family == "tablesdb", database, table, row, action),
        channels=_row_channels(database, table, row, action),
        payload=payload,
        roles=roles,
        user_id=user_id,
    )


def file_event(
    bucket: str, file: str, *, action: str, payload: dict[str, Any], roles: frozenset[str], user_id: str = ""
) -> Event:
    """A file was completed, changed or deleted; `action`: create, update or delete."""
    channels = ("files", f"buckets.{bucket}.files", f"buckets.{bucket}.files.{file}")
    return Event(
        names=_pair_names("buckets", bucket, "files", file, action),
        channels=_with_action(channels, action),
        payload=payload,
        roles=roles,
        user_id=user_id,
    )


def execution_event(
    project: str, function: str, execution: str, *, action: str, payload: dict[str, Any], roles: frozenset[str]
) -> Event:
    """An execution was created or ended; `action`: create or update. The project's console hears of it too."""
    console = ("console", f"projects.{project}")
    own = ("executions", f"executions.{execution}", f"functions.{function}")
    return Event(
        names=_pair_names("functions", function, "executions", execution, action),
        channels=console + _with_action(own, action),
        payload=payload,
        roles=roles,
    )


def user_event(user: str, action: str, what: str = "", *, payload: dict[str, Any]) -> Event:
    """An account was made, changed or deleted; `what` names the changed part of an update."""
    paths = (f".{action}", f".{action}.{what}", "") if what else (f".{action}", "")
    return Event(
        names=tuple(f"users.{who}{path}" for path in paths for who in (user, "*")),
        channels=_with_action(("account", f"account.{user}"), action),
        payload=payload,
        roles=frozenset({f"user:{user}"}),
    )


def session_event(user: str, session: str, *, action: str, payload: dict[str, Any]) -> Event:
    """A session was created or deleted."""
    return Event(
        names=_pair_names("users", user, "sessions", session, action),
        channels=("account", f"account.{user}"),
        payload=payload,
        roles=frozenset({f"user:{user}"}),
    )


def team_event(team: str, *, action: str, payload: dict[str, Any]) -> Event:
    """A team was made, changed or deleted; its members hear of it."""
    return Event(
        names=tuple(f"teams.{which}{end}" for end in (f".{action}", "") for which in (team, "*")),
        channels=_with_action(("teams", f"teams.{team}"), action),
        payload={**payload, "prefs": payload["prefs"] or []},  # PHP writes its empty map as a list here
        roles=frozenset({f"team:{team}"}),
    )


def membership_event(team: str, membership: str, *, action: str, payload: dict[str, Any]) -> Event:
    """A membership was made, changed or deleted; `payload` names its user."""
    return Event(
        names=_pair_names("teams", team, "memberships", membership, action),
        channels=_with_action(("memberships", f"memberships.{membership}"), action),
        payload=payload,
        roles=frozenset({f"team:{team}"}),
    )


def _with_action(channels: Iterable[str], action: str) -> tuple[str, ...]:
    plain = tuple(channels)
    return plain + tuple(f"{channel}.{action}" for channel in plain)


def _row_channels(database: str, table: str, row: str, action: str) -> tuple[str, ...]:
    return _with_action(
        (
            "documents",
            f"databases.{database}.collections.{table}.documents",
            f"databases.{database}.collections.{table}.documents.{row}",
            "rows",
            f"databases.{database}.tables.{table}.rows",
            f"databases.{database}.tables.{table}.rows.{row}",
            f"tablesdb.{database}.tables.{table}.rows",
            f"tablesdb.{database}.tables.{table}.rows.{row}",
        ),
        action,
    )


def _row_names(tablesdb: bool, database: str, table: str, row: str, action: str) -> tuple[str, ...]:
    families = [("databases", "collections", "documents"), ("databases", "tables", "rows")]
    if tablesdb:
        families.insert(0, ("tablesdb", "tables", "rows"))
    triples = (
        (database, table, row), ("*", "*", "*"), ("*", table, row), (database, "*", row),
        ("*", "*", row), (database, table, "*"), ("*", table, "*"), (database, "*", "*"),
    )  # fmt: skip
    whole = [f"{a}.{d}.{b}.{t}.{c}.{r}" for d, t, r in triples for a, b, c in families]
    pairs = ((database, table), ("*", "*"), ("*", table), (database, "*"))
    names = [f"{name}.{action}" for name in whole]
    names += whole
    names += [f"{a}.{d}.{b}.{t}" for d, t in pairs for a, b, _ in families]
    names += [f"{a}.{d}" for d in (database, "*") for a in dict.fromkeys(family[0] for family in families)]
    return tuple(names)


def _pair_names(outer: str, parent: str, inner: str, child: str, action: str) -> tuple[str, ...]:
    pairs = ((parent, child), ("*", "*"), (parent, "*"), ("*", child))
    whole = [f"{outer}.{p}.{inner}.{c}" for p, c in pairs]
    return (*(f"{name}.{action}" for name in whole), *whole, f"{outer}.{parent}", f"{outer}.*")
