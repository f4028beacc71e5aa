"""Points, lines and polygons on a plane or on the globe: distances and intersections; pure functions."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import Any

Point = tuple[float, float]
Segment = tuple[Point, Point]
_FAR = 1e150  # so that squares stay finite
EARTH_M = 6_370_986.0  # the radius MariaDB calculates with


def is_shape(value: Any, level: int) -> bool:
    """Whether a JSON value is a point `[x, y]` (level 0), a line (1: points) or a polygon (2: rings)."""
    if not isinstance(value, list) or not value:
        return False
    if level:
        return all(is_shape(each, level - 1) for each in value)
    numbers = all(isinstance(x, (int, float)) and not isinstance(x, bool) and -_FAR < x < _FAR for x in value)
    return len(value) == 2 and numbers


def level_of(value: Any) -> int:
    """0 for a point, 1 for a line, 2 for a polygon, -1 for anything else."""
    return next((level for level in range(3) if is_shape(value, level)), -1)


def distance(one: Any, other: Any, in_metres: bool) -> float | None:
    """Between points on the globe in metres ([longitude, latitude] in degrees), else on the plane in its own unit.

    None where metres are asked for between shapes that are no points.
    """
    if in_metres:
        return _on_globe(_point(one), _point(other)) if level_of(one) == level_of(other) == 0 else None
    if intersect(one, other):
        return 0.0
    return min(_between(a, b) for a in _segments(one) for b in _segments(other))


def intersect(one: Any, other: Any) -> bool:
    """Whether the shapes share a point; the inside of a polygon belongs to it, its holes do not."""
    if any(_cross(a, b) for a in _segments(one) for b in _segments(other)):
        return True
    return _inside(_first(one), other) or _inside(_first(other), one)


def _on_globe(one: Point, other: Point) -> float:
    (x1, y1), (x2, y2) = ((math.radians(x), math.radians(y)) for x, y in (one, other))
    half = math.sin((y2 - y1) / 2) ** 2 + math.cos(y1) * math.cos(y2) * math.sin((x2 - x1) / 2) ** 2
    return 2 * EARTH_M * math.asin(math.sqrt(min(1.0, half)))


def _point(pair: Any) -> Point:
    return float(pair[0]), float(pair[1])


def _first(shape: Any) -> Point:
    while isinstance(shape[0], list):
        shape = shape[0]
    return _point(shape)


def _segments(shape: Any) -> Iterator[Segment]:
    """The edges; a single point is an edge of no length, and a ring is closed."""
    level = level_of(shape)
    if level == 0:
        yield _point(shape), _point(shape)
    for line in {0: [], 1: [shape], 2: shape}[level]:
        points = [_point(each) for each in line]
        if level == 2 or len(points) == 1:
            points.append(points[0])
        yield from itertools.pairwise(points)


def _turn(a: Point, b: Point, c: Point) -> float:
    return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])


def _cross(one: Segment, other: Segment) -> bool:
    (a, b), (c, d) = one, other
    sides = [_turn(a, b, c), _turn(a, b, d), _turn(c, d, a), _turn(c, d, b)]
    if sides[0] * sides[1] < 0 and sides[2] * sides[3] < 0:
        return True
    ends = ((c, one), (d, one), (a, other), (b, other))
    return any(side == 0 and _in_box(point, segment) for side, (point, segment) in zip(sides, ends, strict=True))


def _in_box(point: Point, segment: Segment) -> bool:
    """Whether a point on the segment's line lies between its ends."""
    return all(min(a, b) <= p <= max(a, b) for p, a, b in zip(point, *segment, strict=True))


def _inside(point: Point, shape: Any) -> bool:
    if level_of(shape) != 2:
        return False
    x, y = point
    crossings = 0
    for (x1, y1), (x2, y2) in _segments(shape):
        if (y1 > y) != (y2 > y) and x < (x2 - x1) * (y - y1) / (y2 - y1) + x1:
            crossings += 1
    return crossings % 2 == 1


def _between(one: Segment, other: Segment) -> float:
    """The least distance of two segments that do not cross: at one of their ends."""
    (a, b), (c, d) = one, other
    return min(_to_segment(c, one), _to_segment(d, one), _to_segment(a, other), _to_segment(b, other))


def _to_segment(point: Point, segment: Segment) -> float:
    (ax, ay), (bx, by) = segment
    length = (bx - ax) ** 2 + (by - ay) ** 2
    along = ((point[0] - ax) * (bx - ax) + (point[1] - ay) * (by - ay)) / length if length else 0.0
    along = max(0.0, min(1.0, along))
    return math.dist(point, (ax + along * (bx - ax), ay + along * (by - ay)))
