"""A fifth of all calls to Appwrite fail, half of them after they were done: every video is completed, once."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from appwrite.query import Query

from core.adapters.appwrite_client import AppwriteClient
from core.documents import Asset, Video
from core.ports import Parts
from core.schema import BUCKET_OF, FUNCTION
from core.status import VideoStatus
from core.watch import Session, follow
from core.wiring import build_parts
from tests.chaos import audit
from tests.chaos.machine import QUICK, WORKER, Machine, machine
from tests.chaos.people import ask, user
from tests.chaos.proxy import SHARE, Fault, FaultyProxy, faulty_proxy
from tests.chaos.results import Row, chooser, seeds
from tests.chaos.watcher import Watcher
from tests.waiting import renderer_ready, wait_for

Record = Callable[[Row], None]
_ANSWER_SECONDS = 2.0
_PATIENT = replace(QUICK, stale_seconds=6.0, request_seconds=_ANSWER_SECONDS, retry_seconds=30.0)
_END_SECONDS = 240.0


@dataclass(frozen=True)
class Stage:
    """A machine whose function, worker and sweep reach their server through the proxy; `parts` and `client` do not."""

    running: Machine
    proxy: FaultyProxy
    parts: Parts
    client: AppwriteClient
    folder: Path


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """One machine for all faults."""
    folder = tmp_path_factory.mktemp("faults")
    with (
        machine(folder / "data", _PATIENT) as running,
        faulty_proxy(running.settings.endpoint, _ANSWER_SECONDS) as proxy,
    ):
        parts, at = running.parts, running.settings
        client = AppwriteClient(at.endpoint, at.project_id, at.api_key)
        client.call(
            "post",
            f"/functions/{FUNCTION}/variables",
            {"content-type": "application/json"},
            {"variableId": "unique()", "key": "APPWRITE_ENDPOINT", "value": proxy.endpoint},
        )
        running.settings = replace(at, endpoint=proxy.endpoint, public_endpoint=at.endpoint)
        running.parts = build_parts(running.settings)
        running.kill(WORKER, chooser(0))
        running.start(WORKER)
        wait_for(lambda: renderer_ready(running.settings), "the render processes")
        yield Stage(running, proxy, parts, client, folder)


@pytest.mark.parametrize("seed", seeds(1))
@pytest.mark.parametrize("fault", [Fault.ERROR_500, Fault.RESET_BEFORE])
def test_a_video_is_completed_once_although_calls_fail(stage: Stage, fault: Fault, seed: int, record: Record) -> None:
    tell(stage, fault, seed, 1, record)


@pytest.mark.chaos
@pytest.mark.timeout(900)
@pytest.mark.parametrize("seed", seeds(2))
@pytest.mark.parametrize("fault", list(Fault))
def test_four_videos_are_completed_once_although_calls_fail(
    stage: Stage, fault: Fault, seed: int, record: Record
) -> None:
    tell(stage, fault, seed, 4, record)


def tell(stage: Stage, fault: Fault, seed: int, count: int, record: Record) -> None:
    """Ask for videos while calls fail, let them end, look at everything, and record the row."""
    choose, began = chooser(seed), time.monotonic()
    owner = user(stage.parts.settings.endpoint, stage.parts.settings.project_id, stage.folder, f"{fault}-{seed}")
    watcher = Watcher(owner)
    stage.proxy.begin(fault, seed)
    try:
        far = Session(stage.proxy.endpoint, owner.project, owner.user_id, owner.secret)
        asked = [ask(far, choose.randint(1, 2), f"film-{number}") for number in range(count)]
        followed = list(follow(far, asked[0]))
        wait_for(lambda: all(ended(watcher, i) for i in asked), f"the end of {asked}", _END_SECONDS)
        calls, failed, applied = stage.proxy.calls, stage.proxy.failed, stage.proxy.applied
    finally:
        stage.proxy.begin(None, 0)
        watcher.close()
    seen = [video.progress for video in followed]
    videos, total = stage.parts.store.list_videos(owner.user_id, limit=100)
    lost = audit.lost(videos) + [i for i in asked if i not in {v.id for v in videos}]
    twice = [sentence for video in videos for sentence in audit.duplicated(stage.parts, video)] + left_over(stage)
    twice += [] if total == count else [f"{total} videos instead of {count}"]
    row = Row(
        suite=f"calls fail: {fault}",
        seed=seed,
        faults=failed,
        videos=count,
        lost=len(lost),
        duplicated=len(twice) + len(watcher.remade),
        regressions=len(watcher.regressions) + (seen != sorted(seen)),
        seconds=time.monotonic() - began,
    )
    record(row)
    assert (lost, twice, watcher.remade, watcher.regressions) == ([], [], [], [])
    # a client whose reads and sockets fail too sees it through to the end
    assert (seen, followed[-1].status) == (sorted(seen), VideoStatus.COMPLETED)
    assert [s for v in videos for s in audit.broken(stage.parts, v)] == []
    # the faults that were promised were there, and among them writes that were done and not confirmed
    assert failed > 0.5 * SHARE * calls
    assert applied > 0


def ended(watcher: Watcher, video_id: str) -> bool:
    """Whether a subscriber knows that the video ended."""
    return video_id in watcher.held and watcher.held[video_id].is_terminal


def left_over(stage: Stage) -> list[str]:
    """Files that no asset knows: made, kept, and then made again."""
    known = {a.file_id for video in stage.parts.store.list_videos("", limit=100)[0] for a in kept(stage, video)}
    return [
        f"{bucket}/{file_id} belongs to nothing"
        for bucket in sorted(set(BUCKET_OF.values()))
        for file_id in files_in(stage.client, bucket)
        if file_id not in known
    ]


def kept(stage: Stage, video: Video) -> list[Asset]:
    """The assets of a video; no two may share a file."""
    assets = stage.parts.store.assets(video.id)
    assert len({a.file_id for a in assets}) == len(assets)
    return assets


def files_in(client: AppwriteClient, bucket: str) -> list[str]:
    """The ids of all files in a bucket."""
    found: list[str] = []
    while True:
        queries = [Query.limit(100), Query.offset(len(found))]
        page = client.call("get", f"/storage/buckets/{bucket}/files", {}, {"queries": queries})["files"]
        found += [file["$id"] for file in page]
        if len(page) < 100:
            return found
