"""Which blocks become one class: definitions that differ only in numbers share one and pass the numbers in. No torch.

Twelve layers whose `scale` differs are twelve objects of one class: floats (and integers that a module keeps as a
buffer) become constructor arguments. Anything else that differs, such as an integer that the forward reads, makes a
class of its own, because torch.compile recompiles one code object a few times only.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from typing import Any

from blockgraph.builder.counts import owners
from blockgraph.builder.graph import Call, Definition, Leaf, Step


@dataclass(frozen=True, slots=True)
class Lifted:
    """The place of a number that copies of a class may differ in; `name` is the constructor argument it would be."""

    position: int
    name: str


@dataclass(eq=False)
class BlockClass:
    """One generated class, for all `members` with the same skeleton. `varying` are positions in which they differ."""

    name: str
    members: list[Definition]
    values: dict[int, tuple[Any, ...]] = field(default_factory=dict)
    hints: tuple[str, ...] = ()
    varying: tuple[int, ...] = ()

    @property
    def sample(self) -> Definition:
        return self.members[0]

    @property
    def arguments(self) -> dict[int, str]:
        """Position to constructor argument, names made unique."""
        names: dict[int, str] = {}
        for position in self.varying:
            name, number = self.hints[position], 2
            while name in names.values():
                name, number = f"{self.hints[position]}{number}", number + 1
            names[position] = name
        return names


@dataclass(slots=True)
class _Skeleton:
    key: Hashable
    values: list[Any]
    hints: list[str]


class Classes:
    """Groups the definitions of a model into classes."""

    def __init__(self, definitions: list[Definition], taken: set[str]) -> None:
        self._skeletons: dict[int, _Skeleton] = {}
        self._interned: dict[Hashable, int] = {}
        groups: dict[Hashable, list[Definition]] = {}
        for definition in definitions:
            groups.setdefault(self._skeleton(definition).key, []).append(definition)
        self.classes: list[BlockClass] = []
        self._of: dict[int, BlockClass] = {}
        for members in groups.values():
            self._add(members, taken)

    def of(self, definition: Definition) -> BlockClass:
        return self._of[id(definition)]

    def values(self, definition: Definition) -> list[Any]:
        return self._skeletons[id(definition)].values

    def _add(self, members: list[Definition], taken: set[str]) -> None:
        name = base = members[0].name
        number = 2
        while name in taken:
            name, number = f"{base}{number}", number + 1
        taken.add(name)
        skeletons = [self._skeletons[id(member)] for member in members]
        columns = list(zip(*(skeleton.values for skeleton in skeletons), strict=True))
        varying = tuple(position for position, column in enumerate(columns) if len(set(map(repr, column))) > 1)
        found = BlockClass(name, members, hints=tuple(skeletons[0].hints), varying=varying)
        self.classes.append(found)
        for member in members:
            self._of[id(member)] = found

    def _skeleton(self, definition: Definition) -> _Skeleton:
        """The definition with liftable numbers taken out: equal keys mean equal source."""
        if id(definition) not in self._skeletons:
            found = _Skeleton((), [], [])
            calls = tuple(self._call(call, found) for call in definition.calls.values())
            inputs = tuple((name, given.value.mask is not None) for name, given in definition.inputs.items())
            outputs = tuple((name, output.ref, output.value.mask) for name, output in definition.outputs.items())
            found.key = self._intern((definition.name, inputs, calls, outputs))
            self._skeletons[id(definition)] = found
        return self._skeletons[id(definition)]

    def _intern(self, key: Hashable) -> int:
        return self._interned.setdefault(key, len(self._interned))

    def _call(self, call: Call, found: _Skeleton) -> Hashable:
        owning = {id(step) for step in owners(call)} if call.weights_of is None else set()
        steps = tuple(self._step(call, step, id(step) in owning, found) for step in call.steps)
        return (call.name, steps, call.repeat, call.copies, call.weights_of, call.tie, call.recompute)

    def _step(self, call: Call, step: Step, owns: bool, found: _Skeleton) -> Hashable:
        wiring = tuple(step.inputs.items())
        masks = tuple((name, value.mask) for name, value in step.outputs.items())
        if isinstance(step.body, Leaf):
            made = lift(step.body, call.name, found.values, found.hints) if owns else _fixed(step.body)
            return (
                made,
                wiring,
                masks,
                tuple((p, tuple(v.mask for v in vs)) for p, vs in step.body.inputs.values.items()),
            )
        inner = self._skeleton(step.body)
        if owns:
            found.values += inner.values
            found.hints += [f"{call.name}_{hint}" for hint in inner.hints]
        return (inner.key, wiring, masks)


def lift(leaf: Leaf, node: str, values: list[Any], hints: list[str]) -> Hashable:
    """The leaf's constructor with its liftable numbers replaced; they are appended to `values`."""

    def walk(value: Any, name: str, liftable: bool) -> Hashable:
        if isinstance(value, Mapping):
            return ("{}", tuple((key, walk(item, f"{name}_{key}", liftable)) for key, item in value.items()))
        if isinstance(value, (list, tuple)):
            return ("()", tuple(walk(item, name, False) for item in value))
        if isinstance(value, float) or (liftable and isinstance(value, int) and not isinstance(value, bool)):
            values.append(value)
            hints.append(name)
            return Lifted(0, type(value).__name__)
        return (type(value).__name__, value)

    arguments = leaf.construct.arguments
    return (
        leaf.construct.name,
        tuple((k, walk(v, f"{node}_{k}", k in leaf.rules.lifted)) for k, v in arguments.items()),
    )


def _fixed(leaf: Leaf) -> Hashable:
    return (leaf.construct.name, leaf.rules.keeps_state(leaf.options, leaf.inputs))
