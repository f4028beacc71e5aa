"""Renders frames from layers in motion: planes of BT.709 limited range, warped sub-pixel, blended where they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import cos, floor, radians, sin

import cv2
import numpy as np

from core.documents import Canvas
from core.media.layers import Layer, Pixels, Role, grain

cv2.setNumThreads(1)  # clips are made in parallel, one process per core

_SLIDING = frozenset({Role.PANEL, Role.TEXT})  # these never turn or grow, and shifting is cheap
_FINE = 128  # steps per grey level of the ground before it is dithered to whole levels
_R, _G, _B = 0.2126, 0.7152, 0.0722  # BT.709 luma
_Y, _C = 219 / 255, 224 / 255  # limited range
_TO_YUV = np.array(
    [
        [_Y * _R, _Y * _G, _Y * _B, 16],
        [-_C * _R / 1.8556, -_C * _G / 1.8556, _C * (1 - _B) / 1.8556, 128],
        [_C * (1 - _R) / 1.5748, -_C * _G / 1.5748, -_C * _B / 1.5748, 128],
    ]
)
# the same for premultiplied RGBA: the offsets count as far as a pixel is opaque
_TO_YUVA = np.vstack([np.hstack([_TO_YUV[:, :3], _TO_YUV[:, 3:] / 255]), [0, 0, 0, 1]])


@dataclass(frozen=True, slots=True)
class Pose:
    """Where a layer stands in one frame, against its rest: canvas px, times, degrees clockwise.

    Lines, panels and texts only shift: their scale and angle stay 1 and 0.
    """

    dx: float = 0.0
    dy: float = 0.0
    scale: float = 1.0
    angle: float = 0.0


REST = Pose()


@dataclass(frozen=True, slots=True)
class _Plane:
    """A piece of one plane, ready to be blended at (x, y) of it."""

    x: int
    y: int
    above: Pixels  # premultiplied
    clear: Pixels  # 255 - alpha


class Stage:
    """The layers of one picture as planes; `frame` paints them in given poses."""

    def __init__(self, canvas: Canvas, layers: Sequence[Layer]) -> None:
        self._canvas = canvas
        self._layers = list(layers)
        self._planes = [_planes(layer) for layer in layers]
        self._laid: dict[int, tuple[Pose, tuple[_Plane, ...]]] = {}  # sprites as they were last placed
        height, width = canvas.height, canvas.width
        if any(layer.role is Role.GROUND for layer in layers):
            noise = (grain((height, width)) + 0.7) * _FINE
            self._grain = noise.astype(np.uint16)
            fine = np.random.default_rng(2).integers(0, _FINE, (height // 2, width // 2))
            self._dither = fine.astype(np.uint16)

    def frame(self, poses: Sequence[Pose], out: Pixels) -> None:
        """Paint one frame into `out`: uint8 (height * 3 / 2, width), planar 4:2:0; a pose per layer."""
        y, u, v = views(out, self._canvas)
        for number, (layer, pose) in enumerate(zip(self._layers, poses, strict=True)):
            if layer.role is Role.GROUND:
                self._ground(number, pose, (y, u, v))
            elif layer.role is Role.PICTURE:
                self._picture(number, pose, (y, u, v))
            elif layer.role is Role.LINES:
                self._lines(number, pose, y)
            else:
                self._sprite(number, pose, (y, u, v))

    def _ground(self, number: int, pose: Pose, into: tuple[Pixels, Pixels, Pixels]) -> None:
        """Warp the small ground, enlarge it smoothly, dither it to whole levels."""
        layer, (small,) = self._layers[number], self._planes[number]
        step_x = max(1, round(self._canvas.width * layer.density))
        step_y = max(1, round(self._canvas.height * layer.density))
        zoom = (self._canvas.width / step_x, self._canvas.height / step_y)
        matrix = _inverse(layer, pose, small, zoom)
        warped = cv2.warpAffine(
            small,
            matrix,
            (step_x, step_y),
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REPLICATE,
        )
        for plane, source, noise in zip(
            into, cv2.split(warped), (self._grain, self._dither, self._dither), strict=True
        ):
            offset = 0.7 * _FINE if noise is self._grain else 0.0
            whole = (source * _FINE - offset).astype(np.uint16)
            large = cv2.resize(whole, (plane.shape[1], plane.shape[0]), interpolation=cv2.INTER_LINEAR)
            cv2.add(large, noise, dst=large)
            np.right_shift(large, 7, out=plane, casting="unsafe")

    def _picture(self, number: int, pose: Pose, into: tuple[Pixels, Pixels, Pixels]) -> None:
        """Warp all three planes of a finished picture over the whole canvas."""
        layer = self._layers[number]
        for plane, source in zip(into, self._planes[number], strict=True):
            half = plane.shape[1] / self._canvas.width
            near = Layer(layer.role, source, layer.density, layer.x * half, layer.y * half, layer.depth)
            moved = Pose(pose.dx * half, pose.dy * half, pose.scale, pose.angle)
            cv2.warpAffine(
                source,
                _inverse(near, moved, source, (1.0, 1.0)),
                (plane.shape[1], plane.shape[0]),
                dst=plane,
                flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
                borderMode=cv2.BORDER_REPLICATE,
            )

    def _lines(self, number: int, pose: Pose, y: Pixels) -> None:
        """Add the lines, shifted by any fraction of a pixel."""
        layer, (plane,) = self._layers[number], self._planes[number]
        height, width = y.shape
        left = (plane.shape[1] - 1) / 2 + 0.5 - layer.x - pose.dx
        top = (plane.shape[0] - 1) / 2 + 0.5 - layer.y - pose.dy
        left = min(max(left, 0.0), plane.shape[1] - width - 1.001)
        top = min(max(top, 0.0), plane.shape[0] - height - 1.001)
        x0, y0 = int(left), int(top)
        fx, fy = left - x0, top - y0
        part = plane[y0 : y0 + height + 1, x0 : x0 + width + 1]
        cv2.add(y, _between(part, 1 - fx, 1 - fy), dst=y)

    def _sprite(self, number: int, pose: Pose, into: tuple[Pixels, Pixels, Pixels]) -> None:
        """Blend a sprite where it is; one that stands still is placed once."""
        last = self._laid.get(number)
        if last is None or last[0] != pose:
            layer, planes = self._layers[number], self._planes[number]
            place = _slid if layer.role in _SLIDING else _warped
            last = self._laid[number] = (pose, place(self._canvas, layer, planes, pose))
        for plane, piece in zip(into, last[1], strict=False):  # none when nothing of it is to be seen
            height, width = piece.above.shape
            below = plane[piece.y : piece.y + height, piece.x : piece.x + width]
            cv2.multiply(below, piece.clear, dst=below, scale=1 / 255)
            cv2.add(below, piece.above, dst=below)


def views(frame: Pixels, canvas: Canvas) -> tuple[Pixels, Pixels, Pixels]:
    """The Y, U and V planes inside one (height * 3 / 2, width) frame."""
    flat = frame.reshape(-1)
    luma, half = canvas.width * canvas.height, (canvas.height // 2, canvas.width // 2)
    chroma = half[0] * half[1]
    return (
        flat[:luma].reshape(canvas.height, canvas.width),
        flat[luma : luma + chroma].reshape(half),
        flat[luma + chroma : luma + 2 * chroma].reshape(half),
    )


def empty_frame(canvas: Canvas) -> Pixels:
    """A frame to paint into."""
    return np.empty((canvas.height * 3 // 2, canvas.width), np.uint8)


def _planes(layer: Layer) -> tuple[Pixels, ...]:
    """The layer's pixels as what its role is rendered from."""
    if layer.role is Role.GROUND:
        return (cv2.transform(layer.pixels, _TO_YUV.astype(np.float32)),)
    if layer.role is Role.PICTURE:
        y, u, v = cv2.split(cv2.transform(layer.pixels, _TO_YUV))
        size = ((u.shape[1] + 1) // 2, (u.shape[0] + 1) // 2)
        return y, *(cv2.resize(plane, size, interpolation=cv2.INTER_AREA) for plane in (u, v))
    if layer.role is Role.LINES:
        return (cv2.convertScaleAbs(layer.pixels, alpha=_Y),)
    sprite = cv2.transform(layer.pixels, _TO_YUVA)
    if layer.role not in _SLIDING:
        return (sprite,)
    even = (sprite.shape[0] % 2, sprite.shape[1] % 2)
    sprite = cv2.copyMakeBorder(sprite, 2, 2 + even[0], 2, 2 + even[1], cv2.BORDER_CONSTANT)
    half = cv2.resize(sprite, (sprite.shape[1] // 2, sprite.shape[0] // 2), interpolation=cv2.INTER_AREA)
    luma, clear = cv2.extractChannel(sprite, 0), cv2.bitwise_not(cv2.extractChannel(sprite, 3))
    _, u, v, alpha = cv2.split(half)
    return luma, clear, u, v, cv2.bitwise_not(alpha)


def _inverse(layer: Layer, pose: Pose, source: Pixels, zoom: tuple[float, float]) -> Pixels:
    """The matrix from target px to source px; `zoom`: canvas px per target px, in x and y."""
    k = layer.density / pose.scale
    c, s = cos(radians(pose.angle)) * k, sin(radians(pose.angle)) * k
    linear = np.array([[c * zoom[0], s * zoom[1]], [-s * zoom[0], c * zoom[1]]])
    # the middle of target pixel (0, 0), seen from the layer's centre
    fx, fy = zoom[0] / 2 - layer.x - pose.dx, zoom[1] / 2 - layer.y - pose.dy
    start = [source.shape[1] / 2 - 0.5 + c * fx + s * fy, source.shape[0] / 2 - 0.5 - s * fx + c * fy]
    return np.column_stack([linear, start])


def _warped(canvas: Canvas, layer: Layer, planes: tuple[Pixels, ...], pose: Pose) -> tuple[_Plane, ...]:
    """Warp a sprite into its even-edged bounding box; empty when nothing of it is to be seen."""
    (source,) = planes
    if pose.scale < 0.02:
        return ()
    c, s = abs(cos(radians(pose.angle))), abs(sin(radians(pose.angle)))
    k = pose.scale / layer.density
    width, height = source.shape[1] * k, source.shape[0] * k
    half_w, half_h = (c * width + s * height) / 2 + 1, (s * width + c * height) / 2 + 1
    x, y = layer.x + pose.dx, layer.y + pose.dy
    x0, x1 = max(0, int(x - half_w) // 2 * 2), min(canvas.width, -(-int(x + half_w + 1) // 2) * 2)
    y0, y1 = max(0, int(y - half_h) // 2 * 2), min(canvas.height, -(-int(y + half_h + 1) // 2) * 2)
    if x0 >= x1 or y0 >= y1:
        return ()
    matrix = _inverse(layer, Pose(pose.dx - x0, pose.dy - y0, pose.scale, pose.angle), source, (1.0, 1.0))
    warped = cv2.warpAffine(source, matrix, (x1 - x0, y1 - y0), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
    half = cv2.resize(warped, ((x1 - x0) // 2, (y1 - y0) // 2), interpolation=cv2.INTER_AREA)
    luma, clear = cv2.extractChannel(warped, 0), cv2.bitwise_not(cv2.extractChannel(warped, 3))
    _, u, v, alpha = cv2.split(half)
    faint = cv2.bitwise_not(alpha)
    return (
        _Plane(x0, y0, luma, clear),
        _Plane(x0 // 2, y0 // 2, u, faint),
        _Plane(x0 // 2, y0 // 2, v, faint),
    )


def _slid(canvas: Canvas, layer: Layer, planes: tuple[Pixels, ...], pose: Pose) -> tuple[_Plane, ...]:
    """Shift a sprite by any fraction of a pixel; a fifth of the work of warping it."""
    luma, clear, u, v, faint = planes
    left = layer.x + pose.dx - layer.pixels.shape[1] / 2 - 2
    top = layer.y + pose.dy - layer.pixels.shape[0] / 2 - 2
    pieces: list[_Plane] = []
    for above, see_through, half in ((luma, clear, 1), (u, faint, 2), (v, faint, 2)):
        size = (canvas.width // half, canvas.height // half)
        x, y, moved = _shifted(above, left / half, top / half, size)
        if moved.size == 0:
            return ()
        if half == 2 and len(pieces) == 2:
            pieces.append(_Plane(x, y, moved, pieces[1].clear))
        else:
            pieces.append(_Plane(x, y, moved, _shifted(see_through, left / half, top / half, size)[2]))
    return tuple(pieces)


def _shifted(plane: Pixels, left: float, top: float, size: tuple[int, int]) -> tuple[int, int, Pixels]:
    """The part of a plane that falls on a target of `size` when its corner is at (left, top): x, y and the pixels."""
    x, y = floor(left), floor(top)
    fx, fy = left - x, top - y
    x0, x1 = max(0, x + 1), min(size[0], x + plane.shape[1])
    y0, y1 = max(0, y + 1), min(size[1], y + plane.shape[0])
    if x0 >= x1 or y0 >= y1:
        return 0, 0, plane[:0, :0]
    part = plane[y0 - y - 1 : y1 - y, x0 - x - 1 : x1 - x]
    return x0, y0, _between(part, fx, fy)


def _between(part: Pixels, fx: float, fy: float) -> Pixels:
    """A plane read between its pixels: the shares (fx, fy) of the left and upper neighbour; one row, column less.

    A whole step along an axis costs nothing, so what slides along one axis alone costs half.
    """
    if 0 < fx < 1:
        part = cv2.addWeighted(part[:, 1:], 1 - fx, part[:, :-1], fx, 0)
    else:
        part = part[:, 1:] if fx == 0 else part[:, :-1]
    if 0 < fy < 1:
        return cv2.addWeighted(part[1:], 1 - fy, part[:-1], fy, 0)
    return np.ascontiguousarray(part[1:] if fy == 0 else part[:-1])
