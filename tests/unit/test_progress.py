"""The bar is honest: it never falls, never ends early, and says how long."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.combine import film_frames, starts_of
from core.dispatch import render_jobs, spread
from core.documents import CROSSFADE_FRAMES, Scene
from core.progress import PLANNED, RENDERED, combining_progress, current_scene, rendering_progress, restart_progress
from core.scene_inputs import span_of
from core.status import SceneStatus


@given(st.integers(1, 60), st.floats(0, 60), st.floats(0, 60))
def test_more_work_done_never_shows_less_progress(count: int, one: float, other: float) -> None:
    low, high = sorted((one, other))

    assert PLANNED <= rendering_progress(count, low) <= rendering_progress(count, high) <= RENDERED


@given(st.floats(-1, 2))
def test_joining_stays_below_a_hundred_until_the_last_write(share: float) -> None:
    assert RENDERED <= combining_progress(share) <= 99


@given(st.integers(1, 60), st.integers(0, 60))
def test_the_bar_begins_again_at_the_share_that_is_made(count: int, rendered: int) -> None:
    begun = restart_progress(count, min(rendered, count))

    assert begun == rendering_progress(count, min(rendered, count))
    assert restart_progress(0, 0) == 0


def test_the_current_scene_is_the_lowest_unfinished_one() -> None:
    done, busy = SceneStatus.RENDERED, SceneStatus.RENDERING
    scenes = [Scene(str(n), scene_number=n, status=s) for n, s in ((1, done), (2, busy), (3, done), (4, busy))]

    assert current_scene(scenes, 4) == 2
    assert current_scene(scenes[:1], 1) == 1


@given(st.integers(1, 60), st.integers(1, 9))
def test_every_scene_is_handed_out_once_and_early_scenes_come_first(count: int, calls: int) -> None:
    chunks = spread(range(1, count + 1), calls)

    assert sorted(n for chunk in chunks for n in chunk) == list(range(1, count + 1))
    assert [chunk[0] for chunk in chunks] == list(range(1, min(calls, count) + 1))


@given(st.lists(st.integers(60, 900), min_size=1, max_size=12))
def test_clips_and_fades_add_up_to_the_film_frame_by_frame(frames: list[int]) -> None:
    count = len(frames)
    clips = [len(span_of(n, count, f)) for n, f in enumerate(frames, start=1)]

    assert sum(clips) + CROSSFADE_FRAMES * (count - 1) == film_frames(frames)
    for index, start in enumerate(starts_of(frames)):
        shown_before = sum(clips[:index]) + CROSSFADE_FRAMES * max(index - 1, 0)
        assert start == shown_before


@pytest.mark.parametrize(
    ("count", "calls", "most", "sizes"), [(6, 1, 0, [6]), (60, 1, 30, [30, 30]), (7, 2, 3, [3, 2, 2])]
)
def test_no_call_gets_more_scenes_than_it_may(count: int, calls: int, most: int, sizes: list[int]) -> None:
    parts = SimpleNamespace(dispatcher=SimpleNamespace(parallel_calls=calls, scenes_per_call=most))
    jobs = render_jobs(parts, range(1, count + 1))  # type: ignore[arg-type]
    assert [len(numbers) for _, numbers in jobs] == sizes
    assert sorted(n for _, numbers in jobs for n in numbers) == list(range(1, count + 1))
