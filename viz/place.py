"""Where everything stands: each frame is laid out by itself, bottom up, then its frames' insides are put into place.

A frame's items are set one by one, in order of execution, each above all that its column holds so far; horizontal lines
are set the same way. So nothing ever lies below what was set before it, and no line can run through a box: verticals
run on a column's spine between neighbours, or in the gutters. Lengths are points, y goes up, x = 0 is the spine of the
frame's first column, y = 0 its bottom border.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from blockgraph.viz.arrange import arrange
from blockgraph.viz.columns import Columns, columns
from blockgraph.viz.compact import compact
from blockgraph.viz.figure import Box, End, Frame, Item
from blockgraph.viz.lanes import Column, Gutters
from blockgraph.viz.level import PADDING, Level, Spot
from blockgraph.viz.measure import BESIDE, SMALL, beside_size, even, outside, size
from blockgraph.viz.stack import Stack
from blockgraph.viz.text import width

BETWEEN = 16.0  # between columns without lines
OUTPUTS = 24.0  # between several outputs of one block


def layout(frame: Frame) -> Level:
    """The whole frame, all the way in."""
    roomy(frame)
    lines, used = Counter(link.target.item for link in frame.links), {link.source for link in frame.links}
    insides = {key: layout(item) for key, item in frame.items.items() if isinstance(item, Frame)}
    stacks = columns(frame)
    level = Level(frame, bare=not frame.id or single(frame))
    mirrored = _mirrored(frame, stacks)
    for key, item in frame.items.items():
        level.spots[key] = _spot(key, item, insides.get(key), stacks, mirrored, lines[key])
        if isinstance(item, Box):
            level.spots[key].exits = exits(level.spots[key].half, [x for x in item.outputs if End(key, x) in used])
    level.wires = arrange(level, stacks, mirrored)
    stack = Stack(level, stacks, mirrored)
    stack.run()
    _settle(level, stacks, stack.gutters)
    compact(level)
    return level


def roomy(frame: Frame) -> None:
    """A sign in a circle has room for four lines; where more come in, it stands in a box."""
    lines = Counter(link.target.item for link in frame.links)
    for key, item in frame.items.items():
        if isinstance(item, Box) and item.face.shape == "circle" and lines[key] > 4:
            item.face = replace(item.face, shape="box")


def single(frame: Frame) -> bool:
    """A block that only wraps one other needs no border of its own."""
    return len(frame.items) == 1 and not frame.times and not frame.caption[1:]


def _mirrored(frame: Frame, stacks: Columns) -> bool:
    """Whether residuals go round the right side: they do where second inputs come in from the left."""
    ports = set(frame.ports) - {frame.spine, *frame.right}
    return any(
        x.source.item is None and x.source.port in ports and stacks.of.get(x.target.item or "") == 0
        for x in frame.links
    )


# -- one item ---------------------------------------------------------------------------------------------------------


def _spot(key: str, item: Item, inside: Level | None, stacks: Columns, mirrored: bool, lines: int) -> Spot:
    column = stacks.of[key]
    if isinstance(item, Box):
        return _box_spot(key, item, column, mirrored, lines)
    assert inside is not None
    leave = {output: inside.x(x) for output, x in inside.exits.items()}
    spot = Spot(key, item, column, inside.height, inside.left, inside.right, 0.0, leave, inside)
    words = 0.0 if inside.bare else outside(item)
    if words:
        from_left = any(entry.side == "left" for entries in inside.entries.values() for entry in entries)
        if from_left or column > 0:
            spot.outside, spot.right = inside.right + 6 + words / 2, inside.right + 8 + words
        else:
            spot.outside, spot.left = -(inside.left + 6 + words / 2), inside.left + 8 + words
    return spot


def box_size(box: Box, lines: int) -> tuple[float, float]:
    """Width and height of a block that so many lines come to: they need room side by side, and so do its outputs."""
    wide, high = size(box.face)
    if box.face.shape == "box":
        wide = max(wide, even(8.0 * lines), 8.0 * len(box.outputs))
    return wide, high


def exits(half: float, used: Sequence[str]) -> dict[str, float]:
    """How far right of the spine each output that is used leaves: the first one on it."""
    apart = min(OUTPUTS, (half - 6) / max(len(used) - 1, 1))
    return {output: round(apart * number, 2) for number, output in enumerate(used)}


def _box_spot(key: str, box: Box, column: int, mirrored: bool, lines: int) -> Spot:
    wide, high = box_size(box, lines)
    spot = Spot(key, box, column, high, wide / 2, wide / 2, wide / 2, {})
    if box.face.beside is not None:
        beside_wide, beside_high = beside_size(box.face.beside)
        left = box.face.shape == "circle" or mirrored
        reach = wide / 2 + BESIDE + beside_wide
        spot.over = max(0.0, (beside_high - high) / 2)
        spot.left, spot.right = (reach, wide / 2) if left else (wide / 2, reach)
        spot.beside = (
            box.face.beside,
            (beside_wide / 2 - reach) if left else reach - beside_wide / 2,
            beside_wide,
            beside_high,
        )
    return spot


# -- x ----------------------------------------------------------------------------------------------------------------


def _settle(level: Level, stacks: Columns, gutters: Gutters) -> None:
    """Every x: columns as wide as what stands in them, gutters as wide as their lanes need."""
    count = len(stacks.stacks)
    lefts, rights = _reaches(level, count)
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


def _reaches(level: Level, count: int) -> tuple[list[float], list[float]]:
    """How far each column reaches to the left and right of its spine, with what is said beside it."""
    lefts, rights = [0.0] * count, [0.0] * count
    for spot in level.spots.values():
        lefts[spot.column] = max(lefts[spot.column], spot.left)
        rights[spot.column] = max(rights[spot.column], spot.right)
    for wire in level.wires:
        text = " · ".join(said for said in (wire.label, wire.note) if said)
        if text and len(wire.corners) == 2 and isinstance(wire.corners[0][0], Column):
            column = wire.corners[0][0]
            beside = 10 + (1.2 * SMALL if level.frame.turned else width(text, SMALL))
            rights[column.number] = max(rights[column.number], column.shift + beside)
    return lefts, rights
