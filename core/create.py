"""How a valid request becomes a queued video: one write, and nothing else happens in the request."""

from __future__ import annotations

import secrets

from core.documents import Options, Video
from core.errors import AlreadyExistsError, InvalidInputError, RefusedError
from core.identity import digest
from core.journal import EventKind, note
from core.material import check_plan, is_sound, own_file
from core.ports import Parts
from core.quote import check_price
from core.request import VideoRequest
from core.schema import UPLOADS

_HEAD_BYTES = 64


def video_id_of(owner_id: str, idempotency_key: str) -> str:
    """The same owner and key give the same video; without a key the id is random."""
    return digest("video", owner_id, idempotency_key)[:36] if idempotency_key else secrets.token_hex(10)


def check_music(parts: Parts, options: Options, owner_id: str) -> None:
    """Refuse a music file that is not there, not the owner's, or not sound.

    Raises:
        InvalidInputError: field music_file_id.
    """
    if not options.music_file_id:
        return
    file = own_file(parts, options.music_file_id, owner_id)
    if file is None:
        raise InvalidInputError(
            f"There is no file {options.music_file_id!r} of yours in the bucket {UPLOADS}: upload the music first.",
            code="music_not_found",
            field="music_file_id",
        )
    if not is_sound(parts.files.head(UPLOADS, options.music_file_id, _HEAD_BYTES)):
        raise InvalidInputError(
            f"{file.name} is no sound file: use mp3, wav, m4a, ogg or flac.",
            code="music_not_audio",
            field="music_file_id",
        )


def create_video(parts: Parts, request: VideoRequest, owner_id: str, idempotency_key: str = "") -> Video:
    """Record a queued video.

    Raises:
        InvalidInputError: the music or a file of a scene cannot be used, or it would cost more than it may.
        RefusedError: the idempotency key was used for another request (code idempotency_key_reused).
    """
    check_music(parts, request.options, owner_id)
    check_plan(parts, request.plan, owner_id)
    check_price(parts, request)
    video = Video(
        id=video_id_of(owner_id, idempotency_key),
        owner_id=owner_id,
        topic=request.topic,
        description=request.description,
        script=request.script,
        options=request.options.to_json(),
        plan=request.plan,
        stage="Waiting to be planned",
        # due at once: if the trigger is lost, the next sweep plans it; if not, a claim decides between the two
        due_at=parts.clock.now().isoformat(timespec="milliseconds"),
    )
    try:
        made = parts.store.create_video(video)
    except AlreadyExistsError:
        there = parts.store.get_video(video.id)
        if any(getattr(there, f) != getattr(video, f) for f in ("topic", "description", "script", "options", "plan")):
            raise RefusedError(
                "This Idempotency-Key was used for another request: take a new key for a new video.",
                code="idempotency_key_reused",
            ) from None
        return there
    note(parts, made, EventKind.CREATED, "The video was asked for.", at=made.updated_at)
    return made
