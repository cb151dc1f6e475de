"""Setting a frame's items one above the other, with the lines between them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from blockgraph.viz.columns import START, Columns
from blockgraph.viz.figure import Box
from blockgraph.viz.lanes import APART, Border, Column, Corner, Entry, Gutters, Stretch, Wire, X, lowest
from blockgraph.viz.level import GAP, LABELLED, PADDING, Level, Net, Nets, Spot
from blockgraph.viz.measure import SMALL
from blockgraph.viz.straighten import straighten
from blockgraph.viz.text import width


@dataclass(eq=False)
class Stack:
    """Sets the items and lines of one level."""

    level: Level
    stacks: Columns
    mirrored: bool
    gutters: Gutters = field(default_factory=Gutters)
    skyline: list[float] = field(default_factory=list)
    taps: dict[object, float] = field(default_factory=dict)
    highways: dict[tuple[object, int], float] = field(default_factory=dict)

    readers: Counter[Net] = field(default_factory=Counter)
    placed: dict[int, list[Spot]] = field(default_factory=dict)  # the items that stand already, by column
    into: dict[str | None, list[Wire]] = field(default_factory=dict)  # the wires by target
    out_of: dict[str | None, list[Wire]] = field(default_factory=dict)  # the wires by source

    def run(self) -> None:
        self.order = {key: number for number, key in enumerate(self.level.spots)}
        self.readers.update(wire.source for wire in self.level.wires)
        for wire in self.level.wires:
            self.into.setdefault(wire.target[0], []).append(wire)
            self.out_of.setdefault(wire.source[0], []).append(wire)
        low = -GAP if self.level.bare else PADDING - GAP
        self.skyline = [low] * len(self.stacks.stacks)
        if START in self.stacks.of:
            self._tap(START, 0.0)
        for spot in self.level.spots.values():
            self._lift(spot)
            self._set(spot)
        self._exits()
        straighten(self)

    def _lift(self, spot: Spot) -> None:
        """What reads nothing (a parameter) begins its column just below where it is needed; inputs end level with one
        another."""
        if _is_input(spot):
            tallest = max(other.height for other in self.level.spots.values() if _is_input(other))
            self.skyline[spot.column] = max(self.skyline[spot.column], tallest - spot.height - GAP)
        elif isinstance(spot.item, Box) and not spot.item.ports:
            reader = next((w.target[0] for w in self.out_of.get(spot.key, ())), None)
            while reader is not None and self.stacks.of[reader] == spot.column:
                reader = next((w.target[0] for w in self.out_of.get(reader, ())), None)
            if reader is not None:
                lift = self.skyline[self.stacks.of[reader]] - spot.height - GAP
                self.skyline[spot.column] = max(self.skyline[spot.column], lift)

    def _net_top(self, source: Net) -> float:
        return self.level.spots[source[0]].top if source[0] is not None else 0.0

    def _column(self, source: Net) -> int:
        return self.level.spots[source[0]].column if source[0] is not None else 0

    def _start(self, source: Net) -> Column:
        shift = self.level.spots[source[0]].exits.get(source[1], 0.0) if source[0] is not None else 0.0
        return Column(self._column(source), shift)

    def _straight(self, wire: Wire) -> bool:
        """Up the spine, from the item right below."""
        return wire.arrival == "own" and self._start(wire.source).shift == wire.shift

    def _leap(self, wire: Wire) -> bool:
        """Up its own column, then sideways into the target: from the top of the column beside it."""
        source, target = wire.source[0], wire.target[0]
        if (
            source is None
            or target is None
            or wire.side not in ("left", "right")
            or wire.entry is not None
            or wire.arrival == "own"
        ):
            return False
        alone = self.readers[wire.source] == 1
        near = abs(self.stacks.of[source] - self.stacks.of[target]) == 1
        return alone and near and self._clear_above(source, target)

    def _tap(self, key: str, top: float) -> None:
        """Sets the lines right above an item: one for each of its outputs that does not only go straight up."""
        item = None if key == START else key
        nets: Nets = {}
        for wire in self.out_of.get(item, ()):
            if not (item is None and wire.source[1] != self.level.frame.spine):
                nets.setdefault(wire.source, []).append(wire)
        column = self.stacks.of[key]
        for net, wires in self._ordered(nets):
            if not all(self._straight(w) or self._leap(w) or self._passes(w) for w in wires):
                around = [2 * column, 2 * column + 1, 2 * column + 2]
                room = max([GAP, *(self._room(w) - 4 for w in wires if self._straight(w) and w.label)])
                y = self.gutters.above(around, max(self.skyline[column], top) + room, net)
                turns = [self._first_gutter(wire) for wire in wires]
                self.gutters.cross([2 * column + 1, *(2 * gutter for gutter in turns if gutter is not None)], y, net)
                self.taps[net] = self.skyline[column] = y
                if any(w.note for w in wires):
                    self.skyline[column] += 8

    def _ordered(self, nets: Nets) -> list[tuple[Net, list[Wire]]]:
        """From the left; but a line that turns up again where another one starts must turn above that one."""
        waiting = sorted(nets.items(), key=lambda pair: self._start(pair[0]).shift)
        ordered: list[tuple[Net, list[Wire]]] = []
        while waiting:
            starts = {net: self._start(net).shift for net, _ in waiting}
            clear = (pair for pair in waiting if not any(self._lands(wire, starts) for wire in pair[1]))
            ordered.append(next(clear, waiting[0]))
            waiting.remove(ordered[-1])
        return ordered

    def _lands(self, wire: Wire, starts: Mapping[Net, float]) -> bool:
        return wire.arrival == "own" and any(abs(x - wire.shift) < 4 for net, x in starts.items() if net != wire.source)

    def _passes(self, wire: Wire) -> bool:
        """Straight up to the frame's top."""
        source = wire.source[0] or (START if wire.source[1] == self.level.frame.spine else "")
        return wire.target[0] is None and source in self.stacks.of and source not in self.stacks.above

    def _first_gutter(self, wire: Wire) -> int | None:
        """The gutter that a wire turns into above its source; None where it stays within the column."""
        if wire.arrival == "own" or self._passes(wire):
            return None
        column = self._column(wire.source)
        if wire.target[0] is None:
            return column + 1 if self.mirrored else column
        goal = self.last_gutter(wire)
        return column + 1 if goal > column else column

    def last_gutter(self, wire: Wire) -> int:
        """The gutter that a wire comes out of to its target."""
        assert wire.target[0] is not None
        column = self.level.spots[wire.target[0]].column
        return column + 1 if wire.arrival in ("right", "right border") else column

    def _set(self, spot: Spot) -> None:
        """Sets one item, with the lines that come in below it and beside it."""
        wires = self.into.get(spot.key, [])
        for wire in wires:
            self._highway(wire)
        low = self._lines_below(spot, wires)
        bottom = max([low + max(GAP, spot.over + 6), *(self._least(spot, wire) for wire in wires)])
        bottom = lowest(bottom, [stretch for wire in wires for stretch in self._taken_beside(spot, wire)])
        spot.bottom = bottom
        self.placed.setdefault(spot.column, []).append(spot)
        for wire in wires:
            self._draw(wire, spot)
        self.skyline[spot.column] = spot.top + max(0.0, spot.over - 6)
        self._tap(spot.key, spot.top)

    def _lines_below(self, spot: Spot, wires: list[Wire]) -> float:
        """Sets the lines to the item's bottom that come from other columns or round this one; the height of the
        highest."""
        y = self.skyline[spot.column]
        lines: dict[object, float] = {}
        for wire in wires:
            if wire.side == "bottom" and wire.arrival != "own":
                if wire.source not in lines:
                    strips = [2 * self.last_gutter(wire), 2 * spot.column + 1]
                    least = max(y + GAP, self._arrives(wire))
                    y = lines[wire.source] = self.gutters.above(strips, least, wire.source)
                    self.gutters.cross(strips, y, wire.source)
                wire.height = lines[wire.source]
        self.skyline[spot.column] = y
        return y

    def _arrives(self, wire: Wire) -> float:
        """The line below a first item of a column is level with its source's own, where it can be."""
        return self.taps.get(wire.source, 0.0) if isinstance(self.level.spots[wire.target[0] or ""].item, Box) else 0.0

    def _least(self, spot: Spot, wire: Wire) -> float:
        """The lowest bottom that a wire allows: data flows upward, and a shape needs room beside its line."""
        if self._straight(wire):
            room = self._room(wire) if wire.label or wire.note else GAP
            return self.taps[wire.source] + GAP if wire.source in self.taps else self._net_top(wire.source) + room
        if wire.source in self.taps and wire.arrival == "own":
            return self.taps[wire.source] + GAP
        main = isinstance(spot.item, Box)
        if main and wire.source[0] is not None:
            leap = GAP + self.level.spots[wire.source[0]].over if self._leap(wire) else 0.0
            above = self.taps.get(wire.source, self._net_top(wire.source) + leap)
            return above - (wire.height if wire.side != "bottom" else -GAP)
        return 0.0

    def _room(self, wire: Wire) -> float:
        """The length that a line needs for the words beside it."""
        text = " · ".join(said for said in (wire.label, wire.note) if said)
        return LABELLED if not self.level.frame.turned else max(LABELLED, width(text, SMALL) + 16)

    def _taken_beside(self, spot: Spot, wire: Wire) -> list[Stretch]:
        """Where the item's bottom may not be, lest a line to its side lies on another one."""
        if wire.side == "bottom" or self._straight(wire):
            return []
        taken = self.gutters.taken(self._beside(wire), wire.source, self.skyline[spot.column] + wire.height)
        return [(low - wire.height, high - wire.height) for low, high in taken]

    def _beside(self, wire: Wire) -> list[int]:
        """The strips that a line to the item's side crosses at its height."""
        over = [2 * self._column(wire.source) + 1] if self._leap(wire) else []
        return [2 * self.last_gutter(wire), *over]

    # lines

    def _highway(self, wire: Wire) -> None:
        """Sets the line over the columns between a source's gutter and its target's, where these are not the same."""
        if wire.arrival in ("own", "border", "right border") or self._leap(wire):
            return
        first, last = self._first_gutter(wire), self.last_gutter(wire)
        if first is None or first == last or (wire.source, last) in self.highways:
            return
        low, high, own = min(first, last), max(first, last), self._column(wire.source)
        strips = [*range(2 * low, 2 * high + 1), *([2 * own + 1] if self._rises(wire) else [])]
        least = self.taps[wire.source]
        y = self.gutters.above(strips, least, wire.source, self.boxes(range(low, high), least))
        self.gutters.cross(strips, y, wire.source)
        for column in (*range(low, high), *([own] if self._rises(wire) else [])):
            self.skyline[column] = max(self.skyline[column], y)
        self.highways[wire.source, last] = y

    def _rises(self, wire: Wire) -> bool:
        """Whether a line goes straight up from the top of its column to the line over the others."""
        source, target = wire.source[0], wire.target[0]
        return source is not None and self.readers[wire.source] == 1 and self._clear_above(source, target)

    def _clear_above(self, source: str, target: str | None) -> bool:
        """Whether nothing stands above an item when the other one is set, and what comes there later does not read
        it."""
        above = self.stacks.above.get(source)
        if above is None or target is None:
            return above is None
        return self.order[above] > self.order[target] and all(w.source[0] != source for w in self.into.get(above, ()))

    def boxes(self, columns: Collection[int], y: float) -> list[Stretch]:
        """The heights from `y` up at which blocks stand in the columns already."""
        spots = (spot for number in columns for spot in self.placed.get(number, ()))
        return [(spot.bottom - spot.over - APART, top) for spot in spots if (top := spot.top + spot.over + APART) > y]

    def _draw(self, wire: Wire, spot: Spot) -> None:
        """The wire's corners, now that its target stands."""
        column = Column(spot.column, wire.shift)
        if wire.side == "bottom":
            end: list[Corner] = [(column, wire.height), (column, spot.bottom)]
        else:
            wire.height += spot.bottom
            end = [(column, wire.height)]
            self.gutters.cross(self._beside(wire), wire.height, wire.source)
        start = self._start(wire.source)
        top = self._net_top(wire.source)
        if self._straight(wire):
            wire.corners = [(start, top), (column, spot.bottom)]
        elif wire.arrival == "own":
            tap = self.taps[wire.source]
            wire.corners = [(start, top), (start, tap), (column, tap), end[-1]]
        elif self._leap(wire):
            wire.corners = [(start, top), (start, wire.height), *end]
            self.skyline[start.number] = max(self.skyline[start.number], wire.height)
        elif wire.arrival in ("border", "right border"):
            self._enter(wire, end)
        else:
            wire.corners = [(start, top), *self._along(wire), *end]

    def _along(self, wire: Wire) -> list[Corner]:
        """From the tap through one gutter, or over a highway through two."""
        start, tap = self._start(wire.source), self.taps[wire.source]
        first, last = self._first_gutter(wire), self.last_gutter(wire)
        assert first is not None
        over = self.highways.get((wire.source, last), tap)
        far = self.gutters.lane(wire.source, last, self._near(wire, last), over, wire.height)
        if first == last:
            return [(start, tap), (far, tap), (far, wire.height)]
        if self._rises(wire):
            return [(start, over), (far, over), (far, wire.height)]
        lane = self.gutters.lane(wire.source, first, self._near(wire, first), tap, over)
        return [(start, tap), (lane, tap), (lane, over), (far, over), (far, wire.height)]

    def _near(self, wire: Wire, gutter: int) -> str:
        """A residual keeps close to its column, a line between columns to where it goes."""
        target = self.level.spots[wire.target[0]].column if wire.target[0] is not None else self._column(wire.source)
        return "right" if gutter == target else "left"

    def _enter(self, wire: Wire, end: list[Corner]) -> None:
        """A second input of the frame: from a border into the first column, from the bottom into the others."""
        spot = self.level.spots[wire.target[0] or ""]
        if spot.column == 0:
            side = "right" if wire.arrival == "right border" else "left"
            entry = self._entry(wire.source[1], side, Border(side == "right"), wire.height)
            wire.corners = [(entry.x, entry.y), *end]
        else:
            lane = self.gutters.lane(wire.source, spot.column, "right", 0.0, wire.height)
            entry = self._entry(wire.source[1], "bottom", lane, 0.0)
            wire.corners = [(lane, 0.0), (lane, wire.height), *end]
        entry.wires.append(wire)

    def _entry(self, port: str, side: str, x: X, y: float) -> Entry:
        entries = self.level.entries.setdefault(port, [])
        for entry in entries:
            if (entry.side, entry.x, entry.y) == (side, x, y):
                return entry
        entries.append(Entry(side, x, y))
        return entries[-1]

    def _exits(self) -> None:
        """The frame's height, its outputs at the top, and the main input's entry at the bottom."""
        level = self.level
        highest = max([*self.skyline, *self.taps.values()], default=0.0)
        level.height = highest + (0.0 if level.bare else PADDING)
        for wire in level.wires:
            if wire.target[0] is None:
                self._leave(wire)
            if wire.source[0] is None and wire.source[1] == level.frame.spine:
                self._entry(wire.source[1], "bottom", Column(0), 0.0).wires.append(wire)

    def _leave(self, wire: Wire) -> None:
        start, top, height = self._start(wire.source), self._net_top(wire.source), self.level.height
        if self._passes(wire):
            wire.corners = [(start, top), (start, height)]
            self.level.exits.setdefault(wire.target[1], start)
            return
        if wire.source[0] is None and wire.source not in self.taps:
            lane = self.gutters.lane(wire.source, 0, "right", 0.0, height)
            wire.corners = [(lane, 0.0), (lane, height)]
            self._entry(wire.source[1], "bottom", lane, 0.0).wires.append(wire)
        else:
            gutter = self._first_gutter(wire) or 0
            tap = self.taps[wire.source]
            lane = self.gutters.lane(wire.source, gutter, self._near(wire, gutter), tap, height)
            wire.corners = [(start, top), (start, tap), (lane, tap), (lane, height)]
        self.level.exits.setdefault(wire.target[1], lane)


def _is_input(spot: Spot) -> bool:
    """Whether it is the words of one of the model's inputs."""
    return isinstance(spot.item, Box) and not spot.item.ports and spot.item.face.shape == "text"
