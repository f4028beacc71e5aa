"""Lists of everything that is no row: Appwrite's queries on this server's own tables."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from starlette.requests import Request

from emulator import wire
from emulator.columns import Column
from emulator.database import Database, quote
from emulator.errors import AppwriteError
from emulator.queries import after_cursor, compile_plan, order_by, parse
from emulator.schema import Table

TOTAL_MAX = 5000  # Appwrite counts no further
_SYSTEM = {"$id": "id", "$sequence": "sequence", "$createdAt": "created_at", "$updatedAt": "updated_at"}


@dataclass(frozen=True)
class View:
    """A table of this server as clients query it.

    `fields`: the attribute's name -> (its SQL column, its kind of column). `search`: the SQL columns that `?search=`
    looks into.
    """

    table: str
    fields: Mapping[str, tuple[str, str]]
    search: tuple[str, ...] = ("id", "name")

    @cached_property
    def attributes(self) -> Table:
        """What the query compiler needs to know."""
        columns = tuple(Column(kind, name, size=65535) for name, (_, kind) in self.fields.items())
        return Table(0, "", self.table, self.table, True, False, (), columns, (), "", "")

    @cached_property
    def select(self) -> str:
        """Every SQL column, and each attribute under its own name."""
        names = {**_SYSTEM, **{name: column for name, (column, _) in self.fields.items()}}
        aliases = [f"{column} AS {quote(name)}" for name, column in names.items() if name != column]
        return f"SELECT *, {', '.join(aliases)} FROM {self.table}"


def page(
    request: Request, db: Database, view: View, where: str = "1", values: Sequence[Any] = ()
) -> tuple[int, list[sqlite3.Row]]:
    """How many records fit the request's queries (0 for `total=false`), and the page it asks for.

    `where`, `values`: an SQL condition that always holds. Raises general_query_invalid, general_cursor_not_found.
    """
    plan = compile_plan(view.attributes, parse(wire.list_parameter(request, "queries")))
    given: list[Any] = list(values)
    if search := request.query_params.get("search", ""):
        where += " AND (" + " OR ".join(f"instr(lower({name}), lower(?))" for name in view.search) + ")"
        given += [search] * len(view.search)
    source = f"({view.select} WHERE {where})"
    conditions, parameters = ["1", *plan.where], [*given, *plan.parameters]
    total = 0
    if wire.flag(request.query_params.get("total", True), "total"):
        counted = f"SELECT 1 FROM {source} WHERE {' AND '.join(conditions)} LIMIT {TOTAL_MAX}"
        row = db.one(f"SELECT count(*) AS n FROM ({counted})", tuple(parameters))
        total = int(row["n"]) if row is not None else 0
    if plan.cursor:
        start = db.one(f'SELECT * FROM {source} WHERE "$id" = ?', (*given, plan.cursor))
        if start is None:
            raise AppwriteError("general_cursor_not_found", f"'{plan.cursor}' for the cursor was not found.")
        conditions.append(after_cursor(plan, start, parameters))
    sql = f"SELECT * FROM {source} WHERE {' AND '.join(conditions)}{order_by(plan)} LIMIT ? OFFSET ?"
    rows = db.all(sql, (*parameters, plan.limit, plan.offset))
    return total, rows[::-1] if plan.backwards and not plan.random else rows
