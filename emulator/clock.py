"""The one written form of time: UTC, milliseconds, `2026-11-20T10:00:00.000+00:00`."""

from __future__ import annotations

import datetime as dt
import time


def now_text() -> str:
    """The present moment as text; such texts sort as the moments do."""
    return text(time.time_ns() // 1_000_000)


def text(milliseconds: int) -> str:
    """Milliseconds since 1970 as text."""
    seconds, rest = divmod(milliseconds, 1000)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(seconds))}.{rest:03d}+00:00"


def milliseconds(written: str) -> int:
    """Milliseconds since 1970 of an ISO 8601 text; without an offset it is UTC. Raises ValueError."""
    moment = dt.datetime.fromisoformat(written)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=dt.UTC)
    return round((moment - _EPOCH) / _MILLISECOND)


def after(written: str | None) -> str:
    """A moment later than the one written, and now where now is later: row times strictly increase."""
    present = now_text()
    if written is None or present > written:
        return present
    return text(milliseconds(written) + 1)


_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_MILLISECOND = dt.timedelta(milliseconds=1)
