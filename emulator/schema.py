"""Databases, tables, columns and indexes: what exists, kept in memory and in SQLite alike."""

from __future__ import annotations

import dataclasses
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from emulator import clock
from emulator.columns import Column
from emulator.database import Database, pack, quote, unpack

TABLES = """
CREATE TABLE IF NOT EXISTS databases (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, name TEXT NOT NULL,
    enabled INTEGER NOT NULL, type TEXT NOT NULL, created_at TEXT NOT NULL, updated_at TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS tables (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT, database_id TEXT NOT NULL, id TEXT NOT NULL, name TEXT NOT NULL,
    enabled INTEGER NOT NULL, row_security INTEGER NOT NULL, permissions TEXT NOT NULL,
    columns TEXT NOT NULL, indexes TEXT NOT NULL, created_at TEXT NOT NULL, updated_at TEXT NOT NULL,
    UNIQUE (database_id, id)
);
"""
ROW_BYTES_MAX = 65_535
_ROW_BYTES_BASE = 1_067  # what real servers need for the system columns
SYSTEM_COLUMNS = ("$sequence", "$id", "$createdAt", "$updatedAt", "$permissions")


@dataclass(frozen=True)
class DatabaseRecord:
    """One database; `type` is tablesdb or legacy."""

    id: str
    name: str
    enabled: bool
    type: str
    created_at: str
    updated_at: str


@dataclass(frozen=True)
class Index:
    """One index; `kind` is key, unique or fulltext."""

    key: str
    kind: str
    columns: tuple[str, ...]
    orders: tuple[str | None, ...]
    lengths: tuple[int, ...]
    created_at: str
    updated_at: str


@dataclass(frozen=True)
class Table:
    """One table, with the SQL that serves its rows.

    Its rows lie in an SQL table of their own, one SQL column per column; `readers` lists who may read which row,
    so that a list for one user is an index lookup.
    """

    sequence: int
    database_id: str
    id: str
    name: str
    enabled: bool
    row_security: bool
    permissions: tuple[str, ...]
    columns: tuple[Column, ...]
    indexes: tuple[Index, ...]
    created_at: str
    updated_at: str

    @property
    def storage(self) -> str:
        """The SQL table of the rows."""
        return f"rows_{self.sequence}"

    @property
    def readers(self) -> str:
        """The SQL table of (role, row sequence)."""
        return f"readers_{self.sequence}"

    @property
    def row_bytes(self) -> int:
        """What a row takes of ROW_BYTES_MAX on a real server."""
        return _ROW_BYTES_BASE + sum(column.row_bytes for column in self.columns)

    @cached_property
    def by_key(self) -> dict[str, Column]:
        """The columns by key."""
        return {column.key: column for column in self.columns}

    @cached_property
    def converters(self) -> list[tuple[str, Callable[[Any], Any] | None]]:
        """Key and conversion of each column, in the order of `select`."""
        return [(column.key, column.from_sql) for column in self.columns]

    @cached_property
    def select(self) -> str:
        """`SELECT system columns, columns FROM storage`."""
        names = ", ".join(quote(name) for name in (*SYSTEM_COLUMNS, *self.by_key))
        return f"SELECT {names} FROM {self.storage}"

    @cached_property
    def insert(self) -> str:
        """INSERT of every column but the sequence, in the order of `select`."""
        names = (*SYSTEM_COLUMNS[1:], *self.by_key)
        marks = ", ".join("?" * len(names))
        return f"INSERT INTO {self.storage} ({', '.join(map(quote, names))}) VALUES ({marks})"

    @cached_property
    def fulltext(self) -> frozenset[str]:
        """The columns that may be searched."""
        return frozenset(key for index in self.indexes if index.kind == "fulltext" for key in index.columns)

    def change(self, **fields: Any) -> Table:
        """A copy with these fields, changed now."""
        return dataclasses.replace(self, updated_at=clock.now_text(), **fields)


class Schema:
    """Every database and table. All changes go through here, so that memory and file agree."""

    def __init__(self, db: Database) -> None:
        self._db = db
        db.declare(TABLES)
        self.databases = {row["id"]: _database(row) for row in db.all("SELECT * FROM databases ORDER BY sequence")}
        rows = db.all("SELECT * FROM tables ORDER BY sequence")
        self.tables = {(row["database_id"], row["id"]): _table(row) for row in rows}

    def tables_of(self, database_id: str) -> list[Table]:
        """The tables of one database, oldest first."""
        return [table for (owner, _), table in self.tables.items() if owner == database_id]

    def save_database(self, record: DatabaseRecord) -> None:
        """Insert or replace a database's record."""
        with self._db.transaction() as connection:
            connection.execute(
                "INSERT INTO databases (id, name, enabled, type, created_at, updated_at) VALUES (?, ?, ?, ?, ?, ?)"
                " ON CONFLICT (id) DO UPDATE SET name = excluded.name, enabled = excluded.enabled,"
                " updated_at = excluded.updated_at",
                dataclasses.astuple(record),
            )
        self.databases[record.id] = record

    def drop_database(self, database_id: str) -> None:
        """Forget a database with everything in it."""
        with self._db.transaction() as connection:
            for table in self.tables_of(database_id):
                self._drop_storage(connection, table)
            connection.execute("DELETE FROM tables WHERE database_id = ?", (database_id,))
            connection.execute("DELETE FROM databases WHERE id = ?", (database_id,))
        for table in self.tables_of(database_id):
            del self.tables[database_id, table.id]
        del self.databases[database_id]

    def add_table(self, table: Table) -> Table:
        """Make a table with its columns and indexes; returns it with its sequence."""
        with self._db.transaction() as connection:
            cursor = connection.execute(
                "INSERT INTO tables (database_id, id, name, enabled, row_security, permissions, columns, indexes,"
                " created_at, updated_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (table.database_id, table.id, table.name, *_stored(table), table.created_at, table.updated_at),
            )
            assert cursor.lastrowid is not None
            table = dataclasses.replace(table, sequence=cursor.lastrowid)
            columns = "".join(f", {quote(column.key)} {column.sql_declaration}" for column in table.columns)
            connection.execute(
                f'CREATE TABLE {table.storage} ("$sequence" INTEGER PRIMARY KEY AUTOINCREMENT,'
                f' "$id" TEXT NOT NULL UNIQUE, "$createdAt" TEXT NOT NULL, "$updatedAt" TEXT NOT NULL,'
                f' "$permissions" TEXT NOT NULL{columns})'
            )
            connection.execute(
                f"CREATE TABLE {table.readers} (role TEXT NOT NULL, row INTEGER NOT NULL, PRIMARY KEY (role, row))"
                " WITHOUT ROWID"
            )
            connection.execute(f"CREATE INDEX {table.readers}_by_row ON {table.readers} (row)")
            for index in table.indexes:
                self._create_index(connection, table, index)
        self.tables[table.database_id, table.id] = table
        return table

    def save_table(self, table: Table, *statements: str) -> None:
        """Store a changed table together with the SQL that changes its storage."""
        with self._db.transaction() as connection:
            for statement in statements:
                connection.execute(statement)
            connection.execute(
                "UPDATE tables SET name = ?, enabled = ?, row_security = ?, permissions = ?, columns = ?, indexes = ?,"
                " updated_at = ? WHERE sequence = ?",
                (table.name, *_stored(table), table.updated_at, table.sequence),
            )
        self.tables[table.database_id, table.id] = table

    def drop_table(self, table: Table) -> None:
        """Forget a table with its rows."""
        with self._db.transaction() as connection:
            self._drop_storage(connection, table)
            connection.execute("DELETE FROM tables WHERE sequence = ?", (table.sequence,))
        del self.tables[table.database_id, table.id]

    def longest(self, table: Table, column: Column) -> int:
        """The characters of the longest text in a column."""
        name, each = quote(column.key), f"FROM {table.storage}"
        if column.array:
            sql = f"SELECT max(length(item.value)) AS n {each}, json_each({name}) AS item"
        else:
            sql = f"SELECT max(length({name})) AS n {each}"
        row = self._db.one(sql)
        return int(row["n"] or 0) if row is not None else 0

    def add_index(self, table: Table, index: Index) -> Table:
        """Make an index. Raises sqlite3.IntegrityError where rows break its uniqueness."""
        changed = table.change(indexes=(*table.indexes, index))
        with self._db.transaction() as connection:
            self._create_index(connection, table, index)
            self.save_table(changed)
        return changed

    def drop_index(self, table: Table, index: Index) -> None:
        """Forget an index."""
        kept = tuple(each for each in table.indexes if each.key != index.key)
        self.save_table(table.change(indexes=kept), f"DROP INDEX IF EXISTS {_index_name(table, index)}")

    @staticmethod
    def _create_index(connection: sqlite3.Connection, table: Table, index: Index) -> None:
        if index.kind == "fulltext":
            return  # searched by reading: tables here are small
        orders = [*index.orders, *(None for _ in index.columns)]
        parts = [quote(key) + (" DESC" if orders[i] == "DESC" else "") for i, key in enumerate(index.columns)]
        unique = "UNIQUE " if index.kind == "unique" else ""
        connection.execute(f"CREATE {unique}INDEX {_index_name(table, index)} ON {table.storage} ({', '.join(parts)})")

    @staticmethod
    def _drop_storage(connection: sqlite3.Connection, table: Table) -> None:
        connection.execute(f"DROP TABLE {table.storage}")
        connection.execute(f"DROP TABLE {table.readers}")


def _index_name(table: Table, index: Index) -> str:
    return quote(f"index_{table.sequence}_{index.key}")


def _stored(table: Table) -> tuple[int, int, str, str, str]:
    return (
        int(table.enabled),
        int(table.row_security),
        pack(table.permissions),
        pack([dataclasses.asdict(column) for column in table.columns]),
        pack([dataclasses.asdict(index) for index in table.indexes]),
    )


def _database(row: sqlite3.Row) -> DatabaseRecord:
    return DatabaseRecord(
        row["id"], row["name"], bool(row["enabled"]), row["type"], row["created_at"], row["updated_at"]
    )


def _table(row: sqlite3.Row) -> Table:
    return Table(
        sequence=row["sequence"],
        database_id=row["database_id"],
        id=row["id"],
        name=row["name"],
        enabled=bool(row["enabled"]),
        row_security=bool(row["row_security"]),
        permissions=tuple(unpack(row["permissions"])),
        columns=tuple(Column(**_tuples(each)) for each in unpack(row["columns"])),
        indexes=tuple(Index(**_tuples(each)) for each in unpack(row["indexes"])),
        created_at=row["created_at"],
        updated_at=row["updated_at"],
    )


def _tuples(fields: dict[str, Any]) -> dict[str, Any]:
    """JSON has no tuples; a column's default may be any value and stays as it is."""
    return {name: tuple(v) if isinstance(v, list) and name != "default" else v for name, v in fields.items()}
