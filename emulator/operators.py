"""Operators: changes written in place of a value, such as `{"method":"increment","values":[1]}`; pure functions."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from emulator import clock
from emulator.columns import Column, ValueRefused
from emulator.database import pack
from emulator.foreign import read_json

_DAY_MS = 86_400_000
_TEXT_MOST = 2**24  # characters
_NUMBERS = ("integer", "bigint", "float")
_CONDITIONS: dict[str, Callable[[Any, Any], bool]] = {
    "equal": lambda each, value: bool(each == value),
    "notEqual": lambda each, value: bool(each != value),
    "greaterThan": lambda each, value: bool(each > value),
    "greaterThanEqual": lambda each, value: bool(each >= value),
    "lessThan": lambda each, value: bool(each < value),
    "lessThanEqual": lambda each, value: bool(each <= value),
    "contains": lambda each, value: isinstance(each, str) and isinstance(value, str) and value in each,
    "isNull": lambda each, _: each is None,
    "isNotNull": lambda each, _: each is not None,
}


@dataclass(frozen=True)
class Operator:
    """One change; `values` are its arguments."""

    method: str
    values: tuple[Any, ...]


def parse(value: object) -> Operator | None:
    """The operator a value of a change stands for; None where it is a plain value."""
    if not isinstance(value, str) or not value.startswith('{"'):
        return None
    try:
        read = read_json(value)
    except ValueError:
        return None
    method, values = (read.get("method"), read.get("values", [])) if isinstance(read, dict) else (None, None)
    if not isinstance(method, str) or method not in _METHODS or not isinstance(values, list):
        return None
    return Operator(method, tuple(values))


def applied(column: Column, value: object, current: Any) -> Any:
    """What a column's value becomes: the given one, or what an operator makes of the current one.

    Raises ValueRefused where the operator does not fit the column.
    """
    operator = parse(value)
    if operator is None:
        return value
    fits, least, most, change = _METHODS[operator.method]
    if not fits(column):
        raise ValueRefused(f'Attribute "{column.key}" cannot take the operator {operator.method}')
    if not least <= len(operator.values) <= most:
        raise ValueRefused(f"Operator {operator.method} takes {least} to {most} values")
    try:
        changed = change(column, current, *operator.values)
        return _rounded(changed) if operator.method in _STEPS and column.kind != "float" else changed
    except (TypeError, ValueError, ArithmeticError, OSError):  # OSError: a year that the system's clock cannot hold
        raise ValueRefused(f"Operator {operator.method} cannot take these values") from None


def _rounded(value: float) -> int:
    """The nearest integer, halves away from zero, as SQL stores a fraction in an integer column."""
    return int(value) if isinstance(value, int) else int(math.copysign(math.floor(abs(value) + 0.5), value))


def _stepped(change: Callable[[Any, Any], Any], bound: Callable[[Any, Any], Any]) -> Callable[..., Any]:
    """An arithmetic change whose result stops at an optional limit."""

    def apply_step(_: Column, current: Any, value: Any, limit: Any = None) -> Any:
        for given in (value, limit):
            if isinstance(given, (bool, str)):
                raise ValueError(given)
        changed = change(current or 0, value)
        return changed if limit is None else bound(changed, limit)

    return apply_step


def _power(base: Any, exponent: Any) -> float:
    if abs(base) > 1 and abs(exponent) > 1024:
        raise OverflowError  # found before the digits are computed
    raised = base**exponent
    if isinstance(raised, complex):
        raise ValueError(base)
    return float(raised) if isinstance(raised, float) else int(raised)


def _divided(value: Any, divisor: Any) -> Any:
    exact = isinstance(value, int) and isinstance(divisor, int) and value % divisor == 0
    return value // divisor if exact else value / divisor


def _remainder(value: Any, divisor: Any) -> Any:
    """The sign is that of the dividend, as in SQL."""
    if isinstance(value, int) and isinstance(divisor, int):
        return int(math.copysign(abs(value) % abs(divisor), value))
    return math.fmod(value, divisor)


def _inserted(_: Column, current: Any, index: Any, value: Any) -> list[Any]:
    items = list(current or [])
    if isinstance(index, bool) or not 0 <= index <= len(items):
        raise ValueError(index)
    return [*items[:index], value, *items[index:]]


def _filtered(_: Column, current: Any, condition: Any, value: Any = None) -> list[Any]:
    if condition not in _CONDITIONS:
        raise ValueError(condition)
    return [each for each in current or [] if _CONDITIONS[condition](each, value)]


def _distinct(_: Column, current: Any) -> list[Any]:
    return list({pack(each): each for each in current or []}.values())


def _joined(_: Column, current: Any, text: Any) -> str:
    return _bounded(current or "", len(text)) + str(text)


def _replaced(_: Column, current: Any, search: Any, replacement: Any) -> Any:
    if not current or search == "":
        return current
    return _bounded(current, current.count(search) * len(replacement)).replace(search, replacement)


def _bounded(text: str, grows_by: int) -> str:
    """The text; ValueError where growing would make it longer than any request could."""
    if len(text) + grows_by > _TEXT_MOST:
        raise ValueError(grows_by)
    return text


def _moved(sign: int) -> Callable[[Column, Any, Any], Any]:
    def move(_: Column, current: Any, days: Any) -> Any:
        if isinstance(days, bool) or not isinstance(days, int):
            raise ValueError(days)
        return None if current is None else clock.text(clock.milliseconds(current) + sign * days * _DAY_MS)

    return move


def _is_number(column: Column) -> bool:
    return column.kind in _NUMBERS and not column.array


def _is_list(column: Column) -> bool:
    return column.array


def _is_text(column: Column) -> bool:
    return column.is_text and not column.array


def _is_flag(column: Column) -> bool:
    return column.kind == "boolean" and not column.array


def _is_moment(column: Column) -> bool:
    return column.kind == "datetime" and not column.array


_MANY = 100  # values of one operator
# method: (the columns it fits, least and most values, the change)
_METHODS: Mapping[str, tuple[Callable[[Column], bool], int, int, Callable[..., Any]]] = {
    "increment": (_is_number, 0, 2, lambda c, v, by=1, limit=None: _stepped(lambda a, b: a + b, min)(c, v, by, limit)),
    "decrement": (_is_number, 0, 2, lambda c, v, by=1, limit=None: _stepped(lambda a, b: a - b, max)(c, v, by, limit)),
    "multiply": (_is_number, 1, 2, _stepped(lambda a, b: a * b, min)),
    "divide": (_is_number, 1, 2, _stepped(_divided, max)),
    "modulo": (_is_number, 1, 1, _stepped(_remainder, min)),
    "power": (_is_number, 1, 2, _stepped(_power, min)),
    "arrayAppend": (_is_list, 0, _MANY, lambda _, current, *values: [*(current or []), *values]),
    "arrayPrepend": (_is_list, 0, _MANY, lambda _, current, *values: [*values, *(current or [])]),
    "arrayInsert": (_is_list, 2, 2, _inserted),
    "arrayRemove": (_is_list, 1, 1, lambda _, current, value: [each for each in current or [] if each != value]),
    "arrayUnique": (_is_list, 0, 0, _distinct),
    "arrayIntersect": (_is_list, 0, _MANY, lambda _, current, *values: [e for e in current or [] if e in values]),
    "arrayDiff": (_is_list, 0, _MANY, lambda _, current, *values: [e for e in current or [] if e not in values]),
    "arrayFilter": (_is_list, 1, 2, _filtered),
    "stringConcat": (_is_text, 1, 1, _joined),
    "stringReplace": (_is_text, 2, 2, _replaced),
    "toggle": (_is_flag, 0, 0, lambda _, current: not current),
    "dateAddDays": (_is_moment, 1, 1, _moved(1)),
    "dateSubDays": (_is_moment, 1, 1, _moved(-1)),
    "dateSetNow": (_is_moment, 0, 0, lambda _, __: clock.now_text()),
}
METHODS = frozenset(_METHODS)
_STEPS = frozenset({"increment", "decrement", "multiply", "divide", "modulo", "power"})
