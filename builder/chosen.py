"""Which weights a spec means: those that a glob names, those of the head. From names and the graph alone, no torch."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Any


def covers(pattern: str, name: str) -> bool:
    """Whether a glob matches the weight's path or that of a module around it."""
    parts = name.split(".")
    return any(fnmatchcase(".".join(parts[: end + 1]), pattern) for end in range(len(parts)))


def head_in(definition: Any, output: str | None = None) -> str | None:
    """The path of the linear that makes an output (None: the first): back from there through what is no weight matrix
    (softcap, scale, …)."""
    result = definition.outputs.get(output) if output is not None else next(iter(definition.outputs.values()), None)
    ref = result.ref if result is not None else None
    while ref is not None and ref.node in definition.calls:
        call = definition.calls[ref.node]
        number = (-1 if ref.index is None else ref.index) % len(call.steps)
        step = call.steps[number]
        path = call.name if call.repeat is None else f"{call.name}.{number}"
        if not hasattr(step.body, "weights"):  # a block of the spec: its own graph goes on
            inner = head_in(step.body, ref.output)
            return None if inner is None else f"{path}.{inner}"
        if step.body.type.name == "linear":
            return path
        first = next(iter(step.inputs.values()), ())
        ref = first[0] if first and not step.body.weights else None
    return None
