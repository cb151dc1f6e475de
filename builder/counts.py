"""Parameters, FLOPs, activations and decoding state, from the graph alone: arithmetic, no tensors. No torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from blockgraph.builder.graph import Call, Definition, Leaf, Model
from blockgraph.builder.shapes import Value
from blockgraph.builder.streaming import streaming
from blockgraph.specs.diagnostics import Diagnostics
from blockgraph.specs.spec import Spec

MOST_PARAMETERS = 10**13  # five times the largest model that was ever trained
MOST_MODULES = 300_000
USUAL_LENGTH = 1024
ITEM_BYTES = {"float": 4, "int": 8, "bool": 1}


@dataclass(frozen=True, slots=True)
class Cost:
    """What one forward pass costs: FLOPs of matrix products, bytes of all nodes' outputs, bytes kept for decoding."""

    flops: int = 0
    activation_bytes: int = 0
    state_bytes: int = 0

    def __add__(self, other: Cost) -> Cost:
        return Cost(
            self.flops + other.flops,
            self.activation_bytes + other.activation_bytes,
            self.state_bytes + other.state_bytes,
        )


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the summary: a node, or all repetitions of one."""

    path: str
    depth: int
    type: str
    shape: str
    parameters: int
    flops: int
    note: str = ""


def parameters(body: Leaf | Definition) -> int:
    """Trainable numbers, each counted once: shared and tied weights belong to the node that owns them."""
    if isinstance(body, Leaf):
        return sum(_product(shape) for shape in body.weights.values())
    return sum(call_parameters(call) for call in body.calls.values())


def call_parameters(call: Call) -> int:
    if call.weights_of is not None:
        return 0
    return sum(
        step.body.parameters if isinstance(step.body, Definition) else parameters(step.body) for step in owners(call)
    )


def owners(call: Call) -> list[Any]:
    """The steps that own weights: one for each set (`copies`), else all."""
    if call.copies is None:
        return call.steps
    every = len(call.steps) // call.copies
    return call.steps[::every]


def weight_shapes(definition: Definition, prefix: str = "") -> dict[str, tuple[int, ...]]:
    """Every trainable tensor by its canonical path (`decoder.3.attn.query.weight`)."""
    found: dict[str, tuple[int, ...]] = {}
    for name, call in definition.calls.items():
        if call.weights_of is not None:
            continue
        for number, step in enumerate(owners(call)):
            place = f"{prefix}{name}." + (f"{number}." if call.repeat is not None else "")
            if isinstance(step.body, Definition):
                found |= weight_shapes(step.body, place)
            else:
                found |= {place + weight: shape for weight, shape in step.body.weights.items()}
    return found


def modules(body: Leaf | Definition, known: dict[int, int] | None = None) -> int:
    """How many modules the block becomes, itself included."""
    known = {} if known is None else known
    if isinstance(body, Leaf):
        return 1
    if id(body) not in known:
        known[id(body)] = 1 + sum(modules(step.body, known) for call in body.calls.values() for step in owners(call))
    return known[id(body)]


def costs(model: Model, sizes: Mapping[str, int] | None = None) -> Cost:
    """Costs of one forward pass at `sizes` (default: the model's own), fp32; the state that `length` positions need."""
    settled = {**model.sizes, **(sizes or {})}
    plan = streaming(model.root)
    total = Cost()
    for name, call in model.root.calls.items():
        cost = _call_cost(call, settled, {})
        total += cost if plan.refusal is None and name not in plan.once else Cost(cost.flops, cost.activation_bytes)
    if plan.refusal is None:
        total += Cost(state_bytes=sum(_bytes(_value(model.root, ref).at(settled)) for ref in plan.kept))
    return total


def _value(definition: Definition, ref: Any) -> Value:
    if ref.node in definition.inputs:
        return definition.inputs[ref.node].value
    outputs = definition.calls[ref.node].steps[-1 if ref.index is None else ref.index].outputs
    return outputs[ref.output] if ref.output else next(iter(outputs.values()))


def call_cost(call: Call, sizes: Mapping[str, int]) -> Cost:
    """What one node costs, all its repetitions together; the state is that of every block in it that could keep one."""
    return _call_cost(call, sizes, {})


def _call_cost(call: Call, sizes: Mapping[str, int], known: dict[int, Cost]) -> Cost:
    total = Cost()
    for step in call.steps:
        total += _cost(step.body, sizes, known)
    return total


def _cost(body: Leaf | Definition, sizes: Mapping[str, int], known: dict[int, Cost]) -> Cost:
    if id(body) not in known:
        if isinstance(body, Leaf):
            known[id(body)] = _leaf_cost(body, sizes)
        else:
            total = Cost()
            for call in body.calls.values():
                total += _call_cost(call, sizes, known)
            known[id(body)] = total
    return known[id(body)]


def _leaf_cost(leaf: Leaf, sizes: Mapping[str, int]) -> Cost:
    inputs = leaf.inputs.at(sizes)
    length = max((size for name, size in sizes.items() if name != "B"), default=USUAL_LENGTH)
    own = next((value for values in inputs.values.values() for value in values), None)
    if own is not None and own.rank >= 2:
        length = int(own.shape[-1 if own.dtype == "int" else -2])
    return Cost(
        leaf.rules.flops(leaf.options, inputs),
        sum(_bytes(value.at(sizes)) for value in leaf.outputs.values()),
        leaf.rules.state(leaf.options, inputs, length) * ITEM_BYTES["float"]
        if leaf.rules.keeps_state(leaf.options, leaf.inputs)
        else 0,
    )


def _bytes(value: Value) -> int:
    return value.numbers * ITEM_BYTES[value.dtype]


def rows(model: Model, depth: int = 1) -> list[Row]:
    """The summary, down to `depth` blocks inside blocks; repetitions are one row."""
    found: list[Row] = []
    _rows(model.root, model.sizes, "", 0, depth, 1, found)
    return found


def _rows(
    definition: Definition, sizes: Mapping[str, int], prefix: str, level: int, depth: int, times: int, found: list[Row]
) -> None:
    for name, call in definition.calls.items():
        note = f"× {call.repeat}" if call.repeat is not None else ""
        if call.copies is not None:
            note += f", {call.copies} set{'s' if call.copies > 1 else ''} of weights"
        note = f"shares {call.weights_of}" if call.weights_of else f"tied with {call.tie}" if call.tie else note
        shape = str(next(iter(call.outputs.values())))
        flops = _call_cost(call, sizes, {}).flops
        found.append(Row(prefix + name, level, _kind(call), shape, call_parameters(call) * times, flops * times, note))
        if isinstance(call.body, Definition) and call.uniform and level < depth:
            copies = 0 if call.weights_of else len(owners(call))
            inner: list[Row] = []
            _rows(call.body, sizes, f"{prefix}{name}.", level + 1, depth, 1, inner)
            found += [
                Row(
                    row.path,
                    row.depth,
                    row.type,
                    row.shape,
                    row.parameters * copies * times,
                    row.flops * len(call.steps) * times,
                    row.note,
                )
                for row in inner
            ]


def _kind(call: Call) -> str:
    kinds = dict.fromkeys(step.body.type.name if isinstance(step.body, Leaf) else step.body.name for step in call.steps)
    return " | ".join(kinds)


def default_sizes(model: Model, spec: Spec) -> dict[str, int]:
    """At what length costs are stated: the training length, no longer than a learned position table."""
    symbols = {symbol for given in model.root.inputs.values() for size in given.value.shape for symbol in size.symbols}
    length = min([USUAL_LENGTH, *_tables(model)])
    if spec.train is not None and spec.train.batch is not None and isinstance(spec.train.batch.length, int):
        length = min([spec.train.batch.length, *_tables(model)])
    return {
        symbol: 1 if symbol in {given.value.shape[0].terms[0][0] for given in model.root.inputs.values()} else length
        for symbol in sorted(symbols)
    }


def _tables(model: Model) -> list[int]:
    lengths = []
    for definition in model.definitions:
        for call in definition.calls.values():
            for step in call.steps[:1]:
                if isinstance(step.body, Leaf) and step.body.construct.name in (
                    "LearnedPositions",
                    "LinformerAttention",
                ):
                    lengths.append(int(step.body.construct.arguments["length"]))
    return lengths


def tokens(model: Model) -> int:
    """Positions per forward pass at the model's sizes, to state FLOPs per token: those of the first output's axis, or
    of the first input where the output has none."""
    plan = streaming(model.root)
    if plan.axis is not None:
        return int(model.sizes.get(plan.axis, 1))
    value = next(iter(model.root.inputs.values())).value.at(model.sizes)
    return int(value.shape[1]) if value.rank > 1 else 1


def check_size(model: Model, spec: Spec, diagnostics: Diagnostics) -> None:
    """Refuses absurd models by arithmetic, at the node that makes them so."""
    count = modules(model.root)
    if count > MOST_MODULES:
        _too_big(
            model,
            spec,
            diagnostics,
            f"the model would have {count:,} modules; the limit is {MOST_MODULES:,}",
            lambda call: modules_of(call),
        )
    elif model.parameters > MOST_PARAMETERS:
        _too_big(
            model,
            spec,
            diagnostics,
            f"the model would have {model.parameters:,} parameters; the limit is {MOST_PARAMETERS:,}",
            call_parameters,
        )


def modules_of(call: Call) -> int:
    return sum(modules(step.body) for step in owners(call))


def _too_big(model: Model, spec: Spec, diagnostics: Diagnostics, message: str, weight: Any) -> None:
    largest = max(model.root.calls.values(), key=weight)
    diagnostics.error("too-big", message, spec.place("nodes", largest.name, key=True), help="most of them are here")


def _product(shape: tuple[int, ...]) -> int:
    count = 1
    for size in shape:
        count *= size
    return count
