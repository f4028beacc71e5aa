"""How long each stage takes in this deployment: averages learnt from its own videos, and what they say of the next."""

from __future__ import annotations

import json
import logging
import math
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

from core.documents import FPS, Asset, Canvas, Scene, Video
from core.errors import ScenewrightError
from core.ports import Parts
from core.text import estimate_seconds

log = logging.getLogger(__name__)

SETTING = "times"  # id of the row in the settings table
START, PLANNING, VOICE, PICTURE, CLIP, FILM, RENDERING = (
    "start", "planning", "voice", "picture", "clip", "film", "rendering",
)  # fmt: skip
# What is thought before anything was measured, on a canvas of 1080 x 1920 where it depends on the canvas: seconds until
# a call begins, per storyboard, per second of narration (voice, clip), per picture, per second of film; and how the
# time of all scenes together compares to that of one after the other on as many renderers as there are calls.
_SHIPPED = {START: 1.0, PLANNING: 0.5, VOICE: 0.06, PICTURE: 0.6, CLIP: 0.6, FILM: 0.15, RENDERING: 1.0}
# seconds per picture on an A10, of any canvas, and per scene of a text-to-video service; not measured yet
_MODELS = {"luma": 45.0, "manim": 15.0, "sdxl": 1.3, "sdxl-high": 7.8}
_DRAWN = frozenset({PICTURE, CLIP, FILM})  # kinds whose time grows with the canvas
_FIXED = 0.2  # share of it that does not
_FULL = 1080 * 1920  # px
_NEWEST = 0.1  # least weight of the newest video: the average follows a machine that was changed
_LEAP = 8.0  # a video that was so many times slower or faster than usual counts as no more than that


@dataclass(frozen=True, slots=True)
class Sample:
    """What one video tells of one stage."""

    kind: str
    engine: str
    canvas: str  # "1080x1920", or empty where it makes no difference
    seconds: float
    units: float  # of whatever the kind is counted in

    @property
    def name(self) -> str:
        """The name of its average."""
        return "/".join(part for part in (self.kind, self.engine, self.canvas) if part)


@dataclass(frozen=True, slots=True)
class Average:
    """An exponential average and how many videos it comes from."""

    value: float  # above 0
    count: int

    def moved_by(self, value: float) -> Average:
        """The average with one more video in it: a plain mean of the first ones, then the newer count more."""
        bounded = min(max(value, self.value / _LEAP), self.value * _LEAP)
        weight = max(1 / (self.count + 1), _NEWEST)
        return Average(self.value + (bounded - self.value) * weight, self.count + 1)


@dataclass(frozen=True, slots=True)
class Times:
    """All averages of a deployment, by name."""

    averages: Mapping[str, Average] = field(default_factory=dict)

    @classmethod
    def from_json(cls, text: str | None) -> Self:
        """Read what `to_json` wrote; what is not an average (it can be edited by hand) is left out."""
        try:
            raw = json.loads(text or "{}")
        except json.JSONDecodeError:
            return cls()
        found = {}
        for name, entry in raw.items() if isinstance(raw, dict) else ():
            match entry:
                case [int() | float() as value, int() as count] if 0 < value < 1e6 and count >= 0:
                    found[name] = Average(float(value), count)
        return cls(found)

    def to_json(self) -> str:
        """Serialise for the settings row."""
        return json.dumps({n: [float(f"{a.value:.4g}"), a.count] for n, a in sorted(self.averages.items())})

    def learned(self, samples: Iterable[Sample]) -> Times:
        """The averages with one more video in them; several samples of one name count as one."""
        sums: dict[str, tuple[float, float, float]] = {}
        for sample in samples:
            seconds, units, _ = sums.get(sample.name, (0.0, 0.0, 0.0))
            first = _shipped(sample.kind, sample.canvas, sample.engine)
            sums[sample.name] = (seconds + sample.seconds, units + sample.units, first)
        averages = dict(self.averages)
        for name, (seconds, units, first) in sums.items():
            if units > 0 and seconds > 0 and math.isfinite(seconds / units):
                averages[name] = averages.get(name, Average(first, 1)).moved_by(seconds / units)
        return Times(averages)

    def rate(self, kind: str, canvas: str = "", engine: str = "") -> float:
        """Seconds per unit of a kind.

        Where this canvas (or, with no engine named, this engine) was not measured yet, the best known other one of the
        kind says how fast this deployment is.
        """
        known = []
        for name, average in self.averages.items():
            of_kind, of_engine, of_canvas = (*name.split("/"), "", "")[:3]
            if of_kind == kind and engine in ("", of_engine):
                known.append((of_canvas == canvas, average.count, average.value / _shipped(kind, of_canvas, of_engine)))
        return _shipped(kind, canvas, engine) * (max(known)[2] if known else 1.0)


def _shipped(kind: str, canvas: str, engine: str = "") -> float:
    if kind == PICTURE and engine in _MODELS:
        return _MODELS[engine]
    width, _, height = canvas.partition("x")
    if kind not in _DRAWN or not (width.isdigit() and height.isdigit()):
        return _SHIPPED.get(kind, 1.0)
    return _SHIPPED[kind] * (_FIXED + (1 - _FIXED) * int(width) * int(height) / _FULL)


def class_of(canvas: Canvas) -> str:
    """The name under which times of a canvas are kept."""
    return f"{canvas.width}x{canvas.height}"


def _maker(engine: str, quality: str) -> str:
    """The name under which times of a picture's maker are kept: a model takes many more steps for a high quality."""
    return f"{engine}-{quality}" if f"{engine}-{quality}" in _MODELS else engine


@dataclass(frozen=True, slots=True)
class Pace:
    """What the averages say of one video."""

    times: Times
    canvas: str
    speed: float  # of speech
    quality: str = "fast"  # of pictures

    def narration(self, scene: Scene) -> float:
        """Seconds a scene lasts: measured, or estimated from its text."""
        return scene.duration_seconds or estimate_seconds([scene.narration], self.speed)

    def asset(self, kind: str, scene: Scene) -> float:
        """Seconds for the voice, the picture (or the footage) or the clip of a scene, made alone."""
        if kind in (PICTURE, "footage"):
            return self.times.rate(PICTURE, self.canvas, _maker(scene.engine, self.quality))
        return self.filming(scene) if kind == CLIP else self.times.rate(VOICE) * self.narration(scene)

    def making(self, scene: Scene) -> float:
        """Seconds for the voice and the picture, which are made side by side."""
        return max(self.asset(VOICE, scene), self.asset(PICTURE, scene))

    def filming(self, scene: Scene) -> float:
        """Seconds for the clip."""
        return self.times.rate(CLIP, self.canvas) * self.narration(scene)

    def scene(self, scene: Scene) -> float:
        """Seconds for one scene."""
        return self.making(scene) + self.filming(scene)

    def clip_from(self, scene: Scene) -> float:
        """Share of a scene's time, above 0 and below 1, after which its clip is filmed."""
        return self.making(scene) / self.scene(scene)

    def joining(self, scenes: Sequence[Scene]) -> float:
        """Seconds to make the film out of the scenes."""
        return self.times.rate(FILM, self.canvas) * sum(map(self.narration, scenes))

    @property
    def together(self) -> float:
        """How the time of all scenes of a video compares to what `alone` says of them."""
        return self.times.rate(RENDERING)

    def alone(self, scenes: Sequence[Scene], shares: Mapping[str, float], calls: int) -> float:
        """Seconds until every one of these scenes is made, if renderers did not hinder each other.

        Args:
            scenes: those that are not made yet.
            shares: how much of a scene is made, by its number.
            calls: how many renderers they are spread over.
        """
        left = [self.scene(s) * (1 - min(shares.get(str(s.scene_number), 0.0), 1.0)) for s in scenes]
        if not left:
            return 0.0
        return max(sum(left) / max(1, min(calls, len(left))), *left)


def pace_of(times: Times, video: Video) -> Pace:
    """The averages, as far as they concern this video."""
    options = video.parsed_options
    return Pace(times, class_of(options.canvas), options.speed, options.quality)


# ---- measuring, keeping


def took(engine_id: str, begun: float) -> dict[str, Any]:
    """The facts of an asset from which is learnt: its maker and the seconds since `begun` (time.monotonic)."""
    return {"engine": engine_id, "seconds": round(time.monotonic() - begun, 3)}


def samples_of(video: Video, assets: Sequence[Asset]) -> list[Sample]:
    """What the assets of a video tell; those whose makers left no time tell nothing."""
    options = video.parsed_options
    canvas = class_of(options.canvas)
    found = _samples_of_past(video)
    for asset in assets:
        facts = asset.facts
        if not {"engine", "seconds"} <= facts.keys():
            continue
        units = float(facts.get("frames", 0)) / FPS
        if asset.kind == "storyboard":
            found.append(Sample(PLANNING, facts["engine"], "", facts["seconds"], 1.0))
        elif asset.kind == VOICE:
            found.append(Sample(VOICE, facts["engine"], "", facts["seconds"], units))
        elif asset.kind in (PICTURE, "footage"):  # a scene has one or the other from its engine
            found.append(Sample(PICTURE, _maker(facts["engine"], options.quality), canvas, facts["seconds"], 1.0))
        elif asset.kind in (CLIP, FILM):
            found.append(Sample(asset.kind, facts["engine"], canvas, facts["seconds"], units))
    return found


def _samples_of_past(video: Video) -> list[Sample]:
    """What the handle remembers of the scenes when the film is joined (`dispatch.hand_out` writes it)."""
    past = json.loads(video.handle or "{}").get("past", {})
    found = [Sample(START, "", "", past["waited"], 1.0)] if past.get("waited") else []
    return [*found, Sample(RENDERING, "", "", past["took"], past["alone"])] if past.get("alone") else found


def read(parts: Parts) -> Times:
    """The averages as they are kept; the shipped ones when they cannot be read, for no work waits for them."""
    try:
        return Times.from_json(parts.store.setting(SETTING))
    except ScenewrightError as error:
        log.warning("times not read: %s", error.sentence, extra={"action": "times_unread"})
        return Times()


def learn(parts: Parts, video: Video) -> None:
    """Learn from a completed video.

    Best effort: two videos that complete at the same moment may lose one update, which the next one makes good.
    """
    try:
        samples = samples_of(video, parts.store.assets(video.id))
        parts.store.put_setting(SETTING, read(parts).learned(samples).to_json())
    except ScenewrightError as error:
        facts = {"action": "times_unwritten", "video": video.id, "attempt": video.attempt}
        log.warning("times not learnt: %s", error.sentence, extra=facts)
