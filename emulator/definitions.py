"""What clients may ask for when they define columns and indexes, checked and completed."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from emulator import clock, wire
from emulator.columns import FLOAT_MAX, FORMAT_SIZES, INT64, KINDS, SPATIAL, TEXT_SIZES, Column, ValueRefused
from emulator.errors import AppwriteError, invalid_argument
from emulator.families import Family
from emulator.schema import SYSTEM_COLUMNS, Index, Table

_STRING_MAX = 1_073_741_824
_VARCHAR_MAX = 16_381
_INDEX_KINDS = ("key", "fulltext", "unique", "spatial")


def column(family: Family, kind: str, body: Mapping[str, Any]) -> Column:
    """A new column from the parameters of its creation. Raises general_argument_invalid, column_value_invalid."""
    now = clock.now_text()
    size, minimum, maximum, elements = _limits(kind, body)
    made = Column(
        kind=kind,
        key=wire.existing_id(body.get("key"), "key"),
        required=wire.flag(body.get("required", False), "required"),
        array=wire.flag(body.get("array") or False, "array"),
        size=size,
        minimum=minimum,
        maximum=maximum,
        elements=elements,
        encrypt=wire.flag(body.get("encrypt") or False, "encrypt"),
        created_at=now,
        updated_at=now,
    )
    return _with_default(family, made, body.get("default"))


def inline_column(family: Family, body: Mapping[str, Any]) -> Column:
    """A column given with its table: `type` is a kind, or string with a `format`."""
    kind = body.get("format") or body.get("type")
    kind = {"double": "float", "linestring": "line"}.get(str(kind), kind)
    if kind == "relationship":
        raise AppwriteError("general_not_implemented", "Relationship columns are not served by this server.", 501)
    if kind not in KINDS:
        raise invalid_argument(f"{family.column}s", f"Unknown type '{kind}'")
    return column(family, kind, body)


def changed_column(family: Family, old: Column, body: Mapping[str, Any]) -> Column:
    """A column after an update; what the client leaves out stays."""
    limits: dict[str, Any] = {"size": old.size, "min": old.minimum, "max": old.maximum, "elements": old.elements}
    given = {name: value for name, value in body.items() if value is not None}
    size, minimum, maximum, elements = _limits(old.kind, {**limits, **given})
    new = dataclasses.replace(
        old,
        key=wire.existing_id(given.get("newKey", old.key), "newKey"),
        required=wire.flag(given.get("required", old.required), "required"),
        size=size,
        minimum=minimum,
        maximum=maximum,
        elements=elements,
        default=None,
        updated_at=clock.now_text(),
    )
    return _with_default(family, new, body.get("default"))


def _limits(kind: str, body: Mapping[str, Any]) -> tuple[int, float | None, float | None, tuple[str, ...]]:
    """Size, minimum, maximum and elements of a kind of column."""
    size, minimum, maximum = 0, None, None
    elements: tuple[str, ...] = ()
    if kind in ("string", "varchar"):
        size = _whole(body.get("size"), "size", 1, _STRING_MAX if kind == "string" else _VARCHAR_MAX)
    elif kind in ("integer", "bigint"):
        minimum = _bound(body.get("min"), "min", -INT64)
        maximum = _bound(body.get("max"), "max", INT64 - 1)
    elif kind == "float":
        minimum = _bound(body.get("min"), "min", -FLOAT_MAX)
        maximum = _bound(body.get("max"), "max", FLOAT_MAX)
    elif kind == "enum":
        elements = _elements(body.get("elements"))
        size = FORMAT_SIZES["enum"]
    if minimum is not None and maximum is not None and minimum > maximum:
        raise AppwriteError("attribute_value_invalid", "Minimum value must be lesser than maximum value")
    return size, minimum, maximum, elements


def _with_default(family: Family, made: Column, default: Any) -> Column:
    if default is None:
        return made
    if made.required:
        raise AppwriteError(
            family.error_type("column", "default_unsupported"), f"Cannot set default value for required {family.column}"
        )
    if made.array:
        raise AppwriteError(
            family.error_type("column", "default_unsupported"), f"Cannot set default value for array {family.column}s"
        )
    try:
        stored = made.to_sql(default)
    except ValueRefused as refusal:
        raise AppwriteError(family.error_type("column", "value_invalid"), str(refusal)) from None
    return dataclasses.replace(made, default=stored if made.from_sql is None else made.from_sql(stored))


def index(family: Family, table: Table, body: Mapping[str, Any]) -> Index:
    """A new index from the parameters of its creation."""
    key = wire.existing_id(body.get("key"), "key")
    kind = body.get("type")
    if kind not in _INDEX_KINDS:
        raise invalid_argument("type", f"Value must be one of ({', '.join(_INDEX_KINDS)})")
    if any(each.key.lower() == key.lower() for each in table.indexes):
        raise family.already_exists("index", key)
    names = body.get(f"{family.column}s", body.get("attributes", body.get("columns")))
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        raise invalid_argument(f"{family.column}s", f"Value must be a list of {family.column} keys")
    for name in names:
        if name not in table.by_key and name not in SYSTEM_COLUMNS:
            raise AppwriteError(family.error_type("column", "unknown"), f"Unknown {family.column}: {name}")
    _require_indexable(family, table, kind, names)
    orders = [each.upper() if isinstance(each, str) else each for each in _list(body, "orders")]
    if any(order not in (None, "", "ASC", "DESC") for order in orders):
        raise invalid_argument("orders", "Value must be one of (ASC, DESC)")
    lengths = [_whole(0 if each is None else each, "lengths", 0, 768) for each in _list(body, "lengths")] or [0] * len(
        names
    )
    now = clock.now_text()
    return Index(key, kind, tuple(names), tuple(order or None for order in orders), tuple(lengths), now, now)


def _list(body: Mapping[str, Any], name: str) -> list[Any]:
    items = body.get(name) or []
    if not isinstance(items, list):
        raise invalid_argument(name, "Value must be a list")
    return items


def _require_indexable(family: Family, table: Table, kind: str, names: list[str]) -> None:
    columns = [table.by_key[name] for name in names if name in table.by_key]
    if kind == "fulltext" and any(not each.is_text or each.array for each in columns):
        raise _invalid_index(family, "A fulltext index needs text columns")
    if kind == "spatial" and any(each.kind not in SPATIAL for each in columns):
        raise _invalid_index(family, "A spatial index needs spatial columns")
    if kind in ("key", "unique"):
        bytes_used = sum(4 * _text_size(each) for each in columns if each.is_text and not each.array)
        if bytes_used > 4 * 768:
            raise _invalid_index(family, "Index length is longer than the maximum: 768")


def _text_size(each: Column) -> int:
    return FORMAT_SIZES.get(each.kind, TEXT_SIZES.get(each.kind, each.size))


def _invalid_index(family: Family, reason: str) -> AppwriteError:
    return AppwriteError(family.error_type("index", "invalid"), reason)


def _whole(value: Any, name: str, least: int, most: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise invalid_argument(name, f"Value must be a valid range between {least:,} and {most:,}")
    return value


def _bound(value: Any, name: str, default: float) -> float:
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise invalid_argument(name, "Value must be a number")
    return value


def _elements(value: Any) -> tuple[str, ...]:
    good = isinstance(value, (list, tuple)) and 0 < len(value) <= 100
    if not good or not all(isinstance(each, str) and 0 < len(each) <= 255 for each in value):
        raise invalid_argument("elements", "Value must be a list of at most 100 texts of 1 to 255 characters")
    return tuple(value)
