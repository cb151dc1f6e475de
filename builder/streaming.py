"""What one decoding step computes: nodes that follow the growing axis; the others run once, at first. No torch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from blockgraph.builder.graph import Call, Definition, Leaf, Ref
from blockgraph.builder.shapes import Value


@dataclass(frozen=True, slots=True)
class Streaming:
    """How a model decodes step by step.

    `axis` is the axis that grows (the position axis of the first output); `once` the calls that do not follow it (an
    encoder), `kept` what the others read of them; `refusal` says why the model cannot decode step by step.
    """

    axis: str | None
    inputs: tuple[str, ...]
    once: tuple[str, ...]
    kept: tuple[Ref, ...]
    refusal: str | None = None


def streaming(root: Definition) -> Streaming:
    """Splits the model's own nodes into those that run at every step and those that run once."""
    first = next(iter(root.outputs.values())).value
    axis = _axis(first)
    inputs = tuple(name for name, given in root.inputs.items() if axis is not None and _axis(given.value) == axis)
    if axis is None or not inputs:
        return Streaming(None, (), (), (), f"the output {first} has no position axis of an input to grow along")
    moving = _following(root, inputs)
    once = tuple(name for name in root.calls if name not in moving) if len(inputs) < len(root.inputs) else ()
    kept: dict[Ref, None] = {}
    for ref in _reads(root, moving):
        if ref.node in once or (ref.node in root.inputs and ref.node not in inputs):
            kept[ref] = None
    return Streaming(axis, inputs, once, tuple(kept), _refusal(root, moving, axis))


def _axis(value: Value) -> str | None:
    """The symbol of the position axis: the last of ids, the second last of features."""
    place = -1 if value.dtype == "int" else -2
    if value.rank < 1 - place:
        return None
    size = value.shape[place]
    return str(size) if len(size.terms) == 1 and size.constant == 0 and isinstance(size.terms[0][0], str) else None


def _following(root: Definition, inputs: tuple[str, ...]) -> set[str]:
    moving: set[str] = set(inputs)
    for name, call in root.calls.items():
        if any(ref.node in moving for step in call.steps for refs in step.inputs.values() for ref in refs):
            moving.add(name)
    return moving


def _reads(root: Definition, moving: set[str]) -> Iterator[Ref]:
    for name, call in root.calls.items():
        if name in moving:
            for step in call.steps:
                for refs in step.inputs.values():
                    yield from refs
    for output in root.outputs.values():
        yield output.ref


def _refusal(root: Definition, moving: set[str], axis: str) -> str | None:
    for name, call in root.calls.items():
        if name in moving:
            for step in call.steps:
                if (reason := refusal(step.body, axis)) is not None:
                    return f"{name}{reason}"
    return None


@lru_cache(maxsize=4096)
def refusal(body: Leaf | Definition, axis: str) -> str | None:
    """Why a block cannot go on from a state when `axis` grows (`.attn is not causal`), or None."""
    if isinstance(body, Leaf):
        reason = body.rules.decodable(body.options, body.inputs)
        if reason is None and body.rules.reads_source(body.options, body.inputs, axis):
            reason = f"reads keys along {axis}, which grows, from another node than its queries"
        return None if reason is None else f": {reason}"
    for name, call in body.calls.items():
        for step in call.steps:
            if (inner := refusal(step.body, axis)) is not None:
                return f".{name}{inner}"
    return None


@lru_cache(maxsize=4096)
def stateful(body: Leaf | Definition) -> bool:
    """Whether a block keeps anything from step to step."""
    if isinstance(body, Leaf):
        return body.rules.keeps_state(body.options, body.inputs)
    return any(stateful_call(call) for call in body.calls.values())


def stateful_call(call: Call) -> bool:
    return any(stateful(body) for body in {id(step.body): step.body for step in call.steps}.values())
