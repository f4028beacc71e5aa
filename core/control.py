"""What a person may ask of a video that exists: cancel, retry, resume, edit, delete."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any

from core import costs
from core.dispatch import Attempt, Jobs, advance_while, begin, hand_out, read_handle, render_jobs, submit
from core.documents import Scene, Video
from core.errors import (
    ConflictError,
    InvalidInputError,
    NotFoundError,
    RefusedError,
    ScenewrightError,
    UnavailableError,
)
from core.journal import EventKind, note
from core.material import edited
from core.orders import account_of, orders_of
from core.pace import settle
from core.plan import plan, told_by
from core.ports import CallState, Parts
from core.progress import current_scene, restart_progress
from core.render import hand_on
from core.request import Choices, check_size, validate
from core.schema import BUCKET_OF, FILMS
from core.status import SceneStatus, VideoStatus
from core.text import estimate_seconds
from core.wishes import SceneEdit

log = logging.getLogger(__name__)

_CONFLICT_TRIES = 8
_ENDED = frozenset({CallState.DONE, CallState.FAILED, CallState.LOST})

Wishes = Mapping[int, Mapping[str, Any]]  # number of a scene to be made anew -> columns of it that change


# ---- cancel


def cancel(parts: Parts, video: Video) -> Video:
    """End the work on a video at once; finished scenes stay. A cancelled video is answered as it is.

    The write comes first: a renderer whose call cannot be stopped reads it and stops by itself, and the sweep looks
    at the calls once more.

    Raises:
        RefusedError: it has ended otherwise (code nothing_to_cancel).
        NotFoundError: it was deleted.
    """
    _refuse_deleting(video)
    again = parts.clock.now() + timedelta(seconds=parts.settings.stale_seconds)
    ended = advance_while(
        parts,
        video,
        lambda v: not v.is_terminal,
        lambda v: {
            "status": VideoStatus.CANCELLED,
            "stage": "Cancelled; the film is as it was" if v.final_file_id else "Cancelled",
            "eta_seconds": None,
            "due_at": again,
        },
    )
    if ended is None:
        there = parts.store.get_video(video.id)
        if there.status is VideoStatus.CANCELLED:
            return there
        raise RefusedError(f"The video is {there.status}: there is nothing to cancel.", code="nothing_to_cancel")
    stop_calls(parts, ended)
    _let_go(parts, ended)
    note(parts, ended, EventKind.CANCELLED, "The video was cancelled.", at=ended.updated_at)
    return ended


def stop_calls(parts: Parts, video: Video) -> None:
    """Cancel every call of the last hand-out, and what they have ordered; those that have ended are no error."""
    for call in read_handle(video).get("calls", []):
        parts.dispatcher.cancel(call["id"])
    if parts.take_back is not None:
        _take_back(parts.take_back, video, parts.store.scenes(video.id))


def _take_back(take_back: Callable[[str], None], video: Video, scenes: Sequence[Scene]) -> None:
    """Nobody waits any more for what is ordered and not fetched. What cannot be taken back is found by a retry."""
    accounts = costs.accounts_of(video)
    orders = [order.id for scene in scenes for order in orders_of(scene) if order.id]
    try:
        for order_id in orders:
            if account_of(order_id) not in accounts:
                take_back(order_id)
    except ScenewrightError as error:
        log.warning("orders were not taken back: %s", error.sentence, extra={"action": "orders_left"})


def _let_go(parts: Parts, video: Video) -> None:
    """Scenes that were in hand are planned again: nobody makes them now."""
    for scene in parts.store.scenes(video.id):
        # a higher attempt: somebody has already asked to go on
        if scene.status is SceneStatus.RENDERING and scene.attempt <= video.attempt:
            with suppress(ConflictError):
                parts.store.advance(scene, status=SceneStatus.PLANNED, holder="", beat_at=None)


# ---- retry, resume, edit


def retry(parts: Parts, video: Video, choices: Choices, scenes: Sequence[int] = ()) -> Video:
    """Make again what failed or was substituted; what was made as asked is reused.

    Args:
        parts: what every step works with.
        video: as it was read.
        choices: what this deployment offers.
        scenes: only these numbers (and whatever is not made yet); empty: every failed or substituted scene.

    Raises:
        RefusedError: it is being made (still_working), a scene or all of them are as they were asked for
            (nothing_to_retry), or it has no scenes yet (not_planned).
        InvalidInputError: there is no scene of that number (no_such_scene).
        NotFoundError: it was deleted.
    """

    def wishes(video: Video, rows: Sequence[Scene]) -> Wishes:
        if scenes:
            chosen = [_numbered(rows, number) for number in scenes]
            right = [s.scene_number for s in chosen if s.status is SceneStatus.RENDERED and not s.substitution]
        else:
            chosen = [s for s in rows if s.status is SceneStatus.FAILED or s.substitution]
            right = []
        if right or (not chosen and _nothing_is_open(video, rows)):
            which = f"Scene {right[0]} is" if right else "All scenes are"
            raise RefusedError(f"{which} as asked for: edit a scene to change it.", code="nothing_to_retry")
        _refuse_unplannable(video, choices)
        return {scene.scene_number: {} for scene in chosen}

    if scenes and not video.scene_count:
        raise RefusedError("The video has no scenes yet: retry it as a whole.", code="not_planned")
    which = f"scene {', '.join(map(str, sorted(set(scenes))))}" if scenes else "the video"
    return _begin_again(parts, video, choices, wishes, EventKind.RETRIED, f"A person asked to retry {which}.")


def resume(parts: Parts, video: Video, choices: Choices) -> Video:
    """Go on where a cancelled or failed video stopped; only what is missing is made.

    Raises:
        RefusedError: it is being made (still_working), or nothing is missing (nothing_to_resume).
        NotFoundError: it was deleted.
    """

    def wishes(video: Video, rows: Sequence[Scene]) -> Wishes:
        if _nothing_is_open(video, rows):
            raise RefusedError("The video is completed: nothing is missing.", code="nothing_to_resume")
        _refuse_unplannable(video, choices)
        return {s.scene_number: {} for s in rows if s.status is SceneStatus.FAILED}

    return _begin_again(parts, video, choices, wishes, EventKind.RETRIED, "A person asked to go on.")


def edit(parts: Parts, video: Video, number: int, changes: SceneEdit) -> Video:
    """Change what a scene says or shows, then make that scene, what else is missing, and the film; all else is reused.

    A change to what is there already changes nothing.

    Raises:
        RefusedError: it is being made (still_working) or has no scenes yet (not_planned).
        InvalidInputError: the film would become too large (film_too_large), or a file cannot be used.
        NotFoundError: there is no such scene (scene_not_found), or the video was deleted.
    """
    _refuse_deleting(video)
    rows = parts.store.scenes(video.id)
    scene = next((s for s in rows if s.scene_number == number), None)
    if scene is None:
        raise NotFoundError(f"The video has no scene {number}.", code="scene_not_found")
    columns = edited(parts, video, scene, changes)
    if all(getattr(scene, name) == value for name, value in columns.items()):
        return video
    if not video.scene_count:
        raise RefusedError("The video has not been planned whole: retry it first.", code="not_planned")
    texts = [columns.get("narration", s.narration) if s.scene_number == number else s.narration for s in rows]
    options = video.parsed_options
    seconds = estimate_seconds(texts, options.speed)
    check_size(options.canvas, seconds, len(texts), parts.files.max_bytes(FILMS), field="narration")
    named = [name.replace("_", " ") for name, value in columns.items() if getattr(scene, name) != value]
    said = f"A person changed the {', '.join(named)} of scene {number}."
    return _begin_again(parts, video, None, lambda *_: {number: columns}, EventKind.EDITED, said, scene=number)


def _numbered(rows: Sequence[Scene], number: int) -> Scene:
    for scene in rows:
        if scene.scene_number == number:
            return scene
    sentence = f"There is no scene {number}; the video has {len(rows)}."
    raise InvalidInputError(sentence, code="no_such_scene", field="scenes")


def _nothing_is_open(video: Video, rows: Sequence[Scene]) -> bool:
    """Whether the film is there and is what its scenes say."""
    rendered = all(s.status is SceneStatus.RENDERED for s in rows)
    return video.status is VideoStatus.COMPLETED and rendered and not video.error_code


def _begin_again(
    parts: Parts,
    video: Video,
    choices: Choices | None,
    wishes_of: Callable[[Video, Sequence[Scene]], Wishes],
    kind: EventKind,
    sentence: str,
    *,
    scene: int = 0,
) -> Video:
    """Decide by what is there now, write the decision into the video, and take the first step.

    The one write holds all that was asked for, so that whoever dies after it is followed by the sweep; of two people
    who ask at the same moment one wins, and the other is told that the video works.
    """
    for _ in range(_CONFLICT_TRIES):
        _refuse_deleting(video)
        if not video.is_terminal:
            raise RefusedError(f"The video is {video.status}: wait for its end, or cancel it.", code="still_working")
        settle(parts, video)
        rows = parts.store.scenes(video.id) if video.scene_count else []
        wishes = wishes_of(video, rows)
        begun = _begin(parts, video, rows, wishes) if video.scene_count else _begin_planning(parts, video)
        if begun is None:
            video = parts.store.get_video(video.id)
            continue
        note(parts, begun.video, kind, sentence, scene=scene, at=begun.video.updated_at)
        return _go_on(parts, begun, choices)
    raise UnavailableError(f"The video {video.id} changed too often to be written.")


def _refuse_unplannable(video: Video, choices: Choices) -> None:
    """A video that could not be planned because of what it asks for would only fail again."""
    if video.scene_count:
        return
    options = {name: value for name, value in asdict(video.parsed_options).items() if value}
    validate({**told_by(video), **options}, choices)


def _begin(parts: Parts, video: Video, rows: Sequence[Scene], wishes: Wishes) -> Attempt | None:
    """The write by which a person's wish leaves a terminal state; None when somebody wrote meanwhile."""
    now = parts.clock.now()
    missing = [s.scene_number for s in rows if s.status is not SceneStatus.RENDERED or s.scene_number in wishes]
    asked = {str(number): columns for number, columns in wishes.items()}
    return begin(
        parts,
        video,
        _jobs(parts, missing),
        status=VideoStatus.RENDERING,
        tries=1,
        progress=restart_progress(video.scene_count, video.scene_count - len(missing)),
        current_scene=min(missing, default=video.scene_count),
        stage=_stage(len(missing), video.scene_count),
        error_code="",
        error_message="",
        handle={"asked": asked, "asked_at": now.isoformat()},
    )


def _begin_planning(parts: Parts, video: Video) -> Attempt | None:
    """The same for a video that has no scenes yet: it is queued, and due at once, as a new one is."""
    now = parts.clock.now()
    try:
        queued = parts.store.advance(
            video,
            status=VideoStatus.QUEUED,
            attempt=video.attempt + 1,
            tries=0,
            stage="Waiting to be planned",
            progress=0,
            eta_seconds=None,
            error_code="",
            error_message="",
            due_at=now,
            handle=json.dumps({"asked_at": now.isoformat()}),
        )
    except ConflictError:
        return None
    return Attempt(video, queued, (), goes_on=False)


def _jobs(parts: Parts, missing: Sequence[int]) -> Jobs:
    return render_jobs(parts, missing)


def _stage(missing: int, count: int) -> str:
    if not missing:
        return "Joining the scenes again"
    return f"Making {missing} of {count} {'scene' if count == 1 else 'scenes'}"


def _go_on(parts: Parts, begun: Attempt, choices: Choices | None) -> Video:
    """Take the first step. What was asked for is written down: what cannot be begun now is begun by the sweep."""
    try:
        _start(parts, begun, choices)
    except ScenewrightError as error:
        if not error.retryable and not isinstance(error, ConflictError):
            raise
        facts = {"action": "control_waits", "video": begun.video.id}
        log.warning("left to the sweep: %s", error.sentence, extra=facts)
        return begun.video
    return parts.store.get_video(begun.video.id)


def _start(parts: Parts, begun: Attempt, choices: Choices | None) -> None:
    if begun.video.status is VideoStatus.QUEUED:
        if parts.plan_soon is not None:
            parts.plan_soon(begun.video.id)  # a planner may think for a minute, and nobody is to wait for it
        elif choices is not None:
            plan(parts, begun.video.id, choices)
        return
    _plan_asked(parts, begun.video)
    if begun.jobs:
        submit(parts, begun)
    else:
        hand_on(parts, begun.video.id, begun.video.attempt)


def is_asked(video: Video) -> bool:
    """Whether a person's wish is written down that nobody has carried out yet."""
    return video.status is VideoStatus.RENDERING and "asked" in read_handle(video)


def carry_out(parts: Parts, video: Video, tell: Callable[[Video], None]) -> None:
    """Do what the handle of a rendering video asks for: plan the scenes anew, then hand out what is missing.

    Safe to be done twice and by two at once: a scene that was planned for this attempt, or taken after it, is left.
    `tell`: see `hand_out`.
    """
    rows = _plan_asked(parts, video)
    missing = [s.scene_number for s in rows if s.status is not SceneStatus.RENDERED]
    if not missing:
        hand_on(parts, video.id, video.attempt, tell=tell)
        return
    hand_out(
        parts,
        video,
        _jobs(parts, missing),
        tell=tell,
        current_scene=current_scene(rows, video.scene_count),
        stage=_stage(len(missing), len(rows)),
    )


def _plan_asked(parts: Parts, video: Video) -> list[Scene]:
    """Plan the scenes anew that the handle asks for; all scenes as they are then."""
    asked: dict[str, Any] = read_handle(video)["asked"]
    there = parts.store.get_video(video.id)
    if there.attempt != video.attempt or not is_asked(there):
        raise ConflictError(f"What was asked of {video.id} is not wanted any more, or was carried out.")
    return [
        _plan_anew(parts, video, row, asked[str(row.scene_number)]) if str(row.scene_number) in asked else row
        for row in parts.store.scenes(video.id)
    ]


def _plan_anew(parts: Parts, video: Video, scene: Scene, columns: Mapping[str, Any]) -> Scene:
    for _ in range(_CONFLICT_TRIES):
        if scene.attempt >= video.attempt:
            return scene
        with suppress(ConflictError):
            return parts.store.advance(
                scene,
                **columns,
                status=SceneStatus.PLANNED,
                attempt=video.attempt,
                holder="",
                beat_at=None,
                error_message="",
                code_url="",
            )
        # a renderer of an earlier attempt was about to find out that it is not wanted any more
        scene = _numbered(parts.store.scenes(video.id), scene.scene_number)
    raise UnavailableError(f"Scene {scene.scene_number} of {video.id} changed too often to be written.")


# ---- delete


def is_deleting(video: Video) -> bool:
    """Whether its owner has deleted it, and only the clearing away is not done."""
    return bool(read_handle(video).get("deleting"))


def _refuse_deleting(video: Video) -> None:
    if is_deleting(video):
        raise NotFoundError("Video not found", code="video_not_found")


def delete(parts: Parts, video: Video) -> bool:
    """Delete a video with everything made for it; what the person uploaded stays.

    While a renderer may still write, the row stays, marked and cancelled, until the sweep comes back to it: by then
    every renderer has read that it is not wanted.

    Returns:
        Whether everything is gone already.

    Raises:
        NotFoundError: it is gone.
    """
    again = parts.clock.now() + timedelta(seconds=parts.settings.stale_seconds)
    marked = advance_while(
        parts,
        video,
        lambda v: not is_deleting(v),
        lambda v: {
            "status": v.status if v.is_terminal else VideoStatus.CANCELLED,
            "stage": "Deleting",
            "eta_seconds": None,
            "due_at": again,
            "handle": json.dumps({"deleting": True, "calls": read_handle(v).get("calls", [])}),
        },
    )
    marked = marked or parts.store.get_video(video.id)
    stop_calls(parts, marked)
    calls = read_handle(marked).get("calls", [])
    waits = marked.due_at is not None and parts.clock.now() < datetime.fromisoformat(marked.due_at)
    if waits and any(parts.dispatcher.status(call["id"]) not in _ENDED for call in calls):
        return False
    _clear_away(parts, marked)
    return True


def _clear_away(parts: Parts, video: Video) -> None:
    """Files before rows, the video's own row last: as long as something is left, it is known where it belongs."""
    for bucket_id in sorted(set(BUCKET_OF.values())):
        for file_id in parts.files.called(bucket_id, video.id):
            parts.files.delete(bucket_id, file_id)
    costs.keep_deleted(parts, video)
    parts.store.forget(video.id)
    log.info("deleted", extra={"action": "deleted", "video": video.id})
