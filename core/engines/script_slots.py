"""How many calls a language model gets a minute and a day: every execution takes a free slot first."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from core.errors import WaitError
from core.identity import slots_id
from core.ports import Clock, Store

_COUNT = "planner_calls"  # the settings row that says where to look for the day's next free slot
_MISSES = 25  # slots of a day that are tried after the one that was thought to be free


@dataclass(frozen=True, slots=True)
class Slots:
    """The calls of one deployment. A slot is a claim: of all who want it, one gets it."""

    store: Store
    clock: Clock
    per_minute: int  # 0: any number
    per_day: int  # of UTC; 0: any number

    def take(self) -> None:
        """Take one slot of this minute and this day.

        Raises:
            WaitError: there is none; with the moment of the next minute or day.
        """
        now = self.clock.now().astimezone(UTC)
        if self.per_minute:
            self._minute(now)
        if self.per_day:
            self._day(now)

    def _minute(self, now: datetime) -> None:
        minute = now.replace(second=0, microsecond=0)
        for slot in range(self.per_minute):
            if self._claim(now, f"{minute:%H:%M}", slot):
                return
        raise WaitError(
            f"All {self.per_minute} calls of this minute to the language model are taken.",
            minute + timedelta(minutes=1),
        )

    def _day(self, now: datetime) -> None:
        """Slots are taken in order, so that the row's number, which may be old but never too high, saves the search."""
        known = self._count(now)
        for slot in range(known, min(self.per_day, known + _MISSES)):
            if self._claim(now, "day", slot):
                self.store.put_setting(_COUNT, f"{now:%Y-%m-%d} {slot + 1}")
                return
        if known + _MISSES < self.per_day:
            raise WaitError("Too many videos ask the language model at once.", now + timedelta(seconds=5))
        midnight = now.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
        raise WaitError(f"All {self.per_day} calls of today to the language model are taken.", midnight)

    def _count(self, now: datetime) -> int:
        day, _, count = (self.store.setting(_COUNT) or "").partition(" ")
        return int(count) if day == f"{now:%Y-%m-%d}" and count.isdecimal() else 0

    def _claim(self, now: datetime, window: str, slot: int) -> bool:
        return self.store.claim("planner", window, slot, video_id=slots_id(now))
