"""Which delivery of a call does its work: a renderer may deliver it again, even while another copy of it lives."""

from __future__ import annotations

from datetime import timedelta

from core.documents import Video
from core.errors import NotFoundError
from core.ports import Job, Parts

_DELIVERIES = 4  # of one call that may join, one after another
_LOOKS = 10  # at the video, in the time after which silence counts


def may_render(parts: Parts, job: Job) -> bool:
    """Whether this is the one call for its scenes, or that call again.

    Delivered again it makes what is missing; what a living copy of it has in hand, each scene's own row says.
    """
    return parts.store.claim("render", job.attempt, *job.scenes, video_id=job.video_id, by=job.call)


def may_join(parts: Parts, video: Video, job: Job) -> bool:
    """Whether it is for this delivery to join: the first one, or a later one once the former has gone silent."""
    for delivery in range(_DELIVERIES):
        again = [delivery] if delivery else []
        if parts.store.claim("compose", job.attempt, *again, video_id=video.id):
            return True
        if not job.call or not _left_alone(parts, video):
            return False
    return False


def _left_alone(parts: Parts, video: Video) -> bool:
    """Wait until nobody has told of this work for so long that nobody does it; whether it is still to be done then.

    Whoever does it and lives writes to the video every two seconds.
    """
    there, said, quiet = video, video.handle, timedelta(seconds=parts.settings.stale_seconds)
    heard_at = parts.clock.now()
    while there.attempt == video.attempt and there.status is video.status:
        if there.handle != said:
            said, heard_at = there.handle, parts.clock.now()
        elif parts.clock.now() - heard_at >= quiet:
            return True
        parts.clock.sleep(quiet.total_seconds() / _LOOKS)
        try:
            there = parts.store.get_video(video.id)
        except NotFoundError:
            return False
    return False
