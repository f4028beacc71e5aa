"""Times are learnt from what videos took, forget slowly, and are never led astray by one strange video."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.documents import Asset, Options, Scene, Video
from core.times import CLIP, FILM, PICTURE, PLANNING, RENDERING, START, VOICE, Pace, Sample, Times, pace_of, samples_of

CANVAS = "1080x1920"
seconds = st.floats(0.01, 500)


def clip(took: float, units: float = 10.0, canvas: str = CANVAS, engine: str = "motion") -> Sample:
    """A video whose clips took so long."""
    return Sample(CLIP, engine, canvas, took, units)


@given(st.floats(0.05, 20), st.lists(seconds, max_size=5))
def test_the_average_comes_to_what_is_always_measured_whatever_was_before(rate: float, before: list[float]) -> None:
    times = Times()
    for strange in before:
        times = times.learned([clip(strange)])
    for _ in range(120):
        times = times.learned([clip(rate * 10)])

    assert math.isclose(times.rate(CLIP, CANVAS), rate, rel_tol=0.05)


@given(st.lists(seconds, min_size=1, max_size=30))
def test_an_average_stays_between_what_was_measured_and_what_was_shipped(measured: list[float]) -> None:
    shipped = Times().rate(CLIP, CANVAS)
    times = Times()
    for each in measured:
        times = times.learned([clip(each)])

    rates = [shipped, *(each / 10 for each in measured)]
    assert min(rates) * 0.999 <= times.rate(CLIP, CANVAS) <= max(rates) * 1.001


def test_one_strange_video_does_not_undo_what_many_have_told() -> None:
    times = Times()
    for _ in range(20):
        times = times.learned([clip(6.0)])

    after = times.learned([clip(60_000.0)])

    assert after.rate(CLIP, CANVAS) < 2 * times.rate(CLIP, CANVAS)


def test_the_scenes_of_one_video_count_as_one_sample() -> None:
    one = Times().learned([clip(12.0, 20.0)])
    many = Times().learned([clip(6.0), clip(6.0)])

    assert one == many


def test_a_canvas_or_an_engine_nobody_measured_follows_the_speed_of_this_deployment() -> None:
    shipped = Times()
    times = shipped
    for _ in range(120):
        times = times.learned([clip(20 * shipped.rate(CLIP, CANVAS))])  # twice as slow as shipped

    assert times.rate(CLIP, "640x360") == pytest.approx(2 * shipped.rate(CLIP, "640x360"), rel=0.02)
    assert times.rate(CLIP, CANVAS, "another") == shipped.rate(CLIP, CANVAS)
    assert shipped.rate(CLIP, "640x360") < shipped.rate(CLIP, CANVAS)


@given(st.lists(st.tuples(st.sampled_from([CLIP, VOICE, START, FILM]), seconds), max_size=6))
def test_what_is_kept_is_read_again(measured: list[tuple[str, float]]) -> None:
    times = Times().learned(Sample(kind, "an-engine", CANVAS, took, 3.0) for kind, took in measured)

    again = Times.from_json(times.to_json())

    assert again.averages.keys() == times.averages.keys()
    for name, average in times.averages.items():
        assert math.isclose(again.averages[name].value, average.value, rel_tol=0.001)
        assert again.averages[name].count == average.count


BROKEN = """
{ | [] | 7 | {"clip": 1} | {"clip": [0, 1]} | {"clip": [-1, 1]} | {"clip": ["1", 1]} | {"clip": [1e999, 1]}
| {"clip": [NaN, 1]} | {"clip": [1, -1]} | {"clip": [1, 2, 3]} | {"clip": null} | {"clip": [true, {}]}
"""


@pytest.mark.parametrize("text", [None, "", *(part.strip() for part in BROKEN.split("|"))])
def test_what_cannot_be_read_leaves_the_shipped_times(text: str | None) -> None:
    assert Times.from_json(text) == Times()


def pace(times: Times | None = None) -> Pace:
    """The pace of a video in full size."""
    return Pace(times or Times(), CANVAS, 1.0)


def scenes(*lengths: float) -> list[Scene]:
    """Scenes of so many seconds."""
    return [Scene(str(n), scene_number=n, duration_seconds=s, engine="cards") for n, s in enumerate(lengths, 1)]


@given(st.lists(st.floats(1, 60), min_size=1, max_size=20), st.integers(1, 8), st.floats(0, 1), st.floats(0, 1))
def test_more_of_a_scene_made_is_never_more_left(lengths: list[float], calls: int, one: float, other: float) -> None:
    low, high = sorted((one, other))
    left = [pace().alone(scenes(*lengths), {"1": share}, calls) for share in (low, high)]

    assert left[0] >= left[1] >= 0
    assert pace().alone(scenes(*lengths), {}, calls + 1) <= pace().alone(scenes(*lengths), {}, calls)


def test_the_clip_begins_where_voice_and_picture_usually_end() -> None:
    slow_pictures = Times()
    for _ in range(120):
        slow_pictures = slow_pictures.learned([Sample(PICTURE, "cards", CANVAS, 18.0, 1.0), clip(6.0)])
    (scene,) = scenes(10.0)

    assert pace().clip_from(scene) < 0.2
    assert pace(slow_pictures).clip_from(scene) == pytest.approx(0.75, abs=0.02)


def test_a_picture_of_high_quality_is_expected_and_learnt_apart() -> None:
    fast, high = (Video("v", options=Options(quality=quality).to_json()) for quality in ("fast", "high"))
    scene = Scene("1", scene_number=1, duration_seconds=5.0, engine="sdxl")
    drawn = Asset("p", "v", PICTURE, "key", "bucket", "file", "sum", 1, {"engine": "sdxl", "seconds": 2.0})
    times = Times()

    assert pace_of(times, high).asset(PICTURE, scene) > 4 * pace_of(times, fast).asset(PICTURE, scene)
    for _ in range(40):
        times = times.learned(samples_of(high, [drawn]))
    assert pace_of(times, high).asset(PICTURE, scene) == pytest.approx(2.0, rel=0.02)
    assert pace_of(times, fast).asset(PICTURE, scene) == pace_of(Times(), fast).asset(PICTURE, scene)
    assert [
        s.name for q in (fast, high) for s in samples_of(q, [replace(drawn, facts={"engine": "cards", "seconds": 1})])
    ] == [f"{PICTURE}/cards/1080x1920"] * 2, "who takes no steps has no qualities"


def test_a_video_tells_of_every_stage_and_of_its_own_canvas() -> None:
    def asset(kind: str, **facts: object) -> Asset:
        return Asset(f"{kind}-1", "v", kind, "key", "bucket", "file", "sum", 1, facts)

    past = {"past": {"waited": 2.5, "took": 30.0, "alone": 20.0}}
    video = Video("v", options=Options(aspect="16:9", resolution=360).to_json(), handle=json.dumps(past))
    found = samples_of(
        video,
        [
            asset("storyboard", engine="text", seconds=0.2),
            asset("voice", engine="espeak", seconds=1.0, frames=300),
            asset("picture", engine="cards", seconds=0.5),
            asset("clip", engine="motion", seconds=4.0, frames=290),
            asset("film", engine="ffmpeg", seconds=2.0, frames=290),
            asset("srt"),
            asset("clip", frames=290),  # made before times were measured
        ],
    )

    assert [(s.name, s.seconds) for s in found] == [
        (START, 2.5),
        (RENDERING, 30.0),
        (f"{PLANNING}/text", 0.2),
        (f"{VOICE}/espeak", 1.0),
        (f"{PICTURE}/cards/640x360", 0.5),
        (f"{CLIP}/motion/640x360", 4.0),
        (f"{FILM}/ffmpeg/640x360", 2.0),
    ]
    assert pace_of(Times(), video).canvas == "640x360"
