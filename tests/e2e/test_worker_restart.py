"""The render server is killed in the middle of a video and started again: the video ends, nothing is made twice."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from core import stack
from core.documents import FPS, Scene, Video
from core.media import probe
from core.settings import Settings
from core.status import SceneStatus, VideoStatus
from core.watch import Session, follow
from core.wiring import build_parts
from tests.proxy import CuttingProxy, cutting_proxy
from tests.waiting import renderer_ready, wait_for

from .people import anonymous

SCRIPT = "\n\n".join(
    f"{said} The river goes on through the valley and comes to the next village."
    for said in (
        "It begins as a spring.",
        "Then it meets a brook.",
        "A mill stands there.",
        "Boats float by.",
        "The sea.",
    )
)
COUNT = 5


@dataclass(frozen=True)
class Story:
    """What happened."""

    before: list[Scene]  # when the renderer was killed
    survivors: list[psutil.Process]  # of the killed renderer, five seconds later
    after: list[Scene]
    video: Video
    seen: list[Video]  # by somebody whose line was cut when the renderer was killed
    seen_before_the_cut: int
    sockets: int
    film: Path


def alive(process: psutil.Process) -> bool:
    """Whether it still does something."""
    with suppress(psutil.NoSuchProcess):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


@contextmanager
def worker_started_again(settings: Settings, log: Path) -> Iterator[None]:
    """A render server in place of the killed one, at the same address."""
    port = settings.render_url.rpartition(":")[2]
    command = [sys.executable, "-c", "from core.cli_worker import main; main()", "--host", "127.0.0.1", "--port", port]
    with log.open("ab") as out:
        process = subprocess.Popen(command, env={**os.environ, **settings.to_env()}, stderr=out)
    try:
        yield
    finally:
        process.terminate()
        process.wait(10)


def collect(session: Session, video_id: str, seen: list[Video]) -> None:
    """Every state of a video, as it comes."""
    for video in follow(session, video_id):
        seen.append(video)


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    """One video whose renderer is killed when some scenes are rendered and some are not."""
    folder = tmp_path_factory.mktemp("restart")
    wanted = Settings(report_seconds=0.5, stale_seconds=5.0, beat_seconds=2.0, queued_due_seconds=5.0, workers=2)
    with stack.start(folder / "data", settings=wanted) as running, cutting_proxy(running.settings.endpoint) as proxy:
        wait_for(lambda: renderer_ready(running.settings), "the render processes")
        yield tell(running, proxy, folder)


def tell(running: stack.Stack, proxy: CuttingProxy, folder: Path) -> Story:
    """Let it happen."""
    settings = running.settings
    parts = build_parts(settings)
    ada = anonymous(settings.endpoint, settings.project_id)
    video_id = ada.call("POST", "/videos", {"script": SCRIPT, "resolution": 480}).body["videoId"]
    seen: list[Video] = []
    session = Session(proxy.endpoint, settings.project_id, ada.id, ada.session)
    watching = threading.Thread(target=collect, args=(session, video_id, seen), daemon=True)
    watching.start()

    def some_rendered() -> bool:
        rendered = [s.status is SceneStatus.RENDERED for s in parts.store.scenes(video_id)]
        return len(seen) > 2 and 1 <= sum(rendered) < COUNT

    wait_for(some_rendered, "some rendered scenes")
    worker = psutil.Process(running.pids[stack.WORKER])
    below = worker.children(recursive=True)
    os.kill(worker.pid, signal.SIGKILL)
    proxy.cut()
    seen_before = len(seen)
    with suppress(AssertionError):
        wait_for(lambda: not any(map(alive, below)), "the end of the render processes", 5)
    survivors = [process for process in below if alive(process)]
    before = parts.store.scenes(video_id)
    with worker_started_again(settings, folder / "worker.log"):
        wait_for(lambda: parts.store.get_video(video_id).is_terminal, "the end of the video", 90)
        watching.join(30)
    video = parts.store.get_video(video_id)
    film = folder / "film.mp4"
    if video.final_file_id:
        parts.files.download("final_videos", video.final_file_id, film)
    after = parts.store.scenes(video_id)
    return Story(before, survivors, after, video, seen, seen_before, proxy.upgraded, film)


def test_the_video_is_completed_all_the_same(story: Story) -> None:
    assert (story.video.status, story.video.error_message) == (VideoStatus.COMPLETED, "")
    assert story.video.attempt > 1
    assert all(scene.status is SceneStatus.RENDERED for scene in story.after)
    assert probe.frames(story.film) == round(story.video.duration_seconds * FPS)


def test_a_scene_that_was_rendered_is_not_made_again(story: Story) -> None:
    rendered = [scene for scene in story.before if scene.status is SceneStatus.RENDERED]
    kept = {scene.id: scene for scene in story.after}

    assert 1 <= len(rendered) < COUNT
    for scene in rendered:
        assert kept[scene.id] == scene  # its time of change, its files, its one try
        assert scene.tries == 1


def test_a_scene_that_was_in_hand_is_taken_over(story: Story) -> None:
    in_hand = {scene.id for scene in story.before if scene.status is SceneStatus.RENDERING}

    assert in_hand
    assert {scene.tries for scene in story.after if scene.id in in_hand} == {2}


def test_nothing_of_the_killed_renderer_lives_on(story: Story) -> None:
    assert story.survivors == []


def test_who_was_cut_off_is_right_again_without_asking(story: Story) -> None:
    revisions = [video.revision for video in story.seen]

    assert story.sockets >= 2
    assert 0 < story.seen_before_the_cut < len(story.seen)
    assert revisions == sorted(set(revisions))
    assert story.seen[-1] == story.video


def test_the_bar_never_fell_although_the_renderer_did(story: Story) -> None:
    progress = [video.progress for video in story.seen]

    assert progress == sorted(progress)
    assert progress[-1] == 100
