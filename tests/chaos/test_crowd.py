"""Many users ask at once: every video is completed, nobody starves, and memory stays flat."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from core.documents import Video
from core.status import VideoStatus
from core.watch import Session, follow
from tests.chaos import audit
from tests.chaos.machine import SERVER, WORKER, Machine, idle_until, resident_bytes
from tests.chaos.people import ask, user
from tests.chaos.results import Row, chooser, seeds
from tests.chaos.watcher import Watcher
from tests.waiting import wait_for

_SAMPLE_SECONDS = 0.5


@dataclass
class Memory:
    """What server and worker hold, bytes, sampled until closed."""

    running: Machine
    samples: list[int] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Memory:
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(30)

    def _run(self) -> None:
        while not self._stop.wait(_SAMPLE_SECONDS):
            self.samples.append(sum(resident_bytes(self.running.pid(name)) for name in (SERVER, WORKER)))

    def growth(self) -> float:
        """The most that is held in the last third of the run, over the most in the second third."""
        third = len(self.samples) // 3
        return max(self.samples[-third:]) / max(self.samples[third : 2 * third])


def test_a_short_video_is_there_within_ninety_seconds(quick_machine: Machine, tmp_path: Path) -> None:
    at = quick_machine.settings
    session = user(at.endpoint, at.project_id, tmp_path, "ada")
    began = time.monotonic()

    video_id = ask(session, 3, "short", resolution=1080)
    *_, last = follow(session, video_id)

    assert last.status is VideoStatus.COMPLETED
    assert time.monotonic() - began < 90.0


@pytest.mark.parametrize("seed", seeds(1))
def test_eight_videos_of_three_users_are_made_in_turn(
    seed: int, quick_machine: Machine, tmp_path: Path, record: Callable[[Row], None]
) -> None:
    tell(seed, 8, 3, quick_machine, tmp_path, record)


@pytest.mark.chaos
@pytest.mark.timeout(900)
@pytest.mark.parametrize("seed", seeds(2))
def test_fifty_videos_of_five_users_are_made_in_turn_and_memory_stays_flat(
    seed: int, quick_machine: Machine, tmp_path: Path, record: Callable[[Row], None]
) -> None:
    memory = tell(seed, 50, 5, quick_machine, tmp_path, record)

    assert memory.growth() < 1.2, [size >> 20 for size in memory.samples]


def tell(seed: int, count: int, people: int, running: Machine, folder: Path, record: Callable[[Row], None]) -> Memory:
    """So many videos at once, by so many people, on a worker of two render processes."""
    choose = chooser(seed)
    began = time.monotonic()
    at = running.settings
    sessions = [user(at.endpoint, at.project_id, folder, f"user-{n}") for n in range(people)]
    watchers = [Watcher(session) for session in sessions]
    wishes: list[list[int]] = [[choose.randint(1, 2) for _ in range(n, count, people)] for n in range(people)]
    with Memory(running) as memory:
        with ThreadPoolExecutor(people) as pool:
            asked = [i for found in pool.map(ask_for_all, sessions, wishes) for i in found]
        asking = time.monotonic() - began
        wait_for(lambda: sum(len(w.ended) for w in watchers) == count, "the end of all videos", 20.0 * count)
    videos = [running.parts.store.get_video(video_id) for video_id in asked]
    lost = audit.lost(videos)
    twice = [line for v in videos for line in audit.duplicated(running.parts, v)]
    broken = [line for v in videos for line in audit.broken(running.parts, v)]
    for watcher in watchers:
        watcher.close()
        twice += watcher.remade
    regressions = [line for watcher in watchers for line in watcher.regressions]
    late = lateness(videos, [end for watcher in watchers for end in watcher.ended])
    row = Row(
        suite=f"{count} at once by {people} (asked in {asking:.1f} s, at most {late} passed by)",
        seed=seed,
        videos=count,
        lost=len(lost),
        duplicated=len(twice) + count - len(set(asked)),
        regressions=len(regressions),
        seconds=time.monotonic() - began,
    )
    record(row)
    assert (lost, twice, broken, regressions) == ([], [], [], [])
    assert late <= count / 3
    return memory


def ask_for_all(session: Session, wishes: list[int]) -> list[str]:
    """One user's videos, spread over the time in which all of them ask."""
    begun = time.monotonic()
    asked = []
    for number, scenes in enumerate(wishes):
        idle_until(begun + 4.0 * number / len(wishes))
        asked.append(ask(session, scenes, f"crowd-{number}"))
    return asked


def lateness(videos: list[Video], ended: list[tuple[float, str]]) -> int:
    """By how many places the unluckiest video ended later than it was asked for."""
    by_end = [video_id for _, video_id in sorted(ended)]
    in_turn = [v.id for v in sorted(videos, key=lambda v: v.created_at)]
    return max(by_end.index(video_id) - place for place, video_id in enumerate(in_turn))
