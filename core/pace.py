"""How far apart a video's row is written: never a third time within a second, however many processes write it."""

from __future__ import annotations

import json
from datetime import datetime

from core.documents import Video
from core.eta import since
from core.ports import Parts

APART_SECONDS = 1.01  # between a write and the second after it; a little more than a second, for times in milliseconds


def young(video: Video, now: datetime) -> float:
    """Seconds until the row, as it was read, is old enough for another write and one right after it; 0: it is."""
    age = since(video.updated_at, now)
    return APART_SECONDS - age if 0 < age < APART_SECONDS else 0.0  # 0: the server's clock is ahead, and says nothing


def settle(parts: Parts, video: Video) -> None:
    """Wait until the row, as it was read, is that old."""
    parts.clock.sleep(young(video, parts.clock.now()))


def leave_room(parts: Parts, video_id: str) -> Video:
    """Read a video and wait until two writes may come: at once after a progress write, which keeps its distance.

    Raises:
        NotFoundError: it was deleted.
    """
    video = parts.store.get_video(video_id)
    if "work" not in json.loads(video.handle or "{}"):
        settle(parts, video)
    return video
