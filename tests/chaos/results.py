"""What a chaos run found, as one row of the table that `make chaos` prints."""

from __future__ import annotations

import os
import random
import sys
from collections.abc import Sequence
from dataclasses import dataclass, fields

SEED = "SCENEWRIGHT_CHAOS_SEED"  # environment variable: replay this one seed instead of a suite's own


@dataclass(frozen=True, kw_only=True)
class Row:
    """One run of one suite. `lost`, `duplicated` and `regressions` must be 0."""

    suite: str  # what was done to the system, in a few words
    seed: int  # replays the run's choices
    kills: int = 0  # processes ended with SIGKILL
    faults: int = 0  # calls that were made to fail, connections that were cut
    videos: int = 0
    lost: int = 0  # acknowledged videos that never completed
    duplicated: int = 0  # videos, scenes or assets made twice though nothing allowed it
    regressions: int = 0  # times a watcher saw progress fall or an older state after a newer one
    seconds: float = 0.0

    def __add__(self, other: Row) -> Row:
        """The sum of two rows, under the first one's name and seed."""
        counts = {f.name: getattr(self, f.name) + getattr(other, f.name) for f in fields(Row)[2:]}
        return Row(suite=self.suite, seed=self.seed, **counts)

    @property
    def holds(self) -> bool:
        """Whether nothing was lost, nothing made twice, and progress never fell."""
        return not (self.lost or self.duplicated or self.regressions)


def seeds(*own: int) -> list[int]:
    """The seeds a suite runs with: its own, or the one that is replayed."""
    replayed = os.environ.get(SEED, "")
    return [int(replayed)] if replayed else list(own)


def chooser(seed: int) -> random.Random:
    """Where all choices of a run come from; the seed is printed, and pytest shows it when the run fails."""
    sys.stdout.write(f"replay with {SEED}={seed}\n")
    return random.Random(seed)


def table(rows: Sequence[Row]) -> list[str]:
    """The rows as lines of text, with a sum at the end."""
    names = [f.name for f in fields(Row)]
    cells = [names]
    for row in [*rows, sum(rows[1:], rows[0])] if rows else []:
        cells.append([f"{value:.0f}" if isinstance(value := getattr(row, n), float) else str(value) for n in names])
    if rows:
        cells[-1][:2] = ["all", ""]
    widths = [max(len(line[i]) for line in cells) for i in range(len(names))]
    return [
        "  ".join(c.ljust(w) if i == 0 else c.rjust(w) for i, (c, w) in enumerate(zip(line, widths, strict=True)))
        for line in cells
    ]
