"""Writes that wait in a transaction: kept until its end, seen by its own reads, done all at once at its commit."""

from __future__ import annotations

import dataclasses
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from emulator import clock
from emulator.access import Access
from emulator.auth import Caller
from emulator.database import Database, pack, unpack
from emulator.errors import AppwriteError
from emulator.families import Family
from emulator.operations import EVENTS, Operation, Row, perform
from emulator.server import Server

TABLES = """
CREATE TABLE IF NOT EXISTS transactions (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, owner TEXT NOT NULL, status TEXT NOT NULL,
    operations INTEGER NOT NULL, created_at TEXT NOT NULL, updated_at TEXT NOT NULL, expires_at TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS transaction_operations (
    sequence INTEGER PRIMARY KEY, transaction_id TEXT NOT NULL, database_id TEXT NOT NULL, table_id TEXT NOT NULL,
    operation TEXT NOT NULL, versions TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS operations_of_transaction ON transaction_operations (transaction_id);
"""
OPERATIONS_MAX = 100  # in one transaction
# A counter may move in between: what is added is added to whatever is there.
_COMMUTING = frozenset({"increment", "decrement"})


@dataclass(frozen=True)
class Client:
    """Who reads or commits, and in which words: what an Access needs beside the table."""

    server: Server
    caller: Caller
    family: Family
    numeric_sequence: bool

    def access(self, database_id: str, table_id: str) -> Access:
        """Raises database_not_found, table_not_found."""
        return Access(self.server, self.caller, self.family, database_id, table_id, self.numeric_sequence)

    @classmethod
    def of(cls, access: Access) -> Client:
        """The client behind an access."""
        return cls(access.server, access.caller, access.family, access.numeric_sequence)


@dataclass(frozen=True)
class _Kept:
    """An operation as it waits; `versions`: `$updatedAt` of the rows it touches as they were committed ("": none)."""

    database_id: str
    table_id: str
    operation: Operation
    versions: dict[str, str]


def find(db: Database, caller: Caller, transaction_id: object) -> sqlite3.Row:
    """The transaction, which only a key and the user who began it can see. Raises transaction_not_found."""
    row = None
    if isinstance(transaction_id, str):
        row = db.one("SELECT * FROM transactions WHERE id = ?", (transaction_id,))
    if row is None or not (caller.is_key or (caller.user_id and caller.user_id == row["owner"])):
        raise AppwriteError("transaction_not_found", f"Transaction '{transaction_id}' was not found.")
    return row


def open_transaction(db: Database, caller: Caller, transaction_id: object) -> sqlite3.Row:
    """The transaction, which must still wait. Raises transaction_not_found, _not_ready, _expired."""
    row = find(db, caller, transaction_id)
    if row["status"] != "pending":
        raise AppwriteError("transaction_not_ready", f"The transaction is {row['status']}, not pending.")
    if row["expires_at"] <= clock.now_text():
        raise AppwriteError("transaction_expired", "The transaction has expired. Begin a new one.")
    return row


@contextmanager
def seen_from(access: Access, transaction_id: object) -> Iterator[None]:
    """Inside, rows are read as they would be after the commit; at once where no transaction is named."""
    if not transaction_id:
        yield
        return
    transaction = open_transaction(access.db, access.caller, transaction_id)
    with access.db.rehearsal():
        _rehearse(Client.of(access), transaction["id"])
        yield


def stage(access: Access, operation: Operation, transaction_id: object) -> list[Row]:
    """Keep one operation for the commit, if it can be done; returns the rows as they would become.

    Raises what the operation itself raises, transaction_not_found, _not_ready, _expired, _limit_exceeded.
    """
    transaction = open_transaction(access.db, access.caller, transaction_id)
    with access.db.rehearsal():
        _rehearse(Client.of(access), transaction["id"])
        rows = perform(access, operation)
    keep(transaction, [(access, operation, {row["$id"] for row in rows})], access.db)
    return rows


def stage_unseen(client: Client, operations: Iterable[tuple[Access, Operation]], transaction_id: object) -> None:
    """Keep operations whose data is only checked at the commit. Raises as `stage` does, but for what they raise."""
    db = client.server.db
    transaction = open_transaction(db, client.caller, transaction_id)
    kept = []
    with db.rehearsal():
        _rehearse(client, transaction["id"])
        for access, operation in operations:
            rows = _attempt(access, operation, raising="user_unauthorized")
            kept.append((access, operation, {row["$id"] for row in rows} or {operation.row_id} - {""}))
    keep(transaction, kept, db)


def keep(transaction: sqlite3.Row, operations: list[tuple[Access, Operation, set[str]]], db: Database) -> None:
    """Store operations with the committed versions of the rows they touch. Raises transaction_limit_exceeded."""
    if transaction["operations"] + len(operations) > OPERATIONS_MAX:
        raise AppwriteError("transaction_limit_exceeded", f"A transaction holds at most {OPERATIONS_MAX} operations.")
    with db.transaction() as connection:
        for access, operation, touched in operations:
            versions = _versions(access, touched) if operation.action not in _COMMUTING else {}
            written = pack(dataclasses.asdict(dataclasses.replace(operation, seen="")))
            connection.execute(
                "INSERT INTO transaction_operations (transaction_id, database_id, table_id, operation, versions)"
                " VALUES (?, ?, ?, ?, ?)",
                (transaction["id"], access.database_id, access.table.id, written, pack(versions)),
            )
        connection.execute(
            "UPDATE transactions SET operations = operations + ?, updated_at = ? WHERE id = ?",
            (len(operations), clock.after(transaction["updated_at"]), transaction["id"]),
        )


def commit(client: Client, transaction_id: object) -> None:
    """Do everything that waits, all or nothing, then tell the listeners.

    Raises transaction_conflict where a row was changed meanwhile or exists already, and what the operations raise; the
    transaction has failed then.
    """
    db = client.server.db
    transaction = open_transaction(db, client.caller, transaction_id)
    written: list[tuple[Access, Operation, list[Row]]] = []
    try:
        with db.transaction():
            waiting = [(client.access(each.database_id, each.table_id), each) for each in _kept(db, transaction["id"])]
            for access, each in waiting:
                if _versions(access, each.versions) != each.versions:
                    raise _conflict()
            for access, each in waiting:
                written.append((access, each.operation, perform(access, each.operation)))
            end(db, transaction, "committed")
    except AppwriteError as error:
        end(db, transaction, "failed")
        raise _conflict() if error.type.endswith("_already_exists") else error from None
    for access, operation, rows in written:
        for row in rows:
            access.publish(EVENTS[operation.action], row)


def end(db: Database, transaction: sqlite3.Row, status: str) -> None:
    """Let a transaction be committed or failed, and forget what waited in it."""
    with db.transaction() as connection:
        connection.execute(
            "UPDATE transactions SET status = ?, updated_at = ? WHERE id = ?",
            (status, clock.after(transaction["updated_at"]), transaction["id"]),
        )
        connection.execute("DELETE FROM transaction_operations WHERE transaction_id = ?", (transaction["id"],))


def forget(db: Database, transaction_ids: Iterable[str]) -> None:
    """Delete transactions with what waits in them."""
    given = [(transaction_id,) for transaction_id in transaction_ids]
    with db.transaction() as connection:
        connection.executemany("DELETE FROM transaction_operations WHERE transaction_id = ?", given)
        connection.executemany("DELETE FROM transactions WHERE id = ?", given)


def _kept(db: Database, transaction_id: str) -> list[_Kept]:
    rows = db.all("SELECT * FROM transaction_operations WHERE transaction_id = ? ORDER BY sequence", (transaction_id,))
    return [
        _Kept(row["database_id"], row["table_id"], Operation(**unpack(row["operation"])), unpack(row["versions"]))
        for row in rows
    ]


def _rehearse(client: Client, transaction_id: str) -> None:
    """Do what waits, as far as it can be done."""
    for each in _kept(client.server.db, transaction_id):
        try:
            access = client.access(each.database_id, each.table_id)
        except AppwriteError:
            continue  # its table is gone, which the commit will say
        _attempt(access, each.operation)


def _attempt(access: Access, operation: Operation, raising: str = "") -> list[Row]:
    """The rows written, none where it cannot be done; `raising`: the type of error that is not passed over."""
    try:
        with access.db.savepoint():
            return perform(access, operation)
    except AppwriteError as error:
        if error.type == raising:
            raise
        return []


def _versions(access: Access, row_ids: Iterable[str]) -> dict[str, Any]:
    """`$updatedAt` of each of these rows, "" where there is none."""
    sql = f'SELECT "$updatedAt" AS version FROM {access.table.storage} WHERE "$id" = ?'
    rows = {row_id: access.db.one(sql, (row_id,)) for row_id in row_ids}
    return {row_id: "" if row is None else row["version"] for row_id, row in rows.items()}


def _conflict() -> AppwriteError:
    return AppwriteError("transaction_conflict", "A row of the transaction was changed meanwhile. Begin a new one.")
