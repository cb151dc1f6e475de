"""Lines between boxes: corners that are known before any x is, and the lanes of the gutters that they run in.

Gutter g is the strip left of column g; the last one is right of all columns. No box ever stands in a gutter.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

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

    def reach(self, y: float) -> None:
        self.low, self.high = min(self.low, y), max(self.high, y)


@dataclass(frozen=True, slots=True)
class Column:
    """An x that is `shift` right of the spine of column `number`."""

    number: int
    shift: float = 0.0


@dataclass(frozen=True, slots=True)
class Border:
    """The x of the frame's left border."""


X = Column | Lane | Border
Corner = tuple[X, float]


@dataclass(eq=False)
class Entry:
    """Where a line comes into a frame: at the bottom or the left border, and the wires that go on from there."""

    side: str  # "bottom" or "left"
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


@dataclass
class Gutters:
    """All lanes of a frame, and the heights at which horizontal lines run in each strip: gutter g is strip 2 g,
    column c strip 2 c + 1."""

    lanes: list[Lane] = field(default_factory=list)
    crossings: dict[int, dict[tuple[float, object], None]] = field(default_factory=dict)

    def lane(self, net: object, gutter: int, near: str, *heights: float) -> Lane:
        """The net's lane in that gutter, made or made longer."""
        for lane in self.lanes:
            if lane.net == net and lane.gutter == gutter:
                for y in heights:
                    lane.reach(y)
                return lane
        self.lanes.append(Lane(net, gutter, near, min(heights), max(heights)))
        return self.lanes[-1]

    def cross(self, strips: Iterable[int], y: float, net: object) -> None:
        for strip in strips:
            self.crossings.setdefault(strip, {})[y, net] = None

    def taken(self, strips: Iterable[int], net: object) -> list[Stretch]:
        """The heights at which the net may not cross the strips, because of others' lines there."""
        crossings = {crossing: None for strip in strips for crossing in self.crossings.get(strip, ())}
        return [(y - APART, y + APART) for y, other in crossings if other != net]

    def above(self, strips: Iterable[int], y: float, net: object) -> float:
        """The lowest height from `y` up at which the net may cross the strips."""
        return lowest(y, self.taken(strips, net))

    def settle(self, count: int) -> list[float]:
        """Gives every lane its track; the width of each of the `count` gutters."""
        widths = []
        for gutter in range(count):
            tracks = 0
            for near in ("left", "right"):
                group = sorted(
                    (x for x in self.lanes if x.gutter == gutter and x.near == near),
                    key=lambda x: (x.high - x.low, x.low),
                )
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
