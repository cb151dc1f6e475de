"""Whatever a label says, it is shown to the letter and does nothing: in SVG, DOT and Mermaid."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

import pytest

from blockgraph.viz.drawing import Drawing, Line, Panel, Placed, Words
from blockgraph.viz.engine import engine, render
from blockgraph.viz.faces import Face
from blockgraph.viz.mermaid import write_mermaid
from blockgraph.viz.paint import paint
from blockgraph.viz.svg import write_svg
from blockgraph.viz.text import clean
from blockgraph.viz.view import View
from tests.viz.hostile import groups

SVG = "{http://www.w3.org/2000/svg}"
TAGS = {"svg", "g", "title", "desc", "rect", "circle", "path", "text"}
ATTRIBUTES = {
    *("id", "class", "role", "lang", "width", "height", "viewBox", "x", "y", "cx", "cy", "r", "rx", "d", "text-anchor"),
    *("fill", "stroke", "stroke-width", "stroke-dasharray", "font-size", "font-weight", "font-family"),
    *("data-node", "data-part", "data-from", "data-to", "aria-label", "aria-labelledby", "aria-hidden"),
}
FEW = [pytest.param(300, 1), pytest.param(10_000, 2, marks=pytest.mark.slow)]


def everywhere(some: tuple[str, ...]) -> Drawing:
    """Each label as a block's line, its small line, its note and its kind; as a frame's words; beside a line."""
    boxes = [
        Placed(f"n{n}", Face(label, (label,), (label,), mark="changed", notes=(label,)), 0, 90 * n, 200, 60)
        for n, label in enumerate(some)
    ]
    panel = Panel("frame", some[0], some[1:], (-120, -50, 120, 90 * len(some)), 200, tuple(boxes))
    words = [Words(label, -300, 90 * n) for n, label in enumerate(some)]
    return Drawing([panel], [Line("n0", "n1", ((0, 30), (0, 60)))], words)


def said(some: tuple[str, ...]) -> list[str]:
    """What must be read in a picture of `everywhere`, in the order of its text."""
    cleaned = [clean(label) for label in some]
    return [*cleaned, *(label for label in cleaned for _ in range(3)), *cleaned]


@pytest.mark.parametrize(("number", "seed"), FEW)
def test_svg_is_well_formed_shows_the_exact_text_and_holds_nothing_active(number: int, seed: int) -> None:
    for some in groups(number, seed, 25):
        view = View(title=some[-1], prefix=some[0])
        root = ET.fromstring(write_svg(everywhere(some), view, some[-1], some[0]))
        texts = ["".join(text.itertext()) for text in root.iter(f"{SVG}text")]
        assert texts == [*said(some), clean(some[-1])]
        assert root[0].text == clean(some[-1]) and (root[1].text or "").startswith(clean(some[0]).rstrip("."))
        for element in root.iter():
            assert element.tag.removeprefix(SVG) in TAGS
            assert set(element.attrib) <= ATTRIBUTES
            free = {"aria-label", "font-family"}
            assert all(re.fullmatch(r"[\w #.,%-]*", v) for k, v in element.attrib.items() if k not in free)


@pytest.mark.skipif(engine() is None, reason="no Graphviz here: PATH has no dot, and pygraphviz is missing")
@pytest.mark.parametrize(("number", "seed"), FEW)
def test_dot_shows_the_exact_text(number: int, seed: int) -> None:
    for some in groups(number, seed, 100):
        boxes = [Placed(f"n{n}", Face("ffn", (label,)), 0, 50 * n, 200, 40) for n, label in enumerate(some)]
        root = ET.fromstring(render(paint(Drawing(list(boxes)), some[-1]), "svg"))
        assert ["".join(text.itertext()) for text in root.iter(f"{SVG}text")] == [clean(label) for label in some]
        assert not any("href" in key or key.startswith("on") for element in root.iter() for key in element.attrib)


@pytest.mark.parametrize(("number", "seed"), FEW)
def test_mermaid_shows_the_exact_text_and_no_sign_of_its_own(number: int, seed: int) -> None:
    for some in groups(number, seed, 100):
        boxes = [Placed(f"n{n}", Face("ffn", (label,)), 0, 50 * n, 200, 40) for n, label in enumerate(some)]
        lines = write_mermaid(Drawing(list(boxes)), View(), some[-1]).split("\n")
        assert lines[0] == lines[2] == "---" and lines[1].startswith('title: "') and lines[3] == "flowchart BT"
        found = [re.fullmatch(r'  n_n\d+\("([^"<>`%{};|]*(?:#\d+;[^"<>`%{};|]*)*)"\)', line) for line in lines[4:-3]]
        assert [read(each[1]) for each in found if each] == [clean(label) for label in some]


def read(label: str) -> str:
    """A Mermaid label as it is shown."""
    return re.sub(r"#(\d+);", lambda found: chr(int(found[1])), label)
