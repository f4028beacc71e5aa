"""How work is handed to a renderer: a new attempt is written first, then the calls, then their ids."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from core import costs, times
from core.deadlines import asked_at
from core.documents import Scene, Video
from core.errors import BusyError, ConflictError, LimitError, NotFoundError, ScenewrightError, UnavailableError
from core.eta import Work, rest_of_wait, since
from core.journal import EventKind, note
from core.pace import leave_room, settle
from core.ports import CallState, Job, Parts
from core.status import VideoStatus

Jobs = Sequence[tuple[str, tuple[int, ...]]]  # (kind, numbers of scenes) of each call

_CONFLICT_TRIES = 8
_DURING = {
    VideoStatus.PLANNING: " while it was planned",
    VideoStatus.RENDERING: " while the scenes were made",
    VideoStatus.COMBINING: " while the scenes were joined",
}
_STARTING = "The renderer is starting"
_UNCHANGED = "Your video is as it was, the change could not be made: "


def read_handle(video: Video) -> dict[str, Any]:
    """The handle column.

    `calls` (list of {id, kind, scenes}), `handed_at` and `asked_at` (ISO: of these calls, of a person's
    last word), `asked` (a person's wish that is not carried out yet), `expected_seconds`, `shares` (scene number to the
    share of it that is made), `work` (eta.Work), `past` (of the scenes, once they are made: seconds `waited`, `took`,
    and `alone` as eta.Work has it), `queued` (whether a renderer was busy with others first), `unstarted` (a sentence:
    no renderer began the attempt before this one).
    """
    return dict(json.loads(video.handle)) if video.handle else {}


def expected_seconds(video: Video) -> float:
    """How long the renderer was thought to need, seconds."""
    return float(read_handle(video).get("expected_seconds", 60.0))


def spread(numbers: Sequence[int], calls: int) -> list[tuple[int, ...]]:
    """Deal scenes out in turn, so that the first ones of a film are made first whatever the number of calls."""
    count = max(1, min(calls, len(numbers)))
    return [tuple(numbers[i::count]) for i in range(count)]


def render_jobs(parts: Parts, numbers: Sequence[int]) -> Jobs:
    """The calls that make these scenes: as many as a video is spread over, more where one would have too many."""
    calls, most = parts.dispatcher.parallel_calls, parts.dispatcher.scenes_per_call
    if most:
        calls = max(calls, math.ceil(len(numbers) / most))
    return [("render", chunk) for chunk in spread(numbers, calls)] if numbers else []


def advance_while(
    parts: Parts, video: Video, wanted: Callable[[Video], bool], changes: Callable[[Video], dict[str, Any]]
) -> Video | None:
    """Advance a video as long as `wanted` holds for what is there now; None when it does not hold any more."""
    for _ in range(_CONFLICT_TRIES):
        if not wanted(video):
            return None
        try:
            return parts.store.advance(video, **changes(video))
        except ConflictError:
            video = parts.store.get_video(video.id)
    raise UnavailableError(f"The video {video.id} changed too often to be written.")


@dataclass(frozen=True, slots=True)
class Attempt:
    """An attempt that is written down and not yet submitted."""

    before: Video  # what it was written over
    video: Video
    jobs: Jobs
    goes_on: bool


def hand_out(
    parts: Parts,
    video: Video,
    jobs: Jobs,
    *,
    tell: Callable[[Video], None] = lambda _: None,
    **changes: Any,
) -> Video | None:
    """Begin a new attempt and submit it; None when it is no longer ours to hand out.

    `tell`: is called with the video in its new attempt, before a renderer can have begun. See `begin` and `submit`.
    """
    begun = begin(parts, video, jobs, **changes)
    if begun is None:
        return None
    tell(begun.video)
    return submit(parts, begun)


def begin(
    parts: Parts,
    video: Video,
    jobs: Jobs,
    *,
    goes_on: bool = False,
    wanted: Callable[[Video], bool] | None = None,
    meter: costs.Meter | None = None,
    **changes: Any,
) -> Attempt | None:
    """Write a new attempt: the fence against renderers of older ones. None when it is no longer ours to hand out.

    Args:
        parts: what every step works with.
        video: as it was read.
        jobs: what will be submitted: (kind, scenes) of each call.
        goes_on: the same work, handed from one step to the next: it is no new try, and its time goes on counting.
        wanted: what must hold for the row if somebody wrote since it was read; None: nobody may have.
        meter: of the call that hands on: what it has spent is written too.
        changes: further columns of the write; `handle`: what else is to be kept in it.

    Raises:
        LimitError: a person asks for more than may be spent; work that goes on ends the video instead.
    """
    seen, read_at, now = video, video.updated_at, parts.clock.now()
    also = changes.pop("handle", {})
    pace = times.pace_of(times.read(parts), video)
    scenes = parts.store.scenes(video.id)
    expected = _expected(pace, scenes, jobs)
    try:
        costs.check_jobs(parts, video, pace, scenes, jobs)
    except LimitError as error:
        if video.is_terminal:
            raise  # a person asks, and is told
        fail(parts, video, error.code, error.sentence)
        return None
    if not goes_on:
        changes.setdefault("eta_seconds", max(1, round(pace.times.rate(times.START) + expected)))

    def columns(there: Video) -> dict[str, Any]:
        nonlocal seen
        seen = there
        handle = {
            "handed_at": now.isoformat(),
            "expected_seconds": round(expected, 1),
            "calls": [],
            "asked_at": asked_at(there).isoformat(),
            **also,
        }
        if goes_on:
            handle["past"] = _past(read_handle(there), now)
        return {
            "attempt": there.attempt + 1,
            "tries": there.tries if goes_on else there.tries + 1,
            # whether a renderer took it up
            "due_at": now + timedelta(seconds=parts.settings.queued_due_seconds),
            "handle": json.dumps(handle, ensure_ascii=False),
            **(meter.columns(there) if meter else {}),
            **changes,
        }

    begun = advance_while(parts, video, wanted or (lambda v: v.updated_at == read_at), columns)
    return None if begun is None else Attempt(seen, begun, jobs, goes_on)


def submit(parts: Parts, begun: Attempt) -> Video | None:
    """Submit one call for each job, then write the call ids.

    Returns the video, or None when it is no longer ours. A renderer that is full or silent leaves the video as it is,
    to be handed out again when it is due.
    """
    video, attempt = begun.video, begun.video.attempt
    handle = _carried_out(video)
    try:
        for kind, scenes in begun.jobs:
            call_id = parts.dispatcher.submit(Job(kind, video.id, attempt, scenes))
            handle["calls"].append({"id": call_id, "kind": kind, "scenes": list(scenes)})
    except (BusyError, UnavailableError) as error:
        _cancel(parts, handle)
        return _wait_for_renderer(parts, begun, f"Waiting for a renderer: {error.sentence}")
    note(parts, video, EventKind.HANDED_OUT, _said(begun.jobs), at=video.updated_at)
    waiting = _wait_of_calls(parts, video, handle)
    settle(parts, begun.before)
    current = advance_while(
        parts,
        video,
        lambda v: v.attempt == attempt and v.status is not VideoStatus.CANCELLED,
        # a renderer may have told of its work already
        lambda v: {
            "handle": json.dumps(_carried_out(v) | handle),
            **(waiting if v.stage == video.stage else {}),
        },
    )
    if current is None:  # cancelled, or a newer attempt took over, while the calls went out
        _cancel(parts, handle)
        return None
    return current


def _wait_for_renderer(parts: Parts, begun: Attempt, why: str) -> Video | None:
    """No renderer has it in hand: that is no try, and it is due again soon."""
    settle(parts, begun.before)
    again = parts.clock.now() + timedelta(seconds=parts.settings.queued_due_seconds / 4)
    waiting = advance_while(
        parts,
        begun.video,
        lambda v: v.attempt == begun.video.attempt and not v.is_terminal,
        lambda v: {
            "due_at": again,
            "stage": why,
            "tries": v.tries if begun.goes_on else max(0, v.tries - 1),
            "handle": json.dumps(_carried_out(v)),
        },
    )
    if waiting is not None and why != begun.before.stage:  # it is tried again and again
        note(parts, waiting, EventKind.WAITING, why, at=waiting.updated_at)
    return waiting


def _carried_out(video: Video) -> dict[str, Any]:
    """The handle without a person's wish: by now the scenes' own rows say it."""
    return {name: value for name, value in read_handle(video).items() if name != "asked"}


def _said(jobs: Jobs) -> str:
    """What was handed out, as a sentence."""
    numbers = sorted(n for _, scenes in jobs for n in scenes)
    if not numbers:
        return "The join was handed to a renderer."
    listed = f"Scene {numbers[0]} was" if len(numbers) == 1 else f"{len(numbers)} scenes were"
    return f"{listed} handed to a renderer in {len(jobs)} {'call' if len(jobs) == 1 else 'calls'}."


def _expected(pace: times.Pace, scenes: Sequence[Scene], jobs: Jobs) -> float:
    """Seconds that these jobs will take, and the join of the film."""
    wanted = {n for _, numbers in jobs for n in numbers}
    alone = pace.alone([s for s in scenes if s.scene_number in wanted], {}, len(jobs))
    return alone * pace.together + pace.joining(scenes)


def _past(handle: dict[str, Any], now: datetime) -> dict[str, Any]:
    """What the handle of the rendered scenes tells of the time it took, for times.learn."""
    work = Work.read(handle.get("work"))
    if work is None or "handed_at" not in handle:
        return {}
    waited = since(handle["handed_at"], datetime.fromisoformat(work.begun_at))
    past = {"took": round(since(work.begun_at, now), 2), "alone": work.alone}
    return past if handle.get("queued") else past | {"waited": round(waited, 2)}


def _wait_of_calls(parts: Parts, video: Video, handle: dict[str, Any]) -> dict[str, Any]:
    """What to tell when no renderer has begun what was handed out just now; noted in the handle."""
    if not handle["calls"] or parts.dispatcher.status(handle["calls"][0]["id"]) is not CallState.WAITING:
        return {}
    changes = wait_changes(parts, video)
    handle["queued"] = changes.get("stage") != _STARTING
    return changes


def wait_changes(parts: Parts, video: Video) -> dict[str, Any]:
    """`stage` and `eta_seconds` of a video whose calls no renderer has begun; nothing when that cannot be told."""
    try:
        count, seconds = parts.store.in_front(video)
        usual = times.read(parts).rate(times.START)
    except ScenewrightError:
        return {}
    now = parts.clock.now()
    waited = since(read_handle(video).get("handed_at", now.isoformat()), now)
    wait = max(seconds, rest_of_wait(usual, waited))
    unstarted = read_handle(video).get("unstarted")
    if unstarted:
        stage = str(unstarted)
    elif count:
        stage = f"Waiting: {'1 video is' if count == 1 else f'{count} videos are'} in front of yours"
    elif video.status is VideoStatus.COMBINING:
        stage = "Every scene is made; waiting for a renderer to join them"
    else:
        stage = _STARTING
    return {"stage": stage, "eta_seconds": max(1, round(wait + expected_seconds(video)))}


def _cancel(parts: Parts, handle: dict[str, Any]) -> None:
    for call in handle["calls"]:
        parts.dispatcher.cancel(call["id"])


def fail(parts: Parts, video: Video, code: str, sentence: str, meter: costs.Meter | None = None) -> None:
    """End a video with a sentence, unless it has ended otherwise, or was deleted, meanwhile.

    A video that has a film keeps it: what was asked for later did not succeed, and that is all that is lost.
    `meter`: of the call that failed.
    """
    attempt = video.attempt
    try:
        ended = advance_while(
            parts,
            leave_room(parts, video.id),
            lambda v: v.attempt == attempt and not v.is_terminal,
            lambda v: {
                **(meter.columns(v) if meter else {}),
                **_ended(v, sentence),
                "error_code": code,
                "error_message": sentence,
                "due_at": None,
            },
        )
    except NotFoundError:
        return
    if ended is not None:
        note(parts, ended, EventKind.FAILED, f"{code}: {sentence}", at=ended.updated_at)


def _ended(video: Video, sentence: str) -> dict[str, Any]:
    if video.final_file_id and video.status in (VideoStatus.RENDERING, VideoStatus.COMBINING):
        whole = {"status": VideoStatus.COMPLETED, "progress": 100, "current_scene": video.scene_count, "eta_seconds": 0}
        return {**whole, "stage": f"{_UNCHANGED}{sentence}"[:500]}
    where = _DURING.get(video.status, "")
    return {"status": VideoStatus.FAILED, "stage": f"Failed{where}: {sentence}"[:500], "eta_seconds": None}
