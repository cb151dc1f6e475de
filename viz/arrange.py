"""Where each line meets its target: from below at a place of its own, or at a side."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from blockgraph.viz.columns import START, Columns
from blockgraph.viz.figure import Box, Link
from blockgraph.viz.lanes import Wire

if TYPE_CHECKING:
    from blockgraph.viz.level import Level, Spot


SIDE = 4  # lines that have room at the sides of a block


def arrange(level: Level, stacks: Columns, mirrored: bool) -> list[Wire]:
    """A wire for each link (for a frame: for each place where it takes that input), with arrival, side and shift
    settled."""
    wires: list[Wire] = []
    into: dict[str | None, list[Link]] = {}
    for link in level.frame.links:
        into.setdefault(link.target.item, []).append(link)
    for key, spot in level.spots.items():
        own = [wire for link in into.get(key, ()) for wire in _wires(link, spot, level)]
        for wire in own:
            wire.arrival = _arrival(wire, spot, stacks, level, mirrored)
            wire.away = abs(stacks.of.get(wire.source[0] or START, spot.column) - spot.column)
        if isinstance(spot.item, Box):
            exits = {wire.source: _exit(wire, level) for wire in own}
            _meet(own, spot, spot.item, mirrored, exits)
        wires += own
    return wires + [Wire(_source(x, level), (None, x.target.port), note=x.note) for x in into.get(None, ())]


def _source(link: Link, level: Level) -> tuple[str | None, str]:
    """The link's source; outputs of a frame that are one and the same value inside it are one source."""
    item, port = link.source.item, link.source.port
    inside = level.spots[item].inside if item is not None else None
    if inside is None:
        return item, port
    origin = {wire.target[1]: wire.source for wire in inside.wires if wire.target[0] is None}
    return item, next((output for output, source in origin.items() if source == origin.get(port)), port)


def _wires(link: Link, spot: Spot, level: Level) -> list[Wire]:
    source, target = _source(link, level), (spot.key, link.target.port)
    if spot.inside is None:
        return [Wire(source, target, label=link.label, note=link.note)]
    inside = spot.inside
    wires = []
    for entry in inside.entries.get(link.target.port, []):
        side, shift, height = "bottom", inside.x(entry.x), 0.0
        if entry.side != "bottom":
            side, shift, height = entry.side, inside.right if entry.side == "right" else -inside.left, entry.y
        wires.append(Wire(source, target, entry, link.label, link.note, side=side, shift=shift, height=height))
    return wires


def _arrival(wire: Wire, spot: Spot, stacks: Columns, level: Level, mirrored: bool) -> str:
    source = wire.source[0]
    if source is None and wire.source[1] != level.frame.spine:
        return "right border" if wire.source[1] in level.frame.right and spot.column == 0 else "border"
    number = stacks.of[source or START]
    if stacks.below.get(spot.key) == (source or START) and wire.side not in ("left", "right"):
        return "own"
    if wire.entry is not None:
        return "right" if wire.side == "right" or (wire.side == "bottom" and number > spot.column) else "left"
    if number == spot.column:
        return "right" if mirrored else "left"
    return "left" if number < spot.column else "right"


def _exit(wire: Wire, level: Level) -> float:
    """How far right of its spine the line leaves its source."""
    return level.spots[wire.source[0]].exits.get(wire.source[1], 0.0) if wire.source[0] is not None else 0.0


def _meet(
    wires: list[Wire], spot: Spot, box: Box, mirrored: bool, exits: Mapping[tuple[str | None, str], float]
) -> None:
    """Attention (and a matrix product) takes all its data from below, side by side; other blocks take what is right
    below them from below."""
    below = _from_below(sorted(wires, key=lambda wire: abs(exits[wire.source]) * (wire.arrival == "own")), box, spot)
    order = {"left": 0, "border": 0, "own": 1, "right": 2, "right border": 2}
    arranged = sorted(below, key=lambda wire: (order[wire.arrival], exits[wire.source] * (wire.arrival == "own")))
    for number, wire in enumerate(arranged):
        wire.side = "bottom"
        wire.shift = _shift(number, len(arranged), spot.half)
        if box.face.kind == "matmul" and len(arranged) == 2:  # its spine stays straight
            wire.shift = 0.0 if wire.arrival == "own" else round((number - 0.5) * 1.2 * spot.half, 2)
    sides: dict[str, list[Wire]] = {"left": [], "right": []}
    for wire in wires:
        if wire not in below:
            if wire.arrival == "own":  # the bottom is taken: round the side
                wire.arrival = "right" if mirrored or exits[wire.source] > 0 else "left"
            wire.side = "right" if wire.arrival in ("right", "right border") else "left"
            sides[wire.side].append(wire)
    for side, group in sides.items():
        for number, wire in enumerate(sorted(group, key=lambda wire: wire.away)):  # what comes from afar, above
            _beside(wire, side, number, len(group), spot, box)


def _from_below(wires: list[Wire], box: Box, spot: Spot) -> list[Wire]:
    """The wires that meet the bottom: attention's data, else one; and what would run into the block beside this one."""
    data = [wire for wire in wires if wire.target[1] in box.main] or wires
    if box.face.shape == "box" and len(data) > SIDE:
        return wires
    if box.face.kind in ("attention", "matmul"):
        data += [wire for wire in wires if wire.arrival == "own" and wire not in data]
    else:
        own = [wire for wire in data if wire.arrival == "own"]
        data = own[: 1 if box.face.shape == "circle" else None] or data[:1]
    blocked = "" if spot.beside is None else "left" if spot.beside[1] < 0 else "right"
    return [wire for wire in wires if wire in data or ("right" if "right" in wire.arrival else "left") == blocked]


def _shift(number: int, count: int, half: float) -> float:
    """The middles of `count` equal parts of the bottom edge."""
    return round((2 * number + 1 - count) * half / count, 2)


def _beside(wire: Wire, side: str, number: int, count: int, spot: Spot, box: Box) -> None:
    """Meets a side at mid-height; several lines are spread about it, on a circle's rim."""
    apart = min(9.0, (spot.height - 4) / max(count - 1, 1))
    offset = (number - (count - 1) / 2) * apart
    reach = (spot.half**2 - offset**2) ** 0.5 if box.face.shape == "circle" else spot.half
    wire.shift = round(-reach if side == "left" else reach, 2)
    wire.height = spot.height / 2 + offset
