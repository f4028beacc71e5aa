"""Scenes filmed by Luma: ordered once, waited for across restarts, fetched when they are there."""

from __future__ import annotations

import logging
import math
import random
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from core.engine_ports import FootageBrief, Notes, PictureBrief, Report
from core.engines.cards_palettes import PALETTES, palette_name
from core.engines.luma_api import ExpiredError, LostReplyError, LumaApi, Said, is_moderation, moderated, wished_wait
from core.errors import EngineError, InvalidInputError, NotFoundError, ScenewrightError, UnavailableError
from core.orders import MILLION_PIXELS, ORDER, Order, resolution_of, seconds_of, usd_of

log = logging.getLogger(__name__)

_FIRST_WAIT, _LONGEST_WAIT, _GROWTH = 3.0, 20.0, 1.6  # seconds between two looks, and how they grow
_SLICE = 1.0  # seconds after which somebody who waits tells of it, and hears that it is not wanted any more
_WAITED, _FETCHING = 0.9, 0.95  # shares that are told
_FAILED = "failed"  # name of the note: how many generations of this footage have failed
_FAILURES = 2  # failed generations after which nobody orders another one
_PLACING_TRIES = 3  # after lost replies
_BUSY_SHARE = 1 / 3  # of the deadline in which a service that takes no orders is asked again
_DOWNLOADS = 4
_PROMPT_CHARS = 1500
_ASPECTS = ("9:16", "16:9", "1:1")


def _now() -> datetime:
    return datetime.now(UTC)


class LumaFootage:
    """Implements engine_ports.OrderedFootage with the service Luma.

    An order is noted before it is placed and again with its id. Whoever finds the first note without an id, because a
    reply was lost or a process died in between, looks for it in the service's list by request and time before placing
    another one. One risk is left: an order that the list does not show yet is placed a second time.

    A generation that failed, or was deleted before it was finished, is taken as not charged: so a new one is ordered
    after a failure, once. The service's bill decides.
    """

    id = "luma"
    holds = False

    def __init__(
        self,
        key: str,
        url: str = "",
        model: str = "ray-2",
        *,
        deadline: float = 600.0,
        usd_per_second: float = 0.0,
        typical: float = 45.0,
        sleep: Callable[[float], None] = time.sleep,
        now: Callable[[], datetime] = _now,
    ) -> None:
        """Nothing is sent yet.

        Args:
            key: of the service.
            url: of its API; empty: its own.
            model: ray-2 or ray-flash-2.
            deadline: seconds from an order until it is given up.
            usd_per_second: of film; 0: estimated.
            typical: seconds that a generation takes, for the progress that is told.
            sleep: waits so many seconds.
            now: the time, aware.

        Raises:
            InvalidInputError: there is no such model.
        """
        if model not in MILLION_PIXELS:
            raise InvalidInputError(
                f"SCENEWRIGHT_LUMA_MODEL must be one of {', '.join(MILLION_PIXELS)}, not {model[:40]!r}.",
                field="SCENEWRIGHT_LUMA_MODEL",
            )
        self.version = f"1/{model}"
        self._api, self._model = LumaApi(key, url), model
        self._deadline, self._usd_per_second, self._typical = deadline, usd_per_second, typical
        self._sleep, self._now = sleep, now
        self._late_at: datetime | None = None  # when a generation was given up last

    def wants(self, brief: FootageBrief) -> Mapping[str, Any]:
        """See engine_ports.FootageEngine. A narration that became longer is no reason to pay for a film again."""
        picture = brief.picture
        return {
            "prompt": prompt_of(picture),
            "aspect_ratio": _aspect(picture),
            "resolution": resolution_of(picture.canvas),
            "model": self._model,
        }

    def price(self, brief: FootageBrief) -> float:
        """See engine_ports.OrderedFootage."""
        resolution = resolution_of(brief.picture.canvas)
        return usd_of(self._model, resolution, seconds_of(brief.frames), self._usd_per_second)

    def order(self, brief: FootageBrief, notes: Notes) -> None:
        """See engine_ports.OrderedFootage."""
        if not notes.get(ORDER):
            self._placed_once(brief, notes)

    def cancel(self, notes: Notes) -> None:
        """See engine_ports.OrderedFootage."""
        order = Order.from_note(notes.get(ORDER))
        try:
            if order is not None and order.id:
                self._api.delete(order.id)
            notes.put(ORDER, "")
        except ScenewrightError as error:
            log.warning("an order was not taken back: %s", error.sentence, extra={"action": "order_left"})

    def shoot(self, brief: FootageBrief, out: Path, notes: Notes, report: Report) -> Mapping[str, Any]:
        """See engine_ports.FootageEngine.

        Raises:
            EngineError: codes moderated, generation_failed, generation_late, luma_no_credits, luma_refused.
            MissingToolError: code luma_key_refused.
            UnavailableError: the service is out of order; the order, if it was placed, stands.
        """
        order = Order.from_note(notes.get(ORDER))
        if order is None:
            order = self._placed(brief, notes, report)
        elif not order.id:
            order = self._recovered(order, brief, notes, report)
        said = self._finished(order, notes, report)
        self._fetch(said, out, report)
        return {"order": order.id, "usd": order.usd, "model": self._model, "asked_seconds": order.seconds}

    # ---- ordering

    def _placed(self, brief: FootageBrief, notes: Notes, report: Report) -> Order:
        """A new order; again while the service takes none at the moment, and after a lost reply to one it has not."""
        begun, lost, wait = self._now(), 0, _FIRST_WAIT
        while True:
            try:
                return self._placed_once(brief, notes)
            except LostReplyError:
                order = Order.from_note(notes.get(ORDER))
                assert order is not None  # it is noted before
                found = self._found(order, brief, notes, report)
                if found is not None:
                    return found
                lost += 1
                if lost == _PLACING_TRIES:
                    raise
            except UnavailableError as error:
                pause = max(wait, wished_wait(error))
                if (self._now() - begun).total_seconds() + pause > _BUSY_SHARE * self._deadline:
                    raise
                self._pause(pause, lambda: report(0.0))
                wait = min(wait * _GROWTH, _LONGEST_WAIT)

    def _placed_once(self, brief: FootageBrief, notes: Notes) -> Order:
        """Note it, place it, note its id; what was surely not placed is not noted any more."""
        if self._late_at and (self._now() - self._late_at).total_seconds() < self._deadline:
            raise EngineError("Luma is too slow at the moment.", code="generation_late")
        order = Order(self._now().isoformat(), self.price(brief), seconds_of(brief.frames))
        notes.put(ORDER, order.to_note())
        try:
            said = self._api.create(self._request(brief, order))
        except LostReplyError:
            raise
        except ScenewrightError:
            notes.put(ORDER, "")
            raise
        return self._noted(order, said.id, notes)

    def _recovered(self, order: Order, brief: FootageBrief, notes: Notes, report: Report) -> Order:
        """The order whose id nobody noted; a new one if there is none."""
        return self._found(order, brief, notes, report) or self._placed(brief, notes, report)

    def _found(self, order: Order, brief: FootageBrief, notes: Notes, report: Report) -> Order | None:
        """The order in the service's list. One that was placed just now may come into it a little later."""
        placed, request = datetime.fromisoformat(order.at), self._request(brief, order)

        def tick() -> None:
            report(0.0)

        for look in range(2):
            if look:
                self._pause(_FIRST_WAIT, tick)
            said = self._api.find(request, placed, lambda seconds: self._pause(seconds, tick))
            if said is not None:
                return self._noted(order, said.id, notes)
        return None

    def _noted(self, order: Order, generation_id: str, notes: Notes) -> Order:
        placed = Order(order.at, order.usd, order.seconds, generation_id)
        notes.put(ORDER, placed.to_note())
        return placed

    def _request(self, brief: FootageBrief, order: Order) -> dict[str, Any]:
        return {**self.wants(brief), "duration": f"{order.seconds}s"}

    # ---- waiting

    def _finished(self, order: Order, notes: Notes, report: Report) -> Said:
        """Look after the order until it is finished, less and less often."""
        wait = _FIRST_WAIT

        def tick() -> None:
            report(_WAITED * (1 - math.exp(-self._age(order) / self._typical)))

        while True:
            try:
                said = self._api.get(order.id, lambda seconds: self._pause(seconds, tick))
            except NotFoundError as error:
                raise self._failed("it is not there any more", notes) from error
            if said.state == "completed" and said.url:
                return said
            if said.state == "failed":
                raise self._failed(said.reason, notes)
            left = self._deadline - self._age(order)
            if left <= 0:
                raise self._late(notes)
            self._pause(min(wait * random.uniform(0.8, 1.2), left), tick)
            wait = min(wait * _GROWTH, _LONGEST_WAIT)

    def _failed(self, reason: str, notes: Notes) -> EngineError:
        """The error for a generation that failed; another one may be ordered, but not for ever."""
        count = int(notes.get(_FAILED) or 0) + 1
        notes.put(ORDER, "")
        if is_moderation(reason):
            return moderated(reason)
        again = count < _FAILURES
        notes.put(_FAILED, str(count) if again else "")
        told = f": {reason}" if reason else ""
        return EngineError(f"Luma could not film this scene{told}.", code="generation_failed", retryable=again)

    def _late(self, notes: Notes) -> EngineError:
        """The error for a generation that takes too long; it is taken back, and nothing new is ordered for a while."""
        self._late_at = self._now()
        self.cancel(notes)
        return EngineError(f"Luma did not film this scene within {self._deadline:g} s.", code="generation_late")

    def _age(self, order: Order) -> float:
        """Seconds since an order was placed; a clock that was set back makes it younger, never younger than 0."""
        return max(0.0, (self._now() - datetime.fromisoformat(order.at)).total_seconds())

    def _pause(self, seconds: float, tick: Callable[[], None]) -> None:
        """Wait in slices, telling of it: `tick` raises when nobody wants it any more."""
        tick()
        while seconds > 0:
            self._sleep(min(seconds, _SLICE))
            seconds -= _SLICE
            tick()

    # ---- fetching

    def _fetch(self, said: Said, out: Path, report: Report) -> None:
        """The film; an address that is not good any more is asked for anew, once."""

        def tick() -> None:
            report(_FETCHING)

        url, fresh = said.url, False
        for number in range(1, _DOWNLOADS + 1):
            try:
                return self._api.download(url, out, tick)
            except ExpiredError as error:
                if fresh:
                    raise UnavailableError(error.sentence, code=error.code) from error
                url, fresh = self._api.get(said.id, lambda seconds: self._pause(seconds, tick)).url, True
            except UnavailableError:
                if number == _DOWNLOADS:
                    raise
                self._pause(_FIRST_WAIT, tick)
        raise AssertionError("unreachable")


def prompt_of(picture: PictureBrief) -> str:
    """What is to be seen, in the colours that all scenes of a video share."""
    colours = PALETTES[palette_name(picture.style, picture.film_title, picture.language, picture.seed)].sentence
    subject = " ".join((picture.prompt or picture.title or picture.film_title).split()).rstrip(". ")[:_PROMPT_CHARS]
    return f"{subject}. {colours} Smooth camera, one continuous shot, no text."


def _aspect(picture: PictureBrief) -> str:
    """The service's word for the canvas."""
    shape = picture.canvas.width / picture.canvas.height
    return min(_ASPECTS, key=lambda name: abs(shape - int(name.split(":")[0]) / int(name.split(":")[1])))
