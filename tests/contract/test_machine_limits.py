"""A machine that has had enough: a full disk, no memory, a killed ffmpeg or render process each end in a sentence."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest

from core.adapters.appwrite_files import AppwriteFiles
from core.adapters.appwrite_store import AppwriteStore
from core.documents import Canvas, Options, Scene, Video
from core.engine_ports import PictureBrief
from core.engines.cards import CardPictures
from core.errors import EngineError, MissingToolError, of_system
from core.identity import scene_id
from core.media.run import run
from core.media.speech import write_wav
from core.ports import Job
from core.settings import Settings
from core.status import SceneStatus, VideoStatus
from tests.emulator.conftest import ROOT, Running
from tests.waiting import wait_for

from .conftest import Worker

FULL = Path("/dev/full")  # every write to it finds no room
NOISE = ["-f", "lavfi", "-i", "testsrc2=s=320x240:d=5", "-f", "rawvideo", "-y"]

pytestmark = pytest.mark.skipif(not FULL.exists(), reason="this system has no /dev/full")


def command_of(process: psutil.Process) -> list[str]:
    """Its command line; one empty word for a process that has ended or has none."""
    try:
        return process.cmdline() or [""]
    except psutil.Error:
        return [""]


def assert_disk_full(error: MissingToolError) -> None:
    """The sentence says what to do."""
    assert (error.code, error.retryable) == ("disk_full", False)
    assert "free some space" in error.sentence


def test_ffmpeg_on_a_full_disk() -> None:
    with pytest.raises(MissingToolError) as raised:
        run([*NOISE, str(FULL)])
    assert_disk_full(raised.value)


def test_a_narration_on_a_full_disk(tmp_path: Path) -> None:
    (tmp_path / "voice.wav").symlink_to(FULL)

    with pytest.raises(MissingToolError) as raised:
        write_wav(tmp_path / "voice.wav", np.zeros(100_000, np.float32))
    assert_disk_full(raised.value)


def test_a_picture_on_a_full_disk(tmp_path: Path) -> None:
    (tmp_path / "card.jpg").symlink_to(FULL)
    options = Options(resolution=360)
    brief = PictureBrief(
        canvas=options.canvas,
        number=1,
        count=1,
        film_title="",
        title="A mountain",
        prompt="a mountain",
        narration="A mountain.",
        language="en",
        style=options.style,
        seed=1,
        captions=False,
    )
    with pytest.raises(MissingToolError) as raised:
        CardPictures().draw(brief, tmp_path / "card.jpg", lambda _: None)
    assert_disk_full(raised.value)


def test_a_download_on_a_full_disk_leaves_nothing(
    files: AppwriteFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "film.mp4"
    path.write_bytes(os.urandom(100_000))
    file_id = secrets.token_hex(8)
    files.upload("final_videos", file_id, path, "ada")
    (tmp_path / "back.mp4.full.part").symlink_to(FULL)
    monkeypatch.setattr("core.adapters.appwrite_client.secrets.token_hex", lambda _: "full")  # else names differ

    with pytest.raises(MissingToolError) as raised:
        files.download("final_videos", file_id, tmp_path / "back.mp4")
    assert_disk_full(raised.value)
    assert [p.name for p in tmp_path.iterdir()] == ["film.mp4"]


@pytest.mark.parametrize("error", [MemoryError(), OSError(12, "Cannot allocate memory")])
def test_no_memory_may_pass_and_says_what_helps(error: OSError | MemoryError) -> None:
    told = of_system(error)

    assert (told.code, told.retryable) == ("out_of_memory", True)
    assert "fewer videos at a time" in told.sentence


def test_a_killed_ffmpeg_is_an_error_that_may_pass(tmp_path: Path) -> None:
    canvas = Canvas(320, 240)

    def frames() -> Iterator[bytes]:
        yield bytes(canvas.width * canvas.height * 3)
        (process,) = (p for p in psutil.Process().children() if "ffmpeg" in Path(command_of(p)[0]).name)
        process.kill()  # whoever started it waits for it
        while True:
            yield bytes(canvas.width * canvas.height * 3)

    size = f"{canvas.width}x{canvas.height}"
    with pytest.raises(EngineError) as raised:
        run(
            ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", size, "-i", "pipe:0", str(tmp_path / "out.mp4")],
            feed=frames(),
        )
    assert (raised.value.code, raised.value.retryable) == ("ffmpeg_killed", True)
    assert "killed from outside" in raised.value.sentence


# ---- a renderer


_NARROW = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), int(sys.argv[2])))
from core.ports import Job
from core.settings import Settings
from core.wiring import build_engines, build_parts, run_job
settings = Settings.from_env()
run_job(build_parts(settings), build_engines(settings), Job("render", sys.argv[1], 1, (1,)))
"""


@pytest.mark.parametrize("room", [1_000, 100_000], ids=["the picture", "the clip"])
def test_a_video_whose_renderer_has_no_room_fails_with_what_to_do(
    appwrite: Running, store: AppwriteStore, room: int
) -> None:
    video = store.create_video(
        Video(
            id=secrets.token_hex(10),
            owner_id="ada",
            options=Options(resolution=360).to_json(),
            status=VideoStatus.RENDERING,
            scene_count=1,
            attempt=1,
        )
    )
    text = "The river begins as a small spring high up in the mountains."
    scene = Scene(id=scene_id(video.id, 1), video_id=video.id, scene_number=1, narration=text, engine="cards")
    store.create_scene(scene, "ada")
    at = Settings(endpoint=appwrite.endpoint, project_id=appwrite.project, api_key=appwrite.key, renderer="inline")

    done = subprocess.run(
        [sys.executable, "-c", _NARROW, video.id, str(room)],
        cwd=ROOT,
        env={**os.environ, **at.to_env()},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    after = store.get_video(video.id)
    assert after.status is VideoStatus.FAILED, done.stderr
    assert "The disk is full; free some space" in after.error_message
    assert [s.status for s in store.scenes(video.id)] == [SceneStatus.FAILED]
    assert "clip" not in {a.kind for a in store.assets(video.id)}


def test_a_killed_render_process_says_so_and_another_takes_its_place(worker: Worker, long_job: Job) -> None:
    body = {"kind": long_job.kind, "video_id": long_job.video_id, "attempt": 1, "scenes": list(long_job.scenes)}
    call_id = worker.send("POST", "/calls", body).json()["call_id"]
    wait_for(lambda: worker.send("GET", f"/calls/{call_id}").json()["state"] == "running", "the call to run")
    renderer = next(p for p in worker.descendants() if any("spawn_main" in word for word in command_of(p)))

    renderer.kill()

    wait_for(lambda: worker.send("GET", f"/calls/{call_id}").json()["state"] == "failed", "the end of the call")
    assert "want of memory" in worker.send("GET", f"/calls/{call_id}").json()["error"]
    wait_for(lambda: worker.send("GET", "/health").json()["ready"] == 1, "the next render process")
