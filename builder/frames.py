"""What is known while a block is being analysed. No torch."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from blockgraph.builder.graph import Call, Definition, Ref
from blockgraph.builder.scope import Scope, WiringScope
from blockgraph.builder.shapes import Value
from blockgraph.specs.places import Span
from blockgraph.specs.spec import Block, Node


class ReportedError(Exception):
    """What an error message already says; whoever depends on it stays silent."""


FAILED: Any = object()  # an expression that was reported; what depends on it stays silent


@dataclass(slots=True)
class Local:
    """What a name stands for inside a block: the values of each repetition (None: not known because something was
    wrong), or another node whose value it passes on (`alias`), as a node does whose `if` is false."""

    values: list[dict[str, Value] | None]
    alias: Ref | None = None
    origin: Span | None = None  # where the feature width was written


@dataclass(slots=True)
class Outcome:
    """What analysing a block gave: `definition` is None where something in it is wrong."""

    definition: Definition | None
    outputs: dict[str, Value | None]
    origins: dict[str, Span | None]


@dataclass(slots=True)
class Frame:
    """A block under analysis."""

    block: Block
    scope: Scope
    locals: dict[str, Local] = field(default_factory=dict)
    calls: dict[str, Call] = field(default_factory=dict)
    wrong: bool = False

    def path(self, node: str, *rest: str) -> tuple[str, ...]:
        return (*self.block.path, "nodes", node, *rest)

    def wiring_scope(self, scope: Scope) -> WiringScope:
        return WiringScope(frozenset((*self.block.inputs, *self.block.nodes)), scope)


Edges = dict[str, tuple[tuple[Ref, Value | None], ...]]


@dataclass(slots=True)
class Plan:
    """A node while it is analysed. `like` is the node whose type and options count (another one for `share`)."""

    frame: Frame
    node: Node
    like: Node
    previous: str | None
    repeat: int | None = None
    copies: int | None = None
