"""Lines that rise, run over other columns and turn twice more, made straight where nothing is in the way."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from blockgraph.viz.lanes import APART, Column, Wire
from blockgraph.viz.level import GAP

if TYPE_CHECKING:
    from blockgraph.viz.stack import Stack


def straighten(stack: Stack) -> None:
    """Of the lines that go over other columns, those that can rise to the height of their end turn once."""
    for wire in stack.level.wires:
        alone = wire.source[0] is not None and stack.readers[wire.source] == 1
        if alone and len(wire.corners) == 5 and wire.side in ("left", "right"):
            _turn_once(wire, stack)


def _turn_once(wire: Wire, stack: Stack) -> None:
    (start, top), *_, (end, height) = wire.corners
    if not isinstance(start, Column) or not isinstance(end, Column) or height < top + GAP:
        return
    rim, own = stack.last_gutter(wire), start.number
    strips = range(2 * rim, 2 * own + 2) if own > end.number else range(2 * own + 1, 2 * rim + 1)
    if _rises(wire, own, height, stack) and _clear(wire, strips, height, stack):
        wire.corners = [(start, top), (start, height), (end, height)]
        stack.gutters.cross(strips, height, wire.source)
        del stack.gutters.lanes[wire.source, rim]


def _rises(wire: Wire, column: int, height: float, stack: Stack) -> bool:
    """Whether nothing but its source is in the line's own column up to that height."""
    source = stack.level.spots[wire.source[0] or ""]
    above = (spot for spot in stack.placed[column] if spot.top > source.top)
    lines = (c for c in stack.gutters.crossings if c.first <= 2 * column + 1 <= c.last and c.net != wire.source)
    free = all(spot.bottom - spot.over - APART > height for spot in above)
    return free and not any(source.top < c.y < height + APART for c in lines)


def _clear(wire: Wire, strips: Iterable[int], height: float, stack: Stack) -> bool:
    """Whether no block stands and no other line runs at that height in the strips."""
    taken = [*stack.gutters.taken(strips, wire.source), *stack.boxes([s // 2 for s in strips if s % 2], height)]
    return not any(low < height < high for low, high in taken)
