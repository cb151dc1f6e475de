"""Block graph to figure: blocks are opened in place as the view asks, repeats are folded or drawn one by one, shapes
and sharing are said."""

from __future__ import annotations

from dataclasses import dataclass, replace

from blockgraph.builder.graph import Call, Definition, Leaf, Model, Ref
from blockgraph.viz.figure import Box, End, Frame, Item, Link
from blockgraph.viz.links import copy_key, link_out, links, links_of_copy
from blockgraph.viz.open_block import has_inside, inside
from blockgraph.viz.runs import stack
from blockgraph.viz.shown import Shown, check
from blockgraph.viz.stacked import Stacked
from blockgraph.viz.text import spoken
from blockgraph.viz.view import DEFAULT, View
from blockgraph.viz.words import (
    closed,
    closed_copy,
    face_of,
    owner,
    said,
    sharing,
    title,
    title_copy,
    title_inside,
    without_parameters,
    words,
)


def sketch(model: Model, view: View = DEFAULT) -> Frame:
    """The figure of a whole model; its frame has no ports, its inputs and outputs are boxes of words.

    Raises BlockgraphError where the view names a node that there is not.
    """
    check(model, view)
    frame = _Sketch(view, Shown(view)).whole(model.root)
    if not view.shapes:
        _without_shapes(frame)
    return frame


def _without_shapes(frame: Frame) -> None:
    for level in (frame, *(item for item in frame.walk() if isinstance(item, Frame))):
        level.links = [replace(link, label="") for link in level.links]


@dataclass(frozen=True)
class _Sketch:
    """Draws what one view asks for."""

    view: View
    shown: Shown

    def whole(self, root: Definition) -> Frame:
        frame = Frame("", outputs=())
        waiting = dict(root.inputs)
        for call in root.calls.values():
            for name in [name for name in waiting if name in _read(call)]:
                value = waiting.pop(name)
                frame.items[name] = words(name, value.label or spoken(name), ())
            self._add(call, root, call.name, 0, frame)
        _end(root, frame)
        _dissolve(root, frame)
        frame.settle()
        return frame

    def _definition(self, body: Definition, id: str, depth: int) -> Frame:
        """One block's inside."""
        frame = Frame(id, ports=tuple(body.inputs), outputs=tuple(body.outputs))
        for call in body.calls.values():
            self._add(call, body, f"{id}.{call.name}", depth + 1, frame)
        for name, output in body.outputs.items():
            frame.links.append(link_out(output.ref, body, frame, End(None, name), outermost=False))
        frame.settle()
        return frame

    # -- calls: once, stacked, in a pattern, one by one ---------------------------------------------------------------

    def _add(self, call: Call, body: Definition, id: str, depth: int, frame: Frame) -> None:
        """Puts a call into its frame, with what flows into it."""
        outermost = not frame.id
        if self.view.unroll and call.repeat is not None and call.steps:
            for number in range(len(call.steps)):
                frame.items[copy_key(call.name, number)] = self._copy(call, number, copy_key(id, number), depth, frame)
                frame.links += links_of_copy(call, number, body, frame, outermost=outermost)
        else:
            frame.items[call.name] = self._call(call, id, depth, frame)
            frame.links += links(call, body, frame, outermost=outermost)

    def _call(self, call: Call, id: str, depth: int, frame: Frame) -> Item:
        composite = any(isinstance(step.body, Definition) for step in call.steps)
        if composite and not self.shown.opens(id, depth):
            return said_closed(closed(call, id, self.view), call, frame)
        if call.repeat is None or not call.steps:
            item = said(self._body(call, call.body, id, depth), call, frame)
        else:
            item = stack(Stacked(call, lambda body: self._body(call, body, id, depth)), id)
        if isinstance(item, Frame):
            item.caption = (*self._caption(call, item), *sharing(call, frame))
        return item

    def _caption(self, call: Call, frame: Frame) -> tuple[str, ...]:
        alone = call.repeat is None and isinstance(call.body, Leaf)
        return title_inside(call.body, call) if alone and isinstance(call.body, Leaf) else title(call, frame)

    def _copy(self, call: Call, number: int, id: str, depth: int, frame: Frame) -> Item:
        """One repetition, drawn by itself."""
        step, own = call.steps[number], owner(call, number)
        if isinstance(step.body, Definition) and not self.shown.opens(id, depth):
            return closed_copy(call, step, number, id, self.view)
        item = self._body(call, step.body, id, depth)
        if isinstance(item, Frame):
            item.caption = (*title_copy(call, number), *((own,) if own else ()))
        elif own:
            item.face = replace(item.face, small=(own,))
        return item

    def _body(self, call: Call, body: Leaf | Definition, id: str, depth: int) -> Item:
        if isinstance(body, Definition):
            return self._definition(body, id, depth)
        shown = body if self.view.params and call.weights_of is None else without_parameters(body)
        if has_inside(body) and self.shown.opens(id, depth, builtin=True):
            return inside(shown, id)
        return Box(id, face_of(shown), _ports(body), tuple(body.outputs), _main(body))


def said_closed(box: Box, call: Call, frame: Frame) -> Item:
    """A closed block with whose weights it uses."""
    shared = sharing(call, frame)
    box.face = replace(box.face, small=shared) if shared else box.face
    return box


def _dissolve(root: Definition, frame: Frame) -> None:
    """A model that is one built-in block, opened, needs no frame: its parts are the picture."""
    key, call = next(iter(root.calls.items()))
    item = frame.items.get(key)
    if len(root.calls) > 1 or not isinstance(item, Frame) or item.times or not isinstance(call.body, Leaf):
        return
    parts = {f"{key}.{name}": inner for name, inner in item.items.items()}
    ends = {name: box for name, box in frame.items.items() if name.endswith(":out")}
    starts = {name: box for name, box in frame.items.items() if name != key and name not in ends}
    frame.items = starts | parts | ends
    given = {link.target.port: link for link in frame.links if link.target.item == key}
    taken = {link.target.port: _below(link.source, key) for link in item.links if link.target.item is None}
    outside = [link for link in frame.links if link.target.item != key]
    frame.links = [_entered(link, key, given) for link in item.links if link.target.item is not None]
    frame.links += [replace(link, source=taken.get(link.source.port, link.source)) for link in outside]


def _below(end: End, key: str) -> End:
    return End(f"{key}.{end.item}", end.port)


def _entered(link: Link, key: str, given: dict[str, Link]) -> Link:
    """A link of a dissolved frame: what came from the frame's input comes from what was given there."""
    if link.source.item is not None:
        return replace(link, source=_below(link.source, key), target=_below(link.target, key))
    outer = given[link.source.port]
    return replace(link, source=outer.source, target=_below(link.target, key), label=outer.label, note=outer.note)


def _end(root: Definition, frame: Frame) -> None:
    """The outputs, each a box of words that stands for itself in the list of items."""
    for name, output in root.outputs.items():
        id = f"{name}:out"
        frame.items[id] = words(id, output.label or spoken(_what(name, output.ref)), ("in",))
        frame.links.append(link_out(output.ref, root, frame, End(id, "in"), outermost=True))


def _what(name: str, ref: Ref) -> str:
    return ref.node if name == "out" else name


def _read(call: Call) -> set[str]:
    return {ref.node for step in call.steps for refs in step.inputs.values() for ref in refs}


def _ports(leaf: Leaf) -> tuple[str, ...]:
    return tuple(port.name for port in leaf.type.ports if port.drawn)


def _main(leaf: Leaf) -> frozenset[str]:
    """Ports that the data comes in by: not an optional mask, bias or initial state."""
    return frozenset(port.name for port in leaf.type.ports if not port.optional or port.follows)
