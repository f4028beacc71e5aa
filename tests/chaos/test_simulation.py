"""The state machine under thousands of orders of events and accidents, each drawn from a seed that can be replayed."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import pytest

from core.documents import Event, Scene, Video
from tests.chaos.results import SEED, Row, seeds
from tests.simulation.world import Outcome, World

Record = Callable[[Row], None]
_ASSETS = 3 * 3 + 1  # voice, picture and clip of three scenes, and the film


def simulate(numbers: Iterable[int], record: Record) -> list[Outcome]:
    """Run every seed, record their sum, and fail with the first one that breaks a rule."""
    began, outcomes, broken = time.monotonic(), list[Outcome](), list[str]()
    for seed in numbers:
        try:
            outcomes.append(World(seed).run())
        except AssertionError as error:
            broken.append(f"replay with {SEED}={seed}\n{error}")
    row = Row(
        suite="simulated orders of events",
        seed=outcomes[0].seed if outcomes else 0,
        kills=sum(o.kills for o in outcomes),
        faults=sum(o.faults for o in outcomes),
        videos=len(outcomes) + len(broken),
        lost=len(broken),
        seconds=time.monotonic() - began,
    )
    record(row)
    assert not broken, f"{len(broken)} seeds break a rule; the first one:\n{broken[0]}"
    return outcomes


def test_a_video_ends_well_in_a_hundred_orders_of_events_and_accidents(record: Record) -> None:
    outcomes = simulate(seeds(*range(100)), record)

    ends = {o.status for o in outcomes}
    sys.stdout.write(f"ends: {ends}\n")
    if len(outcomes) == 100:  # not one that is replayed
        assert ends == {"completed", "cancelled", "deleted"}
        assert sum(o.kills for o in outcomes) > 50, "the simulation kills too seldom to show anything"


@pytest.mark.chaos
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("block", range(3))
def test_a_video_ends_well_in_a_thousand_orders_of_events_and_accidents(block: int, record: Record) -> None:
    simulate(seeds(*range(1000 * (block + 1), 1000 * (block + 2))), record)


@pytest.mark.parametrize("seed", range(10))
def test_where_nothing_goes_wrong_every_asset_is_made_once_in_any_order(seed: int) -> None:
    outcome = World(seed, calm=True).run()

    assert (outcome.status, outcome.made) == ("completed", _ASSETS)


def test_a_seed_gives_the_same_life_each_time() -> None:
    lives = []
    for _ in range(2):
        world = World(11)
        lives.append((world.run(), world.rules.history))

    assert lives[0] == lives[1]


# ---- the rules are worth something: take one guard away, and some seed shows it


def shown_by_some_seed(break_guard: Callable[[World], object], what: str) -> None:
    """Fail unless the simulation notices within its first three hundred seeds: what is rare shows in one of twenty."""
    for seed in range(300):
        world = World(seed)
        break_guard(world)
        try:
            world.run()
        except AssertionError as error:
            assert what in str(error)
            return
    pytest.fail("no seed shows that the guard is gone")


def test_a_store_without_its_lock_is_found_out() -> None:
    def break_guard(world: World) -> None:
        advance = world.store.advance

        def without_lock(document: Any, **changes: Any) -> Any:
            table: dict[str, Any] = world.store.videos if isinstance(document, Video) else world.store.rows
            there: Video | Scene | None = table.get(document.id)
            return advance(replace(document, updated_at=there.updated_at) if there else document, **changes)

        world.store.advance = without_lock  # type: ignore[method-assign]

    shown_by_some_seed(break_guard, "")


def test_a_claim_that_two_win_is_found_out() -> None:
    def break_guard(world: World) -> None:
        world.store.claim = lambda *_, **__: True  # type: ignore[method-assign]

    shown_by_some_seed(break_guard, "in one attempt")


def test_a_log_that_is_dated_when_it_is_written_is_found_out() -> None:
    def break_guard(world: World) -> None:
        record = world.store.record

        def dated_now(event: Event, owner_id: str) -> None:
            record(replace(event, at=world.scheduler.now().isoformat(timespec="milliseconds")), owner_id)

        world.store.record = dated_now  # type: ignore[method-assign]

    shown_by_some_seed(break_guard, "out of order")


def test_a_sweep_that_never_comes_is_found_out() -> None:
    def break_guard(world: World) -> None:
        world.store.due_videos = lambda *_: []  # type: ignore[method-assign]

    shown_by_some_seed(break_guard, "it never ended")
