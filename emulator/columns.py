"""Columns: what each kind accepts, how it lies in SQLite, and how it is shown."""

from __future__ import annotations

import ipaddress
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from emulator import clock
from emulator.database import pack, unpack
from emulator.geometry import is_shape

INT64 = 2**63
FLOAT_MAX = 1.7976931348623157e308
# Characters a kind of text holds: what MariaDB stores of it in four-byte characters.
TEXT_SIZES = {"text": 16_383, "mediumtext": 4_194_303, "longtext": 1_073_741_823}
FORMAT_SIZES = {"email": 254, "url": 2000, "ip": 39, "enum": 255}
SPATIAL = ("point", "line", "polygon")
_TEXTS = ("string", "varchar", *TEXT_SIZES, *FORMAT_SIZES)
KINDS = (
    *_TEXTS,
    *("integer", "bigint", "float", "boolean", "datetime", *SPATIAL),
)
_VARCHAR_MAX = 16_381  # longer strings are kept off the row by real servers
_EMAIL = re.compile(r"^[^@\s]{1,64}@[A-Za-z0-9.-]+\.[A-Za-z0-9-]{2,}$")


class ValueRefused(Exception):
    """A value that does not fit its column; the text says what the column wants."""


@dataclass(frozen=True)
class Column:
    """One column. `kind` is the word in its creation path; `size` counts characters, 0 where it has no meaning."""

    kind: str
    key: str
    required: bool = False
    array: bool = False
    default: Any = None
    size: int = 0
    minimum: float | None = None
    maximum: float | None = None
    elements: tuple[str, ...] = ()
    encrypt: bool = False
    created_at: str = ""
    updated_at: str = ""

    def show(self, status: str = "available") -> dict[str, Any]:
        """The column as clients see it."""
        shown: dict[str, Any] = {
            "key": self.key,
            "type": _TYPE_NAMES.get(self.kind, self.kind),
            "status": status,
            "error": "",
            "required": self.required,
            "array": self.array,
            "$createdAt": self.created_at,
            "$updatedAt": self.updated_at,
        }
        if self.kind in ("string", "varchar"):
            shown["size"] = self.size
        elif self.kind in ("integer", "bigint", "float"):
            shown["min"], shown["max"] = self.minimum, self.maximum
        elif self.kind == "datetime":
            shown["format"] = ""
        elif self.kind in FORMAT_SIZES:
            shown["format"] = self.kind
            if self.kind == "enum":
                shown["elements"] = list(self.elements)
        shown["default"] = self.default
        if self.kind in ("string", "varchar", *TEXT_SIZES):
            shown["encrypt"] = self.encrypt
        return shown

    @property
    def sql_type(self) -> str:
        """The affinity that keeps comparisons right."""
        if self.array:
            return "TEXT"
        return {"integer": "INTEGER", "bigint": "INTEGER", "boolean": "INTEGER", "float": "REAL"}.get(self.kind, "TEXT")

    @property
    def is_text(self) -> bool:
        """Whether a value is a text that may be searched, joined, compared by letters."""
        return self.kind in _TEXTS

    @property
    def sql_declaration(self) -> str:
        """The type of a new SQL column; texts are compared without regard to case, as MariaDB does."""
        return "TEXT COLLATE NOCASE" if self.is_text and not self.array else self.sql_type

    @property
    def row_bytes(self) -> int:
        """What this column takes of MariaDB's 65,535 bytes per row."""
        if self.array or self.kind in TEXT_SIZES:
            return 20
        fixed = {"integer": 8 if self._wide else 4, "bigint": 8, "float": 8, "boolean": 1, "datetime": 7}
        fixed.update(point=25, line=20, polygon=20)
        if self.kind in fixed:
            return fixed[self.kind]
        size = FORMAT_SIZES.get(self.kind, self.size)
        if size > _VARCHAR_MAX:
            return 20
        return size * 4 + (2 if size > 255 else 1)

    @property
    def _wide(self) -> bool:
        return self.maximum is not None and self.maximum > 2**31 - 1

    def to_sql(self, value: Any) -> Any:
        """The value as it is stored. Raises ValueRefused."""
        if value is None:
            return None
        if not self.array:
            return self.checked(value)
        if not isinstance(value, list):
            raise ValueRefused(f'Attribute "{self.key}" must be an array')
        return pack([None if each is None else self._plain(each) for each in value])

    @property
    def checked(self) -> Callable[[Any], Any]:
        """The check and conversion of one value of this kind."""
        if self.kind in SPATIAL:
            return self._spatial
        return getattr(self, f"_{_CHECKS[self.kind]}")  # type: ignore[no-any-return]

    def _plain(self, value: Any) -> Any:
        stored = self.checked(value)
        return bool(stored) if self.kind == "boolean" else stored

    @property
    def from_sql(self) -> Callable[[Any], Any] | None:
        """How a stored value becomes JSON's; None where it is that already."""
        if self.array:
            return _list_from_sql
        if self.kind == "boolean":
            return _bool_from_sql
        if self.kind == "float":
            return shown_number
        return _json_from_sql if self.kind in SPATIAL else None

    def _text(self, value: Any) -> str:
        limit = TEXT_SIZES.get(self.kind, self.size)
        if not isinstance(value, str) or len(value) > limit:
            raise self._wrong("type", f"Value must be a valid string and no longer than {limit} chars")
        return value

    def _format(self, value: Any) -> str:
        good = isinstance(value, str) and len(value) <= FORMAT_SIZES[self.kind]
        if good and self.kind == "enum":
            good = value in self.elements
        elif good:
            good = _FORMATS[self.kind](value)
        if not good:
            wanted = f"one of ({', '.join(self.elements)})" if self.kind == "enum" else _FORMAT_NAMES[self.kind]
            raise self._wrong("format", f"Value must be {wanted}")
        return str(value)

    def _integer(self, value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not self._in_range(value):
            raise self._wrong(
                "format", f"Value must be an integer between {self.minimum or -INT64} and {self.maximum or INT64 - 1}"
            )
        return value

    def _float(self, value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not self._in_range(value):
            raise self._wrong("format", f"Value must be a number between {self.minimum} and {self.maximum}")
        return float(value)

    def _boolean(self, value: Any) -> int:
        if not isinstance(value, bool):
            raise self._wrong("type", "Value must be a valid boolean")
        return int(value)

    def _datetime(self, value: Any) -> str:
        try:
            return clock.text(clock.milliseconds(value))
        except (ValueError, TypeError, OverflowError):
            raise self._wrong("format", "Value must be a date and time in ISO 8601") from None

    def _spatial(self, value: Any) -> str:
        if not is_shape(value, SPATIAL.index(self.kind)):
            raise self._wrong("type", f"Value must be a {self.kind} of numbers [x, y]")
        return pack(value)

    def _in_range(self, value: float) -> bool:
        if isinstance(value, int) and not -INT64 <= value < INT64:
            return False
        return (
            math.isfinite(value)
            and (self.minimum is None or value >= self.minimum)
            and (self.maximum is None or value <= self.maximum)
        )

    def _wrong(self, what: str, wanted: str) -> ValueRefused:
        return ValueRefused(f'Attribute "{self.key}" has invalid {what}. {wanted}')


def shown_number(value: float | None) -> float | int | None:
    """A float without a fraction is shown as an integer, as PHP's JSON does."""
    return int(value) if value is not None and float(value).is_integer() and abs(value) < 2**53 else value


_TYPE_NAMES = {
    "float": "double",
    "line": "linestring",
    "email": "string",
    "url": "string",
    "ip": "string",
    "enum": "string",
}
_CHECKS = {
    **dict.fromkeys(("string", "varchar", *TEXT_SIZES), "text"),
    **dict.fromkeys(FORMAT_SIZES, "format"),
    "integer": "integer",
    "bigint": "integer",
    "float": "float",
    "boolean": "boolean",
    "datetime": "datetime",
}
_FORMAT_NAMES = {"email": "a valid email address", "url": "a valid URL", "ip": "a valid IP address"}


def _is_url(value: str) -> bool:
    try:
        parts = urlsplit(value)
    except ValueError:
        return False
    return bool(parts.scheme and parts.netloc) and not any(c.isspace() for c in value)


def _is_ip(value: str) -> bool:
    try:
        ipaddress.ip_address(value)
    except ValueError:
        return False
    return True


def _is_email(value: str) -> bool:
    return _EMAIL.match(value) is not None


_FORMATS: dict[str, Callable[[str], bool]] = {"email": _is_email, "url": _is_url, "ip": _is_ip}


def _list_from_sql(stored: str | None) -> Any:
    return [] if stored is None else unpack(stored)


def _json_from_sql(stored: str | None) -> Any:
    return None if stored is None else unpack(stored)


def _bool_from_sql(stored: int | None) -> bool | None:
    return None if stored is None else bool(stored)
