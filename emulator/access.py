"""One request on one table: who asks, in which words, what it may see; and the reading of rows."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from typing import Any, Literal

from starlette.requests import Request

from emulator import permissions, wire
from emulator.auth import Caller
from emulator.database import Database, unpack
from emulator.errors import AppwriteError
from emulator.events import row_event
from emulator.families import Family, family_of
from emulator.queries import Plan, after_cursor, order_by
from emulator.schema import Table
from emulator.server import Server, server_of

TOTAL_MAX = 5_000  # Appwrite counts no further
Action = Literal["create", "read", "update", "delete"]


class Access:
    """One request on one table: who asks, in which words, and what it may see."""

    def __init__(
        self, server: Server, caller: Caller, family: Family, database_id: str, table_id: str, numeric_sequence: bool
    ) -> None:
        self.server = server
        self.caller = caller
        self.family = family
        self.database_id = database_id
        database = server.schema.databases.get(self.database_id)
        if database is None or not (database.enabled or caller.is_key):
            raise AppwriteError("database_not_found", f"Database '{self.database_id}' was not found.")
        table = server.schema.tables.get((self.database_id, table_id))
        if table is None or not (table.enabled or caller.is_key):
            raise self.family.not_found("table", table_id)
        self.database_type = database.type
        self.table: Table = table
        self.numeric_sequence = numeric_sequence

    @classmethod
    def of(cls, request: Request, caller: Caller) -> Access:
        """The access to the table that the request's path names. Raises database_not_found, table_not_found."""
        place = request.path_params
        return cls(
            server_of(request), caller, family_of(request), place["database"], place["table"], old_sequence(request)
        )

    @property
    def db(self) -> Database:
        """The store."""
        return self.server.db

    def table_allows(self, action: Action) -> bool:
        """Whether the caller may do this to every row."""
        return self.caller.is_key or permissions.allows(self.table.permissions, action, self.caller.roles)

    def row_allows(self, row: Mapping[str, Any], action: Action) -> bool:
        """Whether the caller may do this to this row."""
        return self.table_allows(action) or (
            self.table.row_security and permissions.allows(row["$permissions"], action, self.caller.roles)
        )

    def find(self, row_id: str) -> dict[str, Any] | None:
        """The row of this id, whoever asks."""
        found = self.db.one(f'{self.table.select} WHERE "$id" = ?', (row_id,))
        return None if found is None else read_row(self.table, found)

    def existing(self, row_id: str, action: Action) -> dict[str, Any]:
        """The row of this id, which the caller wants to change. Raises row_not_found, user_unauthorized."""
        row = self.find(row_id)
        if row is None:
            raise self.family.not_found("row", row_id)
        if not self.row_allows(row, action):
            raise unauthorized()
        return row

    def show(self, row: Mapping[str, Any], select: frozenset[str] | None = None) -> dict[str, Any]:
        """The row as this client sees it."""
        shown = {key: value for key, value in row.items() if select is None or key[0] == "$" or key in select}
        shown["$sequence"] = row["$sequence"] if self.numeric_sequence else str(row["$sequence"])
        shown["$databaseId"] = self.database_id
        shown[f"${self.family.table}Id"] = self.table.id
        return shown

    def publish(self, action: str, row: Mapping[str, Any]) -> dict[str, Any]:
        """Tell the listeners of a committed write; returns the row as shown."""
        shown = self.show(row)
        readers = permissions.roles(self.table.permissions, "read")
        if self.table.row_security:
            readers |= permissions.roles(row["$permissions"], "read")
        event = row_event(
            self.database_type,
            self.database_id,
            self.table.id,
            row["$id"],
            action=action,
            payload=shown,
            roles=readers,
            user_id=self.caller.user_id,
        )
        self.server.bus.publish(event)
        return shown


def old_sequence(request: Request) -> bool:
    """Whether this client knows `$sequence` as a number."""
    return wire.response_format(request) < (1, 9)


def read_row(table: Table, stored: sqlite3.Row) -> dict[str, Any]:
    """A stored row as JSON values, system columns included; `$sequence` is an int."""
    sequence, row_id, created, updated, granted, *values = stored
    row = {
        key: value if convert is None else convert(value)
        for (key, convert), value in zip(table.converters, values, strict=True)
    }
    row["$id"], row["$sequence"], row["$createdAt"], row["$updatedAt"] = row_id, sequence, created, updated
    row["$permissions"] = unpack(granted)
    return row


def restrict_to_readable(access: Access, plan: Plan) -> None:
    """Add the condition "the caller may read it" to a plan. Raises user_unauthorized where nothing can be."""
    if access.table_allows("read"):
        return
    if not access.table.row_security:
        raise unauthorized()
    roles = sorted(access.caller.roles)
    plan.where.append(
        f'"$sequence" IN (SELECT row FROM {access.table.readers} WHERE role IN ({", ".join("?" * len(roles))}))'
    )
    plan.parameters.extend(roles)


def count(access: Access, plan: Plan) -> int:
    """How many rows fit, at most TOTAL_MAX; paging does not matter."""
    where = " WHERE " + " AND ".join(plan.where) if plan.where else ""
    row = access.db.one(
        f"SELECT count(*) AS n FROM (SELECT 1 FROM {access.table.storage}{where} LIMIT {TOTAL_MAX})",
        tuple(plan.parameters),
    )
    assert row is not None
    return int(row["n"])


def fetch(access: Access, plan: Plan) -> list[dict[str, Any]]:
    """The page of rows a plan asks for. Raises general_cursor_not_found."""
    where, parameters = list(plan.where), list(plan.parameters)
    if plan.cursor:
        start = access.db.one(f'{access.table.select} WHERE "$id" = ?', (plan.cursor,))
        if start is None:
            raise AppwriteError("general_cursor_not_found", f"Row '{plan.cursor}' for the cursor was not found.")
        where.append(after_cursor(plan, start, parameters))
    clause = " WHERE " + " AND ".join(where) if where else ""
    sql = f"{access.table.select}{clause}{order_by(plan)} LIMIT ? OFFSET ?"
    rows = [read_row(access.table, stored) for stored in access.db.all(sql, (*parameters, plan.limit, plan.offset))]
    return rows[::-1] if plan.backwards else rows


def unauthorized() -> AppwriteError:
    """The 401 of a caller without the permission."""
    return AppwriteError("user_unauthorized", "The current user is not authorized to perform the requested action.")
