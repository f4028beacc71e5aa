"""JSON that comes from outside, read so strictly that it can be stored and sent again."""

from __future__ import annotations

import json
from typing import Any


def read_json(written: str | bytes) -> Any:
    """The JSON value. Raises ValueError, and for nothing else: also where it is nested too deeply, holds half of a
    surrogate pair, or a number that is none (NaN, infinity, 1e999).
    """
    try:
        value = json.loads(written, parse_constant=_refuse, parse_float=_finite)
    except RecursionError:
        raise ValueError("JSON is nested too deeply") from None
    escape = "\\u" if isinstance(written, str) else b"\\u"
    if escape in written:  # type: ignore[operator] # both are of one kind
        _require_whole_characters(value)
    return value


def _require_whole_characters(value: Any) -> None:
    """Half a surrogate pair passes json.loads, but neither SQLite nor UTF-8 has a place for it."""
    json.dumps(value, ensure_ascii=False).encode()


def _refuse(word: str) -> None:
    raise ValueError(f"{word} is no JSON number")


def _finite(written: str) -> float:
    value = float(written)
    if value in (float("inf"), float("-inf")):
        raise ValueError(f"{written} is no number")
    return value
