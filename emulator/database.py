"""One SQLite connection for the whole server, with the settings that keep what was acknowledged."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


class Database:
    """The store of everything but file contents.

    Handlers run on one event loop and every write is short, so one connection needs no lock of ours.
    """

    def __init__(self, path: Path) -> None:
        # Autocommit: transactions are opened by `transaction` alone, never by the driver behind our back.
        self.connection = sqlite3.connect(path, isolation_level=None, cached_statements=512)
        self.connection.row_factory = sqlite3.Row
        run = self.connection.execute
        run("PRAGMA busy_timeout = 5000")  # first: the next lines already need the file another process may hold
        run("PRAGMA journal_mode = WAL")  # readers (a backup, a curious person) never block the writer
        # A killed process loses nothing with NORMAL; only a power cut can lose the last moments, and never corrupts.
        run("PRAGMA synchronous = NORMAL")
        run("PRAGMA temp_store = MEMORY")

    def declare(self, statements: str) -> None:
        """Run a module's `CREATE TABLE IF NOT EXISTS` statements."""
        self.connection.executescript(statements)

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """All or nothing; inside another transaction it is part of that one."""
        if self.connection.in_transaction:
            yield self.connection
            return
        self.connection.execute("BEGIN IMMEDIATE")
        try:
            yield self.connection
        except BaseException:
            self.connection.execute("ROLLBACK")
            raise
        self.connection.execute("COMMIT")

    def one(self, sql: str, parameters: tuple[Any, ...] | dict[str, Any] = ()) -> sqlite3.Row | None:
        """The first row of the answer, or None."""
        row: sqlite3.Row | None = self.connection.execute(sql, parameters).fetchone()
        return row

    def all(self, sql: str, parameters: tuple[Any, ...] | dict[str, Any] = ()) -> list[sqlite3.Row]:
        """Every row of the answer."""
        return self.connection.execute(sql, parameters).fetchall()

    def close(self) -> None:
        """Fold the log into the main file and close it."""
        self.connection.close()


def pack(value: Any) -> str:
    """A JSON value as compact text for a column."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def unpack(stored: str) -> Any:
    """The JSON value of a column."""
    return json.loads(stored)


def quote(identifier: str) -> str:
    """An SQL identifier in quotes, whatever it contains."""
    return '"' + identifier.replace('"', '""') + '"'
