"""A picture in layers: what stands where and how near, so that it can be merged for people or set in motion."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from core.documents import Canvas

Pixels = NDArray[Any]

DRIFT = 0.018  # of the short side: how far at most motion carries a layer from its place once it has appeared


class Role(StrEnum):
    """What a layer is to the picture; motion differs by it."""

    GROUND = "ground"  # smooth colours without any edge, float32 RGB 0..255, larger than the canvas
    PICTURE = "picture"  # a finished picture, uint8 RGB, covers the canvas
    LINES = "lines"  # thin lines of light over the ground: uint8, one plane, added to the brightness
    PANEL = "panel"  # the roles below: uint8 RGBA, premultiplied
    HERO = "hero"
    ACCENT = "accent"
    TEXT = "text"


@dataclass(frozen=True, slots=True)
class Layer:
    """One sheet of the picture; a list of layers is in painting order, the farthest first.

    pixels: see Role. density: source px per canvas px. x, y: the centre, canvas px, at rest.
    depth: 0 far to 1 near; near layers move more.
    """

    role: Role
    pixels: Pixels
    density: float
    x: float
    y: float
    depth: float


def merge(layers: Sequence[Layer], canvas: Canvas) -> Pixels:
    """The picture at rest, uint8 RGB (height, width, 3): ground, grain against banding, then every layer in order."""
    out: Pixels = np.zeros((canvas.height, canvas.width, 3), np.uint8)
    for layer in layers:
        if layer.role is Role.GROUND:
            out = _ground(layer, canvas)
        elif layer.role is Role.PICTURE:
            out = _shown(layer, (canvas.width, canvas.height), canvas)
        elif layer.role is Role.LINES:
            size = (canvas.width, canvas.height)
            centre = ((layer.pixels.shape[1] - 1) / 2, (layer.pixels.shape[0] - 1) / 2)
            lines = cv2.getRectSubPix(layer.pixels, size, centre)
            cv2.add(out, cv2.merge([lines] * 3), dst=out)
        else:
            _lay(layer, out)
    return out


def grain(shape: tuple[int, int]) -> Pixels:
    """The same fine noise every time, float32, -0.7 to 1.7: it centres on the half that rounding down takes away."""
    noise = np.random.default_rng(1).random(shape, dtype=np.float32)
    noise *= 2.4
    noise -= 0.7
    return noise


def _ground(layer: Layer, canvas: Canvas) -> Pixels:
    """The smooth ground at canvas size, dithered to whole levels."""
    grid = (max(1, round(canvas.width * layer.density)), max(1, round(canvas.height * layer.density)))
    small = _shown(layer, grid, canvas) - 0.5  # adding rounds to the nearest level, the noise expects rounding down
    noise = grain((canvas.height, canvas.width))
    planes = []
    for plane in cv2.split(small):
        large = cv2.resize(plane, (canvas.width, canvas.height), interpolation=cv2.INTER_CUBIC)
        planes.append(cv2.add(large, noise, dtype=cv2.CV_8U))
    return cv2.merge(planes)


def _shown(layer: Layer, size: tuple[int, int], canvas: Canvas) -> Pixels:
    """The part of a canvas-covering layer that the canvas shows, at `size` (width, height)."""
    step = (layer.density * canvas.width / size[0], layer.density * canvas.height / size[1])
    left = layer.pixels.shape[1] / 2 - layer.x * layer.density
    top = layer.pixels.shape[0] / 2 - layer.y * layer.density
    matrix = np.array([[step[0], 0, left + step[0] / 2 - 0.5], [0, step[1], top + step[1] / 2 - 0.5]])
    how = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(layer.pixels, matrix, size, flags=how, borderMode=cv2.BORDER_REPLICATE)


def _lay(layer: Layer, out: Pixels) -> None:
    """Blend one premultiplied layer into the picture."""
    pixels = layer.pixels
    if layer.density != 1.0:
        size = (round(pixels.shape[1] / layer.density), round(pixels.shape[0] / layer.density))
        pixels = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    height, width = pixels.shape[:2]
    left, top = round(layer.x - width / 2), round(layer.y - height / 2)
    x0, y0 = max(0, left), max(0, top)
    x1, y1 = min(out.shape[1], left + width), min(out.shape[0], top + height)
    if x0 >= x1 or y0 >= y1:
        return
    part = pixels[y0 - top : y1 - top, x0 - left : x1 - left]
    below = out[y0:y1, x0:x1]
    clear = cv2.merge([cv2.bitwise_not(np.ascontiguousarray(part[..., 3]))] * 3)
    dimmed = cv2.multiply(below, clear, scale=1 / 255)
    below[:] = cv2.add(dimmed, np.ascontiguousarray(part[..., :3]))
