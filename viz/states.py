"""Which blocks of a model can be opened, and the pictures that a page without a server carries: one a set of opened
blocks, as many sets as fit."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

from blockgraph.viz.drawing import Drawing, Panel, Placed
from blockgraph.viz.view import View

MOST_PICTURES = 64
MOST_CHARACTERS = 2_500_000  # of SVG in one page; packed it is less than a tenth
ROUNDS = 8  # blocks within blocks that are looked for

Open = frozenset[str]
Compose = Callable[[View], Drawing]


@dataclass(frozen=True)
class Tree:
    """The blocks that can be opened, in the order in which they are drawn, each with the one that it lies in ("" for
    none). `start` are those that the view opens by itself; `ids` is all that is ever drawn."""

    parents: dict[str, str]
    start: Open
    ids: tuple[str, ...]

    def within(self, wanted: Iterable[str]) -> Open:
        """The set without what cannot be opened, and without what lies in a closed block."""
        known = frozenset(wanted) & self.parents.keys()
        return frozenset(id for id in known if all(above in known for above in self.above(id)))

    def above(self, id: str) -> Iterator[str]:
        while id := self.parents[id]:
            yield id

    def opened(self, state: Open, id: str) -> Open:
        return state | {id, *self.above(id)}

    def closed(self, state: Open, id: str) -> Open:
        return frozenset(other for other in state if other != id and id not in self.above(other))

    def level(self, depth: int) -> Open:
        return frozenset(id for id in self.parents if len(list(self.above(id))) < depth)


def showing(view: View, state: Open) -> View:
    """The view that opens exactly the blocks of `state`."""
    return replace(view, depth=0, open=tuple(sorted(state)), close=())


def tree(compose: Compose, view: View, opens: Callable[[str], bool]) -> Tree:
    """Found by opening everything that is drawn and that `opens` (by its path), until nothing more is drawn."""
    first = compose(view)
    ids = dict.fromkeys(drawn_ids(first))
    state: Open = frozenset()
    for _ in range(ROUNDS):
        drawn = compose(showing(view, state))
        ids |= dict.fromkeys(drawn_ids(drawn))
        more = dict.fromkeys(name for id in drawn_ids(drawn) if opens(name := path(id, view)))
        if more.keys() <= state:
            break
        state |= more.keys()
    parents = {name: _parent(name, state) for name in dict.fromkeys(path(id, view) for id in ids) if name in state}
    closed = {box.id for box in first.boxes()}  # a frame round a single stacked block has that block's own id
    start = {path(panel.id, view) for panel in first.panels() if panel.id not in closed}
    found = Tree(parents, frozenset(), tuple(ids))
    return replace(found, start=found.within(start))


def path(id: str, view: View) -> str:
    """A drawn id as `View.open` takes it: without the numbers of copies, which only an unrolled view tells apart."""
    return id if view.unroll else ".".join(name for name in id.split(".") if not name.isdigit())


def _parent(name: str, known: Open) -> str:
    """The nearest of the blocks around it that can be opened."""
    while name := name.rpartition(".")[0]:
        if name in known:
            return name
    return ""


def drawn_ids(drawn: Drawing) -> Iterator[str]:
    """Every node of a drawing, frames before what is in them."""

    def walk(items: Iterable[Placed | Panel]) -> Iterator[str]:
        for item in items:
            if not item.id.endswith(".beside"):
                yield item.id
            if isinstance(item, Panel):
                yield from walk(item.inside)

    return walk(drawn.items)


def states(tree: Tree) -> Iterator[Open]:
    """All sets that a reader can come to, the useful ones first: the start, depth by depth, each block opened and each
    closed by itself, then whatever is fewest steps away from the start."""
    seen: set[Open] = set()
    for state in itertools.chain(_first(tree), _nearest(tree)):
        if state not in seen:
            seen.add(state)
            yield state


def _first(tree: Tree) -> Iterator[Open]:
    yield tree.start
    deepest = max((len(list(tree.above(id))) + 1 for id in tree.parents), default=0)
    yield from (tree.level(depth) for depth in range(deepest + 1))
    for id in tree.parents:
        yield tree.opened(tree.start, id)
        yield tree.closed(tree.start, id)


def _nearest(tree: Tree) -> Iterator[Open]:
    """Breadth first, one block opened or closed at a time."""
    waiting, seen = deque([tree.start]), {tree.start}
    while waiting:
        state = waiting.popleft()
        yield state
        for id, parent in tree.parents.items():
            if not parent or parent in state:
                other = tree.closed(state, id) if id in state else tree.opened(state, id)
                if other not in seen and len(seen) < 2 * MOST_PICTURES:
                    seen.add(other)
                    waiting.append(other)


def pictures(tree: Tree, write: Callable[[Open], str]) -> dict[Open, str]:
    """The pictures of the first states, as many as fit into one page."""
    drawn: dict[Open, str] = {}
    room = MOST_CHARACTERS
    for state in states(tree):
        drawn[state] = write(state)
        room -= len(drawn[state])
        if room < 0 or len(drawn) >= MOST_PICTURES:
            break
    return drawn
