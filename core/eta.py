"""How long it will still take: what was expected, corrected by what was measured, never at rest while work goes on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from datetime import datetime
from typing import Any, Self

_MOVED = 0.01  # share of the whole work by which what is left must shrink to count as movement
_DOUBT = 0.1  # share of the whole work after which expectation and measurement weigh the same
_FOLLOW_SECONDS = 6.0  # in which most of a new finding has reached what is told
_FORGOTTEN_SECONDS = 30.0  # what was told so long ago binds nobody


@dataclass(frozen=True, slots=True)
class Work:
    """A piece of work whose end is estimated, as the handle of its video keeps it: times are ISO, the rest seconds."""

    begun_at: str
    whole: float  # expected when it began
    alone: float  # for the scenes, as the averages of single scenes say
    left: float  # expected at the last movement
    moved_at: str
    told: float  # what people read
    told_at: str

    @classmethod
    def begin(cls, left: float, alone: float, now: datetime, told: float | None = None) -> Self:
        """Work of which nothing is done; `told`: seconds that people were told a moment ago."""
        at = now.isoformat(timespec="milliseconds")
        return cls(at, round(left, 2), round(alone, 2), round(left, 2), at, left if told is None else told, at)

    @classmethod
    def read(cls, raw: Any) -> Self | None:
        """Read what `columns` gave; None when there is nothing."""
        names = {f.name for f in fields(cls)}
        return cls(**raw) if isinstance(raw, Mapping) and raw.keys() == names else None

    def columns(self) -> dict[str, Any]:
        """As it is kept in the handle."""
        return asdict(self)

    def went_on(self, left: float, now: datetime) -> Work:
        """The same work when `left` seconds of it are expected to be left."""
        at = now.isoformat(timespec="milliseconds")
        moved = left <= self.left - _MOVED * self.whole or (left == 0 < self.left)
        if moved:
            work = replace(self, left=round(left, 2), moved_at=at)
        else:  # a scene that has to be made again may also make it more
            more = max(left, self.left) if left > self.left + _MOVED * self.whole else self.left
            work = replace(self, left=round(more, 2), whole=max(self.whole, round(more, 2)))
        return replace(work, told=round(_told(work, now), 2), told_at=at)

    @property
    def eta_seconds(self) -> int:
        """Whole seconds for the column, at least 1 while work goes on."""
        return max(1, round(self.told))


def since(moment: str, now: datetime) -> float:
    """Seconds from a moment until now; a clock that was set back gives 0."""
    return max(0.0, (now - datetime.fromisoformat(moment)).total_seconds())


def rest(work: Work, now: datetime) -> float:
    """Seconds still to go, as the work itself shows it.

    Expectation is believed in the beginning, the measured pace more and more. From one movement to the next the rest
    shrinks as the time goes by; where nothing moves, it grows with the time in which nothing moved.
    """
    done = max(0.0, work.whole - work.left)
    measured = since(work.begun_at, now) - since(work.moved_at, now)
    trust = done / (done + _DOUBT * work.whole) if done else 0.0
    pace = (1 - trust) + trust * (measured / done if done else 1.0)
    silent = since(work.moved_at, now)
    return max(work.left * pace - silent, silent / 2)


def _told(work: Work, now: datetime) -> float:
    """What to tell people: a clock that runs down, drawn gently towards what the work shows."""
    passed, found = since(work.told_at, now), rest(work, now)
    if passed > _FORGOTTEN_SECONDS:
        return found
    counted = max(work.told - passed, 0.0)
    return counted + (found - counted) * min(1.0, passed / _FOLLOW_SECONDS)


def rest_of_wait(usual: float, waited: float) -> float:
    """Seconds until a call begins that usually begins after `usual` seconds: the longer it took, the less is known."""
    return max(usual - waited, waited / 2)
