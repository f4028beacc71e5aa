"""The routes of databases, tables, columns and indexes, in the words of both families."""

from __future__ import annotations

import dataclasses
import sqlite3
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from emulator import clock, definitions, permissions, wire
from emulator.auth import authenticate
from emulator.columns import TEXT_SIZES, Column
from emulator.database import pack, quote, unpack
from emulator.errors import AppwriteError, invalid_argument
from emulator.families import Family, family_of
from emulator.listing import View, page
from emulator.schema import ROW_BYTES_MAX, DatabaseRecord, Index, Schema, Table
from emulator.server import server_of

# The items of a list in JSON; columns and indexes are known by their keys.
_ITEMS = """(
    SELECT coalesce(value ->> '$.key', value ->> '$."$id"') AS id, key AS sequence, value AS item,
    value ->> '$."$createdAt"' AS created_at, value ->> '$."$updatedAt"' AS updated_at,
    coalesce(value ->> '$.name', value ->> '$.key') AS name, value ->> '$.type' AS type,
    value ->> '$.status' AS status, value ->> '$.enabled' AS enabled FROM json_each(?)
)"""
_SHOWN = View(
    _ITEMS,
    {
        "name": ("name", "string"),
        "key": ("id", "string"),
        "type": ("type", "string"),
        "status": ("status", "string"),
        "enabled": ("enabled", "boolean"),
    },
)
_ACTIONS = ("create", "read", "update", "delete")


async def create_database(request: Request) -> Response:
    """POST /tablesdb"""
    schema, body = await _begin(request, "databases.write")
    database_id = wire.new_id(body, "databaseId")
    name = wire.text(body, "name", longest=128)
    if database_id in schema.databases:
        raise AppwriteError("database_already_exists", f"Database '{database_id}' already exists. Choose another id.")
    now = clock.now_text()
    enabled = wire.flag(body.get("enabled", True), "enabled")
    record = DatabaseRecord(database_id, name, enabled, family_of(request).type, now, now)
    schema.save_database(record)
    return wire.reply(show_database(record), 201)


async def list_databases(request: Request) -> Response:
    """GET /tablesdb"""
    schema, _ = await _begin(request, "databases.read")
    shown = [show_database(record) for record in schema.databases.values()]
    return wire.reply(_page(request, shown, "databases"))


async def get_database(request: Request) -> Response:
    """GET /tablesdb/{database}"""
    schema, _ = await _begin(request, "databases.read")
    return wire.reply(show_database(_database(schema, request)))


async def update_database(request: Request) -> Response:
    """PUT /tablesdb/{database}"""
    schema, body = await _begin(request, "databases.write")
    record = _database(schema, request)
    record = dataclasses.replace(
        record,
        name=wire.text(body, "name", longest=128, default=record.name),
        enabled=wire.flag(body.get("enabled", record.enabled), "enabled"),
        updated_at=clock.now_text(),
    )
    schema.save_database(record)
    return wire.reply(show_database(record))


async def delete_database(request: Request) -> Response:
    """DELETE /tablesdb/{database}"""
    schema, _ = await _begin(request, "databases.write")
    schema.drop_database(_database(schema, request).id)
    return wire.no_content()


async def create_table(request: Request) -> Response:
    """POST /tablesdb/{database}/tables, with columns and indexes inline where the client gives them."""
    schema, body = await _begin(request, *family_of(request).scopes("table", "write"))
    family = family_of(request)
    database_id = _database(schema, request).id
    table_id = wire.new_id(body, f"{family.table}Id")
    name = wire.text(body, "name", longest=128)
    if (database_id, table_id) in schema.tables:
        raise family.already_exists("table", table_id)
    now = clock.now_text()
    table = Table(
        sequence=0,
        database_id=database_id,
        id=table_id,
        name=name,
        enabled=wire.flag(_or(body.get("enabled"), True), "enabled"),
        row_security=wire.flag(_or(body.get(family.security), False), family.security),
        permissions=tuple(permissions.checked(body.get("permissions") or [], _ACTIONS)),
        columns=(),
        indexes=(),
        created_at=now,
        updated_at=now,
    )
    for definition in _objects(body, f"{family.column}s"):
        column = definitions.inline_column(family, definition)
        table = dataclasses.replace(table, columns=_with_column(family, table, column))
    for definition in _objects(body, "indexes"):
        index = definitions.index(family, table, definition)
        table = dataclasses.replace(table, indexes=(*table.indexes, index))
    return wire.reply(show_table(family, schema.add_table(table)), 201)


async def list_tables(request: Request) -> Response:
    """GET /tablesdb/{database}/tables"""
    family = family_of(request)
    schema, _ = await _begin(request, *family.scopes("table", "read"))
    shown = [show_table(family, table) for table in schema.tables_of(_database(schema, request).id)]
    return wire.reply(_page(request, shown, f"{family.table}s"))


async def get_table(request: Request) -> Response:
    """GET /tablesdb/{database}/tables/{table}"""
    schema, _ = await _begin(request, *family_of(request).scopes("table", "read"))
    return wire.reply(show_table(family_of(request), find_table(schema, request)))


async def update_table(request: Request) -> Response:
    """PUT /tablesdb/{database}/tables/{table}"""
    family = family_of(request)
    schema, body = await _begin(request, *family.scopes("table", "write"))
    table = find_table(schema, request)
    granted = body.get("permissions")
    table = table.change(
        name=wire.text(body, "name", longest=128, default=table.name),
        enabled=wire.flag(_or(body.get("enabled"), table.enabled), "enabled"),
        row_security=wire.flag(_or(body.get(family.security), table.row_security), family.security),
        permissions=table.permissions if granted is None else tuple(permissions.checked(granted, _ACTIONS)),
    )
    schema.save_table(table)
    return wire.reply(show_table(family, table))


async def delete_table(request: Request) -> Response:
    """DELETE /tablesdb/{database}/tables/{table}"""
    schema, _ = await _begin(request, *family_of(request).scopes("table", "write"))
    schema.drop_table(find_table(schema, request))
    return wire.no_content()


def create_column(kind: str) -> Callable[[Request], Awaitable[Response]]:
    """The handler of POST .../columns/{kind}."""

    async def handler(request: Request) -> Response:
        family = family_of(request)
        schema, body = await _begin(request, *family.scopes("column", "write"), *family.scopes("table", "write"))
        table = find_table(schema, request)
        column = definitions.column(family, kind, body)
        columns = _with_column(family, table, column)
        add = f"ALTER TABLE {table.storage} ADD COLUMN {quote(column.key)} {column.sql_declaration}"
        schema.save_table(table.change(columns=columns), add)
        return wire.reply(column.show("processing"), 202)

    return handler


async def list_columns(request: Request) -> Response:
    """GET .../columns"""
    family = family_of(request)
    schema, _ = await _begin(request, *family.scopes("column", "read"), *family.scopes("table", "read"))
    shown = [_listed(column) for column in find_table(schema, request).columns]
    return wire.reply(_page(request, shown, f"{family.column}s"))


def _listed(column: Column) -> dict[str, Any]:
    """A column in a list: real servers do not say there whether the newer kinds of text are encrypted."""
    shown = column.show()
    return shown if column.kind not in ("varchar", *TEXT_SIZES) else {**shown, "encrypt": None}


async def get_column(request: Request) -> Response:
    """GET .../columns/{key}"""
    family = family_of(request)
    schema, _ = await _begin(request, *family.scopes("column", "read"), *family.scopes("table", "read"))
    return wire.reply(_column(family, find_table(schema, request), request.path_params["key"]).show())


def update_column(kind: str) -> Callable[[Request], Awaitable[Response]]:
    """The handler of PATCH .../columns/{kind}/{key}."""

    async def handler(request: Request) -> Response:
        family = family_of(request)
        schema, body = await _begin(request, *family.scopes("column", "write"), *family.scopes("table", "write"))
        table = find_table(schema, request)
        old = _column(family, table, request.path_params["key"])
        if old.kind != kind:
            raise AppwriteError(family.error_type("column", "type_invalid"), f"'{old.key}' is not of type {kind}.")
        new = definitions.changed_column(family, old, body)
        _with_column(family, table.change(columns=tuple(each for each in table.columns if each != old)), new)
        _require_fitting(schema, family, table, old, new)
        statements = []
        if new.key != old.key:
            statements.append(f"ALTER TABLE {table.storage} RENAME COLUMN {quote(old.key)} TO {quote(new.key)}")
        columns = tuple(new if column.key == old.key else column for column in table.columns)
        indexes = tuple(
            dataclasses.replace(index, columns=tuple(new.key if key == old.key else key for key in index.columns))
            for index in table.indexes
        )
        schema.save_table(table.change(columns=columns, indexes=indexes), *statements)
        return wire.reply(new.show())

    return handler


async def delete_column(request: Request) -> Response:
    """DELETE .../columns/{key}; the indexes that use it go first."""
    family = family_of(request)
    schema, _ = await _begin(request, *family.scopes("column", "write"), *family.scopes("table", "write"))
    table = find_table(schema, request)
    column = _column(family, table, request.path_params["key"])
    for index in table.indexes:
        if column.key in index.columns:
            schema.drop_index(table, index)
            table = find_table(schema, request)
    kept = tuple(each for each in table.columns if each.key != column.key)
    schema.save_table(table.change(columns=kept), f"ALTER TABLE {table.storage} DROP COLUMN {quote(column.key)}")
    return wire.no_content()


async def create_index(request: Request) -> Response:
    """POST .../indexes"""
    family = family_of(request)
    schema, body = await _begin(request, "indexes.write", *family.scopes("table", "write"))
    table = find_table(schema, request)
    index = definitions.index(family, table, body)
    try:
        schema.add_index(table, index)
    except sqlite3.IntegrityError:
        raise AppwriteError(
            family.error_type("index", "invalid"), f"Rows with equal values prevent the unique index '{index.key}'."
        ) from None
    return wire.reply(show_index(family, table, index, "processing"), 202)


async def list_indexes(request: Request) -> Response:
    """GET .../indexes"""
    family = family_of(request)
    schema, _ = await _begin(request, "indexes.read", *family.scopes("table", "read"))
    table = find_table(schema, request)
    return wire.reply(_page(request, [show_index(family, table, index) for index in table.indexes], "indexes"))


async def get_index(request: Request) -> Response:
    """GET .../indexes/{key}"""
    family = family_of(request)
    schema, _ = await _begin(request, "indexes.read", *family.scopes("table", "read"))
    table = find_table(schema, request)
    return wire.reply(show_index(family, table, _index(family, table, request.path_params["key"])))


async def delete_index(request: Request) -> Response:
    """DELETE .../indexes/{key}"""
    family = family_of(request)
    schema, _ = await _begin(request, "indexes.write", *family.scopes("table", "write"))
    table = find_table(schema, request)
    schema.drop_index(table, _index(family, table, request.path_params["key"]))
    return wire.no_content()


def show_database(record: DatabaseRecord) -> dict[str, Any]:
    """A database as clients see it."""
    return {
        "$id": record.id,
        "name": record.name,
        "$createdAt": record.created_at,
        "$updatedAt": record.updated_at,
        "enabled": record.enabled,
        "type": record.type,
    }


def show_table(family: Family, table: Table) -> dict[str, Any]:
    """A table as clients of this family see it."""
    return {
        "$id": table.id,
        "$createdAt": table.created_at,
        "$updatedAt": table.updated_at,
        "$permissions": list(table.permissions),
        "databaseId": table.database_id,
        "name": table.name,
        "enabled": table.enabled,
        family.security: table.row_security,
        f"{family.column}s": [column.show() for column in table.columns],
        "indexes": [show_index(family, table, index) for index in table.indexes],
        "bytesMax": ROW_BYTES_MAX,
        "bytesUsed": table.row_bytes,
    }


def show_index(family: Family, table: Table, index: Index, status: str = "available") -> dict[str, Any]:
    """An index as clients of this family see it."""
    return {
        "$id": f"{table.sequence}_{index.key}",
        "$createdAt": index.created_at,
        "$updatedAt": index.updated_at,
        "key": index.key,
        "type": index.kind,
        "status": status,
        "error": "",
        f"{family.column}s": list(index.columns),
        "lengths": list(index.lengths),
        "orders": list(index.orders),
    }


async def _begin(request: Request, *scopes: str) -> tuple[Schema, wire.Body]:
    caller = await authenticate(request)
    caller.require_scope(*scopes)
    return server_of(request).schema, await wire.json_body(request)


def _database(schema: Schema, request: Request) -> DatabaseRecord:
    database_id = request.path_params["database"]
    record = schema.databases.get(database_id)
    if record is None:
        raise AppwriteError("database_not_found", f"Database '{database_id}' was not found.")
    return record


def find_table(schema: Schema, request: Request) -> Table:
    """The table of a request's path. Raises database_not_found, table_not_found."""
    table = schema.tables.get((_database(schema, request).id, request.path_params["table"]))
    if table is None:
        raise family_of(request).not_found("table", request.path_params["table"])
    return table


def _column(family: Family, table: Table, key: str) -> Column:
    column = table.by_key.get(key)
    if column is None:
        raise family.not_found("column", key)
    return column


def _index(family: Family, table: Table, key: str) -> Index:
    for index in table.indexes:
        if index.key == key:
            return index
    raise family.not_found("index", key)


def _with_column(family: Family, table: Table, column: Column) -> tuple[Column, ...]:
    """The table's columns and a new one. Raises column_already_exists, column_limit_exceeded."""
    if any(column.key.lower() == each.key.lower() for each in table.columns):
        raise family.already_exists("column", column.key)
    columns = (*table.columns, column)
    if dataclasses.replace(table, columns=columns).row_bytes > ROW_BYTES_MAX:
        raise AppwriteError(
            family.error_type("column", "limit_exceeded"),
            f"With '{column.key}' a row would be wider than {ROW_BYTES_MAX} bytes; a longer text is kept off the row.",
        )
    return columns


def _require_fitting(schema: Schema, family: Family, table: Table, old: Column, new: Column) -> None:
    """Raises column_invalid_resize where a text that is kept is longer than the column's new size."""
    if new.size < old.size and schema.longest(table, old) > new.size:
        raise AppwriteError(
            family.error_type("column", "invalid_resize"),
            f"A value of '{old.key}' is longer than {new.size} characters.",
        )


def _objects(body: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    items = body.get(name) or []
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise invalid_argument(name, "Value must be a list of objects")
    return items


def _page(request: Request, shown: list[dict[str, Any]], name: str) -> dict[str, Any]:
    """The page of a list that is kept in memory: queried as if it were a table."""
    total, rows = page(request, server_of(request).db, _SHOWN, values=[pack(shown)])
    return {"total": total, name: [unpack(row["item"]) for row in rows]}


def _or(value: Any, default: Any) -> Any:
    return default if value is None else value
