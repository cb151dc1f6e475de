"""Lines with corners as Graphviz splines: straight runs and quarter turns, as cubic Bézier pieces."""

from __future__ import annotations

from collections.abc import Sequence

from blockgraph.viz.dot import number

Point = tuple[float, float]
RADIUS, PULL = 6.0, 0.55  # of a corner; how far a corner's handles reach towards it
TIP = 5.5  # an edge's line ends so far before the tip of its arrow


def spline(points: Sequence[Point]) -> str:
    """The `pos` of an edge along `points` (horizontal and vertical runs) with an arrow's tip at the last one."""
    tip, end = points[-1], _towards(points[-1], points[-2], TIP)
    return f"e,{_pair(tip)} " + " ".join(map(_pair, bezier([*points[:-1], end])))


def bezier(points: Sequence[Point]) -> list[Point]:
    """Control points: 3 n + 1 for n pieces."""
    controls = [points[0]]
    for before, corner, after in zip(points, points[1:], points[2:], strict=False):
        radius = min(RADIUS, _length(before, corner) / 2, _length(corner, after) / 2)
        enter, leave = _towards(corner, before, radius), _towards(corner, after, radius)
        controls += _run(controls[-1], enter)
        controls += [_towards(enter, corner, PULL * radius), _towards(leave, corner, PULL * radius), leave]
    return controls + _run(controls[-1], points[-1])


def wave(x: float, y: float, radius: float) -> str:
    """One turn of a sinusoid in a circle, as a spline: not every font has the sign."""
    a, b = radius * 0.66, radius * 0.85
    controls = [
        (x - a, y),
        (x - a * 0.55, y + b),
        (x - a * 0.45, y + b),
        (x, y),
        (x + a * 0.45, y - b),
        (x + a * 0.55, y - b),
        (x + a, y),
    ]
    return " ".join(map(_pair, controls))


def _run(a: Point, b: Point) -> list[Point]:
    return [_between(a, b, 1 / 3), _between(a, b, 2 / 3), b]


def _between(a: Point, b: Point, share: float) -> Point:
    return a[0] + (b[0] - a[0]) * share, a[1] + (b[1] - a[1]) * share


def _length(a: Point, b: Point) -> float:
    return abs(a[0] - b[0]) + abs(a[1] - b[1])


def _towards(a: Point, b: Point, distance: float) -> Point:
    length = _length(a, b)
    return _between(a, b, min(distance / length, 1.0)) if length else a


def _pair(point: Point) -> str:
    return f"{number(point[0])},{number(point[1])}"
