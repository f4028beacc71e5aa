"""A watcher's connection is cut again and again: each time it holds the newest state at once when it is back."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import pytest

from core.documents import Video
from core.ports import Parts
from core.status import VideoStatus
from core.watch import Session, follow
from tests.chaos.machine import Machine, idle_until
from tests.chaos.people import user
from tests.chaos.results import Row, chooser, seeds
from tests.proxy import CuttingProxy, cutting_proxy
from tests.waiting import wait_for

_WRITE_SECONDS = 0.03  # far more often than renderers write
_BACK_SECONDS = 30.0  # until it has connected again: it waits one second, five when that failed


class Writer:
    """Changes one video all the time, as its renderers do."""

    def __init__(self, parts: Parts, owner_id: str, name: str) -> None:
        self._parts = parts
        later = (parts.clock.now() + timedelta(hours=1)).isoformat()  # no sweep is to think that nobody works on it
        self.video = parts.store.create_video(
            Video(id=name, owner_id=owner_id, status=VideoStatus.RENDERING, due_at=later)
        )
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        step = 0
        while not self._stop.wait(_WRITE_SECONDS):
            step += 1
            # 99 per cent are reached at the end of a long run only
            self.video = self._parts.store.advance(self.video, progress=min(99, step // 50), stage=f"Step {step}")

    def finish(self) -> Video:
        """The last write."""
        self._stop.set()
        self._thread.join(30)
        self.video = self._parts.store.advance(self.video, status=VideoStatus.COMPLETED, progress=100)
        return self.video


class Follower:
    """Every state that a client was given, and when."""

    def __init__(self, session: Session, video_id: str) -> None:
        self.seen: list[tuple[float, Video]] = []
        self._session, self._video_id = session, video_id
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        for video in follow(self._session, self._video_id):
            self.seen.append((time.monotonic(), video))

    def first(self, revision: int) -> float:
        """When this revision or a newer one was held first; 0 while none is."""
        return next((at for at, video in self.seen if video.revision >= revision), 0.0)

    def wait_for_the_end(self) -> None:
        """Until the video has ended for it too."""
        self._thread.join(60)


@pytest.mark.parametrize("seed", seeds(1))
def test_a_watcher_is_right_again_after_each_of_ten_cuts(
    seed: int, quick_machine: Machine, tmp_path: Path, record: Callable[[Row], None]
) -> None:
    # how fast it is is asked of the long form, on a machine that does nothing else
    tell(seed, 10, 20.0, quick_machine, tmp_path, record)


@pytest.mark.chaos
@pytest.mark.timeout(900)
@pytest.mark.parametrize("seed", seeds(2))
def test_a_watcher_is_right_again_within_a_second_of_each_of_a_hundred_cuts(
    seed: int, quick_machine: Machine, tmp_path: Path, record: Callable[[Row], None]
) -> None:
    tell(seed, 100, 1.0, quick_machine, tmp_path, record)


def tell(seed: int, cuts: int, bound: float, running: Machine, folder: Path, record: Callable[[Row], None]) -> None:
    """Cut so often; `bound`: seconds from connecting again to holding what was the newest state then."""
    choose = chooser(seed)
    began = time.monotonic()
    at = running.settings
    session = user(at.endpoint, at.project_id, folder, "ada")
    writer = Writer(running.parts, session.user_id, f"drops-{seed}")
    delays = []
    with cutting_proxy(at.endpoint) as proxy:
        through = Session(proxy.endpoint, session.project, session.user_id, session.secret)
        follower = Follower(through, writer.video.id)
        wait_for(lambda: follower.seen, "the first state")
        for _ in range(cuts):
            idle_until(time.monotonic() + choose.uniform(0.0, 0.2))
            delays.append(one_cut(proxy, writer, follower))
        last = writer.finish()
        follower.wait_for_the_end()
    revisions = [video.revision for _, video in follower.seen]
    progress = [video.progress for _, video in follower.seen]
    fell = sum(b < a for a, b in pairwise(progress))
    older = sum(b <= a for a, b in pairwise(revisions))
    row = Row(
        suite=f"socket cut (back in {max(delays):.2f} s)",
        seed=seed,
        faults=cuts,
        videos=1,
        lost=int(follower.seen[-1][1] != last),
        regressions=fell + older,
        seconds=time.monotonic() - began,
    )
    record(row)
    assert row.holds, row
    assert max(delays) <= bound, sorted(delays)[-5:]


def one_cut(proxy: CuttingProxy, writer: Writer, follower: Follower) -> float:
    """Cut; returns the seconds from the moment it connects again to that at which it holds the state of that moment."""
    before = proxy.upgraded
    proxy.cut()
    wait_for(lambda: proxy.upgraded > before, "the next connection", _BACK_SECONDS)
    back, newest = time.monotonic(), writer.video.revision
    held = wait_for(lambda: follower.first(newest), f"revision {newest} at the watcher", _BACK_SECONDS)
    return max(0.0, held - back)
