"""Moving pictures made elsewhere: brought to a canvas, a frame rate and a length, and read frame by frame."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ffmpeg
import numpy as np

from core.documents import FPS, Canvas
from core.errors import EngineError
from core.media import probe
from core.media.args import clip_output_args, raw_input_args
from core.media.run import run, stream

SLOWEST = 1.5  # slower than this looks like a fault
LOOP_FADE = 0.5  # seconds in which the end of a footage turns into its beginning
_CRF = 16  # it is encoded once more with captions, so little may be lost here
_SHORTEST = 0.2  # seconds
_LOOKS_PER_SECOND, _LOOK_SIDE = 4, 256  # frames, and pixels of a side, in which something is looked for
_VISIBLE = 24  # of 255: what differs less from the ground is not seen


def fit(path: Path, canvas: Canvas, frames: int, out: Path, *, holds: bool) -> dict[str, Any]:
    """Encode exactly `frames` frames of a footage, covering the canvas, without its sound.

    What is too long is cut. What is too short is slowed down, by SLOWEST at most; for the rest it stands still at its
    end (`holds`: an animation that has said all) or begins again behind a short fade.

    Returns:
        seconds (of the footage as it came), slowed (times), loops.

    Raises:
        EngineError: code bad_footage, it is no video, or shorter than a fifth of a second.
    """
    seconds = _seconds(path)
    wanted = frames / FPS
    slowed = min(max(1.0, wanted / seconds), SLOWEST)
    length = seconds * slowed
    loops = 1
    if not holds and length < wanted - 0.5 / FPS:
        loops = 1 + math.ceil((wanted - length) / (length - _fade_of(length)))
    picture = _looped(path, canvas, slowed, length, loops)
    picture = picture.filter("tpad", stop_mode="clone", stop=-1)  # also where the last frame falls short of a whole one
    args = clip_output_args(canvas) | {"crf": _CRF, "frames:v": frames}
    for limit in ("maxrate", "bufsize"):
        args.pop(limit)
    run(picture.output(str(out), **args).get_args())
    return {"seconds": round(seconds, 3), "slowed": round(slowed, 3), "loops": loops}


def _seconds(path: Path) -> float:
    found = probe.streams(path)
    if found.video is None:
        raise EngineError(f"{path.name} is no video.", code="bad_footage")
    if found.seconds < _SHORTEST:
        raise EngineError(f"{path.name} is too short: {found.seconds:g} s.", code="bad_footage")
    return found.seconds


def _fade_of(length: float) -> float:
    return min(LOOP_FADE, length / 4)


def _looped(path: Path, canvas: Canvas, slowed: float, length: float, loops: int) -> Any:
    """The footage over the whole canvas at the rate of films, `loops` times with a fade in between."""
    takes = [_covering(path, canvas, slowed, number) for number in range(loops)]
    joined, fade = takes[0], _fade_of(length)
    for number, take in enumerate(takes[1:], 1):
        offset = number * (length - fade)
        joined = ffmpeg.filter([joined, take], "xfade", transition="fade", duration=fade, offset=f"{offset:.3f}")
    return joined


def _covering(path: Path, canvas: Canvas, slowed: float, number: int) -> Any:
    size = (canvas.width, canvas.height)
    return (
        ffmpeg.input(str(path), ss=f"0.{'0' * (number + 1)}")  # written differently, or equal inputs would become one
        .video.filter("setpts", f"{slowed:.6f}*(PTS-STARTPTS)")
        .filter("fps", FPS)
        .filter(
            "scale", *size, force_original_aspect_ratio="increase", flags="bicubic", out_color_matrix="bt709",
            out_range="tv",
        )
        .filter("crop", *size)
        .filter("setsar", 1)
        .filter("format", "yuv420p")
        .filter("settb", f"1/{FPS}")
    )  # fmt: skip


def frames_of(path: Path, canvas: Canvas, first: int) -> Iterator[bytes]:
    """The frames of a fitted footage from number `first` on, each planar 4:2:0 of the canvas."""
    source = ffmpeg.input(str(path), ss=f"{max(0.0, (first - 0.5) / FPS):.5f}")
    raw = {name: value for name, value in raw_input_args(canvas).items() if name in ("pix_fmt", "s")}
    return stream(source.video.output("pipe:1", f="rawvideo", **raw).get_args(), canvas.width * canvas.height * 3 // 2)


def blank_share(path: Path, ground: tuple[int, int, int]) -> float:
    """The share of a footage in which nothing is to be seen, 0 to 1: a frame of nothing but its ground, or black."""
    source = ffmpeg.input(str(path)).video.filter("fps", _LOOKS_PER_SECOND).filter("scale", _LOOK_SIDE, _LOOK_SIDE)
    raw = run(source.output("pipe:1", f="rawvideo", pix_fmt="rgb24").get_args()).stdout
    frames = np.frombuffer(raw, np.uint8).reshape(-1, _LOOK_SIDE * _LOOK_SIDE, 3).astype(int)
    apart = [np.abs(frames - np.array(colour)).max(axis=(1, 2)) for colour in (ground, (0, 0, 0))]
    return float(np.mean(np.minimum(*apart) < _VISIBLE)) if len(frames) else 1.0


def still(path: Path, frame: int, out: Path) -> None:
    """Write one frame of a fitted footage as a JPEG. Raises EngineError."""
    source = ffmpeg.input(str(path), ss=f"{max(0.0, (frame - 0.5) / FPS):.5f}")
    picture = source.video.filter("scale", "iw", "ih", in_color_matrix="bt709", out_range="pc")
    picture = picture.filter("format", "yuvj420p")
    run(picture.output(str(out), f="image2", update=1, vcodec="mjpeg", **{"q:v": 2}, vframes=1).get_args())
    if not out.exists():
        raise EngineError(f"{path.name} has no frame {frame}.", code="bad_footage")
