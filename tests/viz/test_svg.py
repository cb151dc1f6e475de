"""SVG: accessible, addressable, several on one page, the same picture as the DOT."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from blockgraph.specs import presets
from blockgraph.specs.diagnostics import BlockgraphError
from blockgraph.viz.draw import compose, draw
from blockgraph.viz.drawing import Drawing, Line, Panel, Placed
from blockgraph.viz.engine import engine, render
from blockgraph.viz.faces import Face
from blockgraph.viz.paint import paint
from blockgraph.viz.svg import SPOKEN, described, write_svg
from blockgraph.viz.view import THEMES, View
from tests.golden_files import compare
from tests.viz.handmade import model, preset

GOLDEN = Path(__file__).parents[1] / "golden" / "svg"
SVG = "{http://www.w3.org/2000/svg}"
TINY = "inputs: {tokens: {tokens: 10, axis: T}}\nnodes: {embed: {type: embedding, width: 8, label: LABEL}}\n"
needs_engine = pytest.mark.skipif(engine() is None, reason="no Graphviz here: PATH has no dot, no pygraphviz")


def root(name: str, view: View | None = None) -> ET.Element:
    return ET.fromstring(draw(preset(name), view=view or View()))


def texts(element: ET.Element) -> list[str]:
    return ["".join(text.itertext()) for text in element.iter(f"{SVG}text")]


def marked(face: Face) -> str:
    drawn = Drawing([Placed("a", face, 0, 0, 120, 50), Placed("b", face, 0, 90, 120, 50)])
    drawn.lines = [Line("a", "b", ((0, 25), (0, 65)))]
    return write_svg(drawn, View(), "two", None)


def test_a_preset_equals_its_golden_file() -> None:
    compare(GOLDEN / "gpt2.svg", draw(preset("gpt2"), view=View(theme="auto")).decode())


def test_a_screen_reader_is_told_what_the_picture_shows() -> None:
    svg = root("gpt2")
    assert svg.get("role") == "img" and svg.get("aria-labelledby") == "gpt2-title gpt2-desc"
    assert (svg[0].tag, svg[0].get("id"), svg[0].text) == (f"{SVG}title", "gpt2-title", "gpt2")
    assert (svg[1].tag, svg[1].get("id")) == (f"{SVG}desc", "gpt2-desc")
    said = svg[1].text or ""
    assert said.startswith("Radford et al. 2019, Language Models are Unsupervised Multitask Learners. In order of ")
    order = [said.index(words) for words in ("Embedding (", "12×:", "Masked Multi-Head", "Feed Forward", "Linear")]
    assert order == sorted(order)


def test_a_long_description_ends_with_how_much_more_there_is() -> None:
    boxes = [Placed(f"n{n}", Face("ffn", (f"Block {n}",)), 0, 50 * n, 100, 40) for n in range(SPOKEN + 7)]
    assert described(Drawing(list(boxes)), None).endswith(f"Block {SPOKEN - 1}; and 7 more.")


def test_blocks_and_frames_are_found_by_their_node() -> None:
    svg = root("gpt2")
    nodes = {(e.get("data-node"), e.get("data-part")): e for e in svg.iter(f"{SVG}g") if e.get("data-node")}
    attention = nodes["decoder.attn", None]
    assert attention.get("class") == "bg-node bg-attention" and attention.get("id") == "gpt2-decoder-attn"
    assert texts(attention) == ["Masked", "Multi-Head", "Attention", "12 heads · 2.36M"]
    assert attention.get("aria-label") == "Masked Multi-Head Attention (12 heads · 2.36M)"
    frame = nodes["decoder", None]
    assert (frame.get("class"), frame.get("id")) == ("bg-frame", "gpt2-decoder--frame")
    assert attention in list(frame) and "12×" in texts(frame)
    assert nodes["positions", "beside"].get("id") == "gpt2-positions-beside"
    ends = {(e.get("data-from"), e.get("data-to")) for e in svg.iter(f"{SVG}path")}
    assert ("decoder.attn", "decoder.add1") in ends


@pytest.mark.parametrize("name", ["transformer-base", "gpt2", "llama3-8b", "lstm-nano"])
def test_text_is_in_the_order_of_execution(name: str) -> None:
    drawn, svg = compose(preset(name)), root(name)
    nodes = [e.get("data-node") for e in svg.iter(f"{SVG}g") if (e.get("class") or "").startswith("bg-node")]
    assert nodes == [box.id.removesuffix(".beside") for box in drawn.boxes()]


def test_ids_carry_the_prefix_and_are_unique() -> None:
    for name in presets.names():
        ids = [e.get("id", "") for e in root(name, View(prefix="fig2-")).iter() if e.get("id")]
        assert len(ids) == len(set(ids)) and all(id.startswith("fig2-") for id in ids)


def test_without_a_prefix_the_name_serves() -> None:
    both = [{e.get("id") for e in root(name).iter() if e.get("id")} for name in ("gpt2", "llama3-8b")]
    assert not both[0] & both[1]


def test_a_title_that_is_asked_for_shows_below() -> None:
    svg = root("gpt2", View(title="Wer <das> liest"))
    assert texts(svg)[-1] == "Wer <das> liest" and svg[0].text == "gpt2"
    places = [float(text.get("y", 0)) for text in svg.iter(f"{SVG}text")]
    assert max(places) == places[-1] < float(svg.get("height", "0pt").removesuffix("pt"))


def test_a_font_is_asked_for_first() -> None:
    svg = root("gpt2", View(font="Noto Serif, Georgia"))
    assert svg.get("font-family") == "'Noto Serif',Georgia,Helvetica,Arial,sans-serif"
    with pytest.raises(BlockgraphError, match="'x;fill:red' is no font family"):
        root("gpt2", View(font="x;fill:red"))


def test_a_users_label_is_in_the_picture_to_the_letter() -> None:
    svg = ET.fromstring(draw(model(TINY.replace("LABEL", "'<i>词元</i> \\N & Co'"))))
    assert "<i>词元</i> \\N & Co" in " ".join(texts(svg))


def test_chinese_labels_are_text_in_boxes_wide_enough() -> None:
    chinese = "词元嵌入层的一个很长的名字"
    svg = ET.fromstring(draw(model(TINY.replace("LABEL", chinese))))
    group = next(e for e in svg.iter(f"{SVG}g") if e.get("data-node") == "embed")
    box = next(group.iter(f"{SVG}rect"))
    lines = texts(group)[:-1]
    assert "".join(lines) == chinese and max(map(len, lines)) * 11 <= float(box.get("width", 0)) - 16


def test_what_differs_is_drawn_so() -> None:
    added, removed, changed = (
        marked(Face("norm", ("RMSNorm",), mark=mark, notes=("was LayerNorm",)))
        for mark in ("added", "removed", "changed")
    )
    assert "stroke-dasharray" not in added + changed and removed.count('stroke-dasharray="6"') == 3
    assert all(svg.count('stroke-width="2.6"') == 2 for svg in (added, removed, changed))
    assert '<path class="bg-edge bg-added"' in added and '<path class="bg-edge"' in changed
    assert changed.count('class="bg-note"') == 2 and "RMSNorm (changed; was LayerNorm)" in changed


@needs_engine
@pytest.mark.parametrize("name", ["transformer-base", "gpt2", "lstm-nano"])
def test_the_engine_paints_the_same_picture(name: str) -> None:
    """Words, colours and sizes; Graphviz moves all by less than a point."""
    drawn = compose(preset(name))
    for theme in THEMES[:-1]:
        ours = ET.fromstring(write_svg(drawn, View(theme=theme), name, None))
        theirs = ET.fromstring(render(paint(drawn, name, View(theme=theme)), "svg"))
        both = [sorted(map(looks, svg.iter(f"{SVG}text"))) for svg in (ours, theirs)]
        fills = [{e.get("fill") for e in svg.iter()} - {None, "none"} for svg in (ours, theirs)]
        assert both[0] == both[1] and fills[0] == fills[1]
        for side in ("width", "height"):
            assert size(ours, side) == pytest.approx(size(theirs, side), abs=2.5)
        (x, y), (a, b) = (corner(svg) for svg in (ours, theirs))
        shifts = zip(places(ours), places(theirs), strict=True)
        assert all(abs(p[0] - x - q[0] + a) < 1 and abs(p[1] - y - q[1] + b) < 1 for p, q in shifts)


def looks(text: ET.Element) -> tuple[str, float]:
    return "".join(text.itertext()), float(text.get("font-size", 0))


def size(svg: ET.Element, side: str) -> float:
    return float(svg.get(side, "0").removesuffix("pt"))


def places(svg: ET.Element) -> list[tuple[float, float]]:
    found = [(looks(e)[0], float(e.get("x", 0)), float(e.get("y", 0))) for e in svg.iter(f"{SVG}text")]
    return [(x, y) for _, x, y in sorted(found, key=lambda e: (e[0], round(e[2] / 4), round(e[1] / 4)))]


def corner(svg: ET.Element) -> tuple[float, float]:
    xs, ys = zip(*places(svg), strict=True)
    return min(xs), min(ys)


def test_no_number_has_more_than_two_decimals() -> None:
    svg = draw(preset("transformer-base")).decode()
    numbers = re.findall(r"(?<![\w#.])-?\d+\.\d+", re.sub(r">[^<]*<|aria-label=\"[^\"]*\"", "", svg))
    assert numbers and all(len(number.partition(".")[2]) <= 2 for number in numbers)


def test_an_empty_drawing_is_a_picture_too() -> None:
    assert ET.fromstring(write_svg(Drawing(), View(), "nothing", None)).get("width") == "21.6pt"
    panel = Panel("a", "", (), (0, 0, 10, 10), 0, ())
    assert ET.fromstring(write_svg(Drawing([panel]), View(), "", None)).get("width") == "31.6pt"
