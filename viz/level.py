"""A frame that is being laid out: its items with their sizes, its lines, and at last every place."""

from __future__ import annotations

from dataclasses import dataclass, field

from blockgraph.viz.faces import Face
from blockgraph.viz.figure import Frame, Item
from blockgraph.viz.lanes import SPACING, Border, Column, Entry, Lane, Wire, X

GAP = 12.0  # between a block and what is next above it
LABELLED = 28.0  # the same where a shape stands beside the line
PADDING = 12.0  # from a frame's border to what is in it

Net = tuple[str | None, str]  # what lines start from: an item, or None for the frame itself, and its output or input
Nets = dict[Net, list[Wire]]


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
    moves: list[float] = field(default_factory=list)  # how far each column, and its lanes with it, was moved since
    height: float = 0.0
    left: float = 0.0
    right: float = 0.0

    def x(self, x: X) -> float:
        match x:
            case Column(number, shift):
                return self.columns[number] + shift
            case Lane():
                moved = self.moves[self.owner(x)] if self.moves else 0.0
                return self.gutters[x.gutter] + SPACING * (x.track + 1) + moved + x.moved
            case Border(right):
                return self.right if right else -self.left

    def owner(self, x: Column | Lane) -> int:
        """The column that an x belongs to: a lane's is the one that it keeps close to."""
        if isinstance(x, Column):
            return x.number
        return min(max(x.gutter if x.near == "right" else x.gutter - 1, 0), len(self.columns) - 1)
