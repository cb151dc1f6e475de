"""A model as the tree of its YAML, for people at a prompt. No torch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from blockgraph.builder.counts import call_parameters
from blockgraph.builder.graph import Call, Definition, Leaf, Model


def describe(model: Model) -> str:
    """One line a node: name, type, what the YAML says of it that is not the default, output shape, parameters."""
    inputs = ", ".join(f"{name} {given.value}" for name, given in model.root.inputs.items())
    outputs = ", ".join(f"{name} {output.value}" for name, output in model.root.outputs.items())
    head = f"{model.name}: {inputs} → {outputs}, {model.parameters:,} parameters"
    return "\n".join([head, *_tree(model.root, "")])


def _tree(definition: Definition, indent: str) -> Iterator[str]:
    calls = list(definition.calls.values())
    for number, call in enumerate(calls):
        last = number == len(calls) - 1
        yield f"{indent}{'└─' if last else '├─'} {_line(call)}"
        for body in {id(step.body): step.body for step in call.steps}.values():
            if isinstance(body, Definition):
                yield from _tree(body, indent + ("   " if last else "│  "))


def _line(call: Call) -> str:
    parameters = call_parameters(call)
    count = f", {parameters:,} parameters" if parameters else ""
    return f"{call.name}: {_what(call)} → {next(iter(call.outputs.values()))}{count}"


def _what(call: Call) -> str:
    if call.weights_of is not None:
        return f"shares {call.weights_of}"
    bodies = [step.body for step in call.steps]
    names = dict.fromkeys(body.type.name if isinstance(body, Leaf) else body.name for body in bodies)
    copies = f" ({call.copies} of weights)" if call.copies is not None else ""
    times = f" × {call.repeat}{copies}" if call.repeat is not None else ""
    options = _options(bodies[0]) if isinstance(bodies[0], Leaf) and call.uniform else {}
    if call.tie is not None:
        options = {"tie": call.tie, **{name: value for name, value in options.items() if name != "width"}}
    given = f" {{{', '.join(f'{name}: {_plain(value)}' for name, value in options.items())}}}" if options else ""
    return " | ".join(names) + times + given


def _options(leaf: Leaf) -> dict[str, Any]:
    """What differs from the type's defaults."""
    return leaf.options.model_dump(exclude_defaults=True, exclude_none=True)


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        if value and all(item is False for item in value.values()):
            return "false"
        return "{" + ", ".join(f"{name}: {_plain(item)}" for name, item in value.items()) + "}"
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value:g}" if isinstance(value, float) else str(value)
