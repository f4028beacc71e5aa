"""How work is handed to a renderer: a new attempt is written first, then the calls, then their ids."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any

from core.documents import Video
from core.errors import BusyError, ConflictError, UnavailableError
from core.journal import EventKind, note
from core.ports import Job, Parts
from core.status import VideoStatus

_CONFLICT_TRIES = 8
_UNCHANGED = "Your video is as it was, the change could not be made: "


def read_handle(video: Video) -> dict[str, Any]:
    """The handle column.

    `calls` (list of {id, kind, scenes}), `started_at` and `handed_at` (ISO: of the work, of these calls),
    `expected_seconds`, `shares` (scene number to the share of it that is made).
    """
    return dict(json.loads(video.handle)) if video.handle else {}


def started_at(parts: Parts, video: Video) -> datetime:
    """When the work began whose end is estimated."""
    text = read_handle(video).get("started_at")
    return datetime.fromisoformat(text) if text else parts.clock.now()


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
        changes: further columns of the first write, and `expected_seconds` for the handle.
    """
    now, said_before = parts.clock.now(), video.stage
    attempt = video.attempt + 1
    deadline = now + timedelta(seconds=parts.settings.call_deadline_seconds)
    expected = float(changes.pop("expected_seconds", expected_seconds(video)))
    began = started_at(parts, video) if goes_on else now
    handle: dict[str, Any] = {
        "started_at": began.isoformat(),
        "handed_at": now.isoformat(),
        "expected_seconds": round(expected, 1),
        "calls": [],
    }
    tries = video.tries if goes_on else video.tries + 1
    try:
        video = parts.store.advance(
            video, attempt=attempt, tries=tries, due_at=deadline, handle=json.dumps(handle), **changes
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
    current = advance_while(
        parts,
        video,
        lambda v: v.attempt == attempt and v.status is not VideoStatus.CANCELLED,
        lambda _: {"handle": json.dumps(handle)},
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


def _cancel(parts: Parts, handle: dict[str, Any]) -> None:
    for call in handle["calls"]:
        parts.dispatcher.cancel(call["id"])


def fail(parts: Parts, video: Video, code: str, sentence: str) -> None:
    """End a video with a sentence, unless it has ended otherwise meanwhile.

    A video that has a film keeps it: what was asked for later did not succeed, and that is all that is lost.
    """
    attempt = video.attempt
    ended = advance_while(
        parts,
        video,
        lambda v: v.attempt == attempt and not v.is_terminal,
        lambda v: {**_ended(v, sentence), "error_code": code, "error_message": sentence, "due_at": None},
    )
    if ended is not None:
        note(parts, ended, EventKind.FAILED, f"{code}: {sentence}")


def _ended(video: Video, sentence: str) -> dict[str, Any]:
    if video.final_file_id and video.status in (VideoStatus.RENDERING, VideoStatus.COMBINING):
        whole = {"status": VideoStatus.COMPLETED, "progress": 100, "current_scene": video.scene_count, "eta_seconds": 0}
        return {**whole, "stage": f"{_UNCHANGED}{sentence}"[:500]}
    return {"status": VideoStatus.FAILED, "stage": f"Failed: {sentence}"[:500], "eta_seconds": None}
