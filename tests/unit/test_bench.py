"""The statistics behind the benchmarks: a claim is judged by them, so they must be right."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.figures import Figure, Topic, busiest, percentile, widest_gap
from bench.machine import Machine, costed
from bench.report import keep

times = st.lists(st.floats(0, 100, allow_nan=False), min_size=1, max_size=40)


def test_the_median_and_the_99th_percentile_are_values_that_were_measured() -> None:
    values = [float(n) for n in range(100, 0, -1)]

    assert [percentile(values, share) for share in (0, 0.5, 0.99, 1)] == [1, 50, 99, 100]


def test_few_values_give_their_largest_as_the_99th_percentile() -> None:
    assert percentile([3.0, 1.0, 2.0], 0.99) == 3.0


def test_nothing_has_no_percentile() -> None:
    with pytest.raises(ValueError, match="0 values"):
        percentile([], 0.5)


@given(times, st.floats(0, 1))
def test_at_least_the_wished_share_lies_at_or_below_a_percentile(values: list[float], share: float) -> None:
    at = percentile(values, share)

    assert sum(v <= at for v in values) >= share * len(values) - 1e-9


def test_the_busiest_second_is_found_across_whole_seconds() -> None:
    assert busiest([0.0, 0.8, 0.9, 1.1, 1.7, 5.0], 1.0) == 4


def test_two_events_exactly_a_window_apart_do_not_share_it() -> None:
    assert busiest([0.0, 1.0], 1.0) == 1


@given(times, st.floats(0.1, 50))
def test_the_busiest_window_holds_as_many_as_one_that_begins_at_an_event(values: list[float], window: float) -> None:
    assert busiest(values, window) == max(sum(0 <= v - begin < window for v in values) for begin in values)


def test_the_widest_gap_is_the_longest_silence_between_events() -> None:
    assert widest_gap([4.0, 1.0, 1.5]) == 2.5
    assert widest_gap([4.0]) == 0.0


@pytest.mark.parametrize(
    ("figure", "verdict", "claim"),
    [
        (Figure("share", 0.75, "x", 0.75), "ok", "≤ 0.75 x"),
        (Figure("share", 0.76, "x", 0.75), "MISSED", "≤ 0.75 x"),
        (Figure("faster", 12.0, "x", 12, at_least=True), "ok", "≥ 12 x"),
        (Figure("faster", 11.9, "x", 12, at_least=True), "MISSED", "≥ 12 x"),
        (Figure("frames", 900, "frames"), "", ""),
    ],
)
def test_a_claim_is_judged_by_its_bound(figure: Figure, verdict: str, claim: str) -> None:
    assert (figure.verdict, figure.claim) == (verdict, claim)


def test_what_is_kept_names_the_machine_and_every_verdict(tmp_path: Path) -> None:
    figures = (Figure("slow", 2.0, "s", 1.0), Figure("frames", 10, "frames"))

    path = keep(Topic("example", "Ten frames.", figures), Machine.here(), tmp_path, quick=True)

    kept = json.loads(path.read_text())
    assert [f["verdict"] for f in kept["figures"]] == ["MISSED", ""]
    assert kept["machine"]["cores"] >= 1
    assert kept["quick"] is True


def test_the_cost_of_work_counts_the_processes_it_started() -> None:
    import subprocess
    import sys

    burn = "import time\nwhile time.process_time() < 0.3: pass"

    _, cost = costed(lambda: subprocess.run([sys.executable, "-c", burn], check=True))

    assert cost.cpu >= 0.3
