"""Built-in blocks drawn opened, in place: which types have an inside, and what it is."""

from __future__ import annotations

from collections.abc import Callable

from blockgraph.builder.graph import Definition, Leaf
from blockgraph.viz.figure import Frame
from blockgraph.viz.open_attention import attention
from blockgraph.viz.open_layers import add_norm, ffn, moe

INSIDES: dict[str, Callable[[Leaf, str], Frame]] = {
    "attention": attention,
    "ffn": ffn,
    "add_norm": add_norm,
    "moe": moe,
}


def has_inside(body: Leaf | Definition) -> bool:
    """Whether a block is a built-in one that can be drawn opened."""
    return isinstance(body, Leaf) and body.type.name in INSIDES


def inside(leaf: Leaf, id: str) -> Frame:
    """The block's operations as a frame, without a caption. Only for blocks that have an inside."""
    return INSIDES[leaf.type.name](leaf, id)
