"""Two block graphs, node by node: what one has and the other lacks, in options, wiring and shapes. No torch.

Copies of a repeated block that differ alike are one difference, so 126 layers cost what 2 cost.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from blockgraph.builder.graph import Call, Definition, Leaf, Ref
from blockgraph.builder.shapes import Value

WEIGHTS = "weights"  # of one whose shapes follow from what it reads
PRESENT = "present"  # the name of a difference that is the node itself

Level = tuple[tuple[int, ...], int]  # which repetitions of a repeated node, and of how many


@dataclass(frozen=True, slots=True)
class Difference:
    """At the node `path`, `name` was `was` and is `now` (None: not there). `copies` says in which repetitions: one
    level for each repeated node on the way, outermost first."""

    path: tuple[str, ...]
    name: str
    was: Any
    now: Any
    copies: tuple[Level, ...] = ()

    @property
    def everywhere(self) -> bool:
        return all(len(numbers) == of for numbers, of in self.copies)


@dataclass(eq=False)
class Pair:
    """Two definitions side by side. `renames` maps nodes of `was` to nodes of `now` that are the same but for the
    name."""

    was: Definition
    now: Definition
    renames: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.inputs = _matched(list(self.was.inputs), list(self.now.inputs))
        self.removed = {name for name in self.was.calls if name not in self.now.calls}
        self.added = {name for name in self.now.calls if name not in self.was.calls}

    def old(self, ref: Ref, *, bypass: bool = True) -> Ref:
        """A reference of `was` in the names of `now`; what was removed stands for what it read first."""
        if bypass and ref.node in self.removed and ref.node not in self.renames:
            before = _first_read(self.was.calls[ref.node])
            return self.old(before) if before is not None else ref
        if ref.node in self.was.inputs:
            return replace(ref, node=self.inputs.get(ref.node, ref.node))
        name = self.renames.get(ref.node, ref.node)
        return _positional(ref, self.was, self.now, name)

    def new(self, ref: Ref, *, bypass: bool = True) -> Ref:
        """A reference of `now`; what was added stands for what it reads first."""
        if bypass and ref.node in self.added and ref.node not in self.renames.values():
            before = _first_read(self.now.calls[ref.node])
            return self.new(before) if before is not None else ref
        return ref if ref.node in self.now.inputs else _positional(ref, self.now, self.now, ref.node)

    def old_name(self, name: str | None) -> str | None:
        return None if name is None else self.renames.get(name, name)

    def alike(self, was: tuple[Ref, ...], now: tuple[Ref, ...]) -> bool:
        """Whether a port reads the same, but for what was put in between, taken out, or joined or left with a node."""
        if [self.old(ref) for ref in was] == [self.new(ref) for ref in now]:
            return True
        kept = [self.old(ref) for ref in was if ref.node not in self.removed or ref.node in self.renames]
        fresh = self.added - set(self.renames.values())
        return kept == [self.new(ref) for ref in now if ref.node not in fresh]


class Comparer:
    """Compares definitions and remembers which it has compared."""

    def __init__(self) -> None:
        self.pairs: dict[tuple[int, int], Pair] = {}
        self._known: dict[tuple[int, int], list[Difference]] = {}

    def pair(self, was: Definition, now: Definition) -> Pair:
        key = (id(was), id(now))
        if key not in self.pairs:
            self.pairs[key] = Pair(was, now)
            self._find_renames(self.pairs[key])
        return self.pairs[key]

    def definitions(self, was: Definition, now: Definition) -> list[Difference]:
        key = (id(was), id(now))
        if key not in self._known:
            pair = self.pair(was, now)
            self._known[key] = [*self._nodes(pair), *_outputs(pair)]
        return self._known[key]

    def places(self, was: Definition, now: Definition) -> Iterator[tuple[tuple[str, ...], Pair]]:
        """Every pair of definitions that was compared, with the path of the node that calls them; nested ones too."""
        yield (), self.pair(was, now)
        for name in (name for name in was.calls if name in now.calls):
            steps = zip(was.calls[name].steps, now.calls[name].steps, strict=False)
            for old, new in {(id(a.body), id(b.body)): (a.body, b.body) for a, b in steps}.values():
                if isinstance(old, Definition) and isinstance(new, Definition) and old is not new:
                    yield from (((name, *path), pair) for path, pair in self.places(old, new))

    def _nodes(self, pair: Pair) -> Iterator[Difference]:
        for name in merged(list(pair.was.calls), list(pair.now.calls)):
            old, new = pair.was.calls.get(name), pair.now.calls.get(name)
            if old is not None and new is not None:
                yield from self._call(old, new, pair)
            else:
                yield Difference((name,), PRESENT, old and kinds_of(old), new and kinds_of(new))

    def _call(self, was: Call, now: Call, pair: Pair) -> list[Difference]:
        found = [Difference((now.name,), name, old, new) for name, old, new in _own(was, now, pair) if old != new]
        if was.weights_of is None or now.weights_of is None:
            found += self._bodies(was, now)
        told = any(one.name != WEIGHTS and len(one.path) == 1 for one in found)
        # where something else is told of the node, its weights follow from that
        return [one for one in found if not told or one.name != WEIGHTS or len(one.path) > 1]

    def _bodies(self, was: Call, now: Call) -> list[Difference]:
        """The differences of what is called, those of equal repetitions told once."""
        count = min(len(was.steps), len(now.steps))
        distinct: dict[tuple[int, int], list[int]] = {}
        for number in range(count):
            bodies = (id(was.steps[number].body), id(now.steps[number].body))
            distinct.setdefault(bodies, []).append(number)
        repeated = was.repeat is not None or now.repeat is not None
        found: dict[str, Difference] = {}
        for numbers in distinct.values():
            for inner in self._body(was.steps[numbers[0]].body, now.steps[numbers[0]].body):
                _join(found, replace(inner, path=(now.name, *inner.path)), numbers if repeated else None, count)
        return list(found.values())

    def _body(self, was: Leaf | Definition, now: Leaf | Definition) -> list[Difference]:
        if was is now:
            return []
        if isinstance(was, Definition) and isinstance(now, Definition):
            return self.definitions(was, now)
        found = [] if kind_of(was) == kind_of(now) else [Difference((), "type", kind_of(was), kind_of(now))]
        if isinstance(was, Leaf) and isinstance(now, Leaf):
            found += [Difference((), name, old, new) for name, old, new in _options(was, now)]
            if was.weights != now.weights:
                found.append(Difference((), WEIGHTS, *_weights(was, now)))
        elif not found:  # a block and a block type of one name
            found = [Difference((), "type", f"{kind_of(was)} ({_sort(was)})", f"{kind_of(now)} ({_sort(now)})")]
        return found

    def _find_renames(self, pair: Pair) -> None:
        """Nodes that differ in name only: same block, options and wiring."""
        waiting: dict[object, list[Call]] = {}
        for name, call in pair.now.calls.items():
            if name in pair.added:
                refs = {p: tuple(pair.new(r, bypass=False) for r in rs) for p, rs in external(call).items()}
                waiting.setdefault(_signature(call, refs), []).append(call)
        for name, call in pair.was.calls.items():
            if name in pair.removed:
                refs = {p: tuple(pair.old(r, bypass=False) for r in rs) for p, rs in external(call).items()}
                candidates = waiting.get(_signature(call, refs), [])
                for other in [c for c in candidates if not self._call(replace(call, name=c.name), c, pair)][:1]:
                    pair.renames[name] = other.name
                    candidates.remove(other)


# -- one node ---------------------------------------------------------------------------------------------------------


def _own(was: Call, now: Call, pair: Pair) -> Iterator[tuple[str, Any, Any]]:
    """What the call itself says: how often, whose weights, what it reads, what it gives."""
    yield "repeat", was.repeat, now.repeat
    yield "copies", was.copies, now.copies
    yield "share", pair.old_name(was.weights_of), now.weights_of
    yield "tie", pair.old_name(was.tie), now.tie
    yield "recompute", was.recompute, now.recompute
    yield from _wiring(was, now, pair)
    yield from _shapes(was.outputs, now.outputs)


def _wiring(was: Call, now: Call, pair: Pair) -> Iterator[tuple[str, Any, Any]]:
    old, new = external(was), external(now)
    ports = _matched(_ports(was.body), _ports(now.body))
    old = {ports.get(port, port): refs for port, refs in old.items()}
    for port in merged(list(old), list(new)):
        before, after = old.get(port, ()), new.get(port, ())
        if not pair.alike(before, after):
            yield f"in.{port}", _read(before), _read(after)


def _read(refs: tuple[Ref, ...]) -> str | None:
    return ", ".join(map(str, refs)) or None


def _shapes(was: Mapping[str, Value], now: Mapping[str, Value]) -> Iterator[tuple[str, Any, Any]]:
    names = _matched(list(was), list(now))
    old = {names.get(name, name): value for name, value in was.items()}
    for number, name in enumerate(merged(list(old), list(now))):
        told = "shape" if number == 0 else f"shape.{name}"
        yield told, _shape(old.get(name)), _shape(now.get(name))


def _shape(value: Value | None) -> str | None:
    if value is None:
        return None
    return str(value) if value.dtype == "float" else f"{value} {value.dtype}"


def _options(was: Leaf, now: Leaf) -> Iterator[tuple[str, Any, Any]]:
    """Options that both types have and that differ; tables of options one by one where both have a table."""
    old, new = (leaf.options.model_dump(mode="json") for leaf in (was, now))
    given = [leaf.options.model_dump(mode="json", exclude_unset=True) for leaf in (was, now)]
    same = was.type.name == now.type.name
    for name in merged(list(old), list(new)) if same else [name for name in new if name in old]:
        tables = isinstance(old.get(name), dict) and isinstance(new.get(name), dict)
        mine, theirs = (old, new) if tables or old.get(name) == new.get(name) else given
        yield from _values(name, mine.get(name, old.get(name)), theirs.get(name, new.get(name)))


def _weights(was: Leaf, now: Leaf) -> tuple[str, str]:
    """The shapes of the weights that differ."""
    names = [
        name for name in merged(list(was.weights), list(now.weights)) if was.weights.get(name) != now.weights.get(name)
    ]
    sides = [[f"{name} {list(side.weights[name])}" for name in names if name in side.weights] for side in (was, now)]
    return ", ".join(sides[0]), ", ".join(sides[1])


def _values(name: str, was: Any, now: Any) -> Iterator[tuple[str, Any, Any]]:
    if isinstance(was, dict) and isinstance(now, dict):
        for key in merged(list(was), list(now)):
            yield from _values(f"{name}.{key}", was.get(key), now.get(key))
    elif was != now:
        yield name, _given(was), _given(now)


def _given(value: Any) -> Any:
    """A table of options without those that are not given."""
    return {name: _given(one) for name, one in value.items() if one is not None} if isinstance(value, dict) else value


def _outputs(pair: Pair) -> Iterator[Difference]:
    """What a block gives to the outside."""
    names = _matched(list(pair.was.outputs), list(pair.now.outputs))
    old = {names.get(name, name): output for name, output in pair.was.outputs.items()}
    for name in merged(list(old), list(pair.now.outputs)):
        was, now = old.get(name), pair.now.outputs.get(name)
        if was is None or now is None or not pair.alike((was.ref,), (now.ref,)):
            yield Difference((), f"out.{name}", was and str(was.ref), now and str(now.ref))


# -- helpers ----------------------------------------------------------------------------------------------------------


def kind_of(body: Leaf | Definition) -> str:
    return body.type.name if isinstance(body, Leaf) else body.name


def kinds_of(call: Call) -> str:
    """The types that a node's repetitions have."""
    return " | ".join(dict.fromkeys(kind_of(step.body) for step in call.steps))


def _sort(body: Leaf | Definition) -> str:
    return "block type" if isinstance(body, Leaf) else "block"


def external(call: Call) -> dict[str, tuple[Ref, ...]]:
    """Port to what it reads of other nodes, over all repetitions."""
    found = {port: list(refs) for port, refs in call.first.inputs.items()}
    for step in call.steps[1:]:
        for port, refs in step.inputs.items():
            told = found.setdefault(port, [])
            told += [ref for ref in refs if ref.node != call.name and ref not in told]
    return {port: tuple(refs) for port, refs in found.items()}


def _ports(body: Leaf | Definition) -> list[str]:
    return [port.name for port in body.type.ports] if isinstance(body, Leaf) else list(body.inputs)


def _signature(call: Call, refs: Mapping[str, tuple[Ref, ...]]) -> object:
    kinds = kinds_of(call) if isinstance(call.body, Leaf) else None
    return (kinds, call.repeat, tuple(refs.values()))


def _first_read(call: Call) -> Ref | None:
    return next((ref for refs in external(call).values() for ref in refs), None)


def _positional(ref: Ref, home: Definition, other: Definition, name: str) -> Ref:
    """A reference with its output spelled out, as the node `name` of `other` calls it."""
    if ref.node not in home.calls:
        return replace(ref, node=name)
    outputs = list(home.calls[ref.node].outputs)
    theirs = list(other.calls[name].outputs) if name in other.calls else outputs
    output = ref.output or outputs[0]
    return replace(ref, node=name, output=_matched(outputs, theirs).get(output, output))


def _matched(was: list[str], now: list[str]) -> dict[str, str]:
    """Names of one list to names of the other: the same name, else the one at the same place among what is left."""
    common = set(was) & set(now)
    left = zip([n for n in was if n not in common], [n for n in now if n not in common], strict=False)
    return {name: name for name in was if name in common} | dict(left)


def merged(was: list[str], now: list[str]) -> list[str]:
    """Both lists as one in the order of `now`; what only `was` has stands after what it stood after."""
    found = list(now)
    known = set(now)
    place = 0
    for name in was:
        if name in known:
            place = found.index(name) + 1
        else:
            found.insert(place, name)
            known.add(name)
            place += 1
    return found


def _join(found: dict[str, Difference], one: Difference, numbers: Iterable[int] | None, of: int) -> None:
    """Adds a difference of some repetitions to those of others that differ alike."""
    if numbers is None:
        found[json.dumps([len(found)])] = one
        return
    key = json.dumps([one.path, one.name, one.was, one.now, one.copies], sort_keys=True, default=str)
    before = found[key].copies[0][0] if key in found else ()
    level = (tuple(sorted((*before, *numbers))), of)
    found[key] = replace(one, copies=(level, *one.copies))
