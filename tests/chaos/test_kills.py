"""Any process is killed at any moment: every video is completed all the same, and nothing is made twice."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.chaos import audit
from tests.chaos.machine import TARGETS, Machine, idle_until, machine
from tests.chaos.people import ask, user
from tests.chaos.results import Row, chooser, seeds
from tests.chaos.watcher import Watcher
from tests.waiting import wait_for

Record = Callable[[Row], None]
_AT_ONCE = 2  # videos that are always on the way, so that each kill hits something
_END_SECONDS = 150.0


@pytest.mark.parametrize("seed", seeds(1))
def test_nothing_is_lost_or_made_twice_in_twenty_kills(seed: int, tmp_path: Path, record: Record) -> None:
    tell(seed, 20, tmp_path, record)


@pytest.mark.chaos
@pytest.mark.timeout(900)
@pytest.mark.parametrize("seed", seeds(2, 3, 4, 5, 6))
def test_nothing_is_lost_or_made_twice_in_forty_kills(seed: int, tmp_path: Path, record: Record) -> None:
    tell(seed, 40, tmp_path, record)


def tell(seed: int, kills: int, folder: Path, record: Record) -> None:
    """Kill so often, let it come to an end, look at everything, and record the row."""
    choose = chooser(seed)
    began = time.monotonic()
    with machine(folder / "data") as running:
        at = running.settings
        session = user(at.endpoint, at.project_id, folder, "ada")
        watcher = Watcher(session)
        asked: list[str] = []

        def on_the_way() -> list[str]:
            return [i for i in asked if i not in watcher.held or not watcher.held[i].is_terminal]

        def keep_busy() -> None:
            while len(on_the_way()) < _AT_ONCE:
                asked.append(ask(session, len(asked) % 3 + 1, f"film-{len(asked)}"))

        for round_ in range(0, kills, len(TARGETS)):
            # each as often as the others, in any order
            for name in choose.sample(TARGETS, k=min(len(TARGETS), kills - round_)):
                keep_busy()
                one_kill(running, name, choose)
        wait_for(lambda: not on_the_way(), "the end of all videos", _END_SECONDS)
        videos, total = running.parts.store.list_videos("", limit=100)
        lost = audit.lost(videos) + [i for i in asked if i not in {v.id for v in videos}]
        twice = [line for v in videos for line in audit.duplicated(running.parts, v)] + watcher.remade
        broken = [line for v in videos for line in audit.broken(running.parts, v)]
        watcher.close()
    row = Row(
        suite="kill -9",
        seed=seed,
        kills=kills,
        videos=total,
        lost=len(lost),
        duplicated=len(twice) + total - len(set(asked)),
        regressions=len(watcher.regressions),
        seconds=time.monotonic() - began,
    )
    record(row)
    assert (lost, twice, broken, watcher.regressions) == ([], [], [], [])
    assert total == len(set(asked))
    assert watcher.connections > 1


def one_kill(running: Machine, name: str, choose: random.Random) -> None:
    """Wait a while, kill one process, leave it dead for a while, start it again."""
    idle_until(time.monotonic() + choose.uniform(0.2, 3.0))
    running.kill(name, choose)
    if running.stays_away(name):
        idle_until(time.monotonic() + choose.uniform(0.0, 0.7))
        running.start(name)
