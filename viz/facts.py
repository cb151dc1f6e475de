"""What the interactive page says of a node: its type, options, shapes and costs, and where it is written."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from blockgraph.builder.counts import call_cost, costs, owners, parameters
from blockgraph.builder.graph import Call, Definition, Leaf, Model, Step
from blockgraph.builder.shapes import Value
from blockgraph.specs.places import Source, Span
from blockgraph.specs.render import printable
from blockgraph.specs.spec import Spec
from blockgraph.specs.tree import Mapping as Tree
from blockgraph.specs.tree import find
from blockgraph.viz.text import count

MOST_LINES = 12  # of the source, for one node
LONGEST = 200  # characters of a source line or an option's value


@dataclass(frozen=True, slots=True)
class Facts:
    """All values are text made fit to show. `lines` are (file, line number, text); `options` (name, value, whether it
    is the type's default)."""

    type: str
    about: str = ""
    options: list[tuple[str, str, bool]] = field(default_factory=list)
    shapes: list[tuple[str, str]] = field(default_factory=list)
    costs: list[tuple[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    lines: list[tuple[str, int, str]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Found:
    """A node on the way down a path: in which block (its key under `blocks:`, None for the model), the call, and what
    it calls, each distinct body once: (the step, how often it runs, how many sets of weights it has; none where they
    are another node's). `number` is the repetition that the path names (None: all), `notes` say of what."""

    block: str | None
    call: Call
    every: list[tuple[Step, int, int]]
    number: int | None = None
    notes: tuple[str, ...] = ()

    @property
    def step(self) -> Step:
        return self.every[0][0]


def facts(model: Model, ids: Iterable[str]) -> dict[str, dict[str, Any]]:
    """The facts of each node in `ids` (as `data-node` says it) that the block graph knows; "" is the model itself."""
    said = {"": _of_model(model)}
    ids = list(ids)
    groups = {id.rpartition(".")[0] for id in ids if id.rpartition(".")[2].isdigit()}  # frames of several copies
    for id in ids:
        found = _given(model, id) or _of_node(model, _whole(id) if id in groups else id)
        if found is not None:
            said[id] = found
    return {id: {key: value for key, value in asdict(one).items() if value} for id, one in said.items()}


def _whole(id: str) -> str:
    """The path without the numbers at its end."""
    head, _, number = id.rpartition(".")
    return _whole(head) if number.isdigit() else id


def find_node(model: Model, id: str) -> Found | None:
    """The node at the path `id`; a number says which repetition (`decoder.3.attn`), else all of them are meant."""
    parts = id.split(".")
    found = Found(None, Call("", "", []), [(Step(model.root, {}, {}), 1, 1)])
    while parts:
        name = parts.pop(0)
        bodies = [(step.body, times, sets) for step, times, sets in found.every]
        calls = [
            (b.calls[name], times, sets) for b, times, sets in bodies if isinstance(b, Definition) and name in b.calls
        ]
        if not calls:
            return None
        call, inside = calls[0][0], next(b for b, _, _ in bodies if isinstance(b, Definition) and name in b.calls)
        number = _number(parts) if call.repeat is not None else None
        if number is not None and number >= len(call.steps):
            return None
        notes = found.notes if number is None else (*found.notes, _which(call, number))
        block = None if inside is model.root else inside.name
        found = Found(block, call, _every(calls, number), number, notes)
        if not found.every:
            return None
    return found


def _every(calls: list[tuple[Call, int, int]], number: int | None) -> list[tuple[Step, int, int]]:
    """The distinct bodies that these calls call, or their repetition `number`."""
    found: dict[int, tuple[Step, int, int]] = {}
    for call, times, sets in calls:
        owning = set() if call.weights_of is not None else set(map(id, owners(call) if number is None else call.steps))
        for step in call.steps if number is None else call.steps[number : number + 1]:
            known = found.get(id(step.body), (step, 0, 0))
            found[id(step.body)] = (known[0], known[1] + times, known[2] + (sets if id(step) in owning else 0))
    return list(found.values())


def _which(call: Call, number: int) -> str:
    alike = sum(step.body is call.steps[number].body for step in call.steps)
    return f"in copy {number} of {call.name}; {alike} of {len(call.steps)} are like it"


def _number(parts: list[str]) -> int | None:
    """Takes the numbers at the front of a path away; the last one is the repetition."""
    number = None
    while parts and parts[0].isdigit():
        number = int(parts.pop(0))
    return number


# -- what is said ------------------------------------------------------------------------------------------------------


def _of_model(model: Model) -> Facts:
    cost = costs(model)
    at = ", ".join(f"{name}={size}" for name, size in model.sizes.items())
    said = [("parameters", f"{model.parameters:,}"), (f"FLOPs at {at}", _flops(cost.flops))] if model.sizes else []
    shapes = [(name, str(given.value)) for name, given in model.root.inputs.items()]
    shapes += [(f"→ {name}", str(output.value)) for name, output in model.root.outputs.items()]
    return Facts("model", about=printable(model.about or ""), shapes=shapes, costs=said)


def _given(model: Model, id: str) -> Facts | None:
    """An input of the model, or one of its outputs (`NAME:out`)."""
    spec = model.spec
    if id in model.root.inputs:
        value = model.root.inputs[id].value
        shapes = [("shape", str(value)), ("numbers", value.dtype)]
        if value.vocabulary:
            shapes.append(("vocabulary", f"{value.vocabulary:,}"))
        return Facts("input", shapes=shapes, lines=_at(spec, [("inputs", id)]) if spec else [])
    name, _, end = id.rpartition(":")
    if end == "out" and name in model.root.outputs:
        output = model.root.outputs[name]
        path = ("outputs", name) if spec and spec.written("outputs", name) else ("nodes", output.ref.node)
        shapes = [("shape", str(output.value)), ("read from", str(output.ref))]
        return Facts("output", shapes=shapes, lines=_at(spec, [path]) if spec else [])
    return None


def _of_node(model: Model, id: str) -> Facts | None:
    found = find_node(model, id)
    if found is None:
        return None
    body = found.step.body
    leaf = isinstance(body, Leaf)
    return Facts(
        body.type.name if isinstance(body, Leaf) else body.name,
        printable(found.call.about or (body.type.summary if isinstance(body, Leaf) else body.about) or ""),
        _options(body) if isinstance(body, Leaf) else [],
        _shapes(found.step),
        _costs(model, found),
        list(_notes(found, leaf)),
        _lines(model.spec, found, body) if model.spec else [],
    )


def _options(leaf: Leaf) -> list[tuple[str, str, bool]]:
    """Those that differ from the type's defaults first."""
    given = leaf.options.model_dump(exclude_none=True)
    special = leaf.options.model_dump(exclude_defaults=True, exclude_none=True)
    rest = [name for name in given if name not in special]
    return [(name, _plain(given[name]), name not in special) for name in (*special, *rest)]


def _plain(value: Any) -> str:
    if isinstance(value, Mapping):
        said = "{" + ", ".join(f"{name}: {_plain(item)}" for name, item in value.items()) + "}"
    elif isinstance(value, list | tuple):
        said = "[" + ", ".join(map(_plain, value)) + "]"
    elif isinstance(value, bool):
        said = "true" if value else "false"
    else:
        said = f"{value:g}" if isinstance(value, float) else str(value)
    return _cut(said)


def _cut(text: str) -> str:
    shown = printable(text)
    return shown if len(shown) <= LONGEST else shown[: LONGEST - 1] + "…"


def _shapes(step: Step) -> list[tuple[str, str]]:
    """The value at each port, then each output."""
    given: list[tuple[str, Value]] = []
    if isinstance(step.body, Leaf):
        given = [(port, value) for port, values in step.body.inputs.values.items() for value in values]
    else:
        given = [(name, one.value) for name, one in step.body.inputs.items()]
    return [(port, str(value)) for port, value in given] + [(f"→ {name}", str(v)) for name, v in step.outputs.items()]


def _costs(model: Model, found: Found) -> list[tuple[str, str]]:
    """Parameters and FLOPs of one copy, and of all where there are several."""
    times, sets = sum(each[1] for each in found.every), sum(each[2] for each in found.every)
    own = [_parameters(step) for step, _, _ in found.every]
    flops = [call_cost(Call("", "", [step]), model.sizes).flops for step, _, _ in found.every]
    said = [("parameters", _amount(own[0]))] if own[0] and sets else []
    if own[0] and sets > 1:
        said.append((f"in {sets} copies", _amount(sum(n * each[2] for n, each in zip(own, found.every, strict=True)))))
    if flops[0]:
        at = ", ".join(f"{name}={size}" for name, size in model.sizes.items())
        said.append(("FLOPs", f"{_flops(flops[0])} at {at}"))
    if flops[0] and times > 1:
        said.append((f"in {times} copies", _flops(sum(n * e[1] for n, e in zip(flops, found.every, strict=True)))))
    return said


def _parameters(step: Step) -> int:
    return step.body.parameters if isinstance(step.body, Definition) else parameters(step.body)


def _flops(number: int) -> str:
    """Three figures: 9.66 G, 836 T."""
    amount, unit = float(number), ""
    for larger in ("k", "M", "G", "T", "P", "E", "Z"):
        if amount < 999.5:
            break
        amount, unit = amount / 1000, larger
    return f"{amount:.3g} {unit}".rstrip()


def _amount(number: int) -> str:
    return f"{number:,}" if number < 10**4 else f"{count(number)} ({number:,})"


def _notes(found: Found, leaf: bool) -> Iterator[str]:
    call = found.call
    if call.repeat is not None and found.number is None:
        yield f"stacked {call.repeat}×"
    if len(found.every) > 1:
        yield f"{len(found.every)} kinds of copies; this is one of them"
    yield from found.notes
    if call.copies is not None:
        yield f"{call.copies} sets of weights" if call.copies > 1 else "one set of weights for all copies"
    if call.weights_of is not None:
        yield f"has the weights of {call.weights_of}"
    if call.tie is not None:
        yield f"its weight is the table of {call.tie}"
    if call.recompute:
        yield "computed again in the backward pass"
    if not leaf and isinstance(found.step.body, Definition):
        yield f"{len(found.step.body.calls)} nodes inside"


# -- where it is written -----------------------------------------------------------------------------------------------


def _lines(spec: Spec, found: Found, body: Leaf | Definition) -> list[tuple[str, int, str]]:
    """The lines of the node itself and of what `defaults:` says of its type, or of the head of its block."""
    block = spec.blocks.get(found.block) if found.block is not None else spec.root
    if block is None:
        return []
    paths: list[tuple[str, ...]] = [(*block.path, "nodes", found.call.name)]
    if isinstance(body, Leaf):
        paths += [("defaults", body.type.name)] if spec.written("defaults", body.type.name) else []
        return _at(spec, paths)
    inner = spec.blocks.get(body.name)
    return _at(spec, paths) + (_at(spec, [inner.path], whole=False) if inner and inner.path else [])


def _at(spec: Spec, paths: list[tuple[str, ...]], *, whole: bool = True) -> list[tuple[str, int, str]]:
    """The source lines on which these keys and, if `whole`, what they hold are written, file by file."""
    places: dict[tuple[Source, int], None] = {}
    for path in paths:
        span = spec.place(*path, key=True)
        own = dict.fromkeys([(span.source, span.line)])
        own |= dict.fromkeys((s.source, s.line) for s in (_scalars(find(spec.tree, path)) if whole else ()))
        places |= dict.fromkeys(sorted(own, key=lambda at: (at[0].name, at[1])))
    shown = list(places)[:MOST_LINES]
    return [(printable(source.name), line, _cut(source.line(line).rstrip())) for source, line in shown]


def _scalars(tree: Any) -> Iterator[Span]:
    """The places of all keys and values below."""
    if isinstance(tree, Tree):
        for entry in tree.entries.values():
            yield entry.key.span
            yield from _scalars(entry.value)
    elif tree is not None and hasattr(tree, "items"):
        for item in tree.items:
            yield from _scalars(item)
    elif tree is not None:
        yield tree.span
