"""Luma's API through its own client: four calls, what its answers mean, and patience with those that may pass.

Routes and fields are those of the vendor's client `lumaai`; its own repetitions are switched off, because an order
whose reply is lost must be looked for before it is placed again.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from core.errors import EngineError, MissingToolError, NotFoundError, ScenewrightError, UnavailableError, of_system

if TYPE_CHECKING:
    from lumaai import APIError, APIStatusError, LumaAI
    from lumaai.types import Generation

_TRIES = 5  # of one call
_CALL_SECONDS = 30.0  # for one call; the client's own is a minute
_FIRST_WAIT, _LONGEST_WAIT = 1.0, 60.0  # seconds
_LISTED = 100  # of the newest generations
_BEFORE = timedelta(minutes=2)  # the vendor's clock may be so far behind
_FILM_BYTES = 1_000_000_000
_SAID_CHARS = 160  # of the vendor's words in a sentence
_MODERATED = re.compile(r"moderat|content polic|nsfw|not allowed|blocked|sensitive|inappropriate", re.IGNORECASE)
_NO_CREDITS = re.compile(r"insufficient|not enough|no credits|out of credits", re.IGNORECASE)

T = TypeVar("T")
Pause = Callable[[float], None]  # waits so many seconds; may raise StoppedError


class LostReplyError(UnavailableError):
    """An order may have been placed although nothing says so."""

    code = "luma_reply_lost"


class ExpiredError(ScenewrightError):
    """The address of a film is not good any more; the service gives a fresh one."""

    code = "luma_url_expired"


@dataclass(frozen=True, slots=True)
class Said:
    """What the service says of a generation."""

    id: str
    state: str  # queued, dreaming, completed or failed
    url: str = ""  # of the film
    reason: str = ""  # of a failure


class LumaApi:
    """The service, for whoever waits: every call may be repeated, but for `create`."""

    def __init__(self, key: str, url: str) -> None:
        """Nothing is sent yet. `url`: of the API; empty: the vendor's own."""
        self._key, self._url = key, url

    def _client(self) -> LumaAI:
        """For one call: kept open between calls that are seconds apart, it would be closed by nobody."""
        from lumaai import LumaAI

        return LumaAI(auth_token=self._key, base_url=self._url or None, max_retries=0, timeout=_CALL_SECONDS)

    def create(self, request: Mapping[str, Any]) -> Said:
        """Place an order, once.

        Raises:
            LostReplyError: perhaps it was placed.
            ScenewrightError: it was not; retryable if it may be tried again.
        """
        return _said(self._asked(lambda luma: luma.generations.create(**request), placing=True))

    def get(self, generation_id: str, pause: Pause) -> Said:
        """Ask after an order. Raises NotFoundError, and ScenewrightError after several tries."""
        return _said(self._patiently(lambda luma: luma.generations.get(generation_id), pause))

    def find(self, request: Mapping[str, Any], since: datetime, pause: Pause) -> Said | None:
        """The newest generation that was ordered with this request since a moment and has not failed."""
        listed = self._patiently(lambda luma: luma.generations.list(limit=_LISTED), pause)
        for generation in getattr(listed, "generations", None) or ():
            asked = generation.request
            same = all(getattr(asked, name, None) == value for name, value in request.items())
            if same and generation.state != "failed" and _is_since(generation.created_at, since - _BEFORE):
                return _said(generation)
        return None

    def delete(self, generation_id: str) -> None:
        """Remove a generation. Raises ScenewrightError; what is gone already is no error."""
        try:
            self._asked(lambda luma: luma.generations.delete(generation_id))
        except NotFoundError:
            return

    def download(self, url: str, out: Path, tick: Callable[[], None]) -> None:
        """Stream a film to a part file, then rename; the key is not sent along.

        Raises:
            ExpiredError: the address is not good any more.
            ScenewrightError: it cannot be fetched now.
        """
        import httpx

        part = out.with_name(f"{out.name}.part")
        try:
            with httpx.stream("GET", url, timeout=_CALL_SECONDS, follow_redirects=True) as answer, part.open("wb") as f:
                if answer.status_code in (401, 403, 404, 410):
                    raise ExpiredError("Luma's address of the film is not good any more.")
                answer.raise_for_status()
                for chunk in answer.iter_bytes(1 << 16):
                    f.write(chunk)
                    if f.tell() > _FILM_BYTES:
                        raise EngineError("Luma's film is larger than a scene can be.", code="luma_bad_film")
                    tick()
            part.replace(out)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise UnavailableError("Luma's film could not be fetched.", code="luma_unavailable") from error
        except OSError as error:
            raise of_system(error) from error
        finally:
            part.unlink(missing_ok=True)

    # ---- one call

    def _patiently(self, call: Callable[[LumaAI], T], pause: Pause) -> T:
        """Call, again while its error may pass; the service may say for how long to wait."""
        for number in range(1, _TRIES + 1):
            try:
                return self._asked(call)
            except UnavailableError as error:
                if number == _TRIES:
                    raise
                usual = _FIRST_WAIT * 2 ** (number - 1) * random.uniform(0.7, 1.3)
                pause(min(max(usual, wished_wait(error)), _LONGEST_WAIT))
        raise AssertionError("unreachable")

    def _asked(self, call: Callable[[LumaAI], T], *, placing: bool = False) -> T:
        """One call, its errors as ours."""
        from lumaai import APIError

        try:
            with self._client() as client:
                return call(client)
        except APIError as error:
            raise self._explained(error, placing=placing) from error
        except ValueError as error:  # no JSON
            kind = LostReplyError if placing else UnavailableError
            raise kind("Luma's answer could not be read.", code="luma_unavailable") from error

    def _explained(self, error: APIError, *, placing: bool) -> ScenewrightError:
        """Our word for an answer of the service; its own words are quoted where they help, the key never."""
        from lumaai import APIStatusError

        if not isinstance(error, APIStatusError):
            kind = LostReplyError if placing else UnavailableError
            return kind("Luma does not answer.", code="luma_unavailable")
        status, words = error.status_code, self._words(error)
        if status == 402 or (status in (400, 403) and _NO_CREDITS.search(words)):
            return EngineError("Luma's credits are used up: buy some there.", code="luma_no_credits")
        if status in (400, 422) and _MODERATED.search(words):
            return moderated(words)
        if status in (401, 403):
            return MissingToolError(
                "Luma refuses the key in LUMAAI_API_KEY: put one there that it knows.", code="luma_key_refused"
            )
        if status == 404:
            return NotFoundError("Luma does not know this generation.")
        if status == 429:
            return UnavailableError("Luma takes no more orders at the moment.", code="luma_busy")
        if status >= 500 or status in (408, 409):
            kind = LostReplyError if placing else UnavailableError
            return kind("Luma is out of order at the moment.", code="luma_unavailable")
        return EngineError(f"Luma refused the scene: {words or status}.", code="luma_refused")

    def _words(self, error: APIStatusError) -> str:
        body = error.body
        told = body.get("detail") or body.get("message") or "" if isinstance(body, dict) else body or ""
        return quoted(str(told).replace(self._key, "***"))


def moderated(words: str) -> EngineError:
    """The error for a scene that the service does not want to film."""
    told = f": {words}" if words else ""
    return EngineError(f"Luma does not film this scene because of its rules for contents{told}.", code="moderated")


def is_moderation(words: str) -> bool:
    """Whether the reason of a failure is the service's rules for contents."""
    return bool(_MODERATED.search(words))


def quoted(words: str) -> str:
    """The service's words as a part of a sentence."""
    return " ".join(words.split())[:_SAID_CHARS].rstrip(" .")


def wished_wait(error: ScenewrightError) -> float:
    """Seconds that the service wants to be left alone (Retry-After), as far as it says so in seconds."""
    answer = getattr(error.__cause__, "response", None)
    told = answer.headers.get("retry-after", "") if answer is not None else ""
    return float(told) if told.replace(".", "", 1).isdecimal() else 0.0


def _is_since(created: datetime | None, moment: datetime) -> bool:
    """Whether it was made since then; of what says no time, nothing else is known."""
    if created is None:
        return True
    return (created if created.tzinfo else created.replace(tzinfo=UTC)) >= moment


def _said(generation: Generation) -> Said:
    """What is needed of an answer. Raises UnavailableError for one that is none."""
    found = getattr(generation, "id", None)
    if not found:
        raise LostReplyError("Luma's answer could not be read.", code="luma_unavailable")
    url = generation.assets.video if generation.assets else None
    return Said(found, generation.state or "queued", url or "", quoted(generation.failure_reason or ""))
