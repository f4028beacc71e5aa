"""What `scenewright doctor` says of one part."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from rich.text import Text

WELL, DOUBTFUL, BROKEN = 0, 1, 2

Seen = tuple[int, str]  # level and sentence
Looks = list[tuple[str, Callable[[], Seen]]]  # by part, in order; a look may raise ScenewrightError


@dataclass(frozen=True, slots=True)
class Finding:
    """What was seen of one part. `level`: WELL, DOUBTFUL or BROKEN; the sentence of a fault says what to do."""

    part: str
    level: int
    sentence: str

    def line(self) -> Text:
        """One coloured line."""
        mark, colour = (("✓", "green"), ("!", "yellow"), ("✗", "red"))[self.level]
        return Text.assemble((f"{mark} ", colour), (f"{self.part:<12}", "bold"), (self.sentence, colour))
