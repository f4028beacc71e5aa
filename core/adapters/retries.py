"""How long a call to Appwrite is tried again, how long to wait between, and our word for its last answer."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TypeVar

from appwrite.exception import AppwriteException

from core.errors import (
    ConflictError,
    InvalidInputError,
    NotAllowedError,
    NotFoundError,
    ScenewrightError,
    UnavailableError,
)

log = logging.getLogger(__name__)

PATIENCE_SECONDS = 12.0  # a server that is started again answers within this
_FIRST_WAIT, _LONGEST_WAIT = 0.25, 4.0  # seconds, doubling between them
_LONGEST_ASKED = 10.0  # seconds of a Retry-After that are waited out
_JITTER = (0.7, 1.3)  # many renderers that fail together do not come back together

T = TypeVar("T")


def translate(error: AppwriteException, what: str) -> ScenewrightError:
    """Our word for Appwrite's answer; the vendor's error becomes the cause."""
    if error.code == 404:
        return NotFoundError(f"{what} does not exist.")
    if error.code in (401, 403):
        return NotAllowedError(f"Appwrite refused access to {what}: {error.message}", code="appwrite_refused")
    if error.code == 409:
        return ConflictError(f"{what} was changed meanwhile.")
    if error.code in (0, 408, 425, 429) or error.code >= 500:
        return UnavailableError(f"Appwrite did not answer for {what} ({error.code or 'no connection'}).")
    return InvalidInputError(f"Appwrite refused {what}: {error.message}", code="appwrite_invalid")


def asked_seconds(retry_after: str | None, now: datetime) -> float | None:
    """What a Retry-After header asks for, seconds from `now`, at most 10; None when it says nothing readable.

    Both forms of RFC 9110, section 10.2.3: a number of seconds, or a date.
    """
    text = (retry_after or "").strip()
    if text.isdecimal():
        return min(float(text), _LONGEST_ASKED)
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    ahead = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - now
    return min(max(ahead.total_seconds(), 0.0), _LONGEST_ASKED)


def with_retries(call: Callable[[], T], what: str, patience: float = PATIENCE_SECONDS) -> T:
    """Call until an answer comes; safe where the call may be repeated after its answer was lost.

    Ids are our own, writes carry a lock and a token, so every call of this product may. A call is tried twice at
    least, and then as long as the next try begins within `patience` seconds of the first.

    Raises:
        ScenewrightError: our word for Appwrite's refusal, or UnavailableError after the last try.
    """
    begun, wait, tries = time.monotonic(), _FIRST_WAIT, 0
    while True:
        try:
            return call()
        except AppwriteException as error:
            ours, tries = translate(error, what), tries + 1
            asked = asked_seconds(getattr(error, "retry_after", None), datetime.now(UTC))
            pause = wait * random.uniform(*_JITTER) if asked is None else asked
            if not ours.retryable or (tries > 1 and time.monotonic() - begun + pause > patience):
                raise ours from error
            log.info("%s, trying again in %.1f s", ours.sentence, pause, extra={"action": "retry"})
            time.sleep(pause)
            wait = min(wait * 2, _LONGEST_WAIT)
