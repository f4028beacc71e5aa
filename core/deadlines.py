"""How long each stage of a video may take, and the whole of it, before somebody else decides."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any

from core.documents import Video
from core.settings import Settings
from core.status import VideoStatus


def _handle(video: Video) -> dict[str, Any]:
    return dict(json.loads(video.handle)) if video.handle else {}


def asked_at(video: Video) -> datetime:
    """When a person last asked for this video: when it was made, or the `asked_at` that a retry left in the handle."""
    return datetime.fromisoformat(_handle(video).get("asked_at") or video.created_at)


def too_old(settings: Settings, video: Video, now: datetime) -> bool:
    """Whether nobody finished it within the time a person may be expected to wait."""
    return now - asked_at(video) > timedelta(hours=settings.video_hours)


def stage_deadline(settings: Settings, video: Video) -> datetime | None:
    """When the calls that were handed out last must have ended, however alive they look; None: none were.

    A long film may take longer: the time is the larger of a fixed one and a multiple of what was expected. It counts
    from when a renderer began, or, until one says so, from when it was handed out.
    """
    handle = _handle(video)
    if "handed_at" not in handle:
        return None
    joining = video.status is VideoStatus.COMBINING
    least = settings.combine_deadline_seconds if joining else settings.call_deadline_seconds
    seconds = max(least, settings.deadline_factor * float(handle.get("expected_seconds", 0.0)))
    began = handle.get("work", {}).get("begun_at") or handle["handed_at"]
    return datetime.fromisoformat(began) + timedelta(seconds=seconds)


def next_look(settings: Settings, video: Video, now: datetime) -> datetime:
    """When to look again at work that seems to go on: soon enough to notice its silence, never past its deadline."""
    later = now + timedelta(seconds=settings.stale_seconds)
    deadline = stage_deadline(settings, video)
    return later if deadline is None else max(now, min(later, deadline))
