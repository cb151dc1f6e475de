"""The links of a figure: which values flow between a frame's items, with which shape, from which copy."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from blockgraph.builder.graph import Call, Definition, Leaf, Ref, Step
from blockgraph.builder.shapes import Value
from blockgraph.viz.figure import End, Frame, Item, Link
from blockgraph.viz.text import clean
from blockgraph.viz.words import face_of

LONGEST = 16  # characters of one size at a line


def links(call: Call, body: Definition, frame: Frame, *, outermost: bool) -> list[Link]:
    """What flows into a call that one item stands for."""
    found: dict[tuple[End, End], Link] = {}
    item = frame.items[call.name]
    for port, refs in _external(call).items():
        for number, ref in enumerate(refs):
            source, target = source_of(ref, body, frame), End(call.name, _port(item, port, number))
            if target.port in item.ports:
                label, note = _label(ref, body, outermost), _copies(call, port, ref)
                found[source, target] = Link(source, target, label, note)
    return list(found.values())


def links_of_copy(call: Call, number: int, body: Definition, frame: Frame, *, outermost: bool) -> list[Link]:
    """What flows into one repetition that has an item of its own."""
    key = copy_key(call.name, number)
    item, step = frame.items[key], call.steps[number]
    found: dict[tuple[End, End], Link] = {}
    for port, refs in _followed(step, step.inputs).items():
        for place, ref in enumerate(refs):
            source, target = source_of(ref, body, frame), End(key, _port(item, port, place))
            if target.port in item.ports:
                label = "" if ref.node == call.name else _label(ref, body, outermost)
                found[source, target] = Link(source, target, label)
    return list(found.values())


def link_out(ref: Ref, body: Definition, frame: Frame, target: End, *, outermost: bool) -> Link:
    """What leaves a block."""
    label = _label(ref, body, outermost) if outermost else ""
    return Link(source_of(ref, body, frame), target, label, _copy(ref) if ref.node in frame.items else "")


def copy_key(name: str, number: int) -> str:
    """The name in its frame of a copy that is drawn by itself."""
    return f"{name}.{number}"


def _port(item: Item, port: str, number: int) -> str:
    """The input at which the value arrives; an opened block has one for each value of a port that takes many."""
    return f"{port}:{number}" if isinstance(item, Frame) and f"{port}:{number}" in item.ports else port


def _external(call: Call) -> Mapping[str, list[Ref]]:
    """Port to what it reads from other nodes, over all repetitions; attention's key and value are drawn where they
    follow."""
    found: dict[str, list[Ref]] = {}
    for step in call.steps:
        for port, refs in step.inputs.items():
            seen = found.setdefault(port, [])
            seen += [ref for ref in refs if ref.node != call.name and not any(_same(ref, other) for other in seen)]
    return _followed(call.first, found) if call.steps and call.repeat is None else found


def _followed(step: Step, found: Mapping[str, Iterable[Ref]]) -> dict[str, list[Ref]]:
    """The same; attention's key and value read what they follow."""
    every = {port: list(refs) for port, refs in found.items()}
    if isinstance(step.body, Leaf) and face_of(step.body).kind == "attention":
        for declared in step.body.type.ports:
            if declared.follows is not None and not every.get(declared.name):
                every[declared.name] = every.get(declared.follows, [])
    return every


def _same(a: Ref, b: Ref) -> bool:
    return (a.node, a.output) == (b.node, b.output)


def source_of(ref: Ref, body: Definition, frame: Frame) -> End:
    """Where a reference's value comes from: an item, which may be one copy, or the frame's input."""
    call = body.calls.get(ref.node)
    if call is None:
        return End(ref.node, "out") if ref.node in frame.items else End(None, ref.node)
    number = len(call.steps) - 1 if ref.index is None else ref.index
    key = ref.node if ref.node in frame.items else copy_key(ref.node, number)
    outputs = frame.items[key].outputs
    return End(key, ref.output or (outputs[0] if outputs else "out"))


def _value(ref: Ref, body: Definition) -> Value | None:
    if ref.node in body.calls:
        outputs: dict[str, Any] = body.calls[ref.node].outputs
        return outputs[ref.output] if ref.output in outputs else next(iter(outputs.values()), None)
    return body.inputs[ref.node].value if ref.node in body.inputs else None


def _label(ref: Ref, body: Definition, outermost: bool) -> str:
    """The shape that a link carries, where the reader could not know it: it changed here, or a model's input or a
    block of blocks ends."""
    value = _value(ref, body)
    if value is None:
        return ""
    if ref.node not in body.calls:
        return shape(value) if outermost else ""
    call = body.calls[ref.node]
    sources = [other for refs in call.first.inputs.values() for other in refs] if call.steps else []
    first = _value(sources[0], body) if sources else value
    changed = first is None or first.shape != value.shape
    whole = call.repeat is not None or (bool(call.steps) and isinstance(call.body, Definition))
    return shape(value) if changed or (outermost and whole) else ""


def shape(value: Value) -> str:
    """`[B, T, 512]`; a length that is a long sum is left out."""
    sizes = (clean(str(size)) for size in value.shape)
    return f"[{', '.join(size if len(size) <= LONGEST else '…' for size in sizes)}]"


def _copy(ref: Ref) -> str:
    return "" if ref.index is None else f"copy {ref.index}"


def _copies(call: Call, port: str, ref: Ref) -> str:
    """Which copies of a repeated node are read, in the order in which this call's repetitions read them."""
    refs: Iterable[Ref] = (other for step in call.steps for other in step.inputs.get(port, ()) if _same(ref, other))
    numbers = list(dict.fromkeys(other.index for other in refs if other.index is not None))
    if len(numbers) < 2:
        return _copy(ref)
    return f"copies {numbers[0]}…{numbers[-1]}" if len(numbers) > 2 else f"copies {numbers[0]}, {numbers[1]}"
