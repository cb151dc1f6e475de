"""Which nodes of a model a view opens, and whether it names nodes that there are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from blockgraph.builder.graph import Call, Definition, Leaf, Model, Step
from blockgraph.specs.diagnostics import BlockgraphError
from blockgraph.specs.suggest import closest
from blockgraph.viz.open_block import INSIDES, has_inside
from blockgraph.viz.view import View

DEEPEST = 5  # frames within frames, where no depth is asked for; what lies deeper is one box
MOST = 2000  # paths that are looked through for one that was meant


@dataclass(frozen=True)
class Shown:
    """Answers for one view what is opened."""

    view: View

    def opens(self, id: str, depth: int, *, builtin: bool = False) -> bool:
        """Whether the node at `id`, inside `depth` frames, is drawn opened."""
        if any(_reaches(self._given(path), id) == "there" for path in self.view.close):
            return False
        if any(_reaches(self._given(path), id) for path in self.view.open):
            return True
        if self.view.depth is None:
            return not builtin and depth < DEEPEST
        return depth < self.view.depth

    def _given(self, path: str) -> list[str]:
        """A path's names; the numbers of copies count where copies are told apart only."""
        return [name for name in path.split(".") if self.view.unroll or not name.isdigit()]


def _reaches(given: Sequence[str], id: str) -> str:
    """Where the given path leads, seen from `id`: "there" to it, "below" to something in it, or "" elsewhere. A path
    without a copy's number leads to all copies."""
    at = 0
    for name in id.split("."):
        if at < len(given) and given[at] == name:
            at += 1
        elif not name.isdigit() or (at < len(given) and given[at].isdigit()):
            return ""
    return "there" if at == len(given) else "below"


# -- paths that name nothing ------------------------------------------------------------------------------------------


def check(model: Model, view: View) -> None:
    """Raises BlockgraphError for a path that is no node's, or of a node that cannot be opened."""
    for path in view.open:
        bodies = _find(model, path, "--open")
        if not any(isinstance(body, Definition) or has_inside(body) for body in bodies):
            kind = bodies[0].type.name if isinstance(bodies[0], Leaf) else ""
            known = ", ".join(INSIDES)
            raise BlockgraphError(
                f"--open: {path!r} is a block of the type {kind!r}, which has no inside; what opens are blocks of the "
                f"spec's own and the built-in types {known}"
            )
    for path in view.close:
        _find(model, path, "--close")
        if path in view.open:
            raise BlockgraphError(f"{path!r} cannot be both --open and --close; leave one of them out")


def _find(model: Model, path: str, option: str) -> list[Leaf | Definition]:
    """What is called at the path: several bodies where copies differ."""
    bodies: list[Leaf | Definition] = [model.root]
    call: Call | None = None
    for number, name in enumerate(path.split(".")):
        if call is not None and name.isdigit() and call.repeat is not None:
            bodies = [_copy(call, name, path, option).body]
            call = None
            continue
        calls = [body.calls[name] for body in bodies if isinstance(body, Definition) and name in body.calls]
        if not calls:
            raise _unknown(model, path, path.split(".")[:number], bodies, option)
        call = calls[0]
        bodies = list({id(step.body): step.body for found in calls for step in found.steps}.values())
    return bodies


def _copy(call: Call, name: str, path: str, option: str) -> Step:
    if int(name) >= len(call.steps):
        raise BlockgraphError(
            f"{option}: {path!r}: {call.name!r} has {len(call.steps)} copies, numbered 0 to {len(call.steps) - 1}"
        )
    return call.steps[int(name)]


def _unknown(
    model: Model, path: str, before: list[str], bodies: Sequence[Leaf | Definition], option: str
) -> BlockgraphError:
    """What was meant: a node of the block that the path led to, else one of such a name somewhere."""
    word = path.split(".")[len(before)]
    here = [name for body in bodies if isinstance(body, Definition) for name in body.calls]
    near, meant = closest(word, here), _elsewhere(model, path)
    if near and (meant is None or meant.rpartition(".")[2] != word):
        meant = ".".join([*before, near])
    if meant is not None:
        help = f"did you mean {meant!r}?"
    else:
        help = f"nodes: {', '.join(here)}" if here else f"{'.'.join(before)!r} has no nodes inside"
    return BlockgraphError(f"{option}: there is no node {path!r}; {help}")


def _elsewhere(model: Model, path: str) -> str | None:
    """The node anywhere whose own name is nearest to the path's last one."""
    places: dict[str, str] = {}
    for found, _ in zip(paths(model.root), range(MOST), strict=False):
        places.setdefault(found.rpartition(".")[2], found)
    last = path.rpartition(".")[2]
    name = last if last in places else closest(last, places)
    return places[name] if name is not None and places[name] != path else None


def paths(body: Definition, above: str = "") -> Iterator[str]:
    """The path of every node, without the numbers of copies, outermost first."""
    for name, call in body.calls.items():
        yield above + name
        inside = {id(s.body): s.body for s in call.steps if isinstance(s.body, Definition)}
        seen: set[str] = set()
        for inner in inside.values():
            for path in paths(inner, f"{above}{name}."):
                if path not in seen:
                    seen.add(path)
                    yield path
