"""Two models in one picture: what changed has a thick outline and says what it was, what was added is green, what was
removed stands red and dashed where it was."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from blockgraph.builder.compare import plain
from blockgraph.builder.counts import parameters
from blockgraph.builder.differences import merged
from blockgraph.builder.graph import Definition, Leaf
from blockgraph.viz.checked import checked_layout
from blockgraph.viz.draw import deliver
from blockgraph.viz.drawing import Drawing, Placed
from blockgraph.viz.faces import Face, Mark
from blockgraph.viz.figure import Box, End, Frame, Item, Link
from blockgraph.viz.lettering import extent
from blockgraph.viz.measure import beside_size
from blockgraph.viz.runs import rename
from blockgraph.viz.sketch import sketch
from blockgraph.viz.text import count, width, wrap
from blockgraph.viz.view import DEFAULT, View

if TYPE_CHECKING:
    from blockgraph.builder.compare import Change, Comparison
    from blockgraph.builder.graph import Model

ROOM = 130.0  # points that a line of notes has
NOTES = 2  # options that a block lists
LEGEND = 26.0  # from the picture down to the middle of the legend
_BESIDE = ("rope", "alibi")  # options that are drawn as a block of their own


def draw_diff(
    models: tuple[Model, Model],
    comparison: Comparison,
    path: Path | None = None,
    *,
    format: str | None = None,
    dpi: int = 150,
    view: View = DEFAULT,
) -> bytes:
    """The picture of both models (before, after); formats, files and errors are those of `draw`."""
    title = view.title or f"{comparison.before} → {comparison.after}"
    drawn = compose_diff(models, comparison, view)
    about = f"What changed from {comparison.before} to {comparison.after}."
    return deliver(drawn, replace(view, title=title), (title, about), path, format=format, dpi=dpi)


def compose_diff(models: tuple[Model, Model], comparison: Comparison, view: View = DEFAULT) -> Drawing:
    """The drawing of both models, with a legend of the marks in it."""
    before, after = (sketch(model, _seen(model, view, models)) for model in models)
    merger = Merger(models, comparison)
    drawn, note = checked_layout(merger.frame(before, after), view)
    drawn.note = note
    gone = {box.id for box in drawn.boxes() if box.face.mark == "removed"} - merger.passed
    drawn.lines = [replace(line, mark="removed") if line.source in gone else line for line in drawn.lines]
    _legend(drawn)
    return drawn


def _seen(model: Model, view: View, models: tuple[Model, Model]) -> View:
    """The view without the nodes that only the other model has."""

    def has(one: Model, path: str) -> bool:
        return all(body is not None for body, _ in _steps(one, path))

    def kept(paths: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(path for path in paths if has(model, path) or not any(has(one, path) for one in models))

    return replace(view, open=kept(view.open), close=kept(view.close))


class Merger:
    """Puts what the older figure has more into the newer one, and marks what differs."""

    def __init__(self, models: tuple[Model, Model], comparison: Comparison) -> None:
        self.models = models
        self.nodes = {node.path: node for node in comparison.nodes}
        self.passed: set[str] = set()  # what was removed, and a line that goes past it now is drawn through it

    def frame(self, was: Frame, now: Frame) -> Frame:
        """`now` with all that differs marked; copies of a pattern are compared one with another."""
        if _chain(now):
            partners = list(was.items.values()) if _chain(was) else [was]
            for number, (key, item) in enumerate(now.items.items()):
                partner = partners[min(number, len(partners) - 1)]
                now.items[key] = self.item(partner, item)
        else:
            while _chain(was):
                first = next(iter(was.items.values()))
                was = first if isinstance(first, Frame) else Frame(was.id, {first.id: first})
            self._merge(was, now)
        now.caption = (*now.caption, *self._said(now))
        return now

    def item(self, was: Item, now: Item) -> Item:
        if isinstance(was, Frame) and isinstance(now, Frame):
            return self.frame(was, now)
        if isinstance(now, Box):
            now.face = self._face(was.face if isinstance(was, Box) else None, now)
        return now

    def _said(self, frame: Frame) -> tuple[str, ...]:
        """What is told outside a frame: how often it was stacked, what else its call changed."""
        node = self.nodes.get(path_of(frame.id)) if ".".join(path_of(frame.id)) == frame.id else None
        if node is not None and node.kind == "added":
            return wrap(f"renamed? was {node.renamed}", ROOM, 9) if node.renamed else ()
        shown = [c for c in node.changes if c.name != "shape"] if node and node.kind == "changed" else []
        return tuple(line for line in _listed(shown) if line)

    # -- items --------------------------------------------------------------------------------------------------------

    def _merge(self, was: Frame, now: Frame) -> None:
        names = self._renames(was, now)
        gone = {key: item for key, item in was.items.items() if key not in now.items and key not in names}
        for key, item in now.items.items():
            old = was.items.get(key) or next((was.items[o] for o, n in names.items() if n == key), None)
            now.items[key] = self.item(old, item) if old is not None else _marked(item, "added")
        # what was removed comes right before what stood above it, so that the spine is the newer model's
        keys = [names.get(key, key) for key in was.items]
        order = reversed(merged(keys[::-1], list(now.items)[::-1]))
        for key, item in gone.items():
            item = deepcopy(item)  # it stands in every copy of a pattern
            rename(item, f"{now.id}.{key}" if now.id else key)
            gone[key] = _marked(item, "removed")
        now.items = {key: now.items[key] if key in now.items else gone[key] for key in order}
        links = _Links(was, now, set(gone), names)
        now.links = list(links.all())
        self.passed |= {gone[key].id for key in links.passed}

    def _renames(self, was: Frame, now: Frame) -> dict[str, str]:
        """Items that are drawn once, under their new name."""
        here = path_of(now.id)
        found = {}
        for key in was.items:
            node = self.nodes.get((*here, key))
            if node is not None and node.kind == "removed" and node.renamed in now.items:
                found[key] = str(node.renamed)
        return found

    # -- words --------------------------------------------------------------------------------------------------------

    def _face(self, was: Face | None, box: Box) -> Face:
        now, path = box.face, path_of(box.id)
        node = self.nodes.get(path)
        if node is not None and node.kind == "added":
            return replace(now, mark="changed", notes=wrap(f"renamed? was {node.renamed}", ROOM, 8))
        changes = [c for c in node.changes if self._here(c, box.id)] if node else []
        inside = sum(other[: len(path)] == path and other != path for other in self.nodes)
        if not changes and not inside:
            return now
        beside = _beside(was and was.beside, now.beside)
        if beside != now.beside and (now.shape == "circle" or all(_is_beside(c) for c in changes)):
            return replace(now, beside=beside)
        said = _notes(was, now, changes, self._delta(box.id)) if changes else ()
        more = (f"{inside} change{'s' * (inside > 1)} inside",) if inside else ()
        return replace(now, mark="changed", notes=(*said, *more), beside=beside)

    def _here(self, change: Change, id: str) -> bool:
        """Whether a change is in the copy that a box stands for."""
        if not change.copies:
            return True
        numbers = [copy for _, copy in _steps(self.models[1], id) if copy is not None]
        return all(copy in level[0] for copy, level in zip(numbers, change.copies, strict=False))

    def _delta(self, id: str) -> str:
        """How many parameters one copy has more, or fewer."""
        old, new = (self._weights(model, id) for model in self.models)
        if old is None or new is None or not (old or new):
            return ""
        return signed(new - old) if new != old else "±0"

    @staticmethod
    def _weights(model: Model, id: str) -> int | None:
        body = None
        for body, _ in _steps(model, id):
            if body is None:
                return None
        return parameters(body) if body is not None else None


def _marked(item: Item, mark: Mark) -> Item:
    """An item of which everything has the mark."""
    for box in [item] if isinstance(item, Box) else [inner for inner in item.walk() if isinstance(inner, Box)]:
        box.face = _came(box.face, mark)
    return item


def _came(face: Face, mark: Mark) -> Face:
    """A block that came or went. The one that came says so: a thick outline alone could be a change."""
    notes = ("added",) if mark == "added" and face.shape == "box" else ()
    return replace(face, mark=mark, notes=notes, beside=face.beside and _came(face.beside, mark))


def _chain(frame: Frame) -> bool:
    """Runs of a pattern, one above the other: their keys are the numbers of the first copies."""
    return bool(frame.items) and all(key.isdigit() for key in frame.items)


def path_of(id: str) -> tuple[str, ...]:
    """The node that a box or frame stands for: its id without the numbers of copies."""
    return tuple(part for part in id.split(".") if part and not part.isdigit())


def _steps(model: Model, id: str) -> Iterator[tuple[Leaf | Definition | None, int | None]]:
    """What each node on the way to `id` calls (None from where there is no such node), and in which copy."""
    body: Leaf | Definition | None = model.root
    parts = id.split(".")
    for place, part in enumerate(parts):
        if part.isdigit():
            continue
        call = body.calls.get(part) if isinstance(body, Definition) else None
        copy = None
        if call is not None and call.repeat is not None:
            later = parts[place + 1 :]
            digits = later[: next((n for n, p in enumerate(later) if not p.isdigit()), len(later))]
            copy = min(int(digits[-1]) if digits else 0, len(call.steps) - 1)
        body = call.steps[copy or 0].body if call is not None else None
        yield body, copy


# -- what it was ------------------------------------------------------------------------------------------------------


def _notes(was: Face | None, now: Face, changes: list[Change], delta: str) -> tuple[str, ...]:
    """`was LayerNorm · −768`: the words that it had and has no more; else the options that changed."""
    told = _words(was, now)
    if told:
        told[0] = f"was {told[0]}"
        return _packed([*told, *([delta] if delta else [])])
    lines = list(_listed([c for c in changes if c.name != "shape"] or changes))
    return _packed([*lines, *([delta] if delta and delta != "±0" else [])])


def _packed(parts: list[str]) -> tuple[str, ...]:
    """As many parts on a line as have room; a long one is wrapped between its words."""
    lines: list[str] = []
    for part in (piece for words in parts for piece in wrap(words, ROOM, 8)):
        together = f"{lines[-1]} · {part}" if lines else part
        if lines and width(together, 8) <= ROOM:
            lines[-1] = together
        else:
            lines.append(part)
    return tuple(lines)


def _words(was: Face | None, now: Face) -> list[str]:
    """What the old face said and the new one does not; numbers of parameters are told as a difference."""
    if was is None or was.shape == "circle":
        return []
    facts = [fact for line in was.small for fact in line.split(" · ")]
    kept = {fact for line in now.small for fact in line.split(" · ")}
    gone = [fact for fact in facts if fact not in kept and not _amount(fact)]
    name = " ".join(was.lines) if was.lines != now.lines else ""
    return [name, *gone] if name else gone


def _amount(fact: str) -> bool:
    return bool(fact) and fact.strip("0123456789.KMB") == ""


def _listed(changes: list[Change]) -> Iterator[str]:
    """The first changes one by one, and how many there are more."""
    for change in changes[:NOTES]:
        yield _told(change)
    if len(changes) > NOTES:
        yield f"and {len(changes) - NOTES} more"


def _told(change: Change) -> str:
    if change.name == "repeat":
        return f"was {change.was}×" if change.was is not None else "was not repeated"
    if change.name.startswith("in."):
        return f"read {plain(change.was)}"
    if change.name == "shape":
        return f"was {change.was}"
    name = change.name.replace("_", " ")
    return f"{name} was {plain(change.was)}" if change.was is not None else f"had no {name}"


def signed(number: int) -> str:
    """`+1.5K`, `−768`."""
    return f"{'−' if number < 0 else '+'}{count(abs(number))}"


def _is_beside(change: Change) -> bool:
    return change.name.split(".")[0] in _BESIDE


def _beside(was: Face | None, now: Face | None) -> Face | None:
    """What stands beside a block: it came, went, or changed."""
    if was == now:
        return now
    if was is None or now is None:
        return _came(now, "added") if now else _came(was, "removed") if was else None
    return replace(now, mark="changed", notes=_notes(was, now, [], "") if now.shape == "box" else ())


# -- lines ------------------------------------------------------------------------------------------------------------


class _Links:
    """The links of the newer frame, with those that led to and from what was removed."""

    def __init__(self, was: Frame, now: Frame, gone: set[str], names: dict[str, str]) -> None:
        self.was, self.now, self.gone, self.names = was, now, gone, names
        self.order = {key: number for number, key in enumerate(now.items)}
        self.passed: set[str] = set()  # removed items that such a line is drawn through

    def all(self) -> Iterator[Link]:
        """What leads through a removed item stands for the link that goes past it now."""
        old = [link for link in map(self._translated, self.was.links) if self._touches(link) and self._forward(link)]
        past = {(link.source, link.target) for link in self.now.links}
        through = {link: (self._before(link.source), link.target) for link in old if link.source.item in self.gone}
        self.passed = {str(link.source.item) for link, ends in through.items() if ends in past}
        yield from (link for link in self.now.links if (link.source, link.target) not in through.values())
        for link in old:
            if link.target.item is not None or through.get(link) in past:
                yield replace(link, label=self._label(link))

    def _label(self, link: Link) -> str:
        """The shape that is there now; none on what leaves a removed item."""
        return next((x.label for x in self.now.links if x.source == link.source and x.label), "")

    def _touches(self, link: Link) -> bool:
        return link.source.item in self.gone or link.target.item in self.gone

    def _forward(self, link: Link) -> bool:
        if link.source.item is None or link.target.item is None:
            return True
        return self.order[link.source.item] < self.order[link.target.item]

    def _translated(self, link: Link) -> Link:
        return replace(link, source=self._end(link.source, out=True), target=self._end(link.target, out=False))

    def _end(self, end: End, *, out: bool) -> End:
        """An end of an older link as the newer frame calls it: by name, else by place."""
        key = self.names.get(end.item, end.item) if end.item is not None else None
        if key in self.gone:
            return End(key, end.port)
        mine: Item = self.was if end.item is None else self.was.items[end.item]
        theirs: Item = self.now if key is None else self.now.items[key]
        inner = (key is None) == out  # a link from the frame itself starts at an input of it
        old, new = (side.ports if inner else side.outputs for side in (mine, theirs))
        if end.port in new or end.port not in old or old.index(end.port) >= len(new):
            return End(key, end.port)
        return End(key, new[old.index(end.port)])

    def _before(self, end: End) -> End:
        """What a removed item read first, and so on down to something that is still there."""
        seen: set[str | None] = set()
        while end.item in self.gone and end.item not in seen:
            seen.add(end.item)
            end = next((self._translated(x).source for x in self.was.links if x.target.item == end.item), end)
        return end


# -- legend -----------------------------------------------------------------------------------------------------------


def _legend(drawn: Drawing) -> None:
    """Below the picture, the marks that are in it."""
    faces = [face for box in drawn.boxes() for face in (box.face,)]
    marks: list[Mark] = ["changed", "added", "removed"]
    shown = [Face("io", (mark,), mark=mark) for mark in marks if any(face.mark == mark for face in faces)]
    left, bottom, right, _ = extent(drawn)
    sizes = [beside_size(face) for face in shown]
    x = (left + right) / 2 - (sum(wide for wide, _ in sizes) + 12 * (len(sizes) - 1)) / 2
    for face, (wide, high) in zip(shown, sizes, strict=True):
        drawn.items.append(Placed(f"legend:{face.mark}", face, x + wide / 2, bottom - LEGEND, wide, high))
        x += wide + 12
