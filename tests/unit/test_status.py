"""The two transition tables, as people rely on them."""

from __future__ import annotations

from itertools import pairwise

import pytest

from core import schema
from core.errors import TransitionError
from core.status import (
    SCENE_ARROWS,
    TERMINAL,
    VIDEO_ARROWS,
    WORKING,
    SceneStatus,
    VideoStatus,
    check_scene,
    check_video,
)


def test_a_video_goes_from_queued_to_completed_step_by_step() -> None:
    way = [VideoStatus(s) for s in ("queued", "planning", "rendering", "combining", "completed")]

    for before, after in pairwise(way):
        check_video(before, after)


@pytest.mark.parametrize("status", sorted(WORKING))
def test_every_working_state_can_fail_and_be_cancelled(status: VideoStatus) -> None:
    check_video(status, VideoStatus.FAILED)
    check_video(status, VideoStatus.CANCELLED)


@pytest.mark.parametrize("status", sorted(VideoStatus))
def test_a_video_may_be_written_without_changing_its_state(status: VideoStatus) -> None:
    check_video(status, status)


@pytest.mark.parametrize("status", sorted(TERMINAL))
def test_nothing_leaves_a_terminal_state_for_the_join(status: VideoStatus) -> None:
    with pytest.raises(TransitionError, match=f"{status}.*combining"):
        check_video(status, VideoStatus.COMBINING)


def test_a_refused_arrow_names_both_states() -> None:
    with pytest.raises(TransitionError, match="A scene that is planned cannot become rendered"):
        check_scene(SceneStatus.PLANNED, SceneStatus.RENDERED)


def test_the_schema_and_the_code_know_the_same_states() -> None:
    assert set(schema.columns("videos")["status"]["elements"]) == set(VIDEO_ARROWS) == set(VideoStatus)
    assert set(schema.columns("scenes")["status"]["elements"]) == set(SCENE_ARROWS) == set(SceneStatus)
