"""Lines between boxes: corners that are known before any x is, and the lanes of the gutters that they run in.

Gutter g is the strip left of column g; the last one is right of all columns. No box ever stands in a gutter.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import NamedTuple

SPACING = 12.0  # between lanes, and from the first lane to a box
APART = 8.0  # between horizontal lines

Stretch = tuple[float, float]


def lowest(y: float, taken: Iterable[Stretch]) -> float:
    """The least height from `y` up that lies inside none of the stretches."""
    for low, high in sorted(taken):
        if low < y < high:
            y = high
    return y


@dataclass(eq=False)
class Lane:
    """A vertical stretch of a gutter that one net runs in. `near` says which column it keeps close to."""

    net: object
    gutter: int
    near: str  # "left" or "right"
    low: float
    high: float
    track: int = 0
    moved: float = 0.0  # from where its track is

    def reach(self, y: float) -> None:
        self.low, self.high = min(self.low, y), max(self.high, y)


@dataclass(frozen=True, slots=True)
class Column:
    """An x that is `shift` right of the spine of column `number`."""

    number: int
    shift: float = 0.0


@dataclass(frozen=True, slots=True)
class Border:
    """The x of the frame's left border, or of its right one."""

    right: bool = False


X = Column | Lane | Border
Corner = tuple[X, float]


@dataclass(eq=False)
class Entry:
    """Where a line comes into a frame: at the bottom or the left border, and the wires that go on from there."""

    side: str  # "bottom", "left" or "right"
    x: X
    y: float
    wires: list[Wire] = field(default_factory=list)


@dataclass(eq=False)
class Wire:
    """One line inside a frame, from an item (or the frame's own input) to an item (or the frame's own output)."""

    source: tuple[str | None, str]
    target: tuple[str | None, str]
    entry: Entry | None = None  # where it goes on inside the target, if that is a frame
    label: str = ""
    note: str = ""
    corners: list[Corner] = field(default_factory=list)
    arrival: str = ""  # own, left, right, border
    side: str = ""  # bottom, left, right: where it meets the target
    shift: float = 0.0  # from the target's spine
    height: float = 0.0  # above the target's bottom
    away: int = 0  # how many columns lie between


class Crossing(NamedTuple):
    """A horizontal line over the strips from `first` to `last`."""

    y: float
    first: int
    last: int
    net: object


def _runs(strips: Iterable[int]) -> list[tuple[int, int]]:
    """First and last of each unbroken run of strips."""
    runs: list[tuple[int, int]] = []
    for strip in sorted(strips):
        if runs and strip <= runs[-1][1] + 1:
            runs[-1] = (runs[-1][0], strip)
        else:
            runs.append((strip, strip))
    return runs


@dataclass
class Gutters:
    """All lanes of a frame, and where horizontal lines run: gutter g is strip 2 g, column c strip 2 c + 1."""

    lanes: dict[tuple[object, int], Lane] = field(default_factory=dict)  # by net and gutter
    crossings: list[Crossing] = field(default_factory=list)  # lowest first
    known: set[Crossing] = field(default_factory=set)

    def lane(self, net: object, gutter: int, near: str, *heights: float) -> Lane:
        """The net's lane in that gutter, made or made longer."""
        lane = self.lanes.get((net, gutter))
        if lane is None:
            lane = self.lanes[net, gutter] = Lane(net, gutter, near, min(heights), max(heights))
        for y in heights:
            lane.reach(y)
        return lane

    def cross(self, strips: Iterable[int], y: float, net: object) -> None:
        for first, last in _runs(strips):
            crossing = Crossing(y, first, last, net)
            if crossing not in self.known:
                self.known.add(crossing)
                insort(self.crossings, crossing, key=lambda other: other.y)

    def taken(self, strips: Iterable[int], net: object, y: float = 0.0) -> list[Stretch]:
        """The heights from `y` up at which the net may not cross the strips, because of others' lines there."""
        runs = _runs(strips)
        start = bisect_left(self.crossings, y - APART, key=lambda other: other.y)
        return [
            (other.y - APART, other.y + APART)
            for other in islice(self.crossings, start, None)
            if other.net != net and any(other.first <= last and other.last >= first for first, last in runs)
        ]

    def above(self, strips: Iterable[int], y: float, net: object, blocks: Sequence[Stretch] = ()) -> float:
        """The lowest height from `y` up at which the net may cross the strips, outside the stretches of blocks."""
        runs = _runs(strips)
        while True:
            start = bisect_left(self.crossings, y - APART, key=lambda other: other.y)
            free = lowest(self._over(runs, y, net, start), blocks)
            if free == y:
                return y
            y = free

    def _over(self, runs: list[tuple[int, int]], y: float, net: object, start: int) -> float:
        for other in islice(self.crossings, start, None):
            if other.y - APART >= y:
                break
            if other.y + APART > y and other.net != net and any(other.first <= b and other.last >= a for a, b in runs):
                y = other.y + APART
        return y

    def settle(self, count: int) -> list[float]:
        """Gives every lane its track; the width of each of the `count` gutters."""
        sides: dict[tuple[int, str], list[Lane]] = {}
        for lane in self.lanes.values():
            sides.setdefault((lane.gutter, lane.near), []).append(lane)
        widths = []
        for gutter in range(count):
            tracks = 0
            for near in ("left", "right"):
                group = sorted(sides.get((gutter, near), ()), key=lambda x: (x.high - x.low, x.low))
                tracks += _tracks(group, tracks, reverse=near == "right")
            widths.append(SPACING * (tracks + 1) if tracks else 0.0)
        return widths


def _tracks(lanes: Sequence[Lane], first: int, *, reverse: bool) -> int:
    """Colours the intervals, shortest first: the short ones lie inside. Returns how many tracks there are."""
    tracks: list[list[Lane]] = []
    for lane in lanes:
        room = next(
            (t for t in tracks if all(lane.low > other.high + 6 or lane.high < other.low - 6 for other in t)), None
        )
        if room is None:
            tracks.append(room := [])
        room.append(lane)
    for number, track in enumerate(reversed(tracks) if reverse else tracks):
        for lane in track:
            lane.track = first + number
    return len(tracks)
