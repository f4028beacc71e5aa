"""Appwrite's query language: read from the wire, checked against a table, compiled to SQL; pure functions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from emulator import clock
from emulator.columns import INT64, SPATIAL, Column
from emulator.database import pack, quote
from emulator.errors import AppwriteError, invalid_argument
from emulator.foreign import read_json
from emulator.geometry import level_of
from emulator.schema import SYSTEM_COLUMNS, Table

DEFAULT_LIMIT = 25
_COMPARISONS = {
    "equal": "IN",
    "notEqual": "NOT IN",
    "lessThan": "<",
    "lessThanEqual": "<=",
    "greaterThan": ">",
    "greaterThanEqual": ">=",
}
# A LIKE pattern for each text method; the negative forms begin with `not`.
_PATTERNS = {"startsWith": "{}%", "endsWith": "%{}", "contains": "%{}%", "containsAny": "%{}%", "search": "%{}%"}
_NEGATIVE = {
    "notContains": "contains",
    "notStartsWith": "startsWith",
    "notEndsWith": "endsWith",
    "notSearch": "search",
    "notBetween": "between",
}
_DISTANCES = {
    "distanceEqual": "=", "distanceNotEqual": "!=", "distanceGreaterThan": ">", "distanceLessThan": "<"
}  # fmt: skip
_INTERSECTIONS = {"intersects": "", "notIntersects": "NOT "}
_UNSERVED = frozenset(
    f"{word}{name[0].upper()}{name[1:]}" if word else name
    for name in ("crosses", "overlaps", "touches", "covers", "spatialEquals")
    for word in ("", "not")
)
_FILTERS = frozenset(
    {
        *(*_COMPARISONS, *_PATTERNS, *_NEGATIVE, *_DISTANCES, *_INTERSECTIONS, *_UNSERVED, "containsAll"),
        *("between", "isNull", "isNotNull", "exists", "notExists", "and", "or"),
    }
)
_ORDERS = frozenset({"orderAsc", "orderDesc", "orderRandom"})
METHODS = _FILTERS | _ORDERS | {"select", "limit", "offset", "cursorAfter", "cursorBefore"}
_SYSTEM = {name: Column("string", name, size=255) for name in SYSTEM_COLUMNS} | {
    "$sequence": Column("bigint", "$sequence"),
    "$createdAt": Column("datetime", "$createdAt"),
    "$updatedAt": Column("datetime", "$updatedAt"),
}


@dataclass(frozen=True)
class Query:
    """One query; the values of `and` and `or` are queries."""

    method: str
    attribute: str = ""
    values: tuple[Any, ...] = ()


@dataclass
class Plan:
    """What a list of queries means for one table: SQL pieces with their parameters.

    `where` holds conditions to be joined by AND; `order` (SQL name, descending) ends with the sequence; `cursor` is
    the id of the row to start after, or before; `select` names the columns wanted, None for all.
    """

    where: list[str] = field(default_factory=list)
    parameters: list[Any] = field(default_factory=list)
    order: list[tuple[str, bool]] = field(default_factory=list)
    random: bool = False
    limit: int = DEFAULT_LIMIT
    offset: int = 0
    cursor: str = ""
    backwards: bool = False
    select: frozenset[str] | None = None


def parse(written: Sequence[str]) -> list[Query]:
    """The queries of a request. Raises general_argument_invalid, general_query_invalid."""
    if len(written) > 100 or any(not 1 <= len(each) <= 4096 for each in written):
        raise invalid_argument(
            "queries",
            "Value must a valid array no longer than 100 items and Value must be a valid string and at least 1 chars"
            " and no longer than 4096 chars",
        )
    return [_parse_one(each) for each in written]


def _parse_one(written: str) -> Query:
    try:
        read = read_json(written)
    except ValueError:
        raise _invalid("Syntax error") from None
    return _query(read, 0)


def _query(read: object, depth: int) -> Query:
    if not isinstance(read, dict):
        raise AppwriteError("general_query_invalid", "Invalid query. Must be an object.")
    method, attribute, values = read.get("method", ""), read.get("attribute", ""), read.get("values", [])
    if not isinstance(method, str) or method not in METHODS:
        raise AppwriteError("general_query_invalid", f"Invalid query method: {method}")
    if not isinstance(attribute, str):
        raise AppwriteError("general_query_invalid", "Invalid query attribute. Must be a string")
    if not isinstance(values, list):
        raise AppwriteError("general_query_invalid", "Invalid query values. Must be an array")
    if method in ("and", "or"):
        if depth > 8:
            raise _invalid("Queries are nested too deeply.")
        values = [_query(each, depth + 1) for each in values]
        if len(values) < 2:
            raise _invalid(f"{method.capitalize()} queries require at least two queries")
        if any(each.method not in _FILTERS for each in values):
            raise _invalid(f"{method.capitalize()} queries can only contain filter queries")
    return Query(method, attribute, tuple(values))


def parse_selection(written: Sequence[str]) -> list[Query]:
    """The queries of a request for one row, which can only select. Raises general_query_invalid."""
    queries = parse(written)
    for query in queries:
        if query.method != "select":
            raise _invalid(f"Query method {query.method} is not allowed for a single row.")
    return queries


def compile_plan(table: Table, queries: Sequence[Query]) -> Plan:
    """The SQL of these queries on this table. Raises general_query_invalid, general_cursor_not_found."""
    plan = Plan()
    for query in queries:
        if query.method in _FILTERS:
            plan.where.append(_condition(table, query, plan.parameters))
        elif query.method in _ORDERS:
            _add_order(table, query, plan)
        else:
            _add_paging(table, query, plan)
    if not any(name == '"$sequence"' for name, _ in plan.order):
        plan.order.append(('"$sequence"', False))
    return plan


def _add_order(table: Table, query: Query, plan: Plan) -> None:
    if query.method == "orderRandom":
        plan.random = True
        return
    name = query.attribute or "$sequence"
    _column(table, name)
    plan.order.append((quote(name), query.method == "orderDesc"))


def _add_paging(table: Table, query: Query, plan: Plan) -> None:
    value = query.values[0] if query.values else None
    if query.method == "limit":
        plan.limit = _whole(value, 1, "limit")
    elif query.method == "offset":
        plan.offset = _whole(value, 0, "offset")
    elif query.method == "select":
        plan.select = _selection(table, query.values, plan.select)
    else:
        if not isinstance(value, str) or not value:
            raise _invalid("Invalid cursor: it must be an id.")
        plan.cursor, plan.backwards = value, query.method == "cursorBefore"


def _selection(table: Table, names: Sequence[Any], before: frozenset[str] | None) -> frozenset[str] | None:
    if not names:
        raise _invalid("No attributes selected")
    if "*" in names:
        return None
    for name in names:
        if not isinstance(name, str) or (
            name not in table.by_key and name not in SYSTEM_COLUMNS and name not in _PLACES
        ):
            raise _invalid(f"Attribute not found in schema: {name}")
    return frozenset(names) | (before or frozenset())


_PLACES = ("$databaseId", "$tableId", "$collectionId")


def _whole(value: Any, least: int, name: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value < INT64:
        raise _invalid(f"Invalid {name}: Value must be a valid range between {least} and {INT64 - 1:,}")
    return value


def _column(table: Table, name: str) -> Column:
    column = _SYSTEM.get(name) or table.by_key.get(name)
    if column is None:
        raise _invalid(f"Attribute not found in schema: {name}")
    return column


def _condition(table: Table, query: Query, parameters: list[Any]) -> str:
    """One filter as SQL; its values are appended to `parameters`."""
    if query.method in ("and", "or"):
        parts = [_condition(table, each, parameters) for each in query.values]
        return f"({f' {query.method.upper()} '.join(parts)})"
    if query.method in _NEGATIVE:
        inner = Query(_NEGATIVE[query.method], query.attribute, query.values)
        return f"NOT coalesce({_condition(table, inner, parameters)}, 0)"
    if query.method in ("exists", "notExists"):
        word = "NOT " if query.method == "exists" else ""
        names = [_column(table, str(value)).key for value in query.values] or [_column(table, query.attribute).key]
        return "(" + " AND ".join(f"{quote(name)} IS {word}NULL" for name in names) + ")"
    column, name = _column(table, query.attribute), quote(query.attribute)
    if query.method in ("isNull", "isNotNull"):
        return f"{name} IS {'NOT ' if query.method == 'isNotNull' else ''}NULL"
    if not query.values:
        word = query.method[0].upper() + query.method[1:]
        raise _invalid(f"{word} queries require at least one value.")
    if query.method in _DISTANCES or query.method in _INTERSECTIONS or column.kind in SPATIAL:
        return _spatial(column, name, query, parameters)
    if query.method in _COMPARISONS:
        return _comparison(column, name, query, parameters)
    if query.method == "between":
        if len(query.values) != 2:
            raise _invalid("Between queries require exactly two values.")
        parameters.extend(_value(column, value) for value in query.values)
        return f"{name} BETWEEN ? AND ?"
    return _matching(table, column, name, query, parameters)


def _comparison(column: Column, name: str, query: Query, parameters: list[Any]) -> str:
    if column.array:
        raise _invalid(f'Cannot query {query.method} on attribute "{column.key}" because it is an array.')
    operator = _COMPARISONS[query.method]
    if operator.endswith("IN"):
        parameters.extend(_value(column, value) for value in query.values)
        return f"{name} {operator} ({', '.join('?' * len(query.values))})"
    if len(query.values) != 1:
        word = query.method[0].upper() + query.method[1:]
        raise _invalid(f"{word} queries require exactly one value.")
    parameters.append(_value(column, query.values[0]))
    return f"{name} {operator} ?"


def _spatial(column: Column, name: str, query: Query, parameters: list[Any]) -> str:
    """Where a shape lies. Raises general_query_invalid, and general_not_implemented for what is not served."""
    if column.kind not in SPATIAL:
        raise _invalid(f'Spatial query "{query.method}" cannot be applied on non-spatial attribute: {column.key}')
    if query.method in _DISTANCES:
        return _distance(column, name, query, parameters)
    shape = query.values[0]
    if query.method in _INTERSECTIONS and len(query.values) == 1 and level_of(shape) >= 0:
        parameters.append(pack(shape))
        return f"{_INTERSECTIONS[query.method]}shape_intersects({name}, ?)"
    if query.method in ("equal", "notEqual") and column.kind == "point" and all(map(_is_point, query.values)):
        parameters.extend(pack(value) for value in query.values)
        found = " OR ".join([f"shape_distance({name}, ?, 0) = 0"] * len(query.values))
        return f"({found})" if query.method == "equal" else f"NOT ({found})"
    if query.method in _UNSERVED:
        raise AppwriteError("general_not_implemented", f"Queries by {query.method} are not served here.", 501)
    raise _value_refused(column)


def _distance(column: Column, name: str, query: Query, parameters: list[Any]) -> str:
    given = query.values[0]
    if len(query.values) != 1 or not isinstance(given, list) or not 2 <= len(given) <= 3:
        raise _value_refused(column)
    shape, limit, in_metres = given[0], given[1], len(given) == 3 and given[2] is True
    if level_of(shape) < 0 or isinstance(limit, bool) or not isinstance(limit, (int, float)) or limit > 1e300:
        raise _value_refused(column)
    if in_metres and (column.kind != "point" or not _is_point(shape)):
        raise _invalid("Distance in meters is only supported between points.")
    parameters.extend((pack(shape), int(in_metres), float(limit)))
    return f"shape_distance({name}, ?, ?) {_DISTANCES[query.method]} ?"


def _is_point(value: Any) -> bool:
    return level_of(value) == 0


def _matching(table: Table, column: Column, name: str, query: Query, parameters: list[Any]) -> str:
    """`contains` and its kin: members of lists, parts of texts."""
    if query.method == "search":
        if column.key not in table.fulltext:
            raise AppwriteError(
                "general_query_invalid", f'Searching by attribute "{column.key}" requires a fulltext index.'
            )
        return _any_like(name, "%{}%", str(query.values[0]).split(), parameters)
    if column.array and query.method.startswith("contains"):
        member = Column(column.kind, column.key, size=column.size, elements=column.elements)
        values = [_value(member, value) for value in query.values]
        parameters.extend(values)
        marks = ", ".join("?" * len(values))
        found = f"FROM json_each({name}) WHERE value IN ({marks})"
        if query.method == "containsAll":
            return f"(SELECT count(DISTINCT value) {found}) = {len(set(values))}"
        return f"EXISTS (SELECT 1 {found})"
    if column.array or not column.is_text:
        raise _invalid(
            f'Cannot query {query.method} on attribute "{column.key}" because it is not an array, string, or object.'
        )
    if any(not isinstance(value, str) for value in query.values):
        raise _value_refused(column)
    if query.method == "containsAll":
        parts = [_any_like(name, "%{}%", [value], parameters) for value in query.values]
        return f"({' AND '.join(parts)})"
    return _any_like(name, _PATTERNS[query.method], query.values, parameters)


def _any_like(name: str, pattern: str, values: Sequence[str], parameters: list[Any]) -> str:
    if not values:
        return "0"
    for value in values:
        escaped = value.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
        parameters.append(pattern.format(escaped))
    return "(" + " OR ".join([f"{name} LIKE ? ESCAPE '\\'"] * len(values)) + ")"


def _value(column: Column, value: Any) -> Any:
    """A query's value in the form its column is stored in. Raises general_query_invalid."""
    try:
        if column.key == "$sequence":
            return int(value)
        if column.kind == "datetime":
            return clock.text(clock.milliseconds(value))
        if column.kind in ("integer", "bigint") and not isinstance(value, bool):
            return _within_int64(int(value)) if not isinstance(value, float) or value.is_integer() else value
        if column.kind == "float" and not isinstance(value, bool):
            return float(value)
        if column.kind == "boolean" and isinstance(value, bool):
            return int(value)
        if column.is_text and isinstance(value, str):
            return value
    except (ValueError, TypeError, OverflowError):
        pass
    raise _value_refused(column)


def _within_int64(value: int) -> int:
    if not -INT64 <= value < INT64:
        raise ValueError(value)
    return value


def _value_refused(column: Column) -> AppwriteError:
    return _invalid(f'Query value is invalid for attribute "{column.key}"')


def _invalid(reason: str) -> AppwriteError:
    return AppwriteError("general_query_invalid", f"Invalid query: {reason}")


def after_cursor(plan: Plan, row: Any, parameters: list[Any]) -> str:
    """The condition "comes after this row" (or before it) in the plan's order; NULL sorts first.

    `row` is the cursor's row with its columns by name.
    """
    ways: list[str] = []
    equal: list[str] = []
    equal_values: list[Any] = []
    for name, descending in plan.order:
        value = row[name[1:-1].replace('""', '"')]
        falling = descending != plan.backwards
        if value is None:
            step, values = ("0", []) if falling else (f"{name} IS NOT NULL", [])
        elif falling:
            step, values = f"({name} < ? OR {name} IS NULL)", [value]
        else:
            step, values = f"{name} > ?", [value]
        ways.append("(" + " AND ".join([*equal, step]) + ")")
        parameters.extend([*equal_values, *values])
        equal.append(f"{name} IS ?")
        equal_values.append(value)
    return "(" + " OR ".join(ways) + ")"


def order_by(plan: Plan) -> str:
    """The ORDER BY clause; backwards where a page before a cursor is wanted."""
    if plan.random:
        return " ORDER BY random()"
    parts = [f"{name} {'DESC' if descending != plan.backwards else 'ASC'}" for name, descending in plan.order]
    return " ORDER BY " + ", ".join(parts)
