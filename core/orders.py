"""What is ordered from a text-to-video service: length, size, price, and the note that keeps an order."""

from __future__ import annotations

import json
from collections.abc import Container, Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Self

from core.documents import FPS, Canvas, Scene

ORDER = "order"  # name of the note
SHORT, LONG = 5, 9  # seconds that a generation of Luma may last
_SLOWED = 1.4  # a narration may be so much longer than its footage: that is slowed, not repeated
_RATE = 24  # frames per second of the service
_AREAS = {"540p": 960 * 540, "720p": 1280 * 720}  # px of a frame, whatever its aspect
AS_OF = "2025-06"  # when these were read at lumalabs.ai/api/pricing; an estimate of what is taken today
MILLION_PIXELS = {"ray-2": 0.0064, "ray-flash-2": 0.0022}  # USD of a model for a million px of all frames together
_DEAREST = max(MILLION_PIXELS.values())


@dataclass(frozen=True, slots=True)
class Order:
    """One generation, noted before it is placed and again when the service has said its id."""

    at: str  # ISO time, UTC, just before it was placed
    usd: float  # expected
    seconds: int  # it should last
    id: str = ""  # empty: placed perhaps, and no reply came

    def to_note(self) -> str:
        """Serialise for the note."""
        return json.dumps(asdict(self))

    @classmethod
    def from_note(cls, text: str) -> Self | None:
        """Read what `to_note` wrote; None when nothing is ordered."""
        return cls(**json.loads(text)) if text else None


def seconds_of(frames: int) -> int:
    """How long a generation should last for a scene of so many frames."""
    return SHORT if frames <= SHORT * FPS * _SLOWED else LONG


def resolution_of(canvas: Canvas) -> str:
    """The service's word for the size of its picture: no larger than the film needs, and at most 720p."""
    return "540p" if canvas.short_side <= 540 else "720p"


def usd_of(model: str, resolution: str, seconds: int, usd_per_second: float = 0.0) -> float:
    """Dollars that a generation is expected to cost.

    `usd_per_second`: what the operator knows better than the table; 0: nothing. A model that the table does not have
    is taken for the dearest.
    """
    if usd_per_second:
        return round(usd_per_second * seconds, 6)
    return round(MILLION_PIXELS.get(model, _DEAREST) * _AREAS[resolution] * _RATE * seconds / 1e6, 6)


def orders_of(scene: Scene) -> Iterator[Order]:
    """What is noted in a scene's row."""
    for notes in json.loads(scene.notes or "{}").values():
        order = Order.from_note(notes.get(ORDER, ""))
        if order is not None:
            yield order


def generation_of(scene: Scene) -> str:
    """The id of the generation that a scene shows or waits for; empty: none."""
    return next((order.id for order in orders_of(scene)), "")


def account_of(order_id: str) -> str:
    """The name under which a video's costs hold what an order took: one account, however often it is written."""
    return f"order-{order_id}"


def open_usd(scenes: Iterable[Scene], accounts: Container[str]) -> float:
    """Dollars of all that is ordered for these scenes and not in the accounts yet."""
    return sum(o.usd for scene in scenes for o in orders_of(scene) if not o.id or account_of(o.id) not in accounts)
