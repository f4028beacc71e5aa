"""How work is handed to a renderer: a new attempt is written first, then the calls, then their ids."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any

from core import times
from core.deadlines import asked_at
from core.documents import Scene, Video
from core.errors import BusyError, ConflictError, NotFoundError, ScenewrightError, UnavailableError
from core.eta import Work, rest_of_wait, since
from core.journal import EventKind, note
from core.ports import CallState, Job, Parts
from core.status import VideoStatus

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
    last word), `expected_seconds`, `shares` (scene number to the share of it that is made),
    `work` (eta.Work), `past` (of the scenes, once they are made: seconds `waited`, `took`, and `alone` as eta.Work has
    it), `queued` (whether a renderer was busy with others first).
    """
    return dict(json.loads(video.handle)) if video.handle else {}


def expected_seconds(video: Video) -> float:
    """How long the renderer was thought to need, seconds."""
    return float(read_handle(video).get("expected_seconds", 60.0))


def spread(numbers: Sequence[int], calls: int) -> list[tuple[int, ...]]:
    """Deal scenes out in turn, so that the first ones of a film are made first whatever the number of calls."""
    count = max(1, min(calls, len(numbers)))
    return [tuple(numbers[i::count]) for i in range(count)]


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


def hand_out(
    parts: Parts, video: Video, jobs: Sequence[tuple[str, tuple[int, ...]]], *, goes_on: bool = False, **changes: Any
) -> Video | None:
    """Begin a new attempt: write it, submit one call per (kind, scenes), write the call ids.

    Returns the video, or None when it is no longer ours to hand out. A renderer that is full or silent leaves the
    video as it is, to be handed out again when it is due.

    Args:
        parts: what every step works with.
        video: as it was read.
        jobs: what to submit.
        goes_on: the same work, handed from one step to the next: it is no new try, and its time goes on counting.
        changes: further columns of the first write.
    """
    now, said_before = parts.clock.now(), video.stage
    attempt = video.attempt + 1
    look = now + timedelta(seconds=parts.settings.queued_due_seconds)  # whether a renderer took it up
    pace = times.pace_of(times.read(parts), video)
    expected = _expected(pace, parts.store.scenes(video.id), jobs)
    handle: dict[str, Any] = {
        "handed_at": now.isoformat(),
        "expected_seconds": round(expected, 1),
        "calls": [],
        "asked_at": asked_at(video).isoformat(),
    }
    if goes_on:
        handle["past"] = _past(read_handle(video), now)
    else:
        changes.setdefault("eta_seconds", max(1, round(pace.times.rate(times.START) + expected)))
    tries = video.tries if goes_on else video.tries + 1
    try:
        video = parts.store.advance(
            video, attempt=attempt, tries=tries, due_at=look, handle=json.dumps(handle), **changes
        )
    except ConflictError:
        return None  # somebody else handles it
    try:
        for kind, scenes in jobs:
            call_id = parts.dispatcher.submit(Job(kind, video.id, attempt, scenes))
            handle["calls"].append({"id": call_id, "kind": kind, "scenes": list(scenes)})
    except (BusyError, UnavailableError) as error:
        _cancel(parts, handle)
        why = f"Waiting for a renderer: {error.sentence}"
        if why != said_before:  # it is tried again and again
            note(parts, video, EventKind.WAITING, why)
        again = now + timedelta(seconds=parts.settings.queued_due_seconds / 4)
        return advance_while(
            parts,
            video,
            lambda v: v.attempt == attempt and not v.is_terminal,
            # no renderer had it in hand: it does not count as a try
            lambda v: {"due_at": again, "stage": why, "tries": max(0, v.tries - 1)},
        )
    said, waiting = video.stage, _wait_of_calls(parts, video, handle)
    current = advance_while(
        parts,
        video,
        lambda v: v.attempt == attempt and v.status is not VideoStatus.CANCELLED,
        # a renderer may have told of its work already
        lambda v: {"handle": json.dumps(read_handle(v) | handle), **(waiting if v.stage == said else {})},
    )
    if current is None:  # cancelled, or a newer attempt took over, while the calls went out
        _cancel(parts, handle)
        return None
    note(parts, current, EventKind.HANDED_OUT, _said(jobs))
    return current


def _said(jobs: Sequence[tuple[str, tuple[int, ...]]]) -> str:
    """What was handed out, as a sentence."""
    numbers = sorted(n for _, scenes in jobs for n in scenes)
    if not numbers:
        return "The join was handed to a renderer."
    listed = f"Scene {numbers[0]} was" if len(numbers) == 1 else f"{len(numbers)} scenes were"
    return f"{listed} handed to a renderer in {len(jobs)} {'call' if len(jobs) == 1 else 'calls'}."


def _expected(pace: times.Pace, scenes: Sequence[Scene], jobs: Sequence[tuple[str, tuple[int, ...]]]) -> float:
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
    if count:
        stage = f"Waiting: {'1 video is' if count == 1 else f'{count} videos are'} in front of yours"
    elif video.status is VideoStatus.COMBINING:
        stage = "Every scene is made; waiting for a renderer to join them"
    else:
        stage = _STARTING
    return {"stage": stage, "eta_seconds": max(1, round(wait + expected_seconds(video)))}


def _cancel(parts: Parts, handle: dict[str, Any]) -> None:
    for call in handle["calls"]:
        parts.dispatcher.cancel(call["id"])


def fail(parts: Parts, video: Video, code: str, sentence: str) -> None:
    """End a video with a sentence, unless it has ended otherwise, or was deleted, meanwhile.

    A video that has a film keeps it: what was asked for later did not succeed, and that is all that is lost.
    """
    attempt = video.attempt
    try:
        ended = advance_while(
            parts,
            video,
            lambda v: v.attempt == attempt and not v.is_terminal,
            lambda v: {**_ended(v, sentence), "error_code": code, "error_message": sentence, "due_at": None},
        )
    except NotFoundError:
        return
    if ended is not None:
        note(parts, ended, EventKind.FAILED, f"{code}: {sentence}")


def _ended(video: Video, sentence: str) -> dict[str, Any]:
    if video.final_file_id and video.status in (VideoStatus.RENDERING, VideoStatus.COMBINING):
        whole = {"status": VideoStatus.COMPLETED, "progress": 100, "current_scene": video.scene_count, "eta_seconds": 0}
        return {**whole, "stage": f"{_UNCHANGED}{sentence}"[:500]}
    where = _DURING.get(video.status, "")
    return {"status": VideoStatus.FAILED, "stage": f"Failed{where}: {sentence}"[:500], "eta_seconds": None}
