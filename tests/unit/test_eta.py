"""The time that is told runs down while work goes on, and grows where it does not."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from core.eta import Work, rest_of_wait

BEGIN = datetime(2030, 1, 1, tzinfo=UTC)


def told(lefts: list[tuple[float, float]], first: float | None = None) -> list[int]:
    """What people read, for (seconds since the beginning, seconds expected to be left)."""
    work = Work.begin(lefts[0][1], lefts[0][1], BEGIN + timedelta(seconds=lefts[0][0]), first)
    said = []
    for at, left in lefts:
        work = work.went_on(left, BEGIN + timedelta(seconds=at))
        said.append(work.eta_seconds)
    return said


def going(expected: float, really: float, until: float = 1.0) -> list[tuple[float, float]]:
    """Work that was thought to take `expected` seconds and takes `really`, told of every second."""
    return [(t, expected * (1 - t / really)) for t in range(round(really * until))]


@given(
    st.lists(st.tuples(st.floats(-5, 90), st.floats(0, 500)), min_size=1, max_size=30),
    st.one_of(st.none(), st.floats(0, 5000)),
)
def test_unfinished_work_always_has_time_left_whatever_the_clock_does(
    steps: list[tuple[float, float]], first: float | None
) -> None:
    at, lefts = 0.0, []
    for seconds, left in steps:
        at += seconds
        lefts.append((at, left))

    assert min(told(lefts, first)) >= 1


@given(st.integers(20, 300))
def test_a_guess_that_was_right_runs_down_second_by_second(really: int) -> None:
    said = told(going(really, really))

    assert all(before - after in (0, 1, 2) for before, after in pairwise(said))
    assert all(abs(each - (really - t)) <= 2 for t, each in enumerate(said))


@given(st.integers(60, 300), st.floats(0.3, 3))
def test_a_wrong_guess_is_corrected_by_what_is_measured(really: int, wrong: float) -> None:
    said = told(going(really * wrong, really))

    for t in range(really // 2, really):
        assert abs(said[t] - (really - t)) <= 0.35 * really
    assert abs(said[-1] - 1) <= 0.12 * really


@given(st.integers(60, 300), st.floats(0.3, 3))
def test_the_clock_makes_no_leaps(really: int, wrong: float) -> None:
    said = told(going(really * wrong, really))

    assert all(abs(before - after) <= 0.15 * max(really, really * wrong) + 2 for before, after in pairwise(said))


@given(st.integers(10, 200), st.floats(0.1, 0.99))
def test_work_that_stands_still_is_not_told_to_end_soon_for_a_minute(really: int, until: float) -> None:
    before = going(really, really, until) or [(0.0, float(really))]
    at, left = before[-1]
    still = [(at + 2.0 * n, left) for n in range(1, 91)]

    said = told(before + still)[len(before) :]

    for n in range(len(said) - 30):
        minute = said[n : n + 31]
        assert len(set(minute)) > 1, "the same number for a minute"
    assert said[-1] > 30


@given(st.floats(0.1, 100), st.floats(0, 500))
def test_a_wait_that_grows_long_is_never_about_to_end(usual: float, waited: float) -> None:
    rest = rest_of_wait(usual, waited)

    assert rest >= max(usual / 3, waited / 2) * 0.999
    assert rest <= max(usual, waited / 2)


def test_a_new_renderer_goes_on_from_what_people_read_last() -> None:
    said = told([(t, 60.0 - t) for t in range(30)], first=20.0)

    assert said[0] == 20
    assert abs(said[-1] - 31) <= 3


def test_work_is_read_as_it_was_kept() -> None:
    work = Work.begin(60.0, 50.0, BEGIN)

    assert Work.read(work.columns()) == work
    assert Work.read(None) is None
    assert Work.read({"begun_at": "2030"}) is None
