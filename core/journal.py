"""A video's log: one row per thing that happened to it, and the same sentence in the process's log."""

from __future__ import annotations

import logging
from enum import StrEnum

from core.documents import Event, Video
from core.errors import ScenewrightError
from core.ports import Parts

log = logging.getLogger(__name__)


class EventKind(StrEnum):
    """What can happen to a video."""

    CREATED = "created"
    PLANNED = "planned"
    HANDED_OUT = "handed_out"
    WAITING = "waiting"  # for a renderer
    ASSET_MADE = "asset_made"
    RETRYING = "retrying"  # an asset, after an error that may pass
    SUBSTITUTED = "substituted"  # something simpler stands in for what could not be made
    SCENE_RENDERED = "scene_rendered"
    SCENE_FAILED = "scene_failed"
    COMBINING = "combining"
    COMPLETED = "completed"
    FAILED = "failed"
    SWEPT = "swept"  # somebody looked after it because nothing was heard
    CANCELLED = "cancelled"
    RETRIED = "retried"  # a person asked again
    EDITED = "edited"


def note(
    parts: Parts,
    video: Video,
    kind: EventKind,
    sentence: str,
    *,
    scene: int = 0,
    seconds: float = 0.0,
    cost_usd: float = 0.0,
    at: str = "",
) -> None:
    """Write it down. The work never fails because its log could not be written.

    `at`: `updated_at` of the row whose write brought it about; empty: it happens now. Whoever writes the row after that
    write dates what he tells later, so that a log that is late is in order all the same.
    """
    facts = {"action": kind.value, "video": video.id, "attempt": video.attempt, "scene": scene}
    log.info("%s", sentence, extra=facts)
    event = Event(
        video_id=video.id,
        at=at or parts.clock.now().isoformat(timespec="milliseconds"),
        kind=kind,
        scene_number=scene,
        attempt=video.attempt,
        seconds=round(seconds, 3),
        cost_usd=cost_usd,
        sentence=sentence[:2000],
    )
    try:
        parts.store.record(event, video.owner_id)
    except ScenewrightError as error:
        log.warning("not written to the video's log: %s", error.sentence, extra=facts)
