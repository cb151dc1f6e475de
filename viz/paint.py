"""A drawing as DOT text. Every place is fixed (`layout=nop2`), so that Graphviz only paints: any version, any fonts,
the same picture. Each line of words is a node of its own, centred where we measured it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from blockgraph.viz.curves import spline, wave
from blockgraph.viz.dot import attributes, name, number, text
from blockgraph.viz.drawing import Drawing, Line, Panel, Placed
from blockgraph.viz.faces import FILLS
from blockgraph.viz.measure import CAPTION, LINE, SMALL, TIMES, WORDS
from blockgraph.viz.text import width

INK, GREY, EDGE, BORDER, PANEL = "#1a1a1a", "#5f5f5f", "#222222", "#8c8c8c", "#f3f3f4"
FONT = "Helvetica,Arial,sans-serif"


def paint(drawn: Drawing, title: str) -> str:
    """The whole DOT text."""
    lines = [f"digraph {text(title)} {{", *_heads()]
    for item in drawn.items:
        lines += _item(item, "  ")
    for panel in drawn.panels():
        lines += _outside(panel)
    for number_, words in enumerate(drawn.words):
        wide = width(words.text, SMALL)
        lines.append(_words(f".shape:{number_}", words.text, words.x + wide / 2, words.y, SMALL, GREY))
    for line in drawn.lines:
        lines.append(f"  {name(line.source)} -> {name(line.target)} {attributes(_line(line))};")
    lines += [_wave(box) for box in drawn.boxes() if box.face.shape == "wave"]
    return "\n".join([*lines, "}", ""])


def _heads() -> list[str]:
    node: dict[str, str | float] = {
        "fontname": name(FONT),
        "fontsize": LINE,
        "fontcolor": name(INK),
        "color": name(INK),
    }
    node |= {"margin": 0, "fixedsize": "true", "label": name("")}
    return [
        f'  graph [layout=nop2 outputorder=nodesfirst bgcolor="white" pad=0.15 fontname="{FONT}"];',
        f"  node {attributes(node | {'margin': 0, 'fixedsize': 'true', 'label': name('')})};",
        f'  edge [color="{EDGE}" arrowsize=0.55 penwidth=1];',
    ]


def _item(item: Placed | Panel, indent: str) -> Iterator[str]:
    if isinstance(item, Placed):
        yield from (indent + line for line in _box(item))
        return
    yield f"{indent}subgraph {name(f'cluster:{item.id}')} {{"
    bb = ",".join(map(number, item.box))
    look: dict[str, str | float] = {"style": name("rounded,filled"), "fillcolor": name(PANEL), "color": name(BORDER)}
    look |= {"penwidth": 1, "bb": name(bb), "id": name(item.id), "class": name("bg_frame")}
    yield f"{indent}  graph {attributes(look)};"
    for inner in item.inside:
        yield from _item(inner, indent + "  ")
    yield f"{indent}}}"


def _box(box: Placed) -> Iterator[str]:
    """A block and the words in it, each line centred on its own."""
    face = box.face
    shape: dict[str, str | float] = {"shape": "plaintext"}
    if face.shape != "text":
        shape = {
            "shape": "box" if face.shape == "box" else "circle",
            "style": '"rounded,filled"' if face.shape == "box" else "filled",
        }
        shape["fillcolor"] = f'"{FILLS.get(face.kind, FILLS["block"])}"'
    place: dict[str, str | float] = {
        "width": _inches(box.width),
        "height": _inches(box.height),
        "pos": f'"{number(box.x)},{number(box.y)}"',
    }
    marks: dict[str, str | float] = {"id": name(box.id), "class": f'"bg_{face.kind}"'}
    yield f"{name(box.id)} {attributes(shape | place | marks)};"
    for number_, (line, size, color, y) in enumerate(_lines(box)):
        yield _words(f"{box.id}:{number_}", line, box.x, y, size, color).lstrip()


def _lines(box: Placed) -> Iterator[tuple[str, float, str, float]]:
    """Words, font size, colour and height of the middle of each line."""
    face = box.face
    if face.shape == "circle":
        yield from ((sign, 15.0, INK, box.y) for sign in face.lines[:1])
        return
    leading, size = (13.7, WORDS) if face.shape == "text" else (12.0, LINE)
    y = box.y + (leading * len(face.lines) + 10.5 * len(face.small)) / 2
    for line in face.lines:
        yield line, size, INK, y - leading / 2
        y -= leading
    for line in face.small:
        yield line, SMALL, GREY, y - 10.5 / 2
        y -= 10.5


def _words(id: str, words: str, x: float, y: float, size: float, color: str, font: str = "") -> str:
    values: dict[str, str | float] = {
        "shape": "plaintext",
        "label": text(words),
        "fontsize": size,
        "fontcolor": f'"{color}"',
    }
    values |= {
        "width": _inches(width(words, size) + 2),
        "height": _inches(size * 1.2),
        "pos": f'"{number(x)},{number(y)}"',
        "class": '"bg_text"',
    }
    return f"  {name(id)} {attributes(values | ({'fontname': name(font)} if font else {}))};"


def _outside(panel: Panel) -> Iterator[str]:
    """How often a frame is stacked, bold, and below it what it is called."""
    _, bottom, _, top = panel.box
    y = (bottom + top) / 2 + 5.5 * len(panel.caption)
    if panel.times:
        yield _words(
            f".times:{panel.id}", panel.times, panel.words, y, TIMES, INK, "Helvetica-Bold,Arial Bold,sans-serif bold"
        )
        y -= 9
    for number_, line in enumerate(panel.caption):
        yield _words(f".caption:{panel.id}:{number_}", line, panel.words, y - 11 * number_ - 5.5, CAPTION, INK)


def _line(line: Line) -> Mapping[str, str | float]:
    return {"pos": f'"{spline(line.points)}"', "class": '"bg_edge"'}


def _wave(box: Placed) -> str:
    values = {
        "dir": "none",
        "penwidth": "1.3",
        "color": f'"{INK}"',
        "pos": f'"{wave(box.x, box.y, box.width / 2)}"',
        "class": '"bg_wave"',
    }
    return f"  {name(box.id)} -> {name(box.id)} {attributes(values)};"


def _inches(points: float) -> str:
    return f"{points / 72:.4f}".rstrip("0").rstrip(".")
