"""A figure with every place known: boxes, frames, words and lines in points, y up. What `paint` writes as DOT."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field

from blockgraph.viz.faces import Face
from blockgraph.viz.figure import Frame
from blockgraph.viz.lanes import Column, Wire
from blockgraph.viz.level import Level, Spot
from blockgraph.viz.measure import BESIDE, SMALL
from blockgraph.viz.text import width

Point = tuple[float, float]


@dataclass(frozen=True)
class Placed:
    """A block's box; x and y are its middle."""

    id: str
    face: Face
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True)
class Panel:
    """A frame's border (left, bottom, right, top), and where the words outside it are centred."""

    id: str
    times: str
    caption: tuple[str, ...]
    box: tuple[float, float, float, float]
    words: float
    inside: tuple[Placed | Panel, ...]


@dataclass(frozen=True)
class Words:
    """Small text at a line: x is its left edge, y its middle."""

    text: str
    x: float
    y: float
    low: float = 0.0  # the stretch that it may stand beside, if `high` is above `low`
    high: float = 0.0


@dataclass(frozen=True)
class Line:
    """One line, corner by corner, from box to box; `arrow` is false for none. The first corner may lie on another
    line of the same source, which it leaves there."""

    source: str
    target: str
    points: tuple[Point, ...]


@dataclass
class Drawing:
    items: list[Placed | Panel] = field(default_factory=list)
    lines: list[Line] = field(default_factory=list)
    words: list[Words] = field(default_factory=list)

    def boxes(self) -> Iterator[Placed]:
        """Every block's box, also inside frames."""
        yield from _boxes(self.items)

    def panels(self) -> Iterator[Panel]:
        yield from _panels(self.items)


def _boxes(items: list[Placed | Panel] | tuple[Placed | Panel, ...]) -> Iterator[Placed]:
    for item in items:
        if isinstance(item, Placed):
            yield item
        else:
            yield from _boxes(item.inside)


def _panels(items: list[Placed | Panel] | tuple[Placed | Panel, ...]) -> Iterator[Panel]:
    for item in items:
        if isinstance(item, Panel):
            yield item
            yield from _panels(item.inside)


def drawing(level: Level) -> Drawing:
    """Every box, frame, line and word of a laid-out figure, in one coordinate system."""
    drawn = Drawing()
    drawn.items = _items(level, 0.0, 0.0, drawn)
    drawn.lines += trim(list(_lines(((level, 0.0, 0.0),))))
    drawn.words = [kept for words in drawn.words if (kept := clear(words, drawn)) is not None]
    return drawn


def _origin(level: Level, spot: Spot, x: float, y: float) -> Point:
    return x + level.columns[spot.column], y + spot.bottom


def _items(level: Level, x: float, y: float, drawn: Drawing) -> list[Placed | Panel]:
    items: list[Placed | Panel] = []
    for wire in level.wires:
        _say(wire, level, x, y, drawn)
    for spot in level.spots.values():
        at_x, at_y = _origin(level, spot, x, y)
        if spot.inside is None:
            items += _placed(spot, at_x, at_y, drawn)
            continue
        inside = _items(spot.inside, at_x, at_y, drawn)
        frame = spot.item
        assert isinstance(frame, Frame)
        if spot.inside.bare:
            items += inside
        else:
            box = (at_x - spot.inside.left, at_y, at_x + spot.inside.right, at_y + spot.inside.height)
            items.append(Panel(frame.id, frame.times, frame.caption, box, at_x + spot.outside, tuple(inside)))
    return items


def _placed(spot: Spot, x: float, y: float, drawn: Drawing) -> list[Placed | Panel]:
    """A block, and the block that stands beside it with the arrow between them."""
    assert not isinstance(spot.item, Frame)
    middle = y + spot.height / 2
    box = Placed(spot.item.id, spot.item.face, x, middle, 2 * spot.half, spot.height)
    if spot.beside is None:
        return [box]
    face, shift, wide, high = spot.beside
    beside = Placed(f"{box.id}.beside", face, x + shift, middle, wide, high)
    sign = 1 if shift > 0 else -1
    near = x + sign * spot.half
    drawn.lines.append(Line(beside.id, box.id, ((near + sign * BESIDE, middle), (near, middle))))
    return [box, beside]


def _say(wire: Wire, level: Level, x: float, y: float, drawn: Drawing) -> None:
    """The shape beside the longest clear stretch of a line that goes straight up; which copy is read, above any other
    line."""
    straight = len(wire.corners) == 2 and isinstance(wire.corners[0][0], Column)
    text = " · ".join(said for said in (wire.label, wire.note) if said) if straight else wire.note
    if not text or not wire.corners:
        return
    (start, top), (_, end) = wire.corners[0], wire.corners[1]
    at = x + level.x(start)
    if straight:
        taps = [c[1][1] for other in level.wires if other.source == wire.source for c in [other.corners] if len(c) > 2]
        high = y + min(taps, default=end)
        drawn.words.append(Words(text, at + 7, (y + top + high) / 2 - 1, y + top, high))
    elif isinstance(start, Column):
        right = len(wire.corners) > 2 and level.x(wire.corners[2][0]) > level.x(start)
        drawn.words.append(Words(text, at + 7 if right else at - 7 - width(text, SMALL), y + end + 6))


def clear(words: Words, drawn: Drawing) -> Words | None:
    """The same words where no line and no box is, as near as can be to where they were; None if there is no such
    place."""
    wide = width(words.text, SMALL)
    steps = int(max(words.high - words.low - 10, 0) / 2 / 3)
    for x in (words.x, words.x - 14 - wide):
        for step in sorted(range(-steps, steps + 1), key=abs):
            y = words.y + 3 * step
            if _empty((x - 1, y - 5, x + wide + 1, y + 5), drawn):
                return Words(words.text, x, y)
    return None


def _empty(area: tuple[float, float, float, float], drawn: Drawing) -> bool:
    for line in drawn.lines:
        for a, b in zip(line.points, line.points[1:], strict=False):
            if _meet(area, (min(a[0], b[0]), min(a[1], b[1]), max(a[0], b[0]), max(a[1], b[1]))):
                return False
    boxes = ((b.x - b.width / 2, b.y - b.height / 2, b.x + b.width / 2, b.y + b.height / 2) for b in drawn.boxes())
    return not any(_meet(area, box) for box in boxes)


def _meet(a: tuple[float, float, float, float], b: tuple[float, float, float, float]) -> bool:
    return a[0] <= b[2] and b[0] <= a[2] and a[1] <= b[3] and b[1] <= a[3]


# -- lines through all frames --------------------------------------------------------------------------------------


At = tuple[Level, float, float]  # a laid-out frame and where its origin is


def _lines(chain: tuple[At, ...]) -> Iterator[Line]:
    """The lines to the boxes of a frame (the last of `chain`, which starts with the outermost one) and below."""
    level, x, y = chain[-1]
    for wire in level.wires:
        spot = level.spots[wire.target[0]] if wire.target[0] is not None else None
        if spot is not None and spot.inside is None:
            for source, before in _origins(chain, wire):
                yield Line(source, spot.item.id, _simple([*before, *_points(wire, level, x, y)]))
    for spot in level.spots.values():
        if spot.inside is not None:
            yield from _lines((*chain, (spot.inside, *_origin(level, spot, x, y))))


def _origins(chain: tuple[At, ...], wire: Wire) -> Iterator[tuple[str, list[Point]]]:
    """The boxes that a wire's value comes from, and the way from there to the wire's start, out of frames and into
    them."""
    level, x, y = chain[-1]
    if wire.source[0] is None:
        for outer in chain[-2][0].wires if len(chain) > 1 else ():
            if outer.entry is not None and wire in outer.entry.wires:
                for source, before in _origins(chain[:-1], outer):
                    yield source, before + _points(outer, *chain[-2])
        return
    spot = level.spots[wire.source[0]]
    if spot.inside is None:
        yield spot.item.id, []
        return
    inside = (spot.inside, *_origin(level, spot, x, y))
    for inner in spot.inside.wires:
        if inner.target == (None, wire.source[1]):
            for source, before in _origins((*chain, inside), inner):
                yield source, before + _points(inner, *inside)


def _points(wire: Wire, level: Level, x: float, y: float) -> list[Point]:
    return [(round(x + level.x(at), 2), round(y + height, 2)) for at, height in wire.corners]


def _simple(points: list[Point]) -> tuple[Point, ...]:
    """The same way without points that are no corners."""
    kept: list[Point] = []
    for point in points:
        if kept and _close(kept[-1], point):
            continue
        if len(kept) > 1 and (_aligned(kept[-2], kept[-1], point, 0) or _aligned(kept[-2], kept[-1], point, 1)):
            kept[-1] = point
        else:
            kept.append(point)
    return tuple(kept)


def _close(a: Point, b: Point) -> bool:
    return abs(a[0] - b[0]) < 0.05 and abs(a[1] - b[1]) < 0.05


def _aligned(a: Point, b: Point, c: Point, axis: int) -> bool:
    return abs(a[axis] - b[axis]) < 0.05 and abs(b[axis] - c[axis]) < 0.05


def trim(lines: list[Line]) -> list[Line]:
    """The lines without the stretches that an earlier line from the same point covers already: drawn twice they look
    bold."""
    done: dict[Point, list[tuple[Point, ...]]] = {}
    trimmed: list[Line] = []
    for line in sorted(lines, key=lambda line: len(line.points)):
        others = done.setdefault(line.points[0], [])
        start = max((_shared(line.points, other) for other in others), default=0.0)
        trimmed.append(Line(line.source, line.target, _from(line.points, start)))
        others.append(line.points)
    return trimmed


RADIUS = 6.0


def _shared(points: tuple[Point, ...], other: tuple[Point, ...]) -> float:
    """The length that both ways have in common from their start; less a corner's radius where the other one turns
    off, so that its rounded corner leaves no gap."""
    run = 0.0
    for (a, b), (_, d) in zip(itertools.pairwise(points), itertools.pairwise(other), strict=False):
        if (
            not (_aligned(a, b, d, 0) or _aligned(a, b, d, 1))
            or (b[0] - a[0]) * (d[0] - a[0]) + (b[1] - a[1]) * (d[1] - a[1]) <= 0
        ):
            return run
        here, there = abs(b[0] - a[0]) + abs(b[1] - a[1]), abs(d[0] - a[0]) + abs(d[1] - a[1])
        if abs(here - there) > 0.05:
            return run + (here if here < there else max(there - RADIUS, 0.0))
        run += here
    return run


def _from(points: tuple[Point, ...], start: float) -> tuple[Point, ...]:
    """The rest of the way after `start` points of length."""
    for number, (a, b) in enumerate(itertools.pairwise(points)):
        length = abs(b[0] - a[0]) + abs(b[1] - a[1])
        if start < length - 0.05:
            share = start / length
            return (
                (round(a[0] + (b[0] - a[0]) * share, 2), round(a[1] + (b[1] - a[1]) * share, 2)),
                *points[number + 1 :],
            )
        start -= length
    return points[-2:]
