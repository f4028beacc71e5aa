"""Every second of a call counts once, and what a video holds adds up whatever happens to the writes."""

from __future__ import annotations

import json
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.costs import Meter, accounts_of, day_of, lines_of, spent_on, total
from core.documents import Video
from core.ports import Job
from core.prices import Machine

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
MACHINE = Machine("L4", 1, 4, 16)
EMPTY = Video(id="v", created_at=NOW.isoformat())


class Hands:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.time = 0.0

    def __call__(self) -> float:
        return self.time


def meter(clock: Hands, *, kind: str = "render", attempt: int = 1, before: float = 0.0, now: datetime = NOW) -> Meter:
    """A meter on a machine that costs money."""
    return Meter(MACHINE, Job(kind, "v", attempt), now, before=before, clock=clock)


def written(video: Video, of: Meter) -> Video:
    """The video after a write of this call."""
    return replace(video, **of.columns(video))


def seconds(video: Video) -> dict[str, float]:
    """Seconds by scene and stage."""
    return {f"{line.scene}/{line.stage}": line.seconds for line in lines_of(video)}


def test_what_is_made_side_by_side_shares_the_time() -> None:
    clock = Hands()
    one = meter(clock)
    clock.time = 1.0
    with one.span("1/voice"):
        clock.time = 3.0
        with one.span("1/picture"):
            clock.time = 7.0
        clock.time = 8.0

    assert seconds(written(EMPTY, one)) == {"1/voice": 5.0, "1/picture": 2.0, "0/other": 1.0}


def test_time_in_which_nothing_is_made_is_of_the_scene_in_hand() -> None:
    clock = Hands()
    one = meter(clock)
    one.rest(2)
    clock.time = 1.5
    one.rest(0)
    clock.time = 2.0

    assert seconds(written(EMPTY, one)) == {"2/other": 1.5, "0/other": 0.5}


def test_a_call_that_joins_and_the_start_of_its_machine_have_lines_of_their_own() -> None:
    clock = Hands()
    one = meter(clock, kind="compose", before=4.0)
    clock.time = 2.0

    assert seconds(written(EMPTY, one)) == {"0/start": 4.0, "0/join": 2.0}


STEPS = st.lists(
    st.tuples(st.sampled_from(["voice", "picture", "clip", "end", "write", "twice", "lost"]), st.floats(0.01, 50)),
    max_size=25,
)


@given(STEPS, st.floats(0, 20))
def test_the_lines_sum_up_to_the_cost_which_is_what_the_machine_ran(
    steps: list[tuple[str, float]], before: float
) -> None:
    """Whatever is begun and ended in whatever order, written twice, or written without an answer."""
    clock, video, spans = Hands(), EMPTY, ExitStack()
    one = meter(clock, before=before)
    for step, passed in steps:
        clock.time += passed
        last = video.cost_usd
        if step == "end":
            spans.close()
        elif step in ("write", "twice", "lost"):
            video = written(video, one)  # also when the caller never hears of it
            if step == "twice":
                video = written(video, one)
        else:
            spans.enter_context(one.span(f"1/{step}"))
        assert video.cost_usd >= last
    video = written(video, one)

    ran = before + clock.time
    assert sum(line.usd for line in lines_of(video)) == pytest.approx(video.cost_usd, abs=1e-9)
    assert video.cost_usd == pytest.approx(ran * MACHINE.usd_per_second, abs=1e-7)
    assert sum(line.seconds for line in lines_of(video)) == pytest.approx(ran, abs=0.01)


@given(st.lists(st.tuples(st.integers(0, 4), st.floats(0.1, 9)), min_size=1, max_size=30))
def test_calls_of_one_video_add_up_in_whatever_order_they_write(writes: list[tuple[int, float]]) -> None:
    clocks = [Hands() for _ in range(5)]
    meters = [meter(clock) for clock in clocks]
    video = EMPTY
    for who, passed in writes:
        clocks[who].time += passed
        before, video = video.cost_usd, written(video, meters[who])
        assert video.cost_usd >= before

    assert video.cost_usd == pytest.approx(sum(c.time for c in clocks) * MACHINE.usd_per_second, abs=1e-7)


def test_many_edits_are_put_together_and_the_sum_stays() -> None:
    clock, video = Hands(), EMPTY
    for attempt in range(1, 201):
        one = meter(clock, attempt=attempt)
        clock.time += 1.0
        video = written(replace(video, attempt=attempt), one)

    assert video.cost_usd == pytest.approx(200 * MACHINE.usd_per_second)
    assert len(accounts_of(video)) <= 40
    assert len(video.costs) < 20_000


def test_a_call_whose_account_was_put_together_with_others_counts_no_second_time() -> None:
    clock, video = Hands(), EMPTY
    old = meter(clock)
    clock.time = 5.0
    video = written(written(video, old), old)  # it has seen its own account
    for attempt in range(2, 60):
        video = written(replace(video, attempt=attempt), meter(clock, attempt=attempt))

    assert old.columns(video) == {}


@pytest.mark.parametrize(
    "costs", ["", "no json", "[]", '{"a": 1}', '{"a": {"items": {"x": [1]}}}', '{"a": {"items": {"x": [1, NaN]}}}']
)
def test_a_row_that_was_changed_by_hand_still_adds_up(costs: str) -> None:
    video = replace(EMPTY, costs=costs, cost_usd=0.25)
    clock = Hands()
    one = meter(clock)
    clock.time = 10.0
    after = written(video, one)

    assert sum(line.usd for line in lines_of(video)) == 0.25
    assert after.cost_usd == pytest.approx(0.25 + 10 * MACHINE.usd_per_second)
    assert sum(line.usd for line in lines_of(after)) == pytest.approx(after.cost_usd, abs=1e-9)


def test_what_was_spent_counts_on_the_day_in_utc_on_which_its_call_began() -> None:
    clock, video = Hands(), EMPTY
    for now in (NOW - timedelta(days=1), datetime(2026, 11, 21, 23, 30, tzinfo=timezone(-timedelta(hours=2)))):
        one = meter(clock, now=now)
        clock.time += 10.0
        video = written(video, one)

    ten = pytest.approx(10 * MACHINE.usd_per_second)
    assert [spent_on([video], day) for day in ("2026-11-20", "2026-11-21", "2026-11-22")] == [ten, 0.0, ten]
    assert day_of(NOW) == "2026-11-21"


def test_a_free_machine_is_counted_in_seconds() -> None:
    clock = Hands()
    free = Meter(Machine(), Job("render", "v", 1), NOW, clock=clock)
    clock.time = 3.0
    video = written(EMPTY, free)

    assert (video.cost_usd, total(accounts_of(video))) == (0.0, 0.0)
    assert seconds(video) == {"0/other": 3.0}
    assert json.loads(video.costs)
