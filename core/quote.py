"""What a video would cost, told before it is made, and the receipt of what it did cost."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from core import times
from core.costs import lines_of
from core.deadlines import asked_at
from core.documents import AUTO, FPS, Asset, Options, Scene, Video
from core.errors import InvalidInputError
from core.orders import resolution_of, seconds_of, usd_of
from core.ports import Parts
from core.prices import AS_OF, Machine, dollars
from core.request import VideoRequest
from core.text import split
from core.times import CLIP, PICTURE, VOICE, Pace, Times
from core.wishes import wishes_of

_DEFAULT_SCENES = 5  # of a topic, as long as nobody has planned it
_DEFAULT_SECONDS = 60.0
_SURE, _UNSURE = 1.2, 2.0  # how many times more or less it may be: after many videos, and before the first one


@dataclass(frozen=True, slots=True)
class Quote:
    """What a video is expected to take. Seconds of machines, unless it says otherwise."""

    scenes: int
    narration: float  # seconds of speech
    wait: float  # seconds until the film is there, if no other video is in front
    stages: dict[str, float]  # start, voice, picture, clip, join
    render: Machine
    render_seconds: float
    compose: Machine
    compose_seconds: float
    ordered: float  # dollars for scenes that a service films
    planning: float  # dollars for a language model
    spread: float  # so many times more or less it may be
    videos: int  # from which that is learnt

    @property
    def usd(self) -> float:
        """Dollars, as expected."""
        used = ((self.render, self.render_seconds), (self.compose, self.compose_seconds))
        return sum(seconds * machine.usd_per_second for machine, seconds in used) + self.ordered + self.planning

    def body(self) -> dict[str, Any]:
        """As the function answers it."""
        used = ((self.render, self.render_seconds), (self.compose, self.compose_seconds))
        return {
            "sceneCount": self.scenes,
            "narrationSeconds": round(self.narration, 1),
            "expectedSeconds": round(self.wait, 1),
            "stageSeconds": {stage: round(seconds, 1) for stage, seconds in self.stages.items()},
            "gpuSeconds": round(sum(s * m.gpus for m, s in used), 1),
            "coreSeconds": round(sum(s * m.cores for m, s in used), 1),
            "gibSeconds": round(sum(s * m.gib for m, s in used), 1),
            "usd": round(self.usd, 6),
            "orderedUsd": round(self.ordered, 6),
            "planningUsd": round(self.planning, 6),
            "usdLow": round(self.usd / self.spread, 6),
            "usdHigh": round(self.usd * self.spread, 6),
            "machines": {"render": self.render.name, "compose": self.compose.name},
            "pricesAsOf": AS_OF,
            "learntFromVideos": self.videos,
        }


def quote(parts: Parts, request: VideoRequest) -> Quote:
    """What a request would cost on this deployment's machines, by the times of its own videos."""
    options = request.options
    pace = times.pace_of(times.read(parts), Video(id="", options=options.to_json()))
    scenes = _scenes(request, _engine(parts, options))
    calls = max(1, min(parts.dispatcher.parallel_calls, len(scenes)))
    start, join = pace.times.rate(times.START), pace.joining(scenes)
    making = sum(map(pace.scene, scenes)) * pace.together
    videos = _videos(pace)
    return Quote(
        scenes=len(scenes),
        narration=sum(map(pace.narration, scenes)),
        wait=2 * start + pace.alone(scenes, {}, calls) * pace.together + join,
        stages={
            "start": start * (calls + 1),
            **{kind: sum(pace.asset(kind, scene) for scene in scenes) for kind in (VOICE, PICTURE, CLIP)},
            "join": join,
        },
        render=parts.settings.machine_of("render"),
        render_seconds=start * calls + making,
        compose=parts.settings.machine_of("compose"),
        compose_seconds=start + join,
        ordered=sum(_order_usd(parts, options, scene, pace) for scene in scenes),
        planning=0.0 if request.plan else parts.storyboard.usd,
        spread=_SURE + (_UNSURE - _SURE) / (1 + videos),
        videos=videos,
    )


def check_price(parts: Parts, request: VideoRequest) -> None:
    """Refuse a request that is expected to cost more than it allows itself.

    Raises:
        InvalidInputError: field max_cost_usd, code over_max_cost.
    """
    limit = request.options.max_cost_usd
    if not limit:
        return
    expected = quote(parts, request)
    if expected.usd > limit:
        low, high = dollars(expected.usd / expected.spread), dollars(expected.usd * expected.spread)
        raise InvalidInputError(
            f"It is expected to cost about {dollars(expected.usd)} ({low} to {high}), over your `max_cost_usd` of "
            f"{dollars(limit)}: allow more, shorten the script, or choose a smaller `resolution`.",
            code="over_max_cost",
            field="max_cost_usd",
        )


def _order_usd(parts: Parts, options: Options, scene: Scene, pace: Pace) -> float:
    """Dollars that a service is expected to take for filming a scene; 0: none does."""
    if scene.engine != "luma":
        return 0.0
    seconds, settings = seconds_of(round(pace.narration(scene) * FPS)), parts.settings
    return usd_of(settings.luma_model, resolution_of(options.canvas), seconds, settings.luma_usd_per_second)


def _engine(parts: Parts, options: Options) -> str:
    return parts.settings.picture_names[0] if options.engine == AUTO else options.engine


def _scenes(request: VideoRequest, engine: str) -> list[Scene]:
    """The scenes it will have, as far as can be told before it is planned."""
    given = wishes_of(request.plan)
    if given:
        return [Scene(id="", narration=w.narration, engine=w.maker(engine)) for w in given]
    _, pieces = split(request.script)
    if pieces:
        return [Scene(id="", narration=piece.narration, engine=engine) for piece in pieces]
    seconds = (request.options.target_seconds or _DEFAULT_SECONDS) / _DEFAULT_SCENES
    return [Scene(id="", duration_seconds=seconds, engine=engine) for _ in range(_DEFAULT_SCENES)]


def _videos(pace: Pace) -> int:
    """From how many videos the least known of the stages was learnt, on this canvas."""
    found: Times = pace.times
    return min(
        max((a.count - 1 for name, a in found.averages.items() if _is_of(name, kind, pace.canvas)), default=0)
        for kind in (VOICE, PICTURE, CLIP, times.FILM)
    )


def _is_of(name: str, kind: str, canvas: str) -> bool:
    of_kind, _, more = name.partition("/")
    return of_kind == kind and (kind == VOICE or more.endswith(f"/{canvas}"))


# ---- afterwards


def receipt(parts: Parts, video: Video, scenes: Sequence[Scene]) -> dict[str, Any]:
    """What a video has cost, line by line; the lines sum up to its `cost_usd`.

    What the last run found made already stands in it too, at 0 dollars.
    """
    lines: list[dict[str, Any]] = [
        {"scene": line.scene or None, "stage": line.stage, "machine": line.machine, "seconds": line.seconds}
        | {"usd": line.usd, "reused": False}
        for line in lines_of(video)
    ]
    kept = {asset.id: asset for asset in parts.store.assets(video.id)}
    lines += [
        {"scene": scene.scene_number, "stage": stage, "machine": "", "seconds": 0.0, "usd": 0.0, "reused": True}
        for scene in scenes
        for stage in _reused(video, scene, kept)
    ]
    lines.sort(key=lambda line: (line["scene"] is None, line["scene"] or 0))
    return {
        "videoId": video.id,
        "status": video.status,
        "lines": lines,
        "seconds": round(sum(line["seconds"] for line in lines), 3),
        "costUsd": video.cost_usd,
        "pricesAsOf": AS_OF,
    }


def _reused(video: Video, scene: Scene, kept: dict[str, Asset]) -> list[str]:
    """The stages of a scene that are older than what a person asked for last."""
    asked = asked_at(video).isoformat(timespec="milliseconds")
    recorded: dict[str, str] = json.loads(scene.assets or "{}")
    return [stage for stage, made in recorded.items() if made in kept and kept[made].updated_at < asked]
