"""The embedded server with the schema in it, a render server, and the adapters that are held to their contracts."""

from __future__ import annotations

import os
import secrets
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial

import psutil
import pytest
import requests

from core.adapters.appwrite_client import AppwriteClient
from core.adapters.appwrite_files import AppwriteFiles
from core.adapters.appwrite_store import AppwriteStore
from core.documents import Options, Scene, Video
from core.errors import ConflictError
from core.identity import scene_id
from core.ports import Job
from core.settings import Settings
from core.status import VideoStatus
from scripts.setup_db import SetUp
from tests.contract.making import Begin, planned
from tests.emulator.conftest import ROOT, Running, running
from tests.waiting import renderer_ready, wait_for


@pytest.fixture(scope="session")
def appwrite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """One server for all contract tests; each test makes videos and files of its own."""
    with running(tmp_path_factory.mktemp("contract")) as server:
        SetUp(client_of(server)).run()
        yield server


def client_of(server: Running, endpoint: str = "") -> AppwriteClient:
    """The service's own client, with the key of the server; `endpoint`: another way to reach it."""
    return AppwriteClient(endpoint or server.endpoint, server.project, server.key)


@pytest.fixture(scope="session")
def begin(appwrite: Running) -> Begin:
    """Plans a video of some texts and hands it out."""
    return partial(planned, client_of(appwrite))


@pytest.fixture
def store(appwrite: Running) -> AppwriteStore:
    """Documents in the embedded server."""
    return AppwriteStore(client_of(appwrite))


@pytest.fixture
def files(appwrite: Running) -> AppwriteFiles:
    """Files in the embedded server."""
    return AppwriteFiles(client_of(appwrite))


@pytest.fixture
def make_key(appwrite: Running) -> Callable[..., str]:
    """Makes an API key with these scopes; only the embedded server can be asked for one."""

    def make(*scopes: str) -> str:
        where = ("--data", str(appwrite.data), "--scopes", ",".join(scopes))
        command = [sys.executable, "-m", "emulator", "key", *where]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()

    return make


# ---- renderers


@dataclass(frozen=True)
class Worker:
    """A render server of its own: where it listens, its token, its process."""

    url: str
    token: str
    settings: Settings
    process: subprocess.Popen[bytes]

    def send(self, method: str, path: str, body: object = None, token: str | None = None) -> requests.Response:
        """A request; with the right token unless another is given."""
        shown = self.token if token is None else token
        headers = {"authorization": f"Bearer {shown}"} if shown else {}
        data = body if isinstance(body, bytes) else None
        return requests.request(
            method, self.url + path, json=None if data else body, data=data, headers=headers, timeout=10
        )

    def descendants(self) -> list[psutil.Process]:
        """Every process below it."""
        return psutil.Process(self.process.pid).children(recursive=True)


@pytest.fixture(scope="session")
def worker(appwrite: Running, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    """A render server with one process and room for two waiting calls."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    settings = Settings(
        endpoint=appwrite.endpoint,
        project_id=appwrite.project,
        api_key=appwrite.key,
        render_url=f"http://127.0.0.1:{port}",
        render_token="the-right-token",
        workers=1,
        worker_queue=2,
        report_seconds=0.2,
        work_dir=str(tmp_path_factory.mktemp("scratch")),
    )
    # a render server looks for lost work when it starts: what other tests left in the middle is nobody's
    left = AppwriteStore(client_of(appwrite))
    for video in left.due_videos(datetime.now(UTC) + timedelta(days=1), 500):
        if not video.is_terminal:
            cancel_video(left, video.id)
    command = [sys.executable, "-c", "from core.cli_worker import main; main()", "--host", "127.0.0.1"]
    environment = {**os.environ, **settings.to_env()}
    process = subprocess.Popen([*command, "--port", str(port)], cwd=ROOT, env=environment)
    started = Worker(settings.render_url, settings.render_token, settings, process)
    try:
        wait_for(lambda: is_ready(started), "the render server", 60)
        yield started
    finally:
        process.terminate()
        try:
            process.wait(10)
        finally:
            process.kill()


def is_ready(worker: Worker) -> bool:
    """Whether its process has its engines."""
    assert worker.process.poll() is None, "the render server ended"
    return renderer_ready(worker.settings)


LONG = "The river begins as a small spring high up in the mountains, and it grows with every brook it meets. " * 3


@pytest.fixture
def long_job(store: AppwriteStore) -> Iterator[Job]:
    """A job that keeps a renderer busy for many seconds; its video is cancelled in the end."""
    with film_job(store, 1080) as job:
        yield job


@contextmanager
def film_job(store: AppwriteStore, resolution: int) -> Iterator[Job]:
    """Two long scenes to be made, of a video that is cancelled in the end."""
    video = store.create_video(
        Video(
            id=secrets.token_hex(10),
            owner_id="ada",
            script=LONG,
            options=Options(resolution=resolution, seed=1).to_json(),
            status=VideoStatus.RENDERING,
            scene_count=2,
            attempt=1,
        )
    )
    for number in (1, 2):
        scene = Scene(
            id=scene_id(video.id, number), video_id=video.id, scene_number=number, narration=LONG, engine="cards"
        )
        store.create_scene(scene, "ada")
    yield Job("render", video.id, 1, (1, 2))
    cancel_video(store, video.id)


def cancel_video(store: AppwriteStore, video_id: str) -> None:
    """Cancel a video, however often its renderer writes meanwhile."""
    while (video := store.get_video(video_id)).status is not VideoStatus.CANCELLED:
        with suppress(ConflictError):
            store.advance(video, status=VideoStatus.CANCELLED, due_at=None)


def short_job() -> Job:
    """A job that is done at once: its video is not there any more."""
    return Job("render", secrets.token_hex(10), 1, (1,))
