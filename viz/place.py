"""Where everything stands: each frame is laid out by itself, bottom up, then its frames' insides are put into place.

A frame's items are set one by one, in order of execution, each above all that its column holds so far; horizontal lines
are set the same way. So nothing ever lies below what was set before it, and no line can run through a box: verticals
run on a column's spine between neighbours, or in the gutters. Lengths are points, y goes up, x = 0 is the spine of the
frame's first column, y = 0 its bottom border.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from blockgraph.viz.arrange import arrange
from blockgraph.viz.columns import START, Columns, columns
from blockgraph.viz.faces import Face
from blockgraph.viz.figure import Box, Frame, Item
from blockgraph.viz.lanes import Border, Column, Entry, Gutters, Lane, Wire, X
from blockgraph.viz.measure import BESIDE, SMALL, beside_size, outside, size
from blockgraph.viz.text import width

GAP = 12.0  # between a block and what is next above it
LABELLED = 28.0  # the same where a shape stands beside the line
PADDING = 12.0  # from a frame's border to what is in it
BETWEEN = 16.0  # between columns without lines
OUTPUTS = 24.0  # between several outputs of one block


@dataclass(eq=False)
class Spot:
    """An item in its frame. `left` and `right` are its reach from the spine, with what stands beside it; `half` is half
    the width of the block itself."""

    key: str
    item: Item
    column: int
    height: float
    left: float
    right: float
    half: float
    exits: dict[str, float]
    inside: Level | None = None
    bottom: float = 0.0
    beside: tuple[Face, float, float, float] | None = None  # face, centre's shift from the spine, width, height
    outside: float = 0.0  # centre's shift of the words outside a frame
    set: bool = False  # whether `bottom` is known
    over: float = 0.0  # how far what stands beside it reaches above and below it

    @property
    def top(self) -> float:
        return self.bottom + self.height


@dataclass(eq=False)
class Level:
    """A frame laid out."""

    frame: Frame
    bare: bool  # no border
    spots: dict[str, Spot] = field(default_factory=dict)
    wires: list[Wire] = field(default_factory=list)
    entries: dict[str, list[Entry]] = field(default_factory=dict)
    exits: dict[str, X] = field(default_factory=dict)
    columns: list[float] = field(default_factory=list)  # x of each spine
    gutters: list[float] = field(default_factory=list)  # x of each gutter's left edge
    height: float = 0.0
    left: float = 0.0
    right: float = 0.0

    def x(self, x: X) -> float:
        match x:
            case Column(number, shift):
                return self.columns[number] + shift
            case Lane():
                return self.gutters[x.gutter] + 12.0 * (x.track + 1)
            case Border():
                return -self.left


def layout(frame: Frame) -> Level:
    """The whole frame, all the way in."""
    insides = {key: layout(item) for key, item in frame.items.items() if isinstance(item, Frame)}
    stacks = columns(frame)
    level = Level(frame, bare=not frame.id or _single(frame))
    mirrored = arrange_side(frame, stacks)
    for key, item in frame.items.items():
        level.spots[key] = _spot(key, item, insides.get(key), stacks, mirrored)
    level.wires = arrange(level, stacks, mirrored)
    stack = Stack(level, stacks, mirrored)
    stack.run()
    _settle(level, stacks, stack.gutters)
    return level


def _single(frame: Frame) -> bool:
    """A block that only wraps one other needs no border of its own."""
    return len(frame.items) == 1 and not frame.times and not frame.caption[1:]


def arrange_side(frame: Frame, stacks: Columns) -> bool:
    """Whether residuals go round the right side: they do where second inputs come in from the left."""
    ports = set(frame.ports) - {frame.spine}
    return any(x.source.item is None and x.source.port in ports and stacks.of.get(x.target.item or "") == 0 for x in frame.links)


# -- one item ---------------------------------------------------------------------------------------------------------


def _spot(key: str, item: Item, inside: Level | None, stacks: Columns, mirrored: bool) -> Spot:
    column = stacks.of[key]
    if isinstance(item, Box):
        return _box_spot(key, item, column, mirrored)
    assert inside is not None
    exits = {output: inside.x(x) for output, x in inside.exits.items()}
    spot = Spot(key, item, column, inside.height, inside.left, inside.right, 0.0, exits, inside)
    words = 0.0 if inside.bare else outside(item)
    if words:
        from_left = any(entry.side == "left" for entries in inside.entries.values() for entry in entries)
        if from_left or column > 0:
            spot.outside, spot.right = inside.right + 6 + words / 2, inside.right + 8 + words
        else:
            spot.outside, spot.left = -(inside.left + 6 + words / 2), inside.left + 8 + words
    return spot


def _box_spot(key: str, box: Box, column: int, mirrored: bool) -> Spot:
    wide, high = size(box.face)
    exits = {output: OUTPUTS * number for number, output in enumerate(box.outputs)}
    spot = Spot(key, box, column, high, wide / 2, wide / 2, wide / 2, exits)
    if box.face.beside is not None:
        beside_wide, beside_high = beside_size(box.face.beside)
        left = box.face.shape == "circle" or mirrored
        reach = wide / 2 + BESIDE + beside_wide
        spot.over = max(0.0, (beside_high - high) / 2)
        spot.left, spot.right = (reach, wide / 2) if left else (wide / 2, reach)
        spot.beside = (box.face.beside, (beside_wide / 2 - reach) if left else reach - beside_wide / 2, beside_wide, beside_high)
    return spot


# -- setting items one above the other --------------------------------------------------------------------------------


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

    def run(self) -> None:
        low = -GAP if self.level.bare else PADDING - GAP
        self.skyline = [low] * len(self.stacks.stacks)
        if START in self.stacks.of:
            self._tap(START, 0.0)
        for spot in self.level.spots.values():
            self._lift(spot)
            self._set(spot)
        self._exits()

    def _lift(self, spot: Spot) -> None:
        """What reads nothing (a parameter) begins its column just below where it is needed."""
        if isinstance(spot.item, Box) and not spot.item.ports and spot.item.face.shape != "text":
            reader = next((w.target[0] for w in self.level.wires if w.source[0] == spot.key), None)
            while reader is not None and self.stacks.of[reader] == spot.column:
                reader = next((w.target[0] for w in self.level.wires if w.source[0] == reader), None)
            if reader is not None:
                lift = self.skyline[self.stacks.of[reader]] - spot.height - GAP
                self.skyline[spot.column] = max(self.skyline[spot.column], lift)

    # a net is a source: an item (or START, or a second input of the frame) and its output

    def _net_top(self, source: tuple[str | None, str]) -> float:
        return self.level.spots[source[0]].top if source[0] is not None else 0.0

    def _column(self, source: tuple[str | None, str]) -> int:
        return self.level.spots[source[0]].column if source[0] is not None else 0

    def _start(self, source: tuple[str | None, str]) -> Column:
        shift = self.level.spots[source[0]].exits.get(source[1], 0.0) if source[0] is not None else 0.0
        return Column(self._column(source), shift)

    def _straight(self, wire: Wire) -> bool:
        """Up the spine, from the item right below."""
        return wire.arrival == "own" and self._start(wire.source).shift == wire.shift

    def _leap(self, wire: Wire) -> bool:
        """Up its own column, then sideways into the target: from the top of the column beside it."""
        source, target = wire.source[0], wire.target[0]
        if source is None or target is None or wire.side not in ("left", "right") or wire.entry is not None or wire.arrival == "own":
            return False
        alone = sum(other.source == wire.source for other in self.level.wires) == 1
        near = abs(self.stacks.of[source] - self.stacks.of[target]) == 1
        return alone and near and source not in self.stacks.above

    def _tap(self, key: str, top: float) -> None:
        """Sets the lines right above an item: one for each of its outputs that does not only go straight up."""
        item = None if key == START else key
        nets: dict[tuple[str | None, str], list[Wire]] = {}
        for wire in self.level.wires:
            if wire.source[0] == item and not (item is None and wire.source[1] != self.level.frame.spine):
                nets.setdefault(wire.source, []).append(wire)
        column = self.stacks.of[key]
        for net, wires in sorted(nets.items(), key=lambda pair: -self._start(pair[0]).shift):
            if not all(self._straight(w) or self._leap(w) or self._passes(w) for w in wires):
                beside = [column, column + 1]
                room = LABELLED - 4 if any(self._straight(w) and w.label for w in wires) else GAP
                y = self.gutters.above(beside, max(self.skyline[column], top) + room, net)
                self.gutters.cross([g for w in wires for g in [self._first_gutter(w)] if g is not None], y, net)
                self.taps[net] = self.skyline[column] = y
                if any(w.note for w in wires):
                    self.skyline[column] += 8

    def _passes(self, wire: Wire) -> bool:
        """Straight up to the frame's top."""
        source = wire.source[0] or START
        return wire.target[0] is None and self._start(wire.source).number == self.stacks.of.get(source) and source not in self.stacks.above

    def _first_gutter(self, wire: Wire) -> int | None:
        """The gutter that a wire turns into above its source; None where it stays within the column."""
        if wire.arrival == "own" or self._passes(wire):
            return None
        column = self._column(wire.source)
        if wire.target[0] is None:
            return column + 1 if self.mirrored else column
        goal = self._last_gutter(wire)
        return column + 1 if goal > column else column

    def _last_gutter(self, wire: Wire) -> int:
        """The gutter that a wire comes out of to its target."""
        assert wire.target[0] is not None
        column = self.level.spots[wire.target[0]].column
        return column + 1 if wire.arrival == "right" else column

    def _set(self, spot: Spot) -> None:
        """Sets one item, with the lines that come in below it and beside it."""
        wires = [wire for wire in self.level.wires if wire.target[0] == spot.key]
        for wire in wires:
            self._highway(wire)
        low = self._lines_below(spot, wires)
        bottom = max([low + max(GAP, spot.over + 6), *(self._least(spot, wire) for wire in wires)])
        while not all(self._free_beside(wire, bottom) for wire in wires):
            bottom += 4
        spot.bottom, spot.set = bottom, True
        for wire in wires:
            self._draw(wire, spot)
        self.skyline[spot.column] = spot.top + max(0.0, spot.over - 6)
        self._tap(spot.key, spot.top)

    def _lines_below(self, spot: Spot, wires: list[Wire]) -> float:
        """Sets the lines to the item's bottom that come from other columns or round this one; the height of the highest."""
        y = self.skyline[spot.column]
        lines: dict[object, float] = {}
        for wire in wires:
            if wire.side == "bottom" and wire.arrival != "own":
                if wire.source not in lines:
                    strips = [2 * self._last_gutter(wire), 2 * spot.column + 1]
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
            room = LABELLED if wire.label or wire.note else GAP
            return self.taps[wire.source] + GAP if wire.source in self.taps else self._net_top(wire.source) + room
        if wire.source in self.taps and wire.arrival == "own":
            return self.taps[wire.source] + GAP
        main = isinstance(spot.item, Box)
        if main and wire.source[0] is not None:
            above = self.taps.get(wire.source, self._net_top(wire.source) + (GAP if self._leap(wire) else 0.0))
            return above - (wire.height if wire.side != "bottom" else -GAP)
        return 0.0

    def _free_beside(self, wire: Wire, bottom: float) -> bool:
        if wire.side == "bottom" or self._straight(wire):
            return True
        return self.gutters.free([2 * self._last_gutter(wire)], bottom + wire.height, wire.source)

    # lines

    def _highway(self, wire: Wire) -> None:
        """Sets the line over the columns between a source's gutter and its target's, where these are not the same."""
        if wire.arrival in ("own", "border") or wire.source[0] is None or self._leap(wire):
            return
        first, last = self._first_gutter(wire), self._last_gutter(wire)
        if first is None or first == last or (wire.source, last) in self.highways:
            return
        low, high = min(first, last), max(first, last)
        y, strips = self.taps[wire.source], range(2 * low, 2 * high + 1)
        while not (self.gutters.free(strips, y, wire.source) and self._open(range(low, high), y)):
            y += 4
        self.gutters.cross(strips, y, wire.source)
        for column in range(low, high):
            self.skyline[column] = max(self.skyline[column], y)
        self.highways[wire.source, last] = y

    def _open(self, columns: range, y: float) -> bool:
        """Whether no block that stands already is near height `y` in the columns."""
        spots = (spot for spot in self.level.spots.values() if spot.column in columns and spot.set)
        return all(y < spot.bottom - spot.over - 8 or y > spot.top + spot.over + 8 for spot in spots)

    def _draw(self, wire: Wire, spot: Spot) -> None:
        """The wire's corners, now that its target stands."""
        column = Column(spot.column, wire.shift)
        if wire.side == "bottom":
            end = [(column, wire.height), (column, spot.bottom)]
        else:
            wire.height += spot.bottom
            end = [(column, wire.height)]
            self.gutters.cross([2 * self._last_gutter(wire)], wire.height, wire.source)
        start = self._start(wire.source)
        top = self._net_top(wire.source)
        if self._straight(wire):
            wire.corners = [(start, top), (column, spot.bottom)]
        elif wire.arrival == "own":
            tap = self.taps[wire.source]
            wire.corners = [(start, top), (start, tap), (column, tap), end[-1]]
        elif self._leap(wire):
            wire.corners = [(start, top), (start, wire.height), *end]
        elif wire.arrival == "border":
            self._enter(wire, end)
        else:
            wire.corners = [(start, top), *self._along(wire), *end]

    def _along(self, wire: Wire) -> list[tuple[X, float]]:
        """From the tap through one gutter, or over a highway through two."""
        start, tap = self._start(wire.source), self.taps[wire.source]
        first, last = self._first_gutter(wire), self._last_gutter(wire)
        assert first is not None
        over = self.highways.get((wire.source, last), tap)
        far = self.gutters.lane(wire.source, last, self._near(wire, last), over, wire.height)
        if first == last:
            return [(start, tap), (far, tap), (far, wire.height)]
        lane = self.gutters.lane(wire.source, first, self._near(wire, first), tap, over)
        return [(start, tap), (lane, tap), (lane, over), (far, over), (far, wire.height)]

    def _near(self, wire: Wire, gutter: int) -> str:
        """A residual keeps close to its column, a line between columns to where it goes."""
        target = self.level.spots[wire.target[0]].column if wire.target[0] is not None else self._column(wire.source)
        return "right" if gutter == target else "left"

    def _enter(self, wire: Wire, end: list[tuple[X, float]]) -> None:
        """A second input of the frame: from the left border into the first column, from the bottom into the others."""
        spot = self.level.spots[wire.target[0] or ""]
        if spot.column == 0:
            entry = self._entry(wire.source[1], "left", Border(), wire.height)
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


# -- x ----------------------------------------------------------------------------------------------------------------


def _settle(level: Level, stacks: Columns, gutters: Gutters) -> None:
    """Every x: columns as wide as what stands in them, gutters as wide as their lanes need."""
    count = len(stacks.stacks)
    lefts, rights = [0.0] * count, [0.0] * count
    for spot in level.spots.values():
        lefts[spot.column] = max(lefts[spot.column], spot.left)
        rights[spot.column] = max(rights[spot.column], spot.right)
    for wire in level.wires:
        if wire.label and wire.corners and isinstance(wire.corners[0][0], Column):
            column = wire.corners[0][0]
            rights[column.number] = max(rights[column.number], column.shift + 10 + width(wire.label, SMALL))
    widths = gutters.settle(count + 1)
    x = 0.0
    for number in range(count + 1):
        edge = number in (0, count)
        widths[number] = widths[number] or (0.0 if level.bare and edge else PADDING if edge else BETWEEN)
        level.gutters.append(x)
        x += widths[number]
        if number < count:
            level.columns.append(x + lefts[number])
            x += lefts[number] + rights[number]
    spine = level.columns[0] if level.columns else 0.0
    level.columns = [c - spine for c in level.columns]
    level.gutters = [g - spine for g in level.gutters]
    level.left, level.right = spine, x - spine
