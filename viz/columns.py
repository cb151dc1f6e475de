"""Which items of a frame stand above one another: the spine of each column, found from what the data goes through."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from operator import or_

from blockgraph.viz.figure import Box, Frame

START = "<start>"  # the frame's first input, as the item below all others; no item has this name


@dataclass
class Columns:
    """Columns from left to right, each bottom up. `START`, where the frame has inputs, is the first of the first
    column."""

    stacks: list[list[str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.index()

    def append(self, number: int, key: str) -> None:
        self.stacks[number].append(key)
        self.of[key] = number

    def insert(self, number: int, key: str) -> None:
        """A new column, left of the one that has the number now."""
        self.stacks.insert(number, [key])
        for other, stack in enumerate(self.stacks[number:], number):
            self.of |= dict.fromkeys(stack, other)

    def index(self) -> None:
        self.of = {key: number for number, stack in enumerate(self.stacks) for key in stack}
        self.below = {b: a for stack in self.stacks for a, b in itertools.pairwise(stack)}
        self.above = {a: b for b, a in self.below.items()}


def columns(frame: Frame) -> Columns:
    """Each item goes above the item that feeds it and has no longer way to the output; or above one that feeds it and
    has nothing above it; else it begins a column."""
    frame.spine = _spine(frame)
    sources = _sources(frame, frame.spine)
    heirs, length = _heirs(sources), _lengths(sources)
    begin = Begin(frame, sources)
    aside = _aside(frame, sources)
    found = Columns([[START]] if frame.ports else [])
    for now, key in enumerate(frame.items):
        fed = [s for s in sources[key] if heirs.get(s) == key]
        free = [s for s in sources[key] if found.stacks[found.of[s]][-1] == s and heirs[s] in found.of]
        if fed or (free and key not in aside):
            base = max(fed or free, key=lambda s: length[s])
            found.append(found.of[base], key)
        elif key in aside and not frame.ports:
            first = next((n for n, stack in enumerate(found.stacks) if stack[0] not in aside), len(found.stacks))
            found.insert(min((found.of[s] for s in sources[key]), default=first), key)
        else:
            begin.place(found, key, now)
    found.index()
    return found


def _spine(frame: Frame) -> str:
    """The input that the first column stands on: the first one, unless only another one feeds what comes first."""
    for port in frame.ports:
        sources = _sources(frame, port)
        heir, length = _heirs(sources).get(START), _lengths(sources)
        if heir is not None and all(length[s] <= length[START] for s in sources[heir]):
            return port
    return frame.ports[0] if frame.ports else ""


class Begin:
    """Where items go that are above no other: a new column right of what the item reads and of other branches from
    there, or one that is done with; at the end if the item reads nothing (and a model's inputs stand at the bottom:
    they take no column over)."""

    def __init__(self, frame: Frame, sources: Mapping[str, Sequence[str]]) -> None:
        self.frame = frame
        self.sources = sources
        self.last = _last_use(frame, sources)

    def place(self, found: Columns, key: str, now: int) -> None:
        words = isinstance(item := self.frame.items[key], Box) and item.face.shape == "text"
        reads = self.sources[key]
        home = max((found.of[s] for s in reads), default=len(found.stacks) - 1 if words else 0)
        place = home + 1 if reads else len(found.stacks)
        for number in range(max(home + 1, 1), len(found.stacks)):
            stack = found.stacks[number]
            if all(self.last[other] < now for other in reversed(stack)):
                found.append(number, key)
                return
            if number == place and any(found.of[s] == home for other in stack for s in self.sources.get(other, ())):
                place += 1
        found.insert(place, key)


def _sources(frame: Frame, spine: str) -> dict[str, list[str]]:
    """Item to the items (or `START`) whose data it takes, in port order; masks, biases and second inputs are left
    out."""
    sources: dict[str, list[str]] = {key: [] for key in frame.items}
    for link in frame.links:
        target = link.target.item
        if target is None or link.target.port not in frame.items[target].main:
            continue
        source = link.source.item or (START if link.source.port == spine else None)
        if source is not None and source not in sources[target]:
            sources[target].append(source)
    return sources


def _readers(sources: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    readers: dict[str, list[str]] = {}
    for key, read in sources.items():
        for source in read:
            readers.setdefault(source, []).append(key)
    return readers


def _heirs(sources: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """Item to the item that goes on above it: of those that read it and lie on no longer way (the edges of the
    transitive reduction), the one with the longest way to an output."""
    readers = _readers(sources)
    bits = {key: 1 << number for number, key in enumerate((START, *sources))}
    beyond: dict[str, int] = {}  # everything that an item reaches, as bits
    ahead: dict[str, int] = {}
    for key in reversed(bits):
        after = readers.get(key, [])
        beyond[key] = reduce(or_, (beyond[a] | bits[a] for a in after), 0)
        ahead[key] = 1 + max((ahead[a] for a in after), default=0)
    heirs: dict[str, str] = {}
    for key, after in readers.items():
        further = reduce(or_, (beyond[a] for a in after), 0)
        direct = [a for a in after if not bits[a] & further]
        heirs[key] = max(direct, key=lambda a: ahead[a])
    return heirs


def _lengths(sources: Mapping[str, Sequence[str]]) -> dict[str, int]:
    """The longest way to each item from an input."""
    length = {START: 1}
    for key, read in sources.items():
        length[key] = 1 + max((length[s] for s in read), default=0)
    return length


def _last_use(frame: Frame, sources: Mapping[str, Sequence[str]]) -> dict[str, int]:
    """When (as a place in the order of execution) each item is read for the last time."""
    order = {key: number for number, key in enumerate(frame.items)}
    last = {START: len(order)} | order
    for link in frame.links:
        if link.source.item is not None:
            last[link.source.item] = max(last[link.source.item], order.get(link.target.item or "", len(order)))
    return last


def _aside(frame: Frame, sources: Mapping[str, Sequence[str]]) -> set[str]:
    """Items whose data goes nowhere but into masks, biases and second inputs."""
    readers = _readers(sources)
    ends = {link.source.item for link in frame.links if link.target.item is None}
    used: set[str] = set()
    for key in reversed(list(frame.items)):
        words = isinstance(item := frame.items[key], Box) and item.face.shape == "text" and bool(item.ports)
        if words or key in ends or any(reader in used for reader in readers.get(key, [])):
            used.add(key)
    return set(frame.items) - used
