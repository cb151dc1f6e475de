"""Block graph to figure: repeats are folded, blocks that are called once are opened in place, shapes and sharing are
said."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from blockgraph.builder.graph import Call, Definition, Leaf, Model, Ref
from blockgraph.builder.shapes import Value
from blockgraph.specs.registry import resolve
from blockgraph.viz.faces import Face
from blockgraph.viz.figure import Box, End, Frame, Item, Link
from blockgraph.viz.fold import Run
from blockgraph.viz.stacked import Stacked
from blockgraph.viz.text import clean, count, spoken, wrap

DEEPEST = 5  # frames within frames; what lies deeper is one box
ROOM = 110.0  # points that a label has before it is wrapped


def sketch(model: Model) -> Frame:
    """The figure of a whole model; its frame has no ports, its inputs and outputs are boxes of words."""
    root = model.root
    frame = Frame("", outputs=())
    waiting = dict(root.inputs)
    for call in root.calls.values():
        for name in [name for name in waiting if name in _read(call)]:
            value = waiting.pop(name)
            frame.items[name] = _words(name, value.label or spoken(name), ())
        frame.items[call.name] = _call(call, call.name, 0, frame)
        frame.links += _links(call, root, frame, outermost=True)
    _end(root, frame)
    frame.settle()
    return frame


def _words(id: str, label: str, ports: tuple[str, ...]) -> Box:
    return Box(id, Face("io", wrap(label, ROOM, 12), shape="text"), ports, () if ports else ("out",), frozenset(ports))


def _end(root: Definition, frame: Frame) -> None:
    """The outputs, each a box of words that stands for itself in the list of items."""
    for name, output in root.outputs.items():
        id = f"{name}:out"
        frame.items[id] = _words(id, output.label or spoken(output.ref.node if name == "out" else name), ("in",))
        source = _source(output.ref, frame)
        frame.links.append(Link(source, End(id, "in"), str(_value(output.ref, root)), _copy(output.ref)))


def _read(call: Call) -> set[str]:
    return {ref.node for step in call.steps for refs in step.inputs.values() for ref in refs}


# -- one block's inside -----------------------------------------------------------------------------------------------


def _definition(body: Definition, id: str, depth: int) -> Item:
    if depth >= DEEPEST:
        return _closed(body, id)
    frame = Frame(id, ports=tuple(body.inputs), outputs=tuple(body.outputs))
    for call in body.calls.values():
        frame.items[call.name] = _call(call, f"{id}.{call.name}", depth + 1, frame)
        frame.links += _links(call, body, frame, outermost=False)
    for name, output in body.outputs.items():
        frame.links.append(Link(_source(output.ref, frame), End(None, name), note=_copy(output.ref)))
    frame.settle()
    return frame


def _closed(body: Definition, id: str) -> Box:
    small = (f"{len(body.calls)} blocks · {count(body.parameters)}",)
    face = Face("block", wrap(body.label or spoken(body.name), ROOM, 11), small)
    return Box(id, face, tuple(body.inputs), tuple(body.outputs), frozenset(tuple(body.inputs)[:1]))


def _body(body: Leaf | Definition, id: str, depth: int) -> Item:
    if isinstance(body, Definition):
        return _definition(body, id, depth)
    return Box(id, face_of(body), _ports(body), tuple(body.outputs), _main(body))


def face_of(leaf: Leaf) -> Face:
    """What the type's look says, with every word made fit to print. A look may return any `Face`."""
    face: Face = resolve(leaf.type.look)(leaf)
    return _printable(face)


def _printable(face: Face) -> Face:
    lines, small = tuple(map(clean, face.lines)), tuple(map(clean, face.small))
    return replace(face, lines=lines, small=small, beside=_printable(face.beside) if face.beside else None)


def _ports(leaf: Leaf) -> tuple[str, ...]:
    return tuple(port.name for port in leaf.type.ports)


def _main(leaf: Leaf) -> frozenset[str]:
    """Ports that the data comes in by: not an optional mask, bias or initial state."""
    return frozenset(port.name for port in leaf.type.ports if not port.optional or port.follows)


# -- calls: once, stacked, in a pattern -------------------------------------------------------------------------------


def _call(call: Call, id: str, depth: int, frame: Frame) -> Item:
    if call.repeat is None or not call.steps:
        item = _said(_body(call.body, id, depth), call, frame)
    else:
        stacked = Stacked(call, lambda body: _body(body, id, depth))
        item = (
            _run(stacked, stacked.runs[0], id, named=False)
            if len(stacked.runs) == 1
            else _chain(stacked, stacked.runs, id)
        )
    if isinstance(item, Frame):
        item.caption = (*_title(call, item), *_sharing(call, frame))
    return item


def _run(stacked: Stacked, run: Run, id: str, *, named: bool) -> Frame:
    """One frame for `run`: copies of one body, or the runs of a pattern."""
    if run.parts:
        frame = _chain(stacked, run.parts, id)
    else:
        inner = stacked.item(run.start)
        frame = inner if isinstance(inner, Frame) else _around(inner, id)
        frame.caption = (_kind(stacked.call.steps[run.start].body),) if named else ()
    rename(frame, id)
    frame.times = f"{run.times}×" if run.times > 1 or not named else ""
    return frame


def rename(item: Item, id: str) -> None:
    """Gives a frame, and all below it, ids below `id`."""
    before = item.id
    item.id = id
    if isinstance(item, Frame):
        for inner in item.items.values():
            rename(inner, id + inner.id.removeprefix(before))


def _kind(body: Leaf | Definition) -> str:
    return clean(body.label or spoken(body.name)) if isinstance(body, Definition) else spoken(body.type.name)


def _around(box: Box, id: str) -> Frame:
    """A frame around a single block that is stacked."""
    name = box.id.rpartition(".")[2]
    frame = Frame(id, {name: box}, [], box.ports, box.outputs)
    frame.links = [Link(End(None, port), End(name, port)) for port in box.ports]
    frame.links += [Link(End(name, output), End(None, output)) for output in box.outputs]
    return frame


def _chain(stacked: Stacked, runs: tuple[Run, ...], id: str) -> Frame:
    """Runs one above the other: each takes the one before it, and the frame's other inputs."""
    frame = Frame(id, ports=tuple(stacked.call.first.inputs), outputs=tuple(stacked.call.outputs))
    before: Item | None = None
    for run in runs:
        key = str(run.start)
        item = _run(stacked, run, f"{id}.{key}", named=True)
        key_before = next(reversed(frame.items), "")
        frame.items[key] = item
        frame.links += _between(before, item, key, key_before, frame)
        before = item
    frame.links += [Link(End(key, output), End(None, output)) for output in item.outputs]
    return frame


def _between(before: Item | None, item: Item, key: str, key_before: str, frame: Frame) -> list[Link]:
    """Links into a run: first port from the first output before it, a port named like an output from that output."""
    links: list[Link] = []
    for number, port in enumerate(item.ports):
        if before is not None and (number == 0 or port in before.outputs):
            source = End(key_before, before.outputs[0] if number == 0 else port)
        else:
            source = End(None, port)
        if source.item is not None or port in frame.ports:
            links.append(Link(source, End(key, port)))
    return links


# -- words ------------------------------------------------------------------------------------------------------------


def _said(item: Item, call: Call, frame: Frame) -> Item:
    """A box with the call's own label and what it shares; a circle or wave keeps its sign."""
    if isinstance(item, Frame):
        return item
    face = item.face
    if call.label and face.shape == "box":
        face = replace(face, lines=wrap(call.label, ROOM, 11))
    sharing = _sharing(call, frame)
    item.face = replace(face, small=sharing, beside=_sharing_beside(face, sharing)) if sharing else face
    return item


def _sharing_beside(face: Face, sharing: tuple[str, ...]) -> Face | None:
    beside = face.beside
    return replace(beside, small=sharing) if beside and beside.small and face.shape == "circle" else beside


def _sharing(call: Call, frame: Frame) -> tuple[str, ...]:
    if call.weights_of is not None:
        return (f"shared with {_called(call.weights_of, frame)}",)
    if call.tie is not None:
        return (f"tied with {_called(call.tie, frame)}",)
    if call.copies is not None and call.repeat is not None and call.copies < call.repeat:
        return ("one set of weights" if call.copies == 1 else f"{call.copies} sets of weights",)
    return ()


def _called(name: str, frame: Frame) -> str:
    """What another node of the frame says of itself, or its name."""
    item = frame.items.get(name)
    words = " ".join(item.face.lines) if isinstance(item, Box) and item.face.shape == "box" else ""
    return words or spoken(name)


def _title(call: Call, frame: Frame) -> tuple[str, ...]:
    if call.label:
        return wrap(call.label, ROOM * 0.7, 10)
    return () if frame.times else (spoken(call.name),)


# -- links ------------------------------------------------------------------------------------------------------------


def _links(call: Call, body: Definition, frame: Frame, *, outermost: bool) -> list[Link]:
    links: dict[tuple[End, End], Link] = {}
    for port, refs in _external(call).items():
        for ref in refs:
            source, target = _source(ref, frame), End(call.name, port)
            links[source, target] = Link(source, target, _label(ref, body, frame, outermost), _copies(call, port, ref))
    return list(links.values())


def _external(call: Call) -> Mapping[str, list[Ref]]:
    """Port to what it reads from other nodes, over all repetitions; attention's key and value are drawn where they
    follow."""
    found: dict[str, list[Ref]] = {}
    for step in call.steps:
        for port, refs in step.inputs.items():
            seen = found.setdefault(port, [])
            seen += [ref for ref in refs if ref.node != call.name and not any(_same(ref, other) for other in seen)]
    body = call.body if call.steps else None
    if isinstance(body, Leaf) and call.repeat is None and face_of(body).kind == "attention":
        for declared in body.type.ports:
            if declared.follows is not None and not found.get(declared.name):
                found[declared.name] = found.get(declared.follows, [])
    return found


def _same(a: Ref, b: Ref) -> bool:
    return (a.node, a.output) == (b.node, b.output)


def _source(ref: Ref, frame: Frame) -> End:
    if ref.node in frame.items:
        item = frame.items[ref.node]
        return End(ref.node, ref.output or (item.outputs[0] if item.outputs else "out"))
    return End(None, ref.node)


def _value(ref: Ref, body: Definition) -> Value | None:
    if ref.node in body.calls:
        outputs: dict[str, Any] = body.calls[ref.node].outputs
        return outputs[ref.output] if ref.output in outputs else next(iter(outputs.values()), None)
    return body.inputs[ref.node].value if ref.node in body.inputs else None


def _label(ref: Ref, body: Definition, frame: Frame, outermost: bool) -> str:
    """The shape that a link carries, where the reader could not know it: it changed here, or a model's input or a
    frame ends."""
    value = _value(ref, body)
    if value is None:
        return ""
    if ref.node not in body.calls:
        return _batched(value) if outermost else ""
    call = body.calls[ref.node]
    sources = [other for refs in call.first.inputs.values() for other in refs] if call.steps else []
    first = _value(sources[0], body) if sources else value
    changed = first is None or first.shape != value.shape
    return _batched(value) if changed or (outermost and isinstance(frame.items[ref.node], Frame)) else ""


def _batched(value: Value) -> str:
    return clean(str(value))


def _copy(ref: Ref) -> str:
    return "" if ref.index is None else f"copy {ref.index}"


def _copies(call: Call, port: str, ref: Ref) -> str:
    """Which copies of a repeated node are read, in the order in which this call's repetitions read them."""
    refs: Iterable[Ref] = (other for step in call.steps for other in step.inputs.get(port, ()) if _same(ref, other))
    numbers = list(dict.fromkeys(other.index for other in refs if other.index is not None))
    if len(numbers) < 2:
        return _copy(ref)
    return f"copies {numbers[0]}…{numbers[-1]}" if len(numbers) > 2 else f"copies {numbers[0]}, {numbers[1]}"
