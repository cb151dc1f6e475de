"""What a name means where an expression stands: nodes first (in wiring), then `layer`, params, `vars`. No torch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class Layer:
    """`layer` inside the nearest `repeat`. `read`: something looked at it; copies that did not are one block."""

    index: int
    read: bool = False


@dataclass(slots=True)
class Scope(Mapping[str, Any]):
    """The names of one block: its params shadow `vars`; `layer` is known inside a `repeat`."""

    vars: Mapping[str, Any]
    params: dict[str, Any] = field(default_factory=dict)
    layer: Layer | None = None

    def __getitem__(self, name: str) -> Any:
        if name == "layer" and self.layer is not None:
            self.layer.read = True
            return self.layer.index
        return self.params[name] if name in self.params else self.vars[name]

    def __iter__(self) -> Iterator[str]:
        yield from self.params
        yield from (name for name in self.vars if name not in self.params)
        if self.layer is not None:
            yield "layer"

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def inside(self, layer: Layer | None) -> Scope:
        """The same names, under the repetition `layer` where it is not None."""
        return Scope(self.vars, self.params, layer or self.layer)


@dataclass(frozen=True, slots=True)
class Handle:
    """A node in a wiring expression: `down[2]` picks a repetition, `split.left` an output. Implements `Selectable`."""

    node: str
    output: str | None = None
    index: int | None = None

    def item(self, index: int) -> Handle:
        return Handle(self.node, self.output, index)

    def member(self, name: str) -> Handle:
        return Handle(self.node, name, self.index)


@dataclass(slots=True)
class WiringScope(Mapping[str, Any]):
    """In wiring, node names come before params and vars."""

    nodes: frozenset[str]
    scope: Scope

    def __getitem__(self, name: str) -> Any:
        return Handle(name) if name in self.nodes else self.scope[name]

    def __iter__(self) -> Iterator[str]:
        yield from self.nodes
        yield from (name for name in self.scope if name not in self.nodes)

    def __len__(self) -> int:
        return sum(1 for _ in self)
