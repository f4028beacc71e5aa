"""Rows that somebody made by hand, in the Console or with a key: they become videos, or say why not."""

from __future__ import annotations

import itertools
import json
import secrets
import time
from typing import Any

import pytest
from appwrite.services.tables_db import TablesDB

from core.documents import Video
from core.schema import VIDEOS, database_id
from core.status import VideoStatus
from core.wiring import build_parts
from tests.waiting import renderer_ready, wait_for

from .conftest import RunningStack
from .people import anonymous, with_key

SCRIPT = "A volcano is a mountain that opens.\n\nHot rock flows out of it and cools in the wind."


def by_hand(stack: RunningStack, **columns: Any) -> str:
    """Make a row with a server key, as the Console does."""
    row_id = secrets.token_hex(10)
    rows = TablesDB(with_key(stack.endpoint, stack.project, stack.key).client)
    rows.create_row(database_id(), VIDEOS, row_id, columns)
    return row_id


def ended(stack: RunningStack, video_id: str) -> Video:
    """The video, once it has ended."""
    store = build_parts(stack.settings).store

    def look() -> Video | None:
        video = store.get_video(video_id)
        return video if video.is_terminal else None

    return wait_for(look, "the end of the video")


def test_a_row_made_by_hand_becomes_a_video_its_owner_can_watch_while_answers_keep_coming(
    running_stack: RunningStack,
) -> None:
    ada = anonymous(running_stack.endpoint, running_stack.project)
    wait_for(lambda: renderer_ready(running_stack.settings), "the render processes")
    video_id = by_hand(
        running_stack,
        owner_id=ada.id,
        script=SCRIPT,
        options=json.dumps({"resolution": 360}),
        progress=77,
        final_file_id="not-ours",
        tries=40,
    )
    store = build_parts(running_stack.settings).store
    wait_for(lambda: store.get_video(video_id).revision > 0, "the adoption")
    states: list[str] = []
    slowest = 0.0
    while not states or states[-1] not in ("completed", "failed"):
        asked = time.monotonic()
        reply = ada.call("GET", f"/videos/{video_id}")
        slowest = max(slowest, time.monotonic() - asked)
        assert reply.status == 200
        states.append(reply.body["status"])

    assert states[-1] == "completed", reply.body
    assert slowest < 2.0
    assert "rendering" in [state for state, _ in itertools.groupby(states)]
    assert [scene["status"] for scene in reply.body["scenes"]] == ["rendered", "rendered"]
    film = ada.call("GET", f"/videos/{video_id}/film")
    assert film.status == 302
    assert "token=" in film.headers["location"]


@pytest.mark.parametrize(
    ("columns", "code"),
    [
        ({"script": "Too short."}, "script_too_short"),
        ({}, "topic_required"),
        ({"script": SCRIPT, "options": "{broken"}, "not_json"),
        ({"script": SCRIPT, "options": '{"aspect": "4:3"}'}, "unknown_value"),
    ],
)
def test_a_row_made_by_hand_that_cannot_be_a_video_fails_with_the_sentence(
    running_stack: RunningStack, columns: dict[str, str], code: str
) -> None:
    ada = anonymous(running_stack.endpoint, running_stack.project)

    video = ended(running_stack, by_hand(running_stack, owner_id=ada.id, **columns))

    assert (video.status, video.error_code) == (VideoStatus.FAILED, code)
    assert video.error_message in video.stage
    shown = ada.call("GET", f"/videos/{video.id}").body
    assert shown["error"] == {"code": code, "message": video.error_message}
