"""What a video costs: the seconds of every call as its machine runs, kept in the video, and what limits them."""

from __future__ import annotations

import json
import logging
import math
import secrets
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from core.documents import Scene, Spent, Video
from core.errors import ConflictError, LimitError, NotFoundError, ScenewrightError
from core.identity import digest
from core.orders import account_of, open_usd
from core.pace import settle as wait_until_settled
from core.ports import Job, Parts
from core.prices import Machine, dollars
from core.times import START, Pace

log = logging.getLogger(__name__)

JOIN, OTHER = "join", "other"  # what a call does when it makes no asset of a scene
PLANNING = "planning"  # what a language model is paid for
_EARLIER = "earlier"  # the account of calls whose own were put together
_ACCOUNTS_MAX = 40  # accounts of a video; beyond, those of earlier attempts become one
_UNTOLD_SECONDS = 1.0  # a call that ends does not write for less than this
_CONFLICT_TRIES = 8
_DIGITS = 9  # of dollars behind the point: sums come out even


# ---- measuring


class Meter:
    """One per running call: every second of its machine is counted once, under what it was spent on.

    What is made side by side shares the time. The account only grows, and writing it twice changes nothing: a video
    holds one account per call, and a call that is delivered twice has two.
    """

    def __init__(
        self,
        machine: Machine,
        job: Job,
        now: datetime,
        *,
        before: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Begin to count.

        Args:
            machine: what the call runs on.
            job: what the call does.
            now: for the day on which it counts, aware.
            before: seconds that the machine has already run for this call alone, such as its start.
            clock: seconds that never go back.
        """
        self.machine = machine
        self._account = secrets.token_hex(4)
        self._facts = {"day": day_of(now), "attempt": job.attempt, "machine": machine.name}
        self._rest = JOIN if job.kind == "compose" else OTHER
        self._seconds: dict[str, float] = {START: before} if before > 0 else {}
        self._busy: list[str] = []
        self._clock, self._at = clock, clock()
        self._lock = threading.Lock()
        self._kept = False  # whether the account was seen in the video
        self._orders: dict[str, Line] = {}  # by the name of their account

    def _run(self) -> None:
        """Give the time since the last look to what was busy; with the lock held."""
        now = self._clock()
        share = max(0.0, now - self._at) / max(1, len(self._busy))
        for label in self._busy or [self._rest]:
            self._seconds[label] = self._seconds.get(label, 0.0) + share
        self._at = now

    @contextmanager
    def span(self, label: str) -> Iterator[None]:
        """Count the time inside under this label, "2/voice" for the voice of scene 2."""
        with self._lock:
            self._run()
            self._busy.append(label)
        try:
            yield
        finally:
            with self._lock:
                self._run()
                self._busy.remove(label)

    def rest(self, scene: int) -> None:
        """Say whose the time is in which nothing is made: of a scene, or, for 0, of no scene."""
        with self._lock:
            self._run()
            self._rest = f"{scene}/{OTHER}" if scene else OTHER

    def usd(self, label: str) -> float:
        """Dollars spent so far under a label, or under all of a scene ("2/")."""
        with self._lock:
            self._run()
            seconds = sum(s for name, s in self._seconds.items() if _is_of(name, label))
            paid = sum(o.usd for o in self._orders.values() if _is_of(f"{o.scene}/{o.stage}", label))
        return round(seconds * self.machine.usd_per_second + paid, _DIGITS)

    def charge(self, order_id: str, line: Line) -> None:
        """Count what somebody else was paid for an order; a video holds each order once, whoever counts it again."""
        with self._lock:
            self._orders[account_of(order_id)] = line

    def columns(self, video: Video) -> dict[str, Any]:
        """`costs` and `cost_usd` of a video as it was read, with this call's account up to date."""
        with self._lock:
            self._run()
            rate = self.machine.usd_per_second
            items = {name: [round(s, 3), round(s * rate, _DIGITS)] for name, s in sorted(self._seconds.items())}
            orders = dict(self._orders)
        accounts = accounts_of(video)
        missing = orders.keys() - accounts.keys()
        if self._kept and self._account not in accounts:  # put together with others after a newer attempt took over
            if not missing:
                return {}
        else:
            self._kept = self._kept or self._account in accounts
            accounts[self._account] = {**self._facts, "items": items}
        for name in sorted(missing):
            facts = {**self._facts, "machine": orders[name].machine}
            accounts[name] = {**facts, "items": {f"{orders[name].scene}/{orders[name].stage}": [0.0, orders[name].usd]}}
        if len(accounts) > _ACCOUNTS_MAX:
            accounts = _together(accounts, video.attempt)
        costs = json.dumps(accounts, separators=(",", ":"))
        return {"costs": costs, "cost_usd": max(video.cost_usd, total(accounts))}

    def settle(self, parts: Parts, video_id: str) -> None:
        """Write what the call has spent since its last word, if that is worth a write. Never fails."""
        rate = self.machine.usd_per_second
        try:
            for _ in range(_CONFLICT_TRIES if rate or self._orders else 0):
                video = parts.store.get_video(video_id)
                changes = self.columns(video)
                untold = changes["cost_usd"] - video.cost_usd if changes else 0.0
                if untold <= 0 or untold < rate * _UNTOLD_SECONDS:
                    return
                wait_until_settled(parts, video)
                try:
                    parts.store.advance(video, **changes)
                except ConflictError:
                    continue
                return
        except NotFoundError:
            return
        except ScenewrightError as error:
            log.warning("costs not written: %s", error.sentence, extra={"action": "costs_unwritten", "video": video_id})


def planned(video: Video, attempt: int, spent: Spent, now: datetime) -> dict[str, Any]:
    """`costs` and `cost_usd` of a video with what a language model took so far in an attempt, of which one plans."""
    accounts = accounts_of(video)
    items = {PLANNING: [spent.seconds, round(spent.usd or 0.0, _DIGITS)]}
    accounts[f"plan-{attempt}"] = {"day": day_of(now), "attempt": attempt, "machine": spent.model, "items": items}
    costs = json.dumps(accounts, separators=(",", ":"))
    return {"costs": costs, "cost_usd": max(video.cost_usd, total(accounts))}


def _is_of(name: str, label: str) -> bool:
    return name.startswith(label) if label.endswith("/") else name == label


# ---- what a video holds


@dataclass(frozen=True, slots=True)
class Line:
    """What was spent on one thing."""

    scene: int  # 0: the video as a whole
    stage: str  # planning, voice, picture, footage, clip, join, start, other
    machine: str  # of planning and of ordered footage, the model
    seconds: float
    usd: float


def accounts_of(video: Video) -> dict[str, dict[str, Any]]:
    """Account of a call -> {day, attempt, machine, items: {label: [seconds, usd]}}.

    Rows can be written by hand: what is no account is left out, and what the accounts do not explain of `cost_usd`
    stands in one of its own, so that the sum is always that of the column.
    """
    try:
        raw = json.loads(video.costs or "{}")
    except json.JSONDecodeError:
        raw = {}
    accounts = {name: a for name, a in raw.items() if _is_account(a)} if isinstance(raw, dict) else {}
    missing = round(video.cost_usd - total(accounts), _DIGITS)
    if missing > 0:
        day = day_of(datetime.fromisoformat(video.created_at)) if video.created_at else ""
        known = accounts.get(_EARLIER, {"day": day, "attempt": 0, "machine": "", "items": {}})
        accounts[_EARLIER] = {**known, "items": _added(known["items"], {OTHER: [0.0, missing]})}
    return accounts


def _is_account(raw: Any) -> bool:
    match raw:
        case {"day": str(), "attempt": int(), "machine": str(), "items": dict() as items}:
            return all(_is_item(item) for item in items.values())
    return False


def _is_item(raw: Any) -> bool:
    match raw:
        case [int() | float() as seconds, int() | float() as usd]:
            return math.isfinite(seconds) and math.isfinite(usd) and seconds >= 0 and usd >= 0
    return False


def _added(items: Mapping[str, Sequence[float]], more: Mapping[str, Sequence[float]]) -> dict[str, list[float]]:
    summed = {name: list(item) for name, item in items.items()}
    for name, (seconds, usd) in more.items():
        before = summed.get(name, [0.0, 0.0])
        summed[name] = [round(before[0] + seconds, 3), round(before[1] + usd, _DIGITS)]
    return summed


def _together(accounts: Mapping[str, dict[str, Any]], attempt: int) -> dict[str, dict[str, Any]]:
    """The same sums in fewer accounts: those of earlier attempts are put together, by their day and machine."""
    kept: dict[str, dict[str, Any]] = {}
    for name, account in accounts.items():
        if account["attempt"] >= attempt or name.startswith(account_of("")):  # it must be known by its name for ever
            kept[name] = account
            continue
        key = f"{_EARLIER} {account['day']} {account['machine']}"
        known = kept.get(key, {**account, "items": {}})
        kept[key] = {**known, "items": _added(known["items"], account["items"])}
    return kept


def total(accounts: Mapping[str, Mapping[str, Any]], day: str = "") -> float:
    """Dollars of all accounts, or of those that were begun on a day."""
    chosen = [a for a in accounts.values() if day in ("", a["day"])]
    return round(math.fsum(usd for a in chosen for _, usd in a["items"].values()), _DIGITS)


def lines_of(video: Video) -> list[Line]:
    """What was spent on a video, by scene, stage and machine; the sum is its `cost_usd`."""
    sums: dict[tuple[int, str, str], list[float]] = {}
    for account in accounts_of(video).values():
        for label, (seconds, usd) in account["items"].items():
            scene, _, stage = label.rpartition("/")
            line = sums.setdefault((int(scene) if scene.isdecimal() else 0, stage, account["machine"]), [0.0, 0.0])
            line[0], line[1] = line[0] + seconds, line[1] + usd
    last = max((scene for scene, _, _ in sums), default=0) + 1  # the whole video after its scenes
    order = sorted(sums.items(), key=lambda item: (item[0][0] or last, item[0][1:]))
    return [Line(*of, seconds=round(s, 3), usd=round(usd, _DIGITS)) for of, (s, usd) in order]


# ---- limits


def day_of(moment: datetime) -> str:
    """The day, in UTC, on which it counts."""
    return moment.astimezone(UTC).date().isoformat()


def spent_on(videos: Iterable[Video], day: str) -> float:
    """Dollars that these videos cost on a day."""
    return round(math.fsum(total(accounts_of(video), day) for video in videos), _DIGITS)


def spent_today(parts: Parts, owner_id: str) -> float:
    """Dollars that a user's videos have cost since midnight UTC, those included that were deleted since."""
    now = parts.clock.now().astimezone(UTC)
    begun = now.replace(hour=0, minute=0, second=0, microsecond=0)
    deleted = _amount(parts.store.setting(_deleted_setting(owner_id, day_of(now))))
    return deleted + spent_on(parts.store.videos_since(owner_id, begun), day_of(now))


def keep_deleted(parts: Parts, video: Video) -> None:
    """What a video cost today counts for its owner's limit also when the video is gone."""
    day = day_of(parts.clock.now())
    spent = total(accounts_of(video), day)
    if spent and parts.settings.max_usd_per_user_day:
        name = _deleted_setting(video.owner_id, day)
        parts.store.put_setting(name, f"{_amount(parts.store.setting(name)) + spent:.9f}")


def _deleted_setting(owner_id: str, day: str) -> str:
    return digest("deleted", owner_id, day)[:36]


def _amount(text: str | None) -> float:
    try:
        return float(text or 0.0)
    except ValueError:
        return 0.0


def limit_of(parts: Parts, video: Video) -> float:
    """The most this video may cost: the lower one of its owner's and the deployment's wish; 0: any amount."""
    limits = [limit for limit in (video.parsed_options.max_cost_usd, parts.settings.max_usd_per_video) if limit]
    return min(limits, default=0.0)


def check(parts: Parts, video: Video, spent: float, more: float, what: str) -> None:
    """Refuse work that would go over a limit.

    Args:
        parts: what every step works with.
        video: as it was read.
        spent: dollars on this video until now.
        more: dollars that the work is expected to cost; work that costs nothing is never refused.
        what: the work, as the beginning of a sentence.

    Raises:
        LimitError: code cost_limit or daily_cost_limit, with both amounts.
    """
    if more <= 0:
        return
    limit = limit_of(parts, video)
    if limit and spent + more > limit:
        raise LimitError(
            f"{what} would bring this video to about {dollars(spent + more)}, over its limit of {dollars(limit)}: "
            "what is made is kept, and a retry with a higher limit goes on."
        )
    daily = parts.settings.max_usd_per_user_day
    if not daily:
        return
    today = spent_today(parts, video.owner_id) + max(0.0, spent - video.cost_usd)
    if today + more > daily:
        raise LimitError(
            f"{what} would bring what you spent today (UTC) to about {dollars(today + more)}, over the limit of "
            f"{dollars(daily)} a day: what is made is kept, and a retry tomorrow goes on.",
            code="daily_cost_limit",
        )


def check_asset(parts: Parts, video_id: str, meter: Meter, seconds: float, what: str, order: float = 0.0) -> None:
    """Refuse to make an asset that is expected to take so many seconds, and an order of so many dollars.

    Raises LimitError, NotFoundError.
    """
    more = seconds * meter.machine.usd_per_second + order
    if more > 0:
        video = parts.store.get_video(video_id)
        spent = meter.columns(video).get("cost_usd", video.cost_usd)
        if order:  # what other scenes have ordered will be paid too
            spent += open_usd(parts.store.scenes(video_id), accounts_of(video))
        check(parts, video, spent, more, what)


def check_jobs(
    parts: Parts, video: Video, pace: Pace, scenes: Sequence[Scene], jobs: Sequence[tuple[str, Any]]
) -> None:
    """Refuse to hand out calls of which not even the first piece of work could be paid. Raises LimitError."""
    more, by_number = 0.0, {s.scene_number: s for s in scenes}
    for kind, numbers in jobs:
        first = pace.scene(by_number[numbers[0]]) if kind == "render" and numbers[0] in by_number else 0.0
        work = pace.joining(scenes) if kind == "compose" else first
        more += (pace.times.rate(START) + work) * parts.settings.machine_of(kind).usd_per_second
    joins = any(kind == "compose" for kind, _ in jobs)
    check(parts, video, video.cost_usd, more, "Joining the scenes" if joins else "The next scene")
