"""A quote is the learnt times, times the prices: reckoned here by hand."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any, cast

import pytest

from core.documents import Options
from core.errors import InvalidInputError
from core.orders import usd_of
from core.ports import Parts
from core.quote import check_price, quote
from core.request import VideoRequest
from core.settings import Settings
from core.text import estimate_seconds

TEXTS = ["The sea is wide and blue today.", "A boat sails out and comes home at night, in the rain."]
LEARNT = {
    "start": [3.0, 5],
    "rendering": [1.5, 5],
    "voice/espeak": [0.1, 5],
    "picture/cards/360x640": [2.0, 5],
    "clip/motion/360x640": [0.5, 5],
    "film/ffmpeg/360x640": [0.2, 5],
}
SPOKEN = [estimate_seconds([text], 1.0) for text in TEXTS]


def parts(calls: int = 2, learnt: dict[str, Any] | None = None, usd: float = 0.0, **settings: Any) -> Parts:
    """What a quote looks at: the learnt times, the number of calls, the machines, dollars for a language model."""
    machines = {"render_machine": "L4:2,4,16", "compose_machine": ",2,4", **settings}
    store = SimpleNamespace(setting=lambda _: json.dumps(LEARNT if learnt is None else learnt))
    dispatcher = SimpleNamespace(parallel_calls=calls)
    planner = SimpleNamespace(usd=usd)
    told = SimpleNamespace(store=store, dispatcher=dispatcher, settings=Settings(**machines), storyboard=planner)
    return cast("Parts", told)


def request(**options: Any) -> VideoRequest:
    """A script of two scenes."""
    return VideoRequest("", "", "\n\n".join(TEXTS), Options(resolution=360, **options))


def test_a_language_model_is_quoted_with_its_price() -> None:
    alone, helped = quote(parts(), request()), quote(parts(usd=0.005), request())

    assert helped.usd == pytest.approx(alone.usd + 0.005)
    assert helped.body()["planningUsd"] == 0.005


def test_seconds_of_stages_and_machines_follow_from_the_learnt_times() -> None:
    found = quote(parts(), request())
    scenes = [2.0 + 0.5 * spoken for spoken in SPOKEN]  # the voice is made beside the picture

    assert found.scenes == 2
    assert found.narration == pytest.approx(sum(SPOKEN))
    assert found.stages == pytest.approx(
        {
            "start": 3 * 3.0,
            "voice": 0.1 * sum(SPOKEN),
            "picture": 4.0,
            "clip": 0.5 * sum(SPOKEN),
            "join": 0.2 * sum(SPOKEN),
        }
    )
    assert found.render_seconds == pytest.approx(2 * 3.0 + 1.5 * sum(scenes))
    assert found.compose_seconds == pytest.approx(3.0 + 0.2 * sum(SPOKEN))
    assert found.wait == pytest.approx(2 * 3.0 + 1.5 * max(scenes) + 0.2 * sum(SPOKEN))


def test_dollars_are_the_seconds_times_the_prices_of_the_machines() -> None:
    found = quote(parts(), request())
    render = 2 * 0.000222 + 4 * 0.0000131 + 16 * 0.00000222
    compose = 2 * 0.0000131 + 4 * 0.00000222
    body = found.body()

    assert found.usd == pytest.approx(found.render_seconds * render + found.compose_seconds * compose)
    assert body["gpuSeconds"] == pytest.approx(2 * found.render_seconds, abs=0.06)
    assert body["coreSeconds"] == pytest.approx(4 * found.render_seconds + 2 * found.compose_seconds, abs=0.06)


def test_the_range_narrows_with_every_video_that_was_learnt_from() -> None:
    counts = [1, 2, 5, 50]  # of averages: one more than videos
    spreads = [quote(parts(learnt={n: [v, c] for n, (v, _) in LEARNT.items()}), request()).spread for c in counts]

    assert spreads == sorted(spreads, reverse=True)
    assert spreads[0] == 2.0
    assert spreads[-1] < 1.25


def test_one_call_starts_once_and_two_start_twice() -> None:
    assert quote(parts(2), request()).render_seconds - quote(parts(1), request()).render_seconds == pytest.approx(3.0)
    assert quote(parts(9), request()).render_seconds == quote(parts(2), request()).render_seconds  # two scenes


def test_a_request_is_refused_only_when_it_is_expected_to_cost_more_than_it_may() -> None:
    expected = quote(parts(), request()).usd

    check_price(parts(), request(max_cost_usd=expected * 1.01))
    check_price(parts(), request())
    check_price(parts(render_machine="", compose_machine=""), request(max_cost_usd=0.000001))
    with pytest.raises(InvalidInputError) as raised:
        check_price(parts(), request(max_cost_usd=expected * 0.99))
    assert (raised.value.code, raised.value.field) == ("over_max_cost", "max_cost_usd")


def test_what_a_service_films_is_quoted_with_its_price() -> None:
    """5 s of 540p at 24 frames a second are 62 208 000 pixels, at $0.0064 a million."""
    free: dict[str, Any] = {"render_machine": "", "compose_machine": "", "pictures": "cards,luma", "luma_api_key": "k"}
    found = quote(parts(**free), request(engine="luma"))

    assert usd_of("ray-2", "540p", 5) == pytest.approx(0.398131)
    assert found.usd == pytest.approx(2 * 0.398131)
    assert found.body()["orderedUsd"] == pytest.approx(0.796262)
    assert quote(parts(**free, luma_usd_per_second=0.2), request(engine="luma")).usd == pytest.approx(2 * 5 * 0.2)
    assert quote(parts(**free), request(engine="cards")).usd == 0
    with pytest.raises(InvalidInputError, match="max_cost_usd"):
        check_price(parts(**free), request(engine="luma", max_cost_usd=0.5))
