"""What boxes and frames say of the calls that they stand for."""

from __future__ import annotations

from dataclasses import replace

from blockgraph.builder.counts import call_parameters, parameters
from blockgraph.builder.graph import Call, Definition, Leaf, Step
from blockgraph.specs.registry import resolve
from blockgraph.viz.faces import Face
from blockgraph.viz.figure import Box, Frame, Item
from blockgraph.viz.text import clean, count, spoken, wrap
from blockgraph.viz.view import View

ROOM = 110.0  # points that a label has before it is wrapped


def words(id: str, label: str, ports: tuple[str, ...]) -> Box:
    """An input (without `ports`) or an output of the model: text without a box."""
    face = Face("io", balanced(label, ROOM, 12), shape="text")
    return Box(id, face, ports, () if ports else ("out",), frozenset(ports))


def balanced(text: str, room: float, size: float) -> tuple[str, ...]:
    """The text on as few lines as `room` allows, as even as they come: `Outputs` above `(shifted right)`."""
    lines = wrap(text, room, size)
    for narrower in range(int(room), 0, -4) if 1 < len(lines) < 4 else ():
        tried = wrap(text, narrower, size)
        if len(tried) > len(lines) or " ".join(tried) != " ".join(lines):  # a word would be cut
            break
        lines = tried
    return lines


def face_of(leaf: Leaf) -> Face:
    """What the type's look says, with every word made fit to print. A look may return any `Face`."""
    face: Face = resolve(leaf.type.look)(leaf)
    return _printable(face)


def _printable(face: Face) -> Face:
    lines, small = tuple(map(clean, face.lines)), tuple(map(clean, face.small))
    return replace(face, lines=lines, small=small, beside=_printable(face.beside) if face.beside else None)


def without_parameters(leaf: Leaf) -> Leaf:
    """The same block for a look to describe, as if it had none."""
    return replace(leaf, weights={})


def kind(body: Leaf | Definition) -> str:
    """What a body is called where its node has no say."""
    return clean(body.label or spoken(body.name)) if isinstance(body, Definition) else spoken(body.type.name)


# -- boxes ------------------------------------------------------------------------------------------------------------


def said(item: Item, call: Call, frame: Frame) -> Item:
    """A box with the call's own label and what it shares; a circle or wave keeps its sign."""
    if isinstance(item, Frame):
        return item
    face = item.face
    if call.label and face.shape == "box":
        face = replace(face, lines=balanced(call.label, ROOM, 11))
    shared = sharing(call, frame)
    item.face = replace(face, small=shared, beside=_sharing_beside(face, shared)) if shared else face
    return item


def _sharing_beside(face: Face, shared: tuple[str, ...]) -> Face | None:
    beside = face.beside
    return replace(beside, small=shared) if beside and beside.shape == "box" and face.shape == "circle" else beside


def sharing(call: Call, frame: Frame) -> tuple[str, ...]:
    """Whose weights a call uses, where they are not its own."""
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
    own = " ".join(item.face.lines) if isinstance(item, Box) and item.face.shape == "box" else ""
    return own or spoken(name)


def closed(call: Call, id: str, view: View) -> Box:
    """A call, with all its repetitions, as one box."""
    body = call.body
    kinds = list(dict.fromkeys(kind(step.body) for step in call.steps))
    times = f"{len(call.steps)}× " if call.repeat is not None else ""
    one = kinds[0] if len(kinds) == 1 else "blocks"
    says = f"{times}{one}" if times or one != spoken(call.name) else ""
    lines = balanced(call.label or spoken(call.name), ROOM, 11)
    return _box(call, body, id, lines, says, _amount(call_parameters(call), view))


def closed_copy(call: Call, step: Step, number: int, id: str, view: View) -> Box:
    """One repetition as a box."""
    lines = balanced(f"{call.label or spoken(call.name)} {number}", ROOM, 11)
    says = kind(step.body) if kind(step.body) != spoken(call.name) else ""
    return _box(call, step.body, id, lines, says, _amount(parameters(step.body), view))


def _box(call: Call, body: Leaf | Definition, id: str, lines: tuple[str, ...], says: str, amount: str) -> Box:
    small = " · ".join(fact for fact in (says, amount) if fact)
    ports = tuple(call.first.inputs)
    outputs = tuple(body.outputs)
    return Box(id, Face("block", lines, (small,) if small else ()), ports, outputs, frozenset(ports[:1]))


def _amount(parameters: int, view: View) -> str:
    return count(parameters) if view.params and parameters else ""


# -- frames -----------------------------------------------------------------------------------------------------------


def title(call: Call, frame: Frame) -> tuple[str, ...]:
    """What stands outside a frame that is opened."""
    if call.label:
        return balanced(call.label, ROOM * 0.7, 10)
    return () if frame.times else (spoken(call.name),)


def title_inside(leaf: Leaf, call: Call) -> tuple[str, ...]:
    """The same of a built-in block: its label, or what it would say if it were closed."""
    return balanced(call.label, ROOM * 0.7, 10) if call.label else face_of(leaf).lines


def title_copy(call: Call, number: int) -> tuple[str, ...]:
    """The same of one repetition: `Decoder 3`."""
    return balanced(f"{call.label or spoken(call.name)} {number}", ROOM * 0.7, 10)


def owner(call: Call, number: int) -> str:
    """Whose weights a copy uses where they are not its own: `shared with Encoder 0`."""
    if call.copies is None or call.repeat is None:
        return ""
    every = max(call.repeat // call.copies, 1)
    return f"shared with {spoken(call.name)} {number - number % every}" if number % every else ""
