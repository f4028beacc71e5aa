"""The states of videos and scenes, and the only arrows between them."""

from __future__ import annotations

from enum import StrEnum

from core.errors import TransitionError


class VideoStatus(StrEnum):
    """Where a video stands; the value is what people see in the Console."""

    QUEUED = "queued"  # recorded, nobody has planned it yet
    PLANNING = "planning"  # the storyboard is being made
    RENDERING = "rendering"  # scenes are being made
    COMBINING = "combining"  # every scene is there, the film is being joined and checked
    COMPLETED = "completed"  # the film can be watched
    FAILED = "failed"  # ended with a sentence a person can act on
    CANCELLED = "cancelled"  # ended because a person said so


class SceneStatus(StrEnum):
    """Where a scene stands."""

    PLANNED = "planned"  # in the storyboard, nothing made yet
    CODED = "coded"  # its code is written (engines that write code)
    RENDERING = "rendering"  # a holder is making its assets
    RENDERED = "rendered"  # its clip is kept
    FAILED = "failed"  # could not be made


TERMINAL = frozenset({VideoStatus.COMPLETED, VideoStatus.FAILED, VideoStatus.CANCELLED})
WORKING = frozenset(VideoStatus) - TERMINAL

_V, _S = VideoStatus, SceneStatus

VIDEO_ARROWS: dict[VideoStatus, frozenset[VideoStatus]] = {
    _V.QUEUED: frozenset({_V.QUEUED, _V.PLANNING, _V.FAILED, _V.CANCELLED}),
    _V.PLANNING: frozenset({_V.PLANNING, _V.RENDERING, _V.FAILED, _V.CANCELLED}),
    # to completed from a half-way state: a film that was there already stays when a change to it fails
    _V.RENDERING: frozenset({_V.RENDERING, _V.COMBINING, _V.COMPLETED, _V.FAILED, _V.CANCELLED}),
    # back to rendering: at the join an asset turned out to be missing
    _V.COMBINING: frozenset({_V.COMBINING, _V.RENDERING, _V.COMPLETED, _V.FAILED, _V.CANCELLED}),
    # out of a terminal state only because a person asked for it
    _V.COMPLETED: frozenset({_V.COMPLETED, _V.RENDERING}),
    _V.FAILED: frozenset({_V.FAILED, _V.RENDERING, _V.QUEUED}),
    _V.CANCELLED: frozenset({_V.CANCELLED, _V.RENDERING, _V.QUEUED}),
}

SCENE_ARROWS: dict[SceneStatus, frozenset[SceneStatus]] = {
    _S.PLANNED: frozenset({_S.PLANNED, _S.CODED, _S.RENDERING, _S.FAILED}),
    _S.CODED: frozenset({_S.CODED, _S.RENDERING, _S.FAILED, _S.PLANNED}),
    # to itself: taken over from a holder that fell silent
    _S.RENDERING: frozenset({_S.RENDERING, _S.RENDERED, _S.FAILED, _S.PLANNED}),
    _S.RENDERED: frozenset({_S.RENDERED, _S.PLANNED}),
    _S.FAILED: frozenset({_S.FAILED, _S.PLANNED, _S.RENDERING}),
}


def check_video(before: VideoStatus, after: VideoStatus) -> None:
    """Raise TransitionError, naming both states, when the arrow is not in the table."""
    if after not in VIDEO_ARROWS[before]:
        raise TransitionError(f"A video that is {before} cannot become {after}.")


def check_scene(before: SceneStatus, after: SceneStatus) -> None:
    """Raise TransitionError, naming both states, when the arrow is not in the table."""
    if after not in SCENE_ARROWS[before]:
        raise TransitionError(f"A scene that is {before} cannot become {after}.")
