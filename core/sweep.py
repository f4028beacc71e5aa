"""Who looks after videos that nobody works on: one query for what is due, and the next step for each."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from core import control
from core.deadlines import next_look, stage_deadline, too_old
from core.dispatch import fail, hand_out, read_handle, render_jobs, wait_changes
from core.documents import Video
from core.errors import ConflictError, NotFoundError, ScenewrightError
from core.identity import slots_id
from core.journal import EventKind, note
from core.plan import plan
from core.ports import CallState, Parts
from core.progress import current_scene
from core.render import hand_on, settled
from core.request import Choices
from core.status import SceneStatus, VideoStatus

log = logging.getLogger(__name__)

BATCH = 5  # videos per sweep that need something done
_LOOKS = 50  # videos per sweep that are asked after: most of them are in good hands
_SLOTS_GO = frozenset(f"00:{minute}" for minute in range(30, 35))  # UTC: more than one tick, since one may be missed
_CALL_GONE = frozenset({CallState.LOST, CallState.FAILED, CallState.DONE})


def sweep(parts: Parts, choices: Choices, *, after_restart: bool = False) -> int:
    """Look at the longest waiting videos that are due; returns how many were looked at.

    One video that cannot be helped never stops the others, and two sweeps at once do no harm: each step is a guarded
    write. Ends after BATCH steps or `sweep_seconds`; what is left is due at the next tick.

    Args:
        parts: what every step works with.
        choices: what this deployment offers, for rows made by hand.
        after_restart: a renderer that has just started knows that it lost its calls: what it may have had in hand
            is looked at now, not when it is due, and as much of it as there is time for.
    """
    begun, settings = parts.clock.now(), parts.settings
    ahead = timedelta(seconds=max(settings.stale_seconds, settings.queued_due_seconds) if after_restart else 0)
    looked = steps = 0
    for video in parts.store.due_videos(begun + ahead, _LOOKS):
        if after_restart and video.status not in (VideoStatus.RENDERING, VideoStatus.COMBINING):
            continue
        late = parts.clock.now() - begun > timedelta(seconds=settings.sweep_seconds)
        if late or (steps >= BATCH and not after_restart):
            break
        looked += 1
        steps += _helped(parts, video, choices)
    if settings.keep_days and not after_restart:
        _clean_up(parts)
    if settings.planner_name != "text" and begun.astimezone(UTC).strftime("%H:%M") in _SLOTS_GO:
        parts.store.forget(slots_id(begun - timedelta(days=1)))  # nobody asks for yesterday's calls any more
    return looked


def _helped(parts: Parts, video: Video, choices: Choices) -> bool:
    try:
        return look_after(parts, video, choices)
    except (ConflictError, NotFoundError):
        return False  # somebody works on it or deleted it, which is all that was wanted
    except ScenewrightError as error:
        log.warning("%s", error.sentence, extra={"action": "sweep_failed", "video": video.id})
        return True


def _clean_up(parts: Parts) -> None:
    """Delete what ended long ago, a few at a time."""
    before = parts.clock.now() - timedelta(days=parts.settings.keep_days)
    for video in parts.store.ended_videos(before, BATCH):
        try:
            control.delete(parts, video)
        except ScenewrightError as error:
            log.warning("%s", error.sentence, extra={"action": "clean_up_failed", "video": video.id})


def look_after(parts: Parts, video: Video, choices: Choices) -> bool:
    """Take the next step for one video that is due; False: it is in good hands, and only its date was moved."""
    if control.is_deleting(video):
        control.delete(parts, video)
        return True
    if video.is_terminal:
        return _stop_calls(parts, video)
    if _grown_old(parts, video):
        return True
    if control.is_asked(video):
        control.carry_out(parts, video, _told(parts, "What was asked for was not begun: begun now."))
        return True
    if video.status in (VideoStatus.QUEUED, VideoStatus.PLANNING):
        _plan_again(parts, video, choices)
        return True
    return _look_after_calls(parts, video)


def _stop_calls(parts: Parts, video: Video) -> bool:
    """A video that has ended needs no renderer: stop calls that still run, until none does."""
    running = _running(parts, video)
    for call in running:
        parts.dispatcher.cancel(call)
    now, deadline = parts.clock.now(), stage_deadline(parts.settings, video)
    if _running(parts, video) and deadline and now < deadline:
        seen = parts.store.advance(video, due_at=next_look(parts.settings, video, now))
    else:
        seen = parts.store.advance(video, due_at=None)
    if running:
        _told(parts, f"{len(running)} calls went on after the end: stopped again.")(seen)
    return bool(running)


def _running(parts: Parts, video: Video) -> list[str]:
    """The ids of its calls of which the renderer does not say that they ended."""
    ids = [str(call["id"]) for call in read_handle(video).get("calls", [])]
    return [i for i in ids if parts.dispatcher.status(i) not in _CALL_GONE]


def _given_up(parts: Parts, video: Video, unstarted: str = "") -> bool:
    """End a video that was handed out as often as a person may expect; `unstarted`: why it never began."""
    if video.tries < parts.settings.tries_max:
        return False
    if unstarted:
        fail(parts, video, "no_container", unstarted)
    else:
        fail(parts, video, "tries_used_up", f"It was tried {video.tries} times and never ended. Ask again to retry it.")
    return True


def _grown_old(parts: Parts, video: Video) -> bool:
    """End a video that waited as long as a person may expect."""
    settings = parts.settings
    if not too_old(settings, video, parts.clock.now()):
        return False
    _cancel_all(parts, video)
    fail(parts, video, "too_old", f"Nobody could finish it within {settings.video_hours:g} hours. Ask again.")
    return True


def _cancel_all(parts: Parts, video: Video) -> None:
    for call in read_handle(video).get("calls", []):
        parts.dispatcher.cancel(call["id"])


def _plan_again(parts: Parts, video: Video, choices: Choices) -> None:
    if plan(parts, video.id, choices):
        return  # nobody had begun: its trigger was lost, comes later and finds it done, or it waited for a call
    if _given_up(parts, video):
        return
    why = "Its planning was never heard of again" if video.status is VideoStatus.PLANNING else "Nobody planned it"
    later = parts.clock.now() + timedelta(seconds=parts.settings.queued_due_seconds)
    # a new attempt, because the claim of the old one may have died with its holder
    fresh = parts.store.advance(video, attempt=video.attempt + 1, tries=video.tries + 1, due_at=later)
    _told(parts, f"{why}: planning begins again.")(fresh)
    plan(parts, fresh.id, choices)


def _look_after_calls(parts: Parts, video: Video) -> bool:
    """Rendering or combining: wait while the renderer still has it, else hand out what is missing."""
    now, deadline = parts.clock.now(), stage_deadline(parts.settings, video)
    overdue = deadline is not None and now >= deadline
    running = _running(parts, video)
    # a deadline is for those who work: in a queue it would only cost the place
    queued = bool(running) and all(parts.dispatcher.status(i) is CallState.WAITING for i in running)
    unstarted = _unstarted(parts, video) if queued else ""
    if not unstarted and (queued or (running and not overdue)):
        news = wait_changes(parts, video) if queued else {}
        later = now + timedelta(seconds=parts.settings.stale_seconds)
        look = later if queued else next_look(parts.settings, video, now)
        parts.store.advance(video, due_at=look, **news)
        return False
    why = "It took longer than it ever should" if overdue else "The renderer went silent"
    _cancel_all(parts, video)
    if not _given_up(parts, video, unstarted):
        _hand_out_again(parts, video, "Nobody began it" if unstarted else why, unstarted)
    return True


def _unstarted(parts: Parts, video: Video) -> str:
    """What to say of calls that wait on Modal although there is no queue; empty: they wait in their turn.

    A container that dies at its start is started again for ever, and its calls look like any that wait. But where
    containers are at work and others wait for them, something is made now and then.
    """
    settings, now = parts.settings, parts.clock.now()
    limit = timedelta(seconds=settings.start_deadline_seconds)
    handed_at = read_handle(video).get("handed_at")
    if settings.renderer != "modal" or not handed_at or now - datetime.fromisoformat(handed_at) < limit:
        return ""
    kinds = ("film",) if video.status is VideoStatus.COMBINING else ("voice", "picture", "clip")
    if parts.store.made_since(kinds, now - limit):
        return ""
    minutes = max(1, round(limit.total_seconds() / 60))
    return f"No container of Modal has started within {minutes} min: see `modal app logs {settings.modal_app}`."


def _hand_out_again(parts: Parts, video: Video, why: str, unstarted: str) -> None:
    """Begin a new attempt with what is missing; `unstarted`: told as the stage until somebody begins it."""
    also: dict[str, Any] = {"handle": {"unstarted": unstarted}} if unstarted else {}
    if video.status is VideoStatus.COMBINING:
        tell, stage = _told(parts, f"{why}: handing out the join again."), unstarted or "Joining the scenes again"
        hand_out(parts, video, [("compose", ())], tell=tell, stage=stage, **also)
        return
    scenes = parts.store.scenes(video.id)
    missing = [s.scene_number for s in scenes if s.status is not SceneStatus.RENDERED]
    if all(settled(s, video.attempt) for s in scenes):
        tell = _told(parts, "All scenes are settled and nobody handed them on: done now.")
        hand_on(parts, video.id, video.attempt, tell=tell)
        return
    said = f"{why}: handing out {len(missing)} of {len(scenes)} scenes again"
    also["current_scene"] = current_scene(scenes, video.scene_count)
    hand_out(parts, video, render_jobs(parts, missing), tell=_told(parts, said), stage=unstarted or said, **also)


def _told(parts: Parts, sentence: str) -> Callable[[Video], None]:
    """Writes the sentence into the log of a video, dated by the write that made it so."""
    return lambda video: note(parts, video, EventKind.SWEPT, sentence, at=video.updated_at)
