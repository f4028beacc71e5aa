"""Who looks after videos that nobody works on: one query for what is due, and the next step for each."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta

from core.dispatch import fail, hand_out, read_handle, spread
from core.documents import Video
from core.errors import ConflictError, ScenewrightError
from core.plan import plan
from core.ports import CallState, Parts
from core.render import hand_on
from core.request import Choices
from core.status import SceneStatus, VideoStatus

log = logging.getLogger(__name__)

BATCH = 5  # videos per sweep
_CALL_GONE = frozenset({CallState.LOST, CallState.FAILED, CallState.DONE})


def sweep(parts: Parts, choices: Choices, *, after_restart: bool = False) -> int:
    """Look at the longest waiting videos that are due; returns how many were looked at.

    One video that cannot be helped never stops the others.

    Args:
        after_restart: a renderer that has just started knows that it lost its calls: what it may have had in hand
            is looked at now, not when it is due.
    """
    ahead = timedelta(seconds=parts.settings.call_deadline_seconds if after_restart else 0)
    due = parts.store.due_videos(parts.clock.now() + ahead, BATCH)
    if after_restart:
        due = [v for v in due if v.status in (VideoStatus.RENDERING, VideoStatus.COMBINING)]
    for video in due:
        try:
            look_after(parts, video, choices)
        except ConflictError:
            continue  # somebody works on it, which is all that was wanted
        except ScenewrightError as error:
            log.warning("%s: %s", video.id, error.sentence, extra={"action": "sweep_failed", "video": video.id})
    return len(due)


def look_after(parts: Parts, video: Video, choices: Choices) -> None:
    """Take the next step for one video that is due."""
    if video.is_terminal:
        parts.store.advance(video, due_at=None)
    elif video.status in (VideoStatus.QUEUED, VideoStatus.PLANNING):
        _plan_again(parts, video, choices)
    else:
        _look_after_calls(parts, video)


def _plan_again(parts: Parts, video: Video, choices: Choices) -> None:
    if video.revision == 0:  # made by hand while nobody listened
        plan(parts, video.id, choices)
    elif not _given_up(parts, video):
        later = parts.clock.now() + timedelta(seconds=parts.settings.queued_due_seconds)
        # a new attempt, because the claim of the old one may have died with its holder
        fresh = parts.store.advance(video, attempt=video.attempt + 1, tries=video.tries + 1, due_at=later)
        plan(parts, fresh.id, choices)


def _given_up(parts: Parts, video: Video) -> bool:
    """End a video that was handed out as often as a person may expect."""
    if video.tries < parts.settings.tries_max:
        return False
    fail(parts, video, "tries_used_up", f"It was tried {video.tries} times and never ended. Ask again to retry it.")
    return True


def _look_after_calls(parts: Parts, video: Video) -> None:
    """Rendering or combining: wait while the renderer still has it, else hand out what is missing."""
    calls = read_handle(video).get("calls", [])
    states = [parts.dispatcher.status(call["id"]) for call in calls]
    waiting = [s for s in states if s not in _CALL_GONE]
    if waiting and not _beyond_deadline(parts, video):
        later = parts.clock.now() + timedelta(seconds=parts.settings.stale_seconds)
        parts.store.advance(video, due_at=later)
        return
    for call in calls:
        parts.dispatcher.cancel(call["id"])
    if _given_up(parts, video):
        return
    if video.status is VideoStatus.COMBINING:
        hand_out(parts, video, [("compose", ())], stage="Joining the scenes again")
        return
    scenes = parts.store.scenes(video.id)
    missing = [s.scene_number for s in scenes if s.status is not SceneStatus.RENDERED]
    if not missing:
        hand_on(parts, video.id, video.attempt)
        return
    hand_out(
        parts,
        video,
        [("render", chunk) for chunk in spread(missing, parts.dispatcher.parallel_calls)],
        stage=f"The renderer went silent: handing out {len(missing)} of {len(scenes)} scenes again",
    )


def _beyond_deadline(parts: Parts, video: Video) -> bool:
    handed = read_handle(video).get("handed_at")
    age = parts.clock.now() - (datetime.fromisoformat(handed) if handed else parts.clock.now())
    return age > timedelta(seconds=parts.settings.call_deadline_seconds)
