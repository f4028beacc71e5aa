"""How the fields of a request are read: each refusal is a sentence with a code and the field's name."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Collection, Mapping
from typing import Any

from core.errors import InvalidInputError

_MARKUP = re.compile(r"<!doctype|<\s*(html|head|body|script|style|div|p|span|table|iframe)\b[^>]*>", re.IGNORECASE)
_HUGE = 10**15  # beyond every range here


def text(raw: Mapping[str, Any], field: str, limit: int) -> str:
    """Plain text of at most `limit` characters, without white space around it; empty when it is missing."""
    value = source(raw, field, limit)
    if _MARKUP.search(value):
        raise InvalidInputError(
            f"`{field}` looks like HTML: give the plain text that is to be spoken.", code="markup", field=field
        )
    return value


def source(raw: Mapping[str, Any], field: str, limit: int) -> str:
    """The same for text of any kind, such as a program."""
    value = raw.get(field)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise InvalidInputError(f"`{field}` must be text.", code="not_text", field=field)
    value = value.removeprefix("\ufeff").strip()
    if len(value) > limit:
        raise InvalidInputError(
            f"`{field}` has {len(value):,} characters; at most {limit:,} are allowed.", code="too_long", field=field
        )
    if "\ufffd" in value or any(unicodedata.category(c) == "Cs" for c in value):
        raise InvalidInputError(
            f"`{field}` holds broken characters: save the text as UTF-8 and send it again.",
            code="wrong_encoding",
            field=field,
        )
    if any(unicodedata.category(c) == "Cc" and c not in "\t\n\r" for c in value):
        raise InvalidInputError(
            f"`{field}` holds control characters: it looks like a binary file, not text.",
            code="control_characters",
            field=field,
        )
    return value


def choice(raw: Mapping[str, Any], field: str, choices: Collection[Any], default: Any) -> Any:
    """One of `choices`; the default when it is missing or empty."""
    value = raw.get(field)
    if value is None or value == "":
        return default
    if isinstance(value, bool) or not isinstance(value, str | int) or value not in choices:
        offered = ", ".join(map(str, choices))
        raise InvalidInputError(
            f"`{field}` must be one of {offered}, not {str(value)[:40]!r}.", code="unknown_value", field=field
        )
    return value


def number(raw: Mapping[str, Any], field: str, low: float, high: float, default: float) -> float:
    """A number from `low` to `high`; the default when it is missing or empty."""
    value = raw.get(field)
    if value is None or value == "":
        return default
    if isinstance(value, int):  # JSON's whole numbers may be longer than any float
        value = value if isinstance(value, bool) else max(-_HUGE, min(value, _HUGE))
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise InvalidInputError(f"`{field}` must be a number.", code="not_a_number", field=field)
    if not low <= value <= high:
        raise InvalidInputError(
            f"`{field}` must be between {low:g} and {high:g}, not {value:g}.", code="out_of_range", field=field
        )
    return float(value)


def token(raw: Mapping[str, Any], field: str, pattern: str, meaning: str) -> str:
    """What matches a pattern as a whole; empty when it is missing or empty."""
    value = raw.get(field)
    if value is None or value == "":
        return ""
    if not isinstance(value, str) or not re.fullmatch(pattern, value):
        raise InvalidInputError(f"`{field}` must be {meaning}.", code="unknown_value", field=field)
    return value


def upload(raw: Mapping[str, Any], field: str) -> str:
    """The id of a file in the bucket of uploads, by Appwrite's rule for ids; empty: none."""
    return token(raw, field, r"[a-zA-Z0-9][a-zA-Z0-9._-]{0,35}", "the id of an uploaded file")
