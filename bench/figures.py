"""What is measured, as values: figures beside their bounds, and the statistics they come from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from math import ceil
from typing import Any


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured figure. With a `bound` it is a claim, which holds or is missed."""

    what: str
    value: float
    unit: str  # "x" for ratios
    bound: float | None = None
    at_least: bool = False  # whether the bound is the least instead of the most
    beside: str = ""  # the baseline of a ratio, the spread of a median: what the figure is to be read with

    @property
    def missed(self) -> bool:
        """Whether it is a claim that does not hold."""
        if self.bound is None:
            return False
        return self.value < self.bound if self.at_least else self.value > self.bound

    @property
    def verdict(self) -> str:
        """ok, MISSED, or nothing for a figure without a claim."""
        if self.bound is None:
            return ""
        return "MISSED" if self.missed else "ok"

    @property
    def claim(self) -> str:
        """The bound as people write it."""
        if self.bound is None:
            return ""
        return f"{'≥' if self.at_least else '≤'} {self.bound:g} {self.unit}"

    def record(self) -> dict[str, Any]:
        """As JSON."""
        facts = {"what": self.what, "value": round(self.value, 4), "unit": self.unit, "beside": self.beside}
        return {**facts, "bound": self.claim, "verdict": self.verdict}


@dataclass(frozen=True, slots=True)
class Topic:
    """What one topic measured. `setting`: what was done, in a sentence; `notes`: what a reader must know."""

    name: str
    setting: str
    figures: tuple[Figure, ...]
    notes: tuple[str, ...] = field(default=())

    @property
    def missed(self) -> bool:
        """Whether a claim does not hold."""
        return any(figure.missed for figure in self.figures)


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest of the values that at least `share` (0 to 1) of them do not exceed (nearest-rank method).

    Raises:
        ValueError: there are no values, or the share is outside 0 to 1.
    """
    if not values or not 0 <= share <= 1:
        raise ValueError(f"no percentile {share} of {len(values)} values")
    return sorted(values)[max(0, ceil(share * len(values)) - 1)]


def busiest(times: Sequence[float], window: float) -> int:
    """The most events in any half-open window of so many seconds."""
    ordered = sorted(times)
    first, most = 0, 0
    for last, time in enumerate(ordered):
        while time - ordered[first] >= window:
            first += 1
        most = max(most, last - first + 1)
    return most


def widest_gap(times: Sequence[float]) -> float:
    """The longest time between two neighbouring events, 0 when there are not two."""
    ordered = sorted(times)
    return max((b - a for a, b in pairwise(ordered)), default=0.0)
