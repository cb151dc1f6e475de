"""A figure drawn plainly: one block a row, on one spine, and every value that goes further than the next row in a lane
of its own at the right. Not pretty, but right by construction: rows, tracks and lanes are never shared."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from blockgraph.viz.drawing import Drawing, Line, Panel, Placed, Point, Words, trim
from blockgraph.viz.figure import Box, End, Frame, Link
from blockgraph.viz.lanes import SPACING
from blockgraph.viz.level import PADDING
from blockgraph.viz.measure import BESIDE, SMALL, beside_size, outside
from blockgraph.viz.place import box_size, exits, roomy, single
from blockgraph.viz.text import width

TRACK = 18.0  # between horizontal lines: words fit between them
Value = tuple[str, str]  # a box and its output
Above = tuple[tuple[Frame, str], ...]  # the frames around a frame, and the name of the next one in each


@dataclass(eq=False)
class Read:
    """A value that a row takes, at one or more places of its bottom edge."""

    value: Value
    label: str
    note: str
    ports: list[float] = field(default_factory=list)
    y: float = 0.0  # of its horizontal line below the row
    straight: bool = False  # from the row below


@dataclass(eq=False)
class Row:
    """One block with its place."""

    box: Box
    wide: float
    high: float
    reads: dict[Value, Read]
    count: int  # lines that it takes
    bottom: float = 0.0
    exits: dict[str, float] = field(default_factory=dict)  # output to its distance from the spine
    tracks: dict[str, float] = field(default_factory=dict)  # output to the height of its horizontal line
    words: list[Words] = field(default_factory=list)

    @property
    def top(self) -> float:
        return self.bottom + self.high

    @property
    def over(self) -> float:
        beside = self.box.face.beside
        return max(0.0, (beside_size(beside)[1] - self.high) / 2) if beside is not None else 0.0

    @property
    def left(self) -> float:
        beside = self.box.face.beside
        return self.wide / 2 + (BESIDE + beside_size(beside)[0] if beside is not None else 0.0)

    @property
    def right(self) -> float:
        return max([self.wide / 2, *(said.x + width(said.text, SMALL) + 2 for said in self.words)])


@dataclass(frozen=True)
class Rows:
    """All rows by their ids, what is said of values, and which ones go further than the next row."""

    of: dict[str, Row]
    labels: dict[Value, str]
    further: set[Value]


def plain(frame: Frame) -> Drawing:
    """The whole figure, one block a row."""
    rows = {row.box.id: row for row in _rows(frame, ())}
    _leave(rows)
    _straight(list(rows.values()))
    reads = [read for row in rows.values() for read in row.reads.values()]
    labels = {read.value: read.label for read in reads if read.label}
    further = {read.value for read in reads if not read.straight}
    drawn = Drawing()
    drawn.items, _, reach, _ = _stack(frame, Rows(rows, labels, further), 0.0)
    for row in rows.values():
        drawn.words += row.words
    drawn.lines += [line for row in rows.values() for line in _beside_line(row)]
    drawn.lines += trim(list(_lines(rows, _lanes(rows, reach))))
    return drawn


# -- what each row reads ----------------------------------------------------------------------------------------------


def _rows(frame: Frame, above: Above) -> Iterator[Row]:
    incoming: dict[str, list[Link]] = {}
    roomy(frame)
    for link in frame.links:
        incoming.setdefault(link.target.item or "", []).append(link)
    for key, item in frame.items.items():
        if isinstance(item, Frame):
            yield from _rows(item, (*above, (frame, key)))
            continue
        reads: dict[Value, Read] = {}
        count = 0
        for link in incoming.get(key, ()):
            for value, label, note in _origins(frame, link.source, above, link.label, link.note):
                reads.setdefault(value, Read(value, label, note)).ports.append(0.0)
                count += 1
        wide, high = box_size(item, count)
        yield Row(item, wide, high, reads, count)


def _origins(frame: Frame, end: End, above: Above, label: str, note: str) -> Iterator[tuple[Value, str, str]]:
    """The boxes' outputs that an end stands for, through frames, with the words on the way."""
    if end.item is None:
        if above:
            (outer, key), rest = above[-1], above[:-1]
            for link in outer.links:
                if link.target == End(key, end.port):
                    yield from _origins(outer, link.source, rest, label or link.label, note or link.note)
        return
    item = frame.items[end.item]
    if isinstance(item, Box):
        yield (item.id, end.port), label, note
        return
    for link in item.links:
        if link.target == End(None, end.port):
            yield from _origins(item, link.source, (*above, (frame, end.item)), label or link.label, note or link.note)


def _leave(rows: dict[str, Row]) -> None:
    """Where each row's outputs leave it."""
    used = {value for row in rows.values() for value in row.reads}
    for id, row in rows.items():
        row.exits = exits(row.wide / 2, [output for output in row.box.outputs if (id, output) in used])


def _straight(rows: list[Row]) -> None:
    """Which values go straight up to the next row, and where each line meets its row."""
    before: Row | None = None
    for row in rows:
        if before is not None and before.exits:
            read = row.reads.get((before.box.id, next(iter(before.exits))))
            if read is not None:
                read.straight = True
        _ports(row)
        before = row


def _ports(row: Row) -> None:
    """Equal parts of the bottom edge; the middle one for what comes straight up."""
    straight = next((read for read in row.reads.values() if read.straight), None)
    slots = row.count + (straight is not None and row.count % 2 == 0)
    places = [round((2 * number + 1 - slots) * row.wide / 2 / slots, 2) for number in range(slots)]
    if straight is not None:
        places.remove(0.0)
        places.sort(key=lambda x: (abs(x), -x))
    for read in sorted(row.reads.values(), key=lambda read: not read.straight):
        for number in range(len(read.ports)):
            read.ports[number] = 0.0 if read.straight and number == 0 else places.pop(0)


# -- heights ----------------------------------------------------------------------------------------------------------


def _stack(frame: Frame, rows: Rows, y: float) -> tuple[list[Placed | Panel], float, float, float]:
    """The frame's items from height `y` up; the height reached, and how far they reach to the right and left."""
    items: list[Placed | Panel] = []
    right = left = 0.0
    for item in frame.items.values():
        if isinstance(item, Box):
            row = rows.of[item.id]
            y = _set(row, rows, y)
            items += _placed(row)
            right, left = max(right, row.right), max(left, row.left)
            continue
        bare = not item.id or single(item)
        inside, top, its_right, its_left = _stack(item, rows, y if bare else y + PADDING)
        if bare or not inside:
            items += inside
        else:
            words = outside(item)
            top = max(top + PADDING, y + 11 * len(item.caption) + 24)
            its_right, its_left = its_right + PADDING, its_left + PADDING
            box = (-its_left, y, its_right, top)
            items.append(Panel(item.id, item.times, item.caption, box, -its_left - 6 - words / 2, tuple(inside)))
            its_left += 8 + words if words else 0.0
            top += PADDING / 2
        y, right, left = max(y, top), max(right, its_right), max(left, its_left)
    return items, y, right, left


def _set(row: Row, rows: Rows, y: float) -> float:
    """Sets a row from height `y` up, with the lines below and above it; the height reached."""
    for read in sorted(row.reads.values(), key=lambda read: not read.straight):
        if read.note or len(read.ports) > 1 or not read.straight:
            y += TRACK
            read.y = y
        if read.note:
            at = 7.0 if read.straight else row.wide / 2 + 6
            row.words.append(Words(read.note, at, y - TRACK / 2))
    row.bottom = y + TRACK / 2 + max(6.0, row.over)
    y = row.top + row.over
    for output, shift in reversed(row.exits.items()):
        label = rows.labels.get((row.box.id, output), "")
        if label or (row.box.id, output) in rows.further:
            y += TRACK
            row.tracks[output] = y
        if label:
            row.words.append(Words(label, shift + 7, y - TRACK / 2))
    return y + TRACK / 2


def _placed(row: Row) -> list[Placed | Panel]:
    middle = row.bottom + row.high / 2
    box = Placed(row.box.id, row.box.face, 0.0, middle, row.wide, row.high)
    if row.box.face.beside is None:
        return [box]
    wide, high = beside_size(row.box.face.beside)
    return [box, Placed(f"{box.id}.beside", row.box.face.beside, wide / 2 - row.left, middle, wide, high)]


def _beside_line(row: Row) -> Iterator[Line]:
    if row.box.face.beside is not None:
        middle, near = row.bottom + row.high / 2, -row.wide / 2
        yield Line(f"{row.box.id}.beside", row.box.id, ((near - BESIDE, middle), (near, middle)))


# -- lines ------------------------------------------------------------------------------------------------------------


def _lanes(rows: dict[str, Row], reach: float) -> dict[Value, float]:
    """The x of each value's lane, right of everything; a lane that is free again is used again."""
    ends: dict[Value, float] = {}
    for row in rows.values():
        for value, read in row.reads.items():
            if not read.straight:
                ends[value] = max(ends.get(value, 0.0), read.y)
    lanes: dict[Value, float] = {}
    free: list[float] = []  # the height from which each lane may be used
    for value in sorted(ends, key=lambda value: rows[value[0]].tracks[value[1]]):
        start = rows[value[0]].tracks[value[1]]
        number = next((n for n, height in enumerate(free) if height < start - 4), len(free))
        free[number : number + 1] = [ends[value]]
        lanes[value] = reach + SPACING * (number + 1.5)
    return lanes


def _lines(rows: dict[str, Row], lanes: dict[Value, float]) -> Iterator[Line]:
    for row in rows.values():
        for value, read in row.reads.items():
            source = rows[value[0]]
            start = source.exits[value[1]]
            for port in read.ports:
                yield Line(value[0], row.box.id, tuple(_way(source, row, read, start, port, lanes)), value[1])


def _way(source: Row, row: Row, read: Read, start: float, port: float, lanes: dict[Value, float]) -> list[Point]:
    """Straight up; or up, out into the lane, and back in below the target."""
    end = (port, row.bottom)
    if row.box.face.shape == "circle":
        end = (port, round(row.bottom + row.wide / 2 - (row.wide**2 / 4 - port**2) ** 0.5, 2))
    if read.straight and port == start:
        return [(start, source.top), end]
    if read.straight:
        return [(start, source.top), (start, read.y), (port, read.y), end]
    lane, track = lanes[read.value], source.tracks[read.value[1]]
    return [(start, source.top), (start, track), (lane, track), (lane, read.y), (port, read.y), end]
