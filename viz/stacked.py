"""Which repetitions of a call are drawn as one, and the words for copies that differ in numbers only."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from blockgraph.builder.graph import Call, Definition, Leaf, Step
from blockgraph.viz.faces import Face
from blockgraph.viz.figure import Box, Frame, Item, picture
from blockgraph.viz.fold import Run, fold

MOST = 8  # frames that one call may unfold to; beyond that, copies that differ in words only are drawn as one

Sketch = Callable[[Leaf | Definition], Item]


@dataclass
class Stacked:
    """The runs of a repeated call. Copies are drawn as one that would look alike and read the same nodes."""

    call: Call
    draw: Sketch

    def __post_init__(self) -> None:
        self._drawn: dict[int, Item] = {}
        self.loose = False
        self.keys = self._keys()
        self.runs = fold(self.keys)
        if sum(map(_frames, self.runs)) > MOST:
            self.loose = True
            self.keys = self._keys()
            self.runs = fold(self.keys)

    def item(self, start: int) -> Item:
        """The picture of repetition `start`; where copies that differ in words are one, with the range of their
        words."""
        item = self.draw(self.call.steps[start].body)
        if self.loose:
            bodies = {
                id(s.body): s.body for s, key in zip(self.call.steps, self.keys, strict=True) if key == self.keys[start]
            }
            last = list(bodies.values())[-1]
            merge(item, self.draw(last))
        return item

    def _keys(self) -> list[int]:
        numbers: dict[object, int] = {}
        pictures: dict[int, object] = {}
        keys = []
        for step in self.call.steps:
            key = id(step.body)
            if key not in pictures:
                self._drawn.setdefault(key, self.draw(step.body))
                pictures[key] = picture(self._drawn[key], words=not self.loose)
            keys.append(numbers.setdefault((pictures[key], self._reads(step)), len(numbers)))
        return keys

    def _reads(self, step: Step) -> tuple[tuple[str, str, str | None], ...]:
        """Ports after the first, and the nodes that they read; which copy of the node does not matter here."""
        ports = list(step.inputs.items())[1:]
        return tuple((port, ref.node, ref.output) for port, refs in ports for ref in refs if ref.node != self.call.name)


def _frames(run: Run) -> int:
    return sum(map(_frames, run.parts)) or 1


def merge(first: Item, last: Item) -> None:
    """Makes `first` say what all copies from it to `last` say: `Dropout 0…0.1`."""
    if isinstance(first, Box) and isinstance(last, Box):
        first.face = _merged(first.face, last.face)
    elif isinstance(first, Frame) and isinstance(last, Frame):
        for inner, other in zip(first.items.values(), last.items.values(), strict=False):
            merge(inner, other)


def _merged(first: Face, last: Face) -> Face:
    beside = _merged(first.beside, last.beside) if first.beside and last.beside else first.beside
    return replace(first, lines=_ranges(first.lines, last.lines), small=_ranges(first.small, last.small), beside=beside)


def _ranges(first: Sequence[str], last: Sequence[str]) -> tuple[str, ...]:
    if len(first) != len(last):
        return tuple(first)
    return tuple(_range(a, b) for a, b in zip(first, last, strict=True))


def _range(first: str, last: str) -> str:
    """Word by word: what differs becomes `first…last`."""
    words, others = first.split(" "), last.split(" ")
    if len(words) != len(others):
        return first
    return " ".join(a if a == b else f"{a}…{b}" for a, b in zip(words, others, strict=True))
