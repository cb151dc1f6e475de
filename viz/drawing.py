"""A figure with every place known: boxes, frames, words and lines in points, y up. What `paint` writes as DOT."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from blockgraph.viz.areas import Area, Grid, meet
from blockgraph.viz.faces import Face, Mark
from blockgraph.viz.figure import Frame
from blockgraph.viz.lanes import Column, Wire
from blockgraph.viz.level import Level, Net, Spot
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

    @property
    def area(self) -> Area:
        x, y = self.width / 2, self.height / 2
        return self.x - x, self.y - y, self.x + x, self.y + y


@dataclass(frozen=True)
class Panel:
    """A frame's border (left, bottom, right, top), and where the words outside it are centred: the x of their middle,
    or its y in a `turned` frame, whose words stand above or below it."""

    id: str
    times: str
    caption: tuple[str, ...]
    box: Area
    words: float
    inside: tuple[Placed | Panel, ...]
    turned: bool = False


@dataclass(frozen=True)
class Words:
    """Small text at a line: x is its left edge, y its middle. `turned` text takes as much room as it will when the
    drawing is stood up again (`turn`)."""

    text: str
    x: float
    y: float
    low: float = 0.0  # the stretch that it may stand beside, if `high` is above `low`
    high: float = 0.0
    turned: bool = False

    @property
    def size(self) -> tuple[float, float]:
        """Across and along a line that goes up."""
        wide, high = width(self.text, SMALL), 1.2 * SMALL
        return (high, wide) if self.turned else (wide, high)

    @property
    def area(self) -> Area:
        wide, high = self.size
        return self.x, self.y - high / 2, self.x + wide, self.y + high / 2


@dataclass(frozen=True)
class Line:
    """One line, corner by corner, from box to box; `value` is the source's output, `through` the frames that it comes
    out of. The first corner may lie on another line of the same value, which it leaves there."""

    source: str
    target: str
    points: tuple[Point, ...]
    value: str = "out"
    through: tuple[str, ...] = ()
    mark: Mark = ""  # of a value that is compared; where there is none, that of both its ends counts


@dataclass
class Drawing:
    """All that is painted. `note` says why it is a plain one, if it is."""

    items: list[Placed | Panel] = field(default_factory=list)
    lines: list[Line] = field(default_factory=list)
    words: list[Words] = field(default_factory=list)
    note: str = ""

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
    drawn.words = kept(drawn)
    return drawn


def _origin(level: Level, spot: Spot, x: float, y: float) -> Point:
    return x + level.columns[spot.column], y + spot.bottom


def _items(level: Level, x: float, y: float, drawn: Drawing) -> list[Placed | Panel]:
    items: list[Placed | Panel] = []
    taps: dict[Net, float] = {}  # where a value's line turns off first
    for wire in level.wires:
        if len(wire.corners) > 2:
            taps[wire.source] = min(taps.get(wire.source, math.inf), wire.corners[1][1])
    for wire in level.wires:
        _say(wire, level, (x, y), taps, drawn)
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


def _say(wire: Wire, level: Level, origin: Point, taps: Mapping[Net, float], drawn: Drawing) -> None:
    """The shape beside the longest clear stretch of a line that goes straight up; which copy is read, above any other
    line."""
    straight = len(wire.corners) == 2 and isinstance(wire.corners[0][0], Column)
    text = " · ".join(said for said in (wire.label, wire.note) if said) if straight else wire.note
    if not text or not wire.corners:
        return
    (start, top), (_, end) = wire.corners[0], wire.corners[1]
    at, y, turned = origin[0] + level.x(start), origin[1], level.frame.turned
    if straight:
        high = y + taps.get(wire.source, end)
        drawn.words.append(Words(text, at + 7, (y + top + high) / 2 - 1, y + top, high, turned))
    elif isinstance(start, Column):
        right = len(wire.corners) > 2 and level.x(wire.corners[2][0]) > level.x(start)
        words = Words(text, at + 7, y + end + 6, turned=turned)
        drawn.words.append(words if right else replace(words, x=at - 7 - words.size[0]))


def kept(drawn: Drawing) -> list[Words]:
    """The words that find a clear place; what would be said twice at one place is said once."""
    taken: Grid[str] = Grid((box.area, "") for box in drawn.boxes())
    for line in drawn.lines:
        for a, b in itertools.pairwise(line.points):
            taken.add((min(a[0], b[0]), min(a[1], b[1]), max(a[0], b[0]), max(a[1], b[1])), "")
    for panel in drawn.panels():
        for area in _rim(panel.box):
            taken.add(area, "")
    found = []
    for words in drawn.words:
        place = clear(words, taken)
        if place is not None:
            found.append(place)
            taken.add(place.area, words.text)
    return found


def _rim(box: Area) -> Iterator[Area]:
    """The four sides of a frame's border."""
    left, bottom, right, top = box
    yield from ((left, bottom, right, bottom), (left, top, right, top))
    yield from ((left, bottom, left, top), (right, bottom, right, top))


def clear(words: Words, taken: Grid[str]) -> Words | None:
    """The same words where nothing else is, as near as can be to where they were; None if there is no such place."""
    if any(text == words.text and meet(words.area, place) for _, place, text in taken.near(words.area)):
        return None
    wide, high = words.size
    steps = int(max(words.high - words.low - high, 0) / 2 / 3)
    for x in (words.x, words.x - 14 - wide):
        for step in sorted(range(-steps, steps + 1), key=abs):
            moved = replace(words, x=x, y=words.y + 3 * step)
            if not any(meet(moved.area, place, -0.5) for _, place, _ in taken.near(moved.area)):
                return moved
    return None


# -- lines through all frames --------------------------------------------------------------------------------------


At = tuple[Level, float, float]  # a laid-out frame and where its origin is


def _lines(chain: tuple[At, ...]) -> Iterator[Line]:
    """The lines to the boxes of a frame (the last of `chain`, which starts with the outermost one) and below."""
    level, x, y = chain[-1]
    for wire in level.wires:
        spot = level.spots[wire.target[0]] if wire.target[0] is not None else None
        if spot is not None and spot.inside is None:
            for (source, value), before, through in _origins(chain, wire):
                yield Line(source, spot.item.id, _simple([*before, *_points(wire, level, x, y)]), value, through)
    for spot in level.spots.values():
        if spot.inside is not None:
            yield from _lines((*chain, (spot.inside, *_origin(level, spot, x, y))))


def _origins(chain: tuple[At, ...], wire: Wire) -> Iterator[tuple[tuple[str, str], list[Point], tuple[str, ...]]]:
    """The boxes (and their outputs) that a wire's value comes from, the way from there to the wire's start, out of
    frames and into them, and the frames that it comes out of."""
    level, x, y = chain[-1]
    if wire.source[0] is None:
        for outer in chain[-2][0].wires if len(chain) > 1 else ():
            if outer.entry is not None and wire in outer.entry.wires:
                for source, before, through in _origins(chain[:-1], outer):
                    yield source, before + _points(outer, *chain[-2]), through
        return
    spot = level.spots[wire.source[0]]
    if spot.inside is None:
        yield (spot.item.id, wire.source[1]), [], ()
        return
    inside = (spot.inside, *_origin(level, spot, x, y))
    for inner in spot.inside.wires:
        if inner.target == (None, wire.source[1]):
            for source, before, through in _origins((*chain, inside), inner):
                yield source, before + _points(inner, *inside), (*through, spot.item.id)


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
    ways = Ways()
    trimmed: list[Line] = []
    for line in sorted(lines, key=lambda line: len(line.points)):
        trimmed.append(replace(line, points=_from(line.points, ways.shared(line.points))))
        ways.add(line.points)
    return trimmed


RADIUS = 6.0
Heading = tuple[int, int]


class Ways:
    """Lines' ways from their start on, as a tree: what a new one has in common with any of them is found without a look
    at each."""

    def __init__(self) -> None:
        self._known: set[tuple[Point, ...]] = set()
        self._furthest: dict[tuple[tuple[Point, ...], Heading], float] = {}

    def add(self, points: tuple[Point, ...]) -> None:
        for number, (a, b) in enumerate(itertools.pairwise(points), 1):
            so_far, heading = points[:number], _heading(a, b)
            self._known.add(points[: number + 1])
            self._furthest[so_far, heading] = max(self._furthest.get((so_far, heading), 0.0), _length(a, b))

    def shared(self, points: tuple[Point, ...]) -> float:
        """The length that the way has in common with one of them from its start; less a corner's radius where the
        other one turns off, so that its rounded corner leaves no gap."""
        run = 0.0
        for number, (a, b) in enumerate(itertools.pairwise(points), 1):
            here, there = _length(a, b), self._furthest.get((points[:number], _heading(a, b)), 0.0)
            if points[: number + 1] not in self._known:
                return run + (here if here < there else max(there - RADIUS, 0.0))
            run += here
        return run


def _heading(a: Point, b: Point) -> Heading:
    """Which way it goes from one point to the other: right, left, up or down."""
    x, y = b[0] - a[0], b[1] - a[1]
    return (0 if abs(x) < 0.05 else 1 if x > 0 else -1, 0 if abs(y) < 0.05 else 1 if y > 0 else -1)


def _length(a: Point, b: Point) -> float:
    return abs(b[0] - a[0]) + abs(b[1] - a[1])


def _from(points: tuple[Point, ...], start: float) -> tuple[Point, ...]:
    """The rest of the way after `start` points of length."""
    for number, (a, b) in enumerate(itertools.pairwise(points)):
        length = _length(a, b)
        if start < length - 0.05:
            share = start / length
            return (
                (round(a[0] + (b[0] - a[0]) * share, 2), round(a[1] + (b[1] - a[1]) * share, 2)),
                *points[number + 1 :],
            )
        start -= length
    return points[-2:]
