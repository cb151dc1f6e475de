"""Lines with corners as curves: straight runs and quarter turns, as Graphviz splines and as SVG paths."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from blockgraph.viz.dot import number

Point = tuple[float, float]
RADIUS, PULL = 6.0, 0.55  # of a corner; how far a corner's handles reach towards it
TIP = 5.5  # an edge's line ends so far before the tip of its arrow
WING = 1.925  # half the width of an arrow's head: what Graphviz draws at arrowsize 0.55
BACK = 1.51  # from the tip back to the head's own corner: its outline of one point is pointed


def spline(points: Sequence[Point]) -> str:
    """The `pos` of an edge along `points` (horizontal and vertical runs) with an arrow's tip at the last one."""
    tip, end = points[-1], _towards(points[-1], points[-2], TIP)
    return f"e,{_pair(tip)} " + " ".join(map(_pair, bezier([*points[:-1], end])))


def path(points: Sequence[Point]) -> str:
    """The same line as an SVG path; it ends in the arrow's head."""
    end = _towards(points[-1], points[-2], TIP)
    way = [*points[:-1], end]
    parts = [f"M{_pair(way[0])}"]
    for enter, first, second, leave in _corners(way):
        parts.append(f"L{_pair(enter)}C{_pair(first)} {_pair(second)} {_pair(leave)}")
    return "".join([*parts, f"L{_pair(end)}"])


def head(points: Sequence[Point]) -> str:
    """The arrow's head at the end of `points`, as an SVG path."""
    (x, y), (back_x, back_y) = (_towards(points[-1], points[-2], length) for length in (BACK, BACK + TIP))
    across = (WING, 0.0) if abs(back_x - x) < abs(back_y - y) else (0.0, WING)
    sides = ((back_x + sign * across[0], back_y + sign * across[1]) for sign in (-1, 1))
    return f"M{_pair((x, y))}" + "".join(f"L{_pair(side)}" for side in sides) + "Z"


def bezier(points: Sequence[Point]) -> list[Point]:
    """Control points: 3 n + 1 for n pieces."""
    controls = [points[0]]
    for enter, first, second, leave in _corners(points):
        controls += _run(controls[-1], enter)
        controls += [first, second, leave]
    return controls + _run(controls[-1], points[-1])


def _corners(points: Sequence[Point]) -> Iterator[tuple[Point, Point, Point, Point]]:
    """Each corner's quarter turn: where it starts, its two handles, where it ends."""
    for before, corner, after in zip(points, points[1:], points[2:], strict=False):
        radius = min(RADIUS, _length(before, corner) / 2, _length(corner, after) / 2)
        enter, leave = _towards(corner, before, radius), _towards(corner, after, radius)
        yield enter, _towards(enter, corner, PULL * radius), _towards(leave, corner, PULL * radius), leave


def wave(x: float, y: float, radius: float) -> str:
    """One turn of a sinusoid in a circle, as a spline: not every font has the sign."""
    return " ".join(map(_pair, _wave(x, y, radius)))


def wave_path(x: float, y: float, radius: float) -> str:
    """The same as an SVG path, where y goes down."""
    first, *rest = (_pair((a, 2 * y - b)) for a, b in _wave(x, y, radius))
    return f"M{first}C{' '.join(rest)}"


def _wave(x: float, y: float, radius: float) -> list[Point]:
    a, b = radius * 0.66, radius * 0.85
    return [
        (x - a, y),
        (x - a * 0.55, y + b),
        (x - a * 0.45, y + b),
        (x, y),
        (x + a * 0.45, y - b),
        (x + a * 0.55, y - b),
        (x + a, y),
    ]


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
