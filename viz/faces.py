"""What a look says of a block: its kind, hence its colour, and the words in it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Shape = Literal["box", "circle", "wave", "text"]
Mark = Literal["", "added", "removed", "changed"]

# One colour a kind. The words always say it too: nothing is told by colour alone.
FILLS = {
    "embedding": "#fce0e1",
    "positions": "#e4d6f0",
    "attention": "#fce2bb",
    "norm": "#f2f3c1",
    "ffn": "#c2e8f7",
    "linear": "#dcdff0",
    "activation": "#cbe7cf",
    "elementwise": "#ffffff",
    "recurrent": "#d3ece8",
    "join": "#ececec",
    "pool": "#e3e9d4",
    "parameter": "#f7dfee",
    "moe": "#c9dcf5",
    "vision": "#fbe8d3",
    "block": "#e6e6e9",
    "io": "#ffffff",
}


@dataclass(frozen=True)
class Face:
    """How one block is drawn. `lines` are its words, `small` what is set smaller below them. A `circle` holds one
    sign, a `wave` a sinusoid. `beside` is a second block that feeds this one and has no node of its own (a table of
    positions). In a comparison `mark` says what became of the block, and `notes`, set below `small`, what it was.
    `turned`: it is laid out lying on its side, and will be stood up again (`turn`)."""

    kind: str
    lines: tuple[str, ...]
    small: tuple[str, ...] = ()
    shape: Shape = "box"
    beside: Face | None = None
    mark: Mark = ""
    notes: tuple[str, ...] = ()
    turned: bool = False
