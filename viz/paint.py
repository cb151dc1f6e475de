"""A drawing as DOT text. Every place is fixed (`layout=nop2`), so that Graphviz only paints: any version, any fonts,
the same picture. Each line of words is a node of its own, centred where we measured it."""

from __future__ import annotations

from collections.abc import Iterator

from blockgraph.viz.curves import spline, wave
from blockgraph.viz.dot import attributes, name, number, text
from blockgraph.viz.drawing import Drawing, Line, Panel, Placed
from blockgraph.viz.faces import Face, Mark
from blockgraph.viz.fonts import families, spoken_in
from blockgraph.viz.lettering import Said, inside, loose, outside
from blockgraph.viz.lettering import title as titled
from blockgraph.viz.text import clean
from blockgraph.viz.themes import Stroke, Theme, shared_mark, theme
from blockgraph.viz.view import DEFAULT, View

Values = dict[str, str | float]


def paint(drawn: Drawing, title: str, view: View = DEFAULT) -> str:
    """The whole DOT text. `title` names the graph; one that shows is the view's."""
    brush = Brush(theme(view.theme), families(view.font, spoken_in(drawn, view.title)))
    lines = [f"digraph {text(title)} {{", *brush.heads()]
    for item in drawn.items:
        lines += brush.item(item, "  ")
    for panel in drawn.panels():
        lines += brush.outside(panel)
    look = brush.look
    lines += [brush.words(f".shape:{n}", said, look.grey) for n, said in enumerate(loose(drawn))]
    lines += brush.edges(drawn)
    lines += [brush.wave(box) for box in drawn.boxes() if box.face.shape == "wave"]
    if view.title:
        lines.append(brush.words(".title", titled(drawn, clean(view.title)), look.ink))
    return "\n".join([*lines, "}", ""])


class Brush:
    """Writes the parts of a picture in one look and font."""

    def __init__(self, look: Theme, font: str) -> None:
        self.look, self.font = look, font

    def heads(self) -> list[str]:
        ink, edge, page = name(self.look.ink), name(self.look.edge), name(self.look.page)
        node: Values = {"fontname": name(self.font), "fontsize": 11, "fontcolor": ink, "color": ink}
        return [
            f"  graph [layout=nop2 outputorder=nodesfirst bgcolor={page} pad=0.15 fontname={name(self.font)}];",
            f"  node {attributes(node | {'margin': 0, 'fixedsize': 'true', 'label': name('')})};",
            f"  edge [color={edge} arrowsize=0.55 penwidth=1];",
        ]

    def item(self, item: Placed | Panel, indent: str) -> Iterator[str]:
        if isinstance(item, Placed):
            yield from (indent + line for line in self.block(item))
            return
        yield f"{indent}subgraph {name(f'cluster:{item.id}')} {{"
        look: Values = {"style": name("rounded,filled"), "fillcolor": name(self.look.panel)}
        look |= {"color": name(self.look.border), "penwidth": 1, "bb": name(",".join(map(number, item.box)))}
        yield f"{indent}  graph {attributes(look | {'id': name(item.id), 'class': name('bg_frame')})};"
        for inner in item.inside:
            yield from self.item(inner, indent + "  ")
        yield f"{indent}}}"

    def block(self, box: Placed) -> Iterator[str]:
        """A block and the words in it, each line centred on its own."""
        place: Values = {"width": _inches(box.width), "height": _inches(box.height)}
        place["pos"] = name(f"{number(box.x)},{number(box.y)}")
        marks: Values = {"id": name(box.id), "class": name(f"bg_{box.face.kind}")}
        yield f"{name(box.id)} {attributes(self.shape(box.face) | place | marks)};"
        for number_, said in enumerate(inside(box)):
            color = self.look.words(box.face, said.role)
            yield self.words(f"{box.id}:{number_}", said, color).lstrip()

    def shape(self, face: Face) -> Values:
        if face.shape == "text":
            return {"shape": "plaintext"}
        stroke = self.look.outline(face)
        styles = ["rounded"] * (face.shape == "box") + ["filled"] + [stroke.dash] * bool(stroke.dash)
        shape: Values = {"shape": "box" if face.shape == "box" else "circle", "style": name(",".join(styles))}
        return shape | {"fillcolor": name(self.look.fill(face))} | self.stroke(stroke, self.look.ink)

    def stroke(self, stroke: Stroke, usual: str) -> Values:
        """What differs from the usual line of one point."""
        values: Values = {"color": name(stroke.color)} if stroke.color != usual else {}
        return values | ({"penwidth": stroke.width} if stroke.width != 1 else {})

    def words(self, id: str, said: Said, color: str) -> str:
        values: Values = {"shape": "plaintext", "label": text(said.text), "fontsize": said.size}
        values |= {"fontcolor": name(color), "width": _inches(said.width + 2), "height": _inches(said.size * 1.2)}
        values |= {"pos": name(f"{number(said.x)},{number(said.y)}"), "class": name("bg_text")}
        return f"  {name(id)} {attributes(values | ({'fontname': name(f'{self.font} bold')} if said.bold else {}))};"

    def outside(self, panel: Panel) -> Iterator[str]:
        captions = 0
        for said in outside(panel):
            id = f".times:{panel.id}" if said.role == "times" else f".caption:{panel.id}:{captions}"
            captions += said.role == "caption"
            yield self.words(id, said, self.look.ink)

    def edges(self, drawn: Drawing) -> Iterator[str]:
        faces = {box.id: box.face for box in drawn.boxes()}
        for line in drawn.lines:
            values = self.line(line, line.mark or shared_mark(faces.get(line.source), faces.get(line.target)))
            yield f"  {name(line.source)} -> {name(line.target)} {attributes(values)};"

    def line(self, line: Line, mark: Mark) -> Values:
        stroke = self.look.line(mark)
        values: Values = {"pos": name(spline(line.points)), "class": name("bg_edge")}
        dash: Values = {"style": name(stroke.dash)} if stroke.dash else {}
        return values | self.stroke(stroke, self.look.edge) | dash

    def wave(self, box: Placed) -> str:
        values: Values = {"dir": "none", "penwidth": 1.3, "color": name(self.look.words(box.face, "line"))}
        values |= {"pos": name(wave(box.x, box.y, box.width / 2)), "class": name("bg_wave")}
        return f"  {name(box.id)} -> {name(box.id)} {attributes(values)};"


def _inches(points: float) -> str:
    return f"{points / 72:.4f}".rstrip("0").rstrip(".")
