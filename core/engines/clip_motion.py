"""Sets pictures in motion: layers at different speeds, sub-pixel, piped to the encoder with captions burnt in."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import pi, sin
from pathlib import Path
from typing import Any

import cv2
import ffmpeg
import numpy as np
from PIL import Image, UnidentifiedImageError

from core.documents import FPS, Canvas
from core.engine_ports import Report, Shot
from core.engines.fonts import FONTS, family_for
from core.errors import EngineError
from core.media.args import clip_output_args, raw_input_args
from core.media.footage import frames_of
from core.media.heap import give_back
from core.media.layers import DRIFT, Layer, Pixels, Role
from core.media.run import run
from core.media.stage import REST, Pose, Stage, empty_frame

_SETTLE = 24  # frames until texts stand still
_PICTURE_DENSITY = 1.25  # a finished picture is kept larger than the canvas: it is magnified while the camera nears
_CAPTION_FONTS = ("Inter-ExtraBold.ttf", "Inter-SemiBold.ttf")


class MotionClips:
    """The clip engine: parallax for pictures in layers, a slow camera for other pictures; footage moves by itself."""

    id = "motion"
    version = "1"

    def __init__(self, layers_of: Callable[[Shot], list[Layer] | None]) -> None:
        """layers_of: the layers of a shot's picture, or None when it is just a picture."""
        self._layers_of = layers_of

    def film(self, shot: Shot, span: range, captions: str | None, out: Path, report: Report) -> Mapping[str, Any]:
        """Encode the frames `span` of the shot, without sound; facts: frames.

        captions: ASS text, its times relative to span.start. Raises EngineError, MissingToolError.
        """
        act = self._painter(shot)

        def feed() -> Iterator[memoryview]:
            frame = empty_frame(shot.brief.canvas)
            for done, n in enumerate(span, 1):
                act.paint(n, frame)
                yield frame.data
                if done % 10 == 0:
                    report(done / len(span))

        self._encode(shot.brief.canvas, feed(), captions, out)
        report(1.0)
        return {"frames": len(span)}

    def fade(self, before: Shot, after: Shot, frames: int, out: Path) -> Mapping[str, Any]:
        """Encode `frames` frames in which the last ones of `before` turn into the first ones of `after`."""
        old, new = self._painter(before), self._painter(after)
        canvas = before.brief.canvas

        def feed() -> Iterator[memoryview]:
            one, other = empty_frame(canvas), empty_frame(canvas)
            for k in range(frames):
                old.paint(before.frames - frames + k, one)
                new.paint(k, other)
                share = _eased((k + 1) / (frames + 1))
                cv2.addWeighted(one, 1 - share, other, share, 0, dst=one)
                yield one.data

        self._encode(canvas, feed(), None, out)
        return {"frames": frames}

    def _painter(self, shot: Shot) -> _Act | _Footage:
        """The shot ready to be painted frame by frame."""
        return _Footage(shot.footage, shot.brief.canvas) if shot.footage else self._act(shot)

    def _act(self, shot: Shot) -> _Act:
        """A picture on its stage."""
        give_back()  # what drawing the picture left behind; the encoder needs the room
        layers = self._layers_of(shot)
        if layers is None:
            layers = [_picture_layer(shot.picture, shot.brief.canvas)]
        return _Act(shot, layers)

    def _encode(self, canvas: Canvas, feed: Iterator[memoryview], captions: str | None, out: Path) -> None:
        """Pipe the frames to the encoder."""
        stream = ffmpeg.input("pipe:0", **raw_input_args(canvas))
        with tempfile.TemporaryDirectory(prefix="captions-") as folder:
            if captions is not None:
                script = Path(folder) / "captions.ass"
                script.write_text(captions, encoding="utf-8")
                stream = stream.filter("ass", filename=str(script), fontsdir=str(_font_folder(Path(folder), captions)))
            command = stream.output(str(out), **clip_output_args(canvas)).compile(cmd="ffmpeg")
            run(command[1:], feed=feed)


def _font_folder(folder: Path, captions: str) -> Path:
    """A folder with just the fonts that the captions need: everything in it is read when the encoder starts."""
    fonts = folder / "fonts"
    fonts.mkdir()
    paths = [FONTS / name for name in _CAPTION_FONTS]
    _, path, _ = family_for(
        "".join(line.split(",", 9)[-1] for line in captions.splitlines() if line.startswith("Dialogue"))
    )
    if path is not None and path.parent != FONTS:
        paths.append(path)
    for path in paths:
        try:
            (fonts / path.name).symlink_to(path)
        except OSError:  # a system that lets only administrators make links
            shutil.copyfile(path, fonts / path.name)
    return fonts


def _picture_layer(path: Path, canvas: Canvas) -> Layer:
    """A picture file cropped to the canvas's aspect, a little larger than the canvas. Raises EngineError."""
    try:
        with Image.open(path) as image:
            pixels = np.asarray(image.convert("RGB"))
    except (OSError, UnidentifiedImageError) as error:
        raise EngineError(f"The picture {path.name} cannot be read: {error}.") from error
    height, width = pixels.shape[:2]
    scale = max(canvas.width / width, canvas.height / height)
    w, h = min(width, round(canvas.width / scale)), min(height, round(canvas.height / scale))
    x, y = (width - w) // 2, (height - h) // 2
    size = (round(canvas.width * _PICTURE_DENSITY), round(canvas.height * _PICTURE_DENSITY))
    cut = np.ascontiguousarray(pixels[y : y + h, x : x + w])
    large = cv2.resize(cut, size, interpolation=cv2.INTER_AREA if w > size[0] else cv2.INTER_CUBIC)
    return Layer(Role.PICTURE, large, _PICTURE_DENSITY, canvas.width / 2, canvas.height / 2, 0.0)


@dataclass(frozen=True, slots=True)
class _Nature:
    """What is peculiar to the motion of one layer, drawn from the scene's seed."""

    phase: float  # 0 to 1, of its floating
    period: float  # seconds of it
    heading: tuple[float, float]  # -1 to 1, where it drifts in the course of the scene
    delay: int  # frames until it appears (accents), or begins to settle (texts)


class _Footage:
    """A shot that moves by itself; frames are painted in order."""

    def __init__(self, path: Path, canvas: Canvas) -> None:
        self._path, self._canvas = path, canvas
        self._frames: Iterator[bytes] | None = None

    def paint(self, n: int, out: Pixels) -> None:
        """Paint frame `n` of the shot; the first call says where to begin. Raises EngineError."""
        if self._frames is None:
            self._frames = frames_of(self._path, self._canvas, n)
        frame = next(self._frames, None)
        if frame is None:
            raise EngineError(f"{self._path.name} ends before frame {n}.", code="bad_footage")
        out[:] = np.frombuffer(frame, np.uint8).reshape(out.shape)


class _Act:
    """One shot on its stage: which pose each layer has in which frame."""

    def __init__(self, shot: Shot, layers: Sequence[Layer]) -> None:
        self._frames = max(2, shot.frames)
        self._short = float(shot.brief.canvas.short_side)
        self._middle = shot.brief.canvas.width / 2
        self._layers = layers
        self._stage = Stage(shot.brief.canvas, layers)
        brief = shot.brief
        digest = hashlib.sha256(f"motion:{brief.seed}:{brief.number}".encode()).digest()
        rng = np.random.default_rng(int.from_bytes(digest[:4], "big"))
        self._nears = bool(rng.integers(2))
        self._level = bool(rng.integers(2))
        angle = rng.uniform(0, 2 * pi)
        self._heading = (float(np.cos(angle)), float(np.sin(angle)))
        self._natures = self._draw_natures(rng)

    def _draw_natures(self, rng: np.random.Generator) -> list[_Nature]:
        """Peculiarities for every layer; layers of one role come one after the other."""
        seen: dict[Role, int] = {}
        natures = []
        for layer in self._layers:
            place = seen[layer.role] = seen.get(layer.role, -1) + 1
            delay = {Role.ACCENT: 7 + 6 * place, Role.TEXT: 3 * place}.get(layer.role, 0)
            phase, period = float(rng.uniform()), float(rng.uniform(4.2, 5.6))
            natures.append(_Nature(phase, period, self._heading, delay))
        return natures

    def paint(self, n: int, out: Pixels) -> None:
        """Paint frame `n` of the shot."""
        poses = [self._pose(layer, nature, n) for layer, nature in zip(self._layers, self._natures, strict=True)]
        self._stage.frame(poses, out)

    def _pose(self, layer: Layer, nature: _Nature, n: int) -> Pose:
        """The pose of a layer in frame `n`."""
        course = n / (self._frames - 1)
        way = course - 0.5
        match layer.role:
            case Role.GROUND:
                zoom = 1.0 + 0.12 * (course if self._nears else 1 - course)
                return Pose(0.0, 0.0, zoom, 7.0 * way * (1 if nature.phase < 0.5 else -1))
            case Role.PICTURE:
                return self._camera(course)
            case Role.LINES:
                return self._sliding(-0.052 * self._short * way)
            case Role.PANEL:
                return self._sliding(2 * DRIFT * self._short * layer.depth * way)
            case Role.HERO | Role.ACCENT:
                return self._floating(layer, nature, n, course)
            case _:
                return self._settling(layer, nature, n)

    def _sliding(self, distance: float) -> Pose:
        """Along the axis of the scene, a whole number of px across it: half the work of sliding askew."""
        return Pose(dx=distance) if self._level else Pose(dy=distance)

    def _camera(self, course: float) -> Pose:
        """A slow camera over a finished picture that never shows its edge."""
        near = 0.12 * (course if self._nears else 1 - course)
        room = near / 2 * self._short  # what magnifying has brought in at each side
        return Pose(self._heading[0] * room * 0.8, self._heading[1] * room * 0.8, 1.0 + near)

    def _floating(self, layer: Layer, nature: _Nature, n: int, course: float) -> Pose:
        """Appear with a little swing, then float like a leaf on water."""
        hero = layer.role is Role.HERO
        begin = 0.80 if hero else 0.0
        appeared = begin + (1 - begin) * _sprung((n - nature.delay) / (20 if hero else 16))
        turn = 2 * pi * (n / FPS / nature.period + nature.phase)
        reach = 0.65 * DRIFT * self._short * layer.depth
        drift = 0.70 * DRIFT * self._short * layer.depth * (course - 0.5)
        return Pose(
            nature.heading[0] * drift + 0.4 * reach * sin(turn * 0.7),
            nature.heading[1] * drift + reach * sin(turn),
            appeared * (0.955 + 0.035 * course),
            (1.1 if hero else 3.2) * sin(turn * 0.8 + 1.0),
        )

    def _settling(self, layer: Layer, nature: _Nature, n: int) -> Pose:
        """Glide in from the nearer side, then stand perfectly still: words are to be read."""
        t = (n - nature.delay) / _SETTLE
        if t >= 1:
            return REST
        side = 1 if layer.x > self._middle + 1 else -1
        return Pose(dx=side * 0.05 * self._short * (1 - max(0.0, t)) ** 3)


def _eased(t: float) -> float:
    """0 to 1, slow at both ends."""
    return t * t * (3 - 2 * t)


def _sprung(t: float) -> float:
    """0 to 1 with a small overshoot, then still."""
    if t <= 0:
        return 0.0
    if t >= 1:
        return 1.0
    u = t - 1
    return 1 + 2.2 * u**3 + 1.2 * u**2
