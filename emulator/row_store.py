"""The writing of rows: data checked against columns, stored with its readers, all or nothing."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping
from typing import Any

from emulator import clock, operators, permissions
from emulator.access import Access, unauthorized
from emulator.auth import Caller
from emulator.columns import Column, ValueRefused, shown_number
from emulator.database import pack, quote
from emulator.errors import AppwriteError
from emulator.families import Family
from emulator.schema import Table
from emulator.wire import Body

ROW_ACTIONS = ("read", "update", "delete")
# Fields of an answer that clients send back unchanged; only an API key may set the two times.
_GIVEN_BACK = frozenset(
    {"$id", "$sequence", "$permissions", "$databaseId", "$tableId", "$collectionId", "$createdAt", "$updatedAt"}
)


def new_row(
    access: Access, row_id: str, data: Body, granted: list[str], current: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """A complete row from a client's data: checked, defaults filled in, times set; its sequence comes when stored.

    `current`: what operators in the data change, None where there can be none.
    """
    values = check_data(access.family, access.table, data, current)
    row: dict[str, Any] = {}
    for column in access.table.columns:
        value = values.get(column.key, column.default)
        if value is None and column.required:
            raise _required(access.family, column)
        row[column.key] = [] if value is None and column.array else value
    now = clock.now_text()
    created, updated = _own_times(access.caller, data)
    row.update({"$id": row_id, "$createdAt": created or now, "$updatedAt": updated or now, "$permissions": granted})
    return row


def insert_rows(access: Access, rows: list[dict[str, Any]]) -> None:
    """Store new rows, all or none, and set their `$sequence`. Raises row_already_exists."""
    table = access.table
    with access.db.transaction() as connection:
        for row in rows:
            values = [column.to_sql(row[column.key]) for column in table.columns]
            system = (row["$id"], row["$createdAt"], row["$updatedAt"], pack(row["$permissions"]))
            try:
                sequence = connection.execute(table.insert, (*system, *values)).lastrowid
            except sqlite3.IntegrityError:
                raise access.family.already_exists("row", row["$id"]) from None
            row["$sequence"] = sequence
            _write_readers(connection, table, row)
            for column, value in zip(table.columns, values, strict=True):
                if value is not None and column.from_sql is None:
                    row[column.key] = value  # a date comes back as it is stored


def _write_readers(connection: sqlite3.Connection, table: Table, row: Mapping[str, Any]) -> None:
    readers = permissions.roles(row["$permissions"], "read")
    if readers:
        connection.executemany(
            f"INSERT INTO {table.readers} VALUES (?, ?)", [(role, row["$sequence"]) for role in readers]
        )


def merge(access: Access, row: dict[str, Any], data: Body, granted: list[str] | None) -> dict[str, Any]:
    """The row after a partial change, checked whole; its time moves only where something changed."""
    values = check_data(access.family, access.table, data, row)
    changed = {**row, **values}
    for column in access.table.columns:
        if changed[column.key] is None:
            if column.required:
                raise _required(access.family, column)
            if column.array:
                changed[column.key] = []
    if granted is not None:
        changed["$permissions"] = granted
    created, updated = _own_times(access.caller, data)
    if created:
        changed["$createdAt"] = created
    if updated:
        changed["$updatedAt"] = updated
    elif changed != row:
        changed["$updatedAt"] = clock.after(row["$updatedAt"])
    return changed


def store_changed(access: Access, before: Mapping[str, Any], row: dict[str, Any]) -> None:
    """Write the fields that differ. Raises row_already_exists where a unique index refuses."""
    different = [key for key in row if row[key] != before[key]]
    if not different:
        return
    values = []
    for key in different:
        column = access.table.by_key.get(key)
        values.append(pack(row[key]) if key == "$permissions" else column.to_sql(row[key]) if column else row[key])
    sets = ", ".join(f"{quote(key)} = ?" for key in different)
    with access.db.transaction() as connection:
        try:
            connection.execute(
                f'UPDATE {access.table.storage} SET {sets} WHERE "$sequence" = ?', (*values, row["$sequence"])
            )
        except sqlite3.IntegrityError:
            raise access.family.already_exists("row", row["$id"]) from None
        if "$permissions" in different:
            connection.execute(f"DELETE FROM {access.table.readers} WHERE row = ?", (row["$sequence"],))
            _write_readers(connection, access.table, row)


def store_number(access: Access, row: Mapping[str, Any], column: Column, value: float) -> dict[str, Any]:
    """Write one number, whatever the column's own limits are; returns the changed row. Raises row_already_exists."""
    changed = {**row, column.key: shown_number(value), "$updatedAt": clock.after(row["$updatedAt"])}
    with access.db.transaction() as connection:
        try:
            connection.execute(
                f'UPDATE {access.table.storage} SET {quote(column.key)} = ?, "$updatedAt" = ? WHERE "$sequence" = ?',
                (value, changed["$updatedAt"], row["$sequence"]),
            )
        except sqlite3.IntegrityError:
            raise access.family.already_exists("row", row["$id"]) from None
    return changed


def replace_or_create(access: Access, row_id: str, data: Body, granted: list[str] | None) -> dict[str, Any]:
    """The row after an upsert. Raises user_unauthorized, row_invalid_structure."""
    before = access.find(row_id)
    if before is None:
        if not access.table_allows("create"):
            raise unauthorized()
        if granted is None:
            granted = permissions.own(access.caller.user_id) if access.caller.user_id else []
        row = new_row(access, row_id, data, granted, {})
        insert_rows(access, [row])
        return row
    if not access.row_allows(before, "update"):
        raise unauthorized()
    row = new_row(access, row_id, data, before["$permissions"] if granted is None else granted, before)
    created, updated = _own_times(access.caller, data)
    row["$sequence"] = before["$sequence"]
    row["$createdAt"] = created or before["$createdAt"]
    row["$updatedAt"] = updated or clock.after(before["$updatedAt"])
    store_changed(access, before, row)
    return row


def delete_rows(access: Access, rows: Iterable[Mapping[str, Any]]) -> None:
    """Remove rows and what is known of their readers."""
    sequences = [(row["$sequence"],) for row in rows]
    with access.db.transaction() as connection:
        connection.executemany(f'DELETE FROM {access.table.storage} WHERE "$sequence" = ?', sequences)
        connection.executemany(f"DELETE FROM {access.table.readers} WHERE row = ?", sequences)


def check_data(
    family: Family, table: Table, data: Mapping[str, Any], current: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """The client's fields, each fit for its column, operators applied to `current`. Raises row_invalid_structure."""
    values: dict[str, Any] = {}
    for key, value in data.items():
        if key in _GIVEN_BACK:
            continue
        column = table.by_key.get(key)
        if column is None:
            raise family.invalid_row(f'Unknown attribute: "{key}"')
        try:
            stored = column.to_sql(value if current is None else operators.applied(column, value, current.get(key)))
        except ValueRefused as refusal:
            raise family.invalid_row(str(refusal)) from None
        values[key] = stored if column.from_sql is None else column.from_sql(stored)
    return values


def granted_in(caller: Caller, body: Body, name: str = "permissions") -> list[str] | None:
    """The permissions a request asks for, checked; None where it names none. Raises user_unauthorized."""
    if body.get(name) is None:
        return None
    granted = permissions.checked(body[name], ROW_ACTIONS, name)
    if not caller.is_key:
        permissions.require_own_roles(granted, caller.roles)
    return granted


def _own_times(caller: Caller, data: Body) -> tuple[str, str]:
    """The times a key gives to a row itself, "" where it does not."""
    if not caller.is_key:
        return "", ""
    times = []
    for name in ("$createdAt", "$updatedAt"):
        try:
            times.append(clock.text(clock.milliseconds(data[name])) if data.get(name) else "")
        except (ValueError, TypeError, OverflowError):
            raise AppwriteError("general_argument_invalid", f"{name} must be a date and time in ISO 8601.") from None
    return times[0], times[1]


def _required(family: Family, column: Column) -> AppwriteError:
    return family.invalid_row(f'Missing required attribute "{column.key}"')
