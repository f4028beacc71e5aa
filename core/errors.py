"""Every way this product says no: one tree, each error a sentence for people and a stable code for programs."""

from __future__ import annotations

import errno
from datetime import datetime


class ScenewrightError(Exception):
    """Something went wrong, and this says what a person can do about it.

    Attributes:
        code: stable name for programs, snake_case.
        sentence: one sentence for people; never holds a secret.
        field: the input field that is meant, if one is.
        retryable: whether the same call may succeed a moment later.
        http_status: the status an HTTP edge answers with.
    The vendor's error, if any, stays chained as ``__cause__``.
    """

    code = "internal_error"
    http_status = 500
    retryable = False

    def __init__(
        self, sentence: str, *, code: str | None = None, field: str | None = None, retryable: bool | None = None
    ) -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.field = field
        if code is not None:
            self.code = code
        if retryable is not None:
            self.retryable = retryable


class InvalidInputError(ScenewrightError):
    """The request itself must change before it can succeed; ``field`` names what."""

    code = "invalid_input"
    http_status = 400


class NotFoundError(ScenewrightError):
    """No such thing, or not yours to see: both look the same on purpose."""

    code = "not_found"
    http_status = 404


class MethodError(ScenewrightError):
    """The route is there, but not for this HTTP method."""

    code = "method_not_allowed"
    http_status = 405


class NotAllowedError(ScenewrightError):
    """The caller is not known, or may not do this."""

    code = "not_allowed"
    http_status = 401


class RefusedError(ScenewrightError):
    """The state does not allow it now, for example a download of an unfinished film."""

    code = "refused"
    http_status = 409


class TransitionError(ScenewrightError):
    """A write would have drawn an arrow that the transition tables do not have."""

    code = "no_such_transition"
    http_status = 409


class ConflictError(ScenewrightError):
    """Somebody wrote the document after it was read; read it again and decide anew."""

    code = "conflict"
    http_status = 409


class AlreadyExistsError(ScenewrightError):
    """A document with this id is there already, made by somebody else."""

    code = "already_exists"
    http_status = 409


class LimitError(ScenewrightError):
    """The work would cost more than it may; what is made stays, and a higher limit lets it go on."""

    code = "cost_limit"
    http_status = 409


class UnavailableError(ScenewrightError):
    """A server that is needed did not answer, or asked to come back later."""

    code = "unavailable"
    http_status = 503
    retryable = True


class BusyError(ScenewrightError):
    """The renderer's queue is full; the video stays queued and is handed out later."""

    code = "renderer_busy"
    http_status = 429
    retryable = True


class WaitError(ScenewrightError):
    """It cannot go on now and will by itself later, at ``again_at``: a limit of calls was reached."""

    code = "must_wait"
    http_status = 429
    retryable = True

    def __init__(self, sentence: str, again_at: datetime) -> None:
        super().__init__(sentence)
        self.again_at = again_at


class MissingToolError(ScenewrightError):
    """The machine lacks something; the sentence says what to install or free."""

    code = "missing_tool"


class EngineError(ScenewrightError):
    """An engine could not make its asset; the vendor's error is the cause."""

    code = "engine_failed"


class QualityError(ScenewrightError):
    """The finished film did not pass a check; ``code`` names the check."""

    code = "quality_check_failed"


CANCELLED = "cancelled"  # code of a StoppedError after which nobody goes on: the video was cancelled or deleted


class StoppedError(ScenewrightError):
    """The work is no longer wanted: the video was cancelled or a newer attempt took over."""

    code = "stopped"


_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


def disk_full() -> MissingToolError:
    """The error for a write that found no room."""
    return MissingToolError("The disk is full; free some space and try again.", code="disk_full")


def of_system(error: OSError | MemoryError) -> ScenewrightError:
    """Our word for what the machine itself refused: room on a disk, memory, a file."""
    if isinstance(error, MemoryError) or error.errno == errno.ENOMEM:
        return EngineError(
            "The renderer ran out of memory; give it more, or let it make fewer videos at a time.",
            code="out_of_memory",
            retryable=True,
        )
    if error.errno in _NO_ROOM:
        return disk_full()
    said = error.strerror or type(error).__name__
    return MissingToolError(f"A file of the renderer could not be read or written ({said}).", code="file_refused")
