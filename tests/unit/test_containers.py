"""Which ends of a job cross the border of a container, and which pass by untouched."""

from __future__ import annotations

from typing import Any, cast

import pytest

from core import containers, job
from core.containers import Container
from core.engine_ports import Engines
from core.errors import EngineError, MissingToolError, ScenewrightError, UnavailableError
from core.ports import Job, Parts

BODY = {"kind": "render", "video_id": "v1", "attempt": 1, "scenes": [1, 2]}


started: list[float] = []  # seconds that jobs were told their machine had run before


class Stopped(BaseException):
    """As a preemption and a timeout arrive: no Exception."""


@pytest.fixture
def ends(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Let jobs end as the test says; returns what they were."""
    done: list[Job] = []
    started.clear()

    def end(error: BaseException | None) -> list[Job]:
        def run(parts: Parts, engines: Engines, work: Job, before: float) -> None:
            started.append(before)
            done.append(work)
            if error is not None:
                raise error

        monkeypatch.setattr(job, "run_job", run)
        return done

    return end


def container() -> Container:
    """One whose documents nobody asks for."""
    return Container(cast("Parts", None), cast("Engines", None))


def test_a_job_that_ends_well_is_done_and_was_read_from_ids_alone(ends: Any) -> None:
    done = ends(None)

    assert container().work(BODY) == {"state": "done"}
    assert done == [Job("render", "v1", 1, (1, 2))]


def test_a_job_knows_the_call_by_which_it_would_be_delivered_again(ends: Any) -> None:
    done = ends(None)

    container().work(BODY, "fc-1")

    assert done == [Job("render", "v1", 1, (1, 2), call="fc-1")]


def test_the_first_job_of_a_container_pays_for_its_start_and_no_other(ends: Any) -> None:
    ends(None)
    fresh = container()
    fresh.start_seconds = 7.5

    fresh.work(BODY)
    fresh.work(BODY)

    assert started == [7.5, 0.0]


def test_what_failed_for_good_is_told_not_raised_so_that_nobody_tries_it_again(ends: Any) -> None:
    ends(MissingToolError("The disk is full.", code="disk_full"))

    assert container().work(BODY) == {"state": "failed", "code": "disk_full", "sentence": "The disk is full."}


@pytest.mark.parametrize("error", [UnavailableError("Nobody answers."), EngineError("Not now.", retryable=True)])
def test_what_may_pass_is_raised_as_a_plain_error_that_every_caller_can_read(
    ends: Any, error: ScenewrightError
) -> None:
    ends(error)

    with pytest.raises(RuntimeError) as raised:
        container().work(BODY)
    assert type(raised.value) is RuntimeError
    assert error.sentence in str(raised.value)
    assert raised.value.__cause__ is raised.value.__context__ is None


@pytest.mark.parametrize("stop", [KeyboardInterrupt, Stopped])
def test_a_container_that_is_told_to_stop_marks_nothing_as_failed(ends: Any, stop: type[BaseException]) -> None:
    ends(stop())

    with pytest.raises(stop):  # the documents are None: touching them would be another error
        container().work(BODY)


def test_a_body_that_is_no_job_is_refused_in_words() -> None:
    assert container().work({"kind": "dance"})["code"] == "invalid_input"


def test_a_container_that_cannot_begin_says_why_in_a_plain_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCENEWRIGHT_PICTURES", "oil")

    with pytest.raises(RuntimeError, match="SCENEWRIGHT_PICTURES") as raised:
        containers.load()
    assert type(raised.value) is RuntimeError
