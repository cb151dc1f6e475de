"""Filling the frame of a built-in block that is drawn opened: its operations, what flows between them, and in which
shape."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from blockgraph.builder.graph import Leaf
from blockgraph.viz.faces import Face
from blockgraph.viz.figure import Box, End, Frame, Link
from blockgraph.viz.text import count


@dataclass(frozen=True, slots=True)
class Flow:
    """A value inside the frame: where it comes from, and its shape where that is worth saying."""

    end: End
    shape: str = ""


@dataclass(frozen=True, slots=True)
class Parts:
    """A frame that is being filled, bottom up."""

    frame: Frame

    def port(self, name: str) -> Flow:
        """One of the frame's inputs."""
        return Flow(End(None, name))

    def add(self, name: str, face: Face, shape: str = "", /, **sources: Flow) -> Flow:
        """A box that reads `sources`, by port; `shape` is its output's where that is another than its input's."""
        ports = tuple(sources)
        self.frame.items[name] = Box(f"{self.frame.id}.{name}", face, ports, ("out",), frozenset(ports))
        return self._linked(name, sources, shape)

    def put(self, name: str, frame: Frame, shape: str = "", /, **sources: Flow) -> Flow:
        """The same with a frame."""
        self.frame.items[name] = frame
        return self._linked(name, sources, shape)

    def _linked(self, name: str, sources: dict[str, Flow], shape: str) -> Flow:
        for port, flow in sources.items():
            self.frame.links.append(Link(flow.end, End(name, port), flow.shape))
        return Flow(End(name, "out"), shape)

    def end(self, flow: Flow) -> Frame:
        """The frame, whose output is `flow`."""
        self.frame.links.append(Link(flow.end, End(None, "out")))
        return self.frame


def amount(leaf: Leaf, *names: str) -> str:
    """How many parameters the block has below these names (`query` for `query.weight` and `query.bias`)."""
    shapes = [shape for key, shape in leaf.weights.items() if key.partition(".")[0] in names]
    return count(sum(map(prod, shapes))) if shapes else ""


def said(*facts: object) -> tuple[str, ...]:
    """One small line of what is known; nothing where nothing is."""
    known = [str(fact) for fact in facts if fact]
    return (" · ".join(known),) if known else ()


def linear(leaf: Leaf, name: str, inner: int, outer: int, *more: str, label: str = "Linear") -> Face:
    """A projection of the block, whose weights are below `name`."""
    return Face("linear", (label,), said(f"{inner} → {outer}", amount(leaf, name)) + more)


def operation(line: str, *small: str) -> Face:
    """An operation without parameters."""
    return Face("op", (line,), said(*small))


def product(*small: str) -> Face:
    """A matrix product: both of its inputs come in from below."""
    return Face("matmul", ("MatMul",), said(*small))
