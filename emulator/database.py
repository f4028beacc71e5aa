"""One SQLite connection for the whole server, with the settings that keep what was acknowledged."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from emulator import geometry


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
        # What was committed survives the end of this process however it comes: the system has it. NORMAL lets the
        # system bring the log to the disk, so only a power cut can lose the last moments, and never corrupts; FULL
        # would wait for the disk at every write, which costs most of the writes a second. See docs/decisions.md.
        run("PRAGMA synchronous = NORMAL")
        run("PRAGMA temp_store = MEMORY")

        create = self.connection.create_function
        create("shape_distance", 3, _shape_distance, deterministic=True)
        create("shape_intersects", 2, _shape_intersects, deterministic=True)

    def declare(self, statements: str) -> None:
        """Run a module's `CREATE TABLE IF NOT EXISTS` statements; a folder made by an older version gets what is new.

        So a column that was added after the first version needs a default, or may be NULL. Raises sqlite3.Error.
        """
        with contextlib.closing(sqlite3.connect(":memory:")) as wanted:
            wanted.executescript(statements)
            tables = wanted.execute("SELECT name FROM sqlite_schema WHERE type = 'table'").fetchall()
            for (table,) in tables:
                present = {row["name"] for row in self.all(f"PRAGMA table_info({table})")}
                for _, name, kind, required, default, _ in wanted.execute(f"PRAGMA table_info({table})"):
                    if present and name not in present:
                        rule = ("" if default is None else f" DEFAULT {default}") + (" NOT NULL" if required else "")
                        self.connection.execute(f"ALTER TABLE {table} ADD COLUMN {name} {kind}{rule}")
        self.connection.executescript(statements)

    @contextlib.contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """All or nothing; inside another transaction it is part of that one."""
        if self.connection.in_transaction:
            yield self.connection
            return
        self.connection.execute("BEGIN IMMEDIATE")
        try:
            yield self.connection
            self.connection.execute("COMMIT")
        except BaseException:
            with contextlib.suppress(sqlite3.OperationalError):  # SQLite itself has rolled back where the disk is full
                self.connection.execute("ROLLBACK")
            raise

    @contextlib.contextmanager
    def rehearsal(self) -> Iterator[None]:
        """Whatever is written inside can be read inside, and is undone at the end."""
        self.connection.execute("BEGIN")
        try:
            yield
        finally:
            if self.connection.in_transaction:
                self.connection.execute("ROLLBACK")

    @contextlib.contextmanager
    def savepoint(self) -> Iterator[None]:
        """Inside a transaction: all of this part or none of it."""
        self.connection.execute("SAVEPOINT part")
        try:
            yield
        except BaseException:
            self.connection.execute("ROLLBACK TO part")
            self.connection.execute("RELEASE part")
            raise
        self.connection.execute("RELEASE part")

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


def _shape_distance(stored: str | None, given: str, in_metres: int) -> float | None:
    return None if stored is None else geometry.distance(unpack(stored), unpack(given), bool(in_metres))


def _shape_intersects(stored: str | None, given: str) -> bool | None:
    return None if stored is None else geometry.intersect(unpack(stored), unpack(given))


def pack(value: Any) -> str:
    """A JSON value as compact text for a column."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def unpack(stored: str) -> Any:
    """The JSON value of a column."""
    return json.loads(stored)


def quote(identifier: str) -> str:
    """An SQL identifier in quotes, whatever it contains."""
    return '"' + identifier.replace('"', '""') + '"'
