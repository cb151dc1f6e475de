"""Where padding masks travel inside a block: which of its inputs' masks somebody reads, which masks it makes. No torch.

A mask is named by a label: the input whose position axis it belongs to, or `node.output` for one that a node makes.
"""

from __future__ import annotations

from functools import lru_cache

from blockgraph.builder.graph import Call, Definition, Leaf, Ref, Step


@lru_cache(maxsize=4096)
def needed_masks(definition: Definition) -> frozenset[str]:
    """Labels of the masks that are read inside the block or leave it."""
    needed = {definition.outputs[name].value.mask or "" for name in made_masks(definition)}
    for call in reversed(definition.calls.values()):
        for step in reversed(call.steps):
            needed |= _read_by(definition, call, step, needed)
    return frozenset(needed - {""})


@lru_cache(maxsize=4096)
def mask_inputs(definition: Definition) -> tuple[str, ...]:
    """Inputs whose mask the block takes, in their order."""
    return tuple(name for name in definition.inputs if name in needed_masks(definition))


@lru_cache(maxsize=4096)
def made_masks(definition: Definition) -> tuple[str, ...]:
    """Outputs that come with a mask that was made inside."""
    return tuple(
        name
        for name, output in definition.outputs.items()
        if output.value.mask is not None and "." in output.value.mask
    )


def _read_by(definition: Definition, call: Call, step: Step, needed: set[str]) -> set[str]:
    if isinstance(step.body, Definition):
        inner = mask_inputs(step.body)
        return {_label(definition, ref) for port in inner for ref in step.inputs[port]}
    found = {read_mask(step.body) or ""}
    if step.body.rules.makes_mask and any(value.mask in needed for value in step.outputs.values()):
        found |= {_label(definition, ref) for refs in step.inputs.values() for ref in refs}
    return found


def read_mask(leaf: Leaf) -> str | None:
    """The label of the mask that a leaf reads: that of its port, or of the port which that follows."""
    name = leaf.rules.mask_port(leaf.options, leaf.inputs)
    while name is not None and name not in leaf.inputs:
        port = leaf.type.port(name)
        name = port.follows if port is not None else None
    return leaf.inputs[name].mask if name is not None else None


def _label(definition: Definition, ref: Ref) -> str:
    if ref.node in definition.inputs:
        return definition.inputs[ref.node].value.mask or ""
    outputs = definition.calls[ref.node].steps[-1 if ref.index is None else ref.index].outputs
    value = outputs[ref.output] if ref.output else next(iter(outputs.values()))
    return value.mask or ""
