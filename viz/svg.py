"""A drawing as SVG, written by ourselves: no engine, the same bytes everywhere. Text is text, in the order of
execution; a title and a description stand for the picture where it cannot be seen; nothing is active, nothing is
loaded.

Colours are attributes, which any style sheet may override by class: `bg-node bg-KIND` (a block), `bg-frame`, `bg-body`
(the shape of either), `bg-line`, `bg-small`, `bg-note`, `bg-times`, `bg-caption`, `bg-shape`, `bg-edge`, `bg-head`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from blockgraph.viz.curves import head, path, wave_path
from blockgraph.viz.dot import number
from blockgraph.viz.drawing import Drawing, Line, Panel, Placed
from blockgraph.viz.faces import Face, Mark
from blockgraph.viz.fonts import css_families, spoken_in
from blockgraph.viz.lettering import BASELINE, Said, extent, inside, loose, outside
from blockgraph.viz.lettering import title as titled
from blockgraph.viz.text import clean, printable
from blockgraph.viz.themes import Stroke, Theme, shared_mark, sheet, theme
from blockgraph.viz.view import View

PAD = 10.8  # around the picture
ROUND = 12.0  # radius of a box's corners
DASHES = {"dashed": "6", "dotted": "2 6"}  # as Graphviz dashes a PNG
SIGNS = {"+": "Add", "×": "Multiply"}  # as they are read out
SPOKEN = 40  # blocks that the description reads out
Values = Mapping[str, str | float | None]


def write_svg(drawn: Drawing, view: View, title: str, about: str | None = None) -> str:
    """The whole file. `title` and `about` are what a screen reader says; a title that shows is the view's."""
    look, prefix = theme(view.theme), ids(view, title)
    shown = (titled(drawn, clean(view.title)),) if view.title else ()
    left, bottom, right, top = extent(drawn, shown)
    wide, high = right - left + 2 * PAD, top - bottom + 2 * PAD
    pen = Pen(look, prefix, PAD - left, PAD + top)
    body = [_element("rect", {"class": "bg-page", "width": wide, "height": high, "fill": look.page})]
    body += pen.items(drawn.items)
    body += [pen.words(said, look.grey) for said in loose(drawn)]
    body += pen.edges(drawn)
    body += [pen.words(said, look.ink) for said in shown]
    size = {
        "width": f"{number(wide)}pt",
        "height": f"{number(high)}pt",
        "viewBox": f"0 0 {number(wide)} {number(high)}",
    }
    names: Values = {"role": "img", "aria-labelledby": f"{prefix}title {prefix}desc"}
    font: Values = {"font-family": css_families(view.font), "text-anchor": "middle", "fill": look.ink}
    root: dict[str, str | float | None] = {
        "xmlns": "http://www.w3.org/2000/svg",
        "id": f"{prefix}figure",
        "class": "blockgraph",
    }
    root |= {"lang": spoken_in(drawn, view.title) or None}
    heads = [_element("title", {"id": f"{prefix}title"}, clean(title))]
    heads += [_element("desc", {"id": f"{prefix}desc"}, described(drawn, about))]
    if view.theme == "auto":
        heads.append(f"<style>{sheet(f'#{prefix}figure')}</style>")
    opened = f"<svg{_attributes({**root, **size, **names, **font})}>"
    return "\n".join(['<?xml version="1.0" encoding="UTF-8"?>', opened, *heads, *body, "</svg>", ""])


def ids(view: View, title: str) -> str:
    """What every id starts with: the view's prefix, else the picture's title as a name."""
    if view.prefix is not None:
        return re.sub(r"[^A-Za-z0-9_-]", "-", view.prefix)
    return (re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-") or "figure")[:40] + "-"


def slug(id: str) -> str:
    """A path as an id: `decoder.attn` is `decoder-attn`, `out:out` is `out--out`; no two paths have one id."""
    signs = {".": "-", ":": "--"}
    return "".join(c if re.match(r"[A-Za-z0-9_]", c) else signs.get(c, f"---{ord(c):x}-") for c in id)


class Pen:
    """Writes the parts; x and y shift a drawing, whose y goes up, into a picture, whose y goes down."""

    def __init__(self, look: Theme, prefix: str, x: float, y: float) -> None:
        self.look, self.prefix, self.x, self.y = look, prefix, x, y

    def at(self, point: tuple[float, float]) -> tuple[float, float]:
        return self.x + point[0], self.y - point[1]

    def items(self, items: list[Placed | Panel] | tuple[Placed | Panel, ...]) -> Iterator[str]:
        for item in items:
            if isinstance(item, Placed):
                yield self.block(item)
            else:
                yield from self.frame(item)

    def frame(self, panel: Panel) -> Iterator[str]:
        said = list(outside(panel))
        left, bottom, right, top = panel.box
        shape = self.rectangle(left, top, right - left, top - bottom, self.look.panel, Stroke(self.look.border))
        yield f"<g{_attributes(self.group('bg-frame', panel.id, ' '.join(x.text for x in said), '--frame'))}>"
        yield shape
        yield from (self.words(line, self.look.ink) for line in said)
        yield from self.items(panel.inside)
        yield "</g>"

    def block(self, box: Placed) -> str:
        face = box.face
        classes = f"bg-node bg-{slug(face.kind)}" + (f" bg-{face.mark}" if face.mark else "")
        parts = [self.body(box)] if face.shape != "text" else []
        parts += [self.words(line, self.look.words(face, line.role)) for line in inside(box)]
        if face.shape == "wave":
            parts.append(self.wave(box))
        return f"<g{_attributes(self.group(classes, box.id, told(face)))}>\n" + "\n".join(parts) + "\n</g>"

    def group(self, classes: str, id: str, label: str, kind: str = "") -> Values:
        """`kind` keeps a frame's id apart from that of the one block in it."""
        node = id.removesuffix(".beside")
        names: Values = {"class": classes, "id": f"{self.prefix}{slug(id)}{kind}", "data-node": node}
        return {**names, "data-part": "beside" if node != id else None, "role": "group", "aria-label": label or None}

    def body(self, box: Placed) -> str:
        fill, stroke = self.look.fill(box.face), self.look.outline(box.face)
        if box.face.shape == "box":
            left, top = box.x - box.width / 2, box.y + box.height / 2
            return self.rectangle(left, top, box.width, box.height, fill, stroke)
        x, y = self.at((box.x, box.y))
        shape: Values = {"class": "bg-body", "cx": x, "cy": y, "r": box.width / 2, "fill": fill}
        return _element("circle", {**shape, **_stroked(stroke)})

    def rectangle(self, left: float, top: float, wide: float, high: float, fill: str, stroke: Stroke) -> str:
        x, y = self.at((left, top))
        place: Values = {"class": "bg-body", "x": x, "y": y, "width": wide, "height": high}
        corners: Values = {"rx": min(ROUND, wide / 3, high / 3), "fill": fill}
        return _element("rect", {**place, **corners, **_stroked(stroke)})

    def words(self, said: Said, color: str) -> str:
        x, y = self.at((said.x, said.y - BASELINE * said.size))
        values: Values = {"class": f"bg-{said.role}", "x": x, "y": y, "font-size": said.size}
        weight = {"font-weight": "bold" if said.bold else None}
        return _element(
            "text", {**values, **weight, "fill": color if color != self.look.ink else None}, clean(said.text)
        )

    def wave(self, box: Placed) -> str:
        x, y = self.at((box.x, box.y))
        curve = wave_path(x, y, box.width / 2)
        stroke = Stroke(self.look.words(box.face, "line"), 1.3)
        return _element("path", {"class": "bg-wave", "d": curve, "fill": "none", **_stroked(stroke)})

    def edges(self, drawn: Drawing) -> Iterator[str]:
        faces = {box.id: box.face for box in drawn.boxes()}
        yield '<g class="bg-edges" aria-hidden="true">'
        for line in drawn.lines:
            yield from self.edge(line, line.mark or shared_mark(faces.get(line.source), faces.get(line.target)))
        yield "</g>"

    def edge(self, line: Line, mark: Mark) -> Iterator[str]:
        points, stroke = [self.at(point) for point in line.points], self.look.line(mark)
        also = f" bg-{mark}" if mark else ""
        ends: Values = {"class": f"bg-edge{also}", "data-from": line.source, "data-to": line.target}
        yield _element("path", {**ends, "d": path(points), "fill": "none", **_stroked(stroke)})
        tip: Values = {"class": f"bg-head{also}", "d": head(points), "fill": stroke.color}
        yield _element("path", {**tip, **_stroked(Stroke(stroke.color))})


def told(face: Face) -> str:
    """A block in words."""
    if face.shape == "wave":
        return "Sinusoidal positions"
    words = SIGNS.get(face.lines[0], face.lines[0]) if face.shape == "circle" else " ".join(face.lines)
    small = "; ".join(filter(None, (*face.small, face.mark, *face.notes)))
    return words + (f" ({small})" if small else "")


def described(drawn: Drawing, about: str | None) -> str:
    """What the picture shows: the model's own words, then its blocks in the order of execution."""
    blocks = [words for item in drawn.items for words in _told(item)]
    more = [f"and {len(blocks) - SPOKEN} more"] if len(blocks) > SPOKEN else []
    said = clean(about).rstrip(".") + ". " if about else ""
    return f"{said}In order of execution: {'; '.join([*blocks[:SPOKEN], *more])}."


def _told(item: Placed | Panel) -> Iterator[str]:
    if isinstance(item, Placed):
        yield told(item.face)
        return
    inner = [words for each in item.inside for words in _told(each)]
    before = " ".join((item.times, *item.caption)).strip()
    yield from ([f"{before}: {inner[0]}", *inner[1:]] if before and inner else inner)


def _stroked(stroke: Stroke) -> Values:
    """A stroke's attributes, without what is so anyway."""
    wide = stroke.width if stroke.width != 1 else None
    return {"stroke": stroke.color, "stroke-width": wide, "stroke-dasharray": DASHES.get(stroke.dash)}


def _element(tag: str, values: Values, words: str | None = None) -> str:
    return f"<{tag}{_attributes(values)}" + ("/>" if words is None else f">{_escaped(words)}</{tag}>")


def _attributes(values: Values) -> str:
    shown = ((key, number(x) if isinstance(x, float | int) else x) for key, x in values.items() if x is not None)
    return "".join(f' {key}="{_escaped(value)}"' for key, value in shown)


def _escaped(words: str) -> str:
    words = printable(words)
    for sign, entity in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ('"', "&quot;")):
        words = words.replace(sign, entity)
    return words
