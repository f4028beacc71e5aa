"""How long a call is tried again, and what a Retry-After header asks for."""

from __future__ import annotations

import time
from datetime import UTC, datetime

import pytest
from appwrite.exception import AppwriteException

from core.adapters.retries import asked_seconds, with_retries
from core.errors import ConflictError, NotAllowedError, NotFoundError, UnavailableError

NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("3", 3.0),
        ("0", 0.0),
        ("3600", 10.0),
        ("Sun, 01 Mar 2026 12:00:04 GMT", 4.0),
        ("Sun, 01 Mar 2026 13:00:04 GMT", 10.0),
        ("Sun, 01 Mar 2026 11:59:00 GMT", 0.0),
        ("Sun, 01 Mar 2026 12:00:04", 4.0),
        ("-3", None),
        ("soon", None),
        ("", None),
        (None, None),
    ],
)
def test_retry_after_is_read_as_seconds_or_as_a_date_and_has_a_bound(header: str | None, seconds: float | None) -> None:
    assert asked_seconds(header, NOW) == seconds


class Answers:
    """Fails with these statuses in turn, then answers."""

    def __init__(self, *statuses: int, retry_after: str = "0") -> None:
        self.statuses, self.calls = list(statuses), 0
        self._retry_after = retry_after

    def __call__(self) -> str:
        self.calls += 1
        if not self.statuses:
            return "done"
        error = AppwriteException("no", self.statuses.pop(0))
        error.retry_after = self._retry_after
        raise error


@pytest.mark.parametrize("status", [0, 408, 425, 429, 500, 502, 503, 504])
def test_what_may_pass_is_tried_again(status: int) -> None:
    answers = Answers(status, status)

    assert with_retries(answers, "it") == "done"
    assert answers.calls == 3


@pytest.mark.parametrize(
    ("status", "error"), [(401, NotAllowedError), (403, NotAllowedError), (404, NotFoundError), (409, ConflictError)]
)
def test_a_refusal_is_not_tried_again(status: int, error: type[Exception]) -> None:
    answers = Answers(status)

    with pytest.raises(error):
        with_retries(answers, "it")
    assert answers.calls == 1


def test_patience_ends_with_an_error_that_may_pass() -> None:
    answers = Answers(*[503] * 100, retry_after="soon")
    begun = time.monotonic()

    with pytest.raises(UnavailableError) as raised:
        with_retries(answers, "it", patience=1.5)
    assert raised.value.retryable
    assert 3 <= answers.calls <= 4  # after a quarter, a half and perhaps a whole second
    assert time.monotonic() - begun < 20


def test_without_any_patience_left_one_more_try_is_made() -> None:
    answers = Answers(503)

    assert with_retries(answers, "it", patience=0.0) == "done"


def test_a_wait_that_is_longer_than_the_patience_is_not_begun() -> None:
    answers = Answers(503, 503, 503, retry_after="2")
    begun = time.monotonic()

    with pytest.raises(UnavailableError):
        with_retries(answers, "it", patience=1.0)
    assert answers.calls == 2
    assert time.monotonic() - begun >= 1.9
