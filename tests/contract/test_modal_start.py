"""A video whose containers on Modal die at their start, again and again, ends with a sentence and where to look."""

from __future__ import annotations

import secrets
from dataclasses import replace

from core.documents import Options, Video
from core.settings import Settings
from core.status import VideoStatus
from core.sweep import look_after
from core.wiring import build_choices, build_parts
from tests import on_modal
from tests.emulator.conftest import Running
from tests.plane import Plane
from tests.waiting import wait_for

WANTED = Settings(renderer="modal", start_deadline_seconds=2.0, tries_max=2)


def test_containers_that_die_at_their_start_are_not_waited_for_without_end(appwrite: Running) -> None:
    settings = replace(WANTED, endpoint=appwrite.endpoint, project_id=appwrite.project, api_key=appwrite.key)
    parts, stages = build_parts(settings), set[str]()
    options = Options(resolution=360).to_json()
    with Plane() as plane, on_modal.deployed(plane, appwrite, WANTED.to_env()):
        plane.crash_at_start(on_modal.RENDER, 1000)
        row = Video(id=secrets.token_hex(8), owner_id="someone", script="The sea is wide.", options=options)
        video = parts.store.create_video(row)

        def ended() -> bool:
            look_after(parts, parts.store.get_video(video.id), build_choices(settings))
            now = parts.store.get_video(video.id)
            stages.add(now.stage)
            return now.is_terminal

        wait_for(ended, "the end of the video", 60)
        calls = plane.calls(on_modal.RENDER)
        assert plane.starts(on_modal.RENDER) > 1  # Modal tried again by itself
        assert all(not plane.deliveries(call) for call in calls)

    video = parts.store.get_video(video.id)
    assert (video.status, video.error_code) == (VideoStatus.FAILED, "no_container")
    assert "`modal app logs scenewright`" in video.error_message
    assert video.error_message in stages  # told before it was given up
    assert len(calls) == WANTED.tries_max
