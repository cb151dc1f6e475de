"""Columns moved together: each as near to those left of it as what stands at the same heights allows, or above or below
another one.

What keeps close to a column (its items, its lines, the lanes beside it) moves with it. Heights stay, and what stands at
one height keeps its order and its distance; so a line that ran clear still does.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping
from itertools import pairwise

from blockgraph.viz.figure import Frame
from blockgraph.viz.lanes import APART, Border, Column, Lane, Wire
from blockgraph.viz.level import PADDING, Level, Spot
from blockgraph.viz.measure import CAPTION, SMALL, STANDARD, TIMES, outside
from blockgraph.viz.text import width

BLOCK, LINE, WORDS = 8.0, 6.0, 3.0  # room at the left and right of each kind of thing
Part = tuple[float, float, float, float, float]  # left, right, low, high, room; x from its holder's
Holder = int | Lane  # a column, or a lane right of one


def compact(level: Level) -> None:
    """Moves the columns of a level whose places are all known; the first one stays."""
    if len(level.columns) < 2:
        return
    parts = _parts(level)
    places = _places(level, parts)
    moves = [places[number] - spine for number, spine in enumerate(level.columns)]
    for x, at in places.items():
        if isinstance(x, Lane):
            x.moved = at - level.x(x) - moves[level.owner(x)]
    level.moves = moves
    level.columns = [places[number] for number in range(len(moves))]
    edge = 0.0 if level.bare else PADDING
    level.right = edge + max(places[x] + part[1] for x, own in parts.items() for part in own)
    level.left = max(level.left, edge - min(places[x] + part[0] for x, own in parts.items() for part in own))


def _places(level: Level, parts: Mapping[Holder, list[Part]]) -> dict[Holder, float]:
    """Where each column and lane goes, from the left."""
    beside: dict[int, list[Lane]] = {}
    for x in parts:
        if isinstance(x, Lane):
            beside.setdefault(level.owner(x), []).append(x)
    line, columns, places = Skyline(), list[float](), dict[Holder, float]()
    for number in range(len(level.columns)):
        places[number] = at = _column(level, number, line, parts[number], columns)
        columns.append(at)
        _raise(line, parts[number], at)
        for lane in sorted(beside.get(number, ()), key=level.x):
            near = level.x(lane) + at - level.columns[number] if _own(lane, level) else -math.inf
            places[lane] = round(min(level.x(lane), max(near, _least(line, parts[lane]))), 2)
            _raise(line, parts[lane], places[lane])
    return places


def _column(level: Level, number: int, line: Skyline, parts: list[Part], before: list[float]) -> float:
    """Where a column goes: above or below another one if there is room, else right of all."""
    spine = level.columns[number]
    if not before:
        return spine
    least = _least(line, parts)
    same = min((x for x in before[1:] if x >= least), default=math.inf)
    apart = min(spine - level.columns[number - 1], STANDARD + 2 * BLOCK)
    return round(min(spine, same, max(max(before) + apart, least)), 2)


def _least(line: Skyline, parts: list[Part]) -> float:
    """How far left something may stand."""
    return max((line.highest(low, high) - left + room for left, _, low, high, room in parts), default=-math.inf)


def _raise(line: Skyline, parts: list[Part], at: float) -> None:
    for _, right, low, high, room in parts:
        line.raise_to(low, high, at + right + room)


def _parts(level: Level) -> dict[Holder, list[Part]]:
    """What stands in each column and moves with it, and in each lane right of one."""
    parts: dict[Holder, list[Part]] = {number: [] for number in range(len(level.columns))}
    for spot in level.spots.values():
        parts[spot.column] += _block(spot)
    for wire in level.wires:
        for holder, part in (*_pieces(wire, level), *_words(wire, level)):
            parts.setdefault(holder, []).append(part)
    return parts


def _holder(x: Column | Lane, level: Level) -> tuple[Holder, float]:
    """What an x moves with, and where that is now."""
    if isinstance(x, Lane) and x.near == "left" and x.gutter > 0:
        return x, level.x(x)
    column = level.owner(x)
    return column, level.columns[column]


def _own(lane: Lane, level: Level) -> bool:
    """Whether a line goes round its own column: it then keeps the same distance everywhere. One from another column
    comes as near as it can."""
    source = level.spots.get(lane.net[0]) if isinstance(lane.net, tuple) else None
    return source is None or source.column == level.owner(lane)


def _block(spot: Spot) -> Iterator[Part]:
    if spot.inside is None:
        yield -spot.left, spot.right, spot.bottom - spot.over, spot.top + spot.over, BLOCK
        return
    yield -spot.inside.left, spot.inside.right, spot.bottom, spot.top, BLOCK
    if spot.outside:
        assert isinstance(spot.item, Frame)
        half, middle = outside(spot.item) / 2, spot.bottom + spot.height / 2
        high = _along(spot.item) / 2
        yield spot.outside - half, spot.outside + half, middle - high, middle + high, WORDS


def _along(frame: Frame) -> float:
    """How much of a frame's side its words take."""
    if frame.turned:
        return max([width(frame.times, TIMES, bold=True), *(width(line, CAPTION) for line in frame.caption)])
    return 1.3 * TIMES * bool(frame.times) + 11 * len(frame.caption)


def _pieces(wire: Wire, level: Level) -> Iterator[tuple[Holder, Part]]:
    """Each straight piece of a line that moves as a whole, and the ends of those between columns."""
    for (a, low), (b, high) in pairwise(wire.corners):
        ends = [(*_holder(x, level), level.x(x), y) for x, y in ((a, low), (b, high)) if not isinstance(x, Border)]
        if len(ends) == 2 and ends[0][0] == ends[1][0]:
            (holder, base, one, _), (*_, other, _) = ends
            yield holder, (min(one, other) - base, max(one, other) - base, min(low, high), max(low, high), LINE)
        else:
            yield from ((holder, (x - base, x - base, y, y, LINE)) for holder, base, x, y in ends)


def _words(wire: Wire, level: Level) -> Iterator[tuple[Holder, Part]]:
    """What is said beside a line that goes straight up, or where another one turns off."""
    if not wire.corners or not isinstance(start := wire.corners[0][0], Column):
        return
    straight = len(wire.corners) == 2
    text = " · ".join(said for said in (wire.label, wire.note) if said) if straight else wire.note
    if text:
        wide, (low, high) = width(text, SMALL), (wire.corners[0][1], wire.corners[1][1])
        if level.frame.turned:
            wide = 1.2 * SMALL
        left = not straight and level.x(wire.corners[2][0]) <= level.x(start)
        at = start.shift - 7 - wide if left else start.shift + 7
        yield start.number, (at, at + wide, low, high if straight else high + 12, WORDS)


class Skyline:
    """How far right anything reaches, by height."""

    def __init__(self) -> None:
        self._from = [-math.inf]  # each height's stretch ends where the next one begins
        self._reach = [-math.inf]

    def highest(self, low: float, high: float) -> float:
        """The furthest reach between two heights, and a little beyond."""
        low, high = low - 0.49 * APART, high + 0.49 * APART
        return max(self._reach[bisect_right(self._from, low) - 1 : bisect_left(self._from, high)])

    def raise_to(self, low: float, high: float, x: float) -> None:
        """Something reaches to `x` between two heights."""
        low, high = low - 0.5, high + 0.5  # a horizontal line counts too
        first = bisect_right(self._from, low) - 1
        last = bisect_left(self._from, high)
        stretches = [(max(start, low), max(reach, x)) for start, reach in self._between(first, last)]
        rest = [(high, self._reach[last - 1])] if last == len(self._from) or self._from[last] > high else []
        before = [(self._from[first], self._reach[first])] if self._from[first] < low else []
        found: list[tuple[float, float]] = []
        for start, reach in (*before, *stretches, *rest):
            if not found or found[-1][1] != reach:
                found.append((start, reach))
        self._from[first:last] = [start for start, _ in found]
        self._reach[first:last] = [reach for _, reach in found]

    def _between(self, first: int, last: int) -> Iterator[tuple[float, float]]:
        return zip(self._from[first:last], self._reach[first:last], strict=True)
