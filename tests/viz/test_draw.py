"""DOT, SVG, PNG, PDF: goldens, exact words, the same bytes, any machine."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blockgraph.specs.diagnostics import BlockgraphError
from blockgraph.viz import engine
from blockgraph.viz.draw import draw, to_dot
from blockgraph.viz.drawing import Drawing, Placed
from blockgraph.viz.engine import EngineError, render
from blockgraph.viz.faces import Face
from blockgraph.viz.paint import paint
from blockgraph.viz.svg import tidy
from blockgraph.viz.text import clean
from tests.golden_files import compare
from tests.viz.handmade import model, preset
from tests.viz.test_sketch import STACK

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "tests" / "golden" / "dot"
TINY = "inputs: {tokens: {tokens: 10, axis: T}}\nnodes: {embed: {type: embedding, width: 8, label: LABEL}}\n"
HOSTILE = [
    "<b>bold</b>",
    "<table>",
    "\\N and \\G",
    "ends in \\",
    'a "quote"',
    "&lt;script&gt; & &#60;",
    "<script>alert(1)</script>",
    "a\x00b\x1b[31m\x7f\ufffe",
    "שלום עולם",
    "词元嵌入",
    "-->",
    "]]>",
    "\u202egnol",
    "x" * 500,
    "${HOME} %n %s {0}",
    "\\n\\l\\r",
]

NO_ENGINE = "no Graphviz here: PATH has no dot, and pygraphviz is missing"
needs_engine = pytest.mark.skipif(engine.engine() is None, reason=NO_ENGINE)


def words(svg: bytes) -> list[str]:
    return ["".join(text.itertext()) for text in ET.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")]


def painted(label: str) -> str:
    drawn = Drawing([Placed("a", Face("ffn", (clean(label),)), 0, 0, 200, 40)])
    return tidy(render(paint(drawn, label), "svg").decode(), label, label)


# -- DOT --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["transformer-base", "gpt2", "llama3-8b", "bert-base", "lstm-nano"])
def test_presets_equal_their_golden_files(name: str) -> None:
    compare(GOLDEN / f"{name}.dot", to_dot(preset(name)))


def test_a_pattern_equals_its_golden_file() -> None:
    text = STACK.replace("CALLED", '"=Recur if layer % 4 == 3 else Attend"')
    compare(GOLDEN / "pattern.dot", to_dot(model(text)))


def test_dot_is_the_same_each_time() -> None:
    assert to_dot(preset("transformer-base")) == to_dot(preset("transformer-base"))


# -- words ------------------------------------------------------------------------------------------------------------


@needs_engine
@pytest.mark.parametrize("label", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_labels_come_out_to_the_letter(label: str) -> None:
    svg = painted(label)
    root = ET.fromstring(svg)
    assert words(svg.encode()) == [clean(label)]
    assert root[0].text == clean(label) and root[1].text == clean(label)
    tags = {element.tag.partition("}")[2] for element in root.iter()}
    assert tags <= {"svg", "g", "title", "desc", "text", "path", "polygon", "ellipse"}
    assert not any("href" in name or name.startswith("on") for element in root.iter() for name in element.attrib)


@needs_engine
@settings(max_examples=12, deadline=None, derandomize=True)
@given(st.lists(st.text(min_size=1, max_size=60), min_size=20, max_size=20))
def test_any_text_comes_out_to_the_letter(labels: list[str]) -> None:
    said = [clean(label) for label in labels if clean(label).strip()]
    placed = [Placed(f"n{n}", Face("ffn", (label,)), 0, 50 * n, 200, 40) for n, label in enumerate(said)]
    svg = tidy(render(paint(Drawing(list(placed)), "t"), "svg").decode(), "t", None)
    assert words(svg.encode()) == said


@needs_engine
def test_a_users_label_is_in_the_picture() -> None:
    svg = draw(model(TINY.replace("LABEL", "'<i>词元</i> \\N & Co'")))
    assert "<i>词元</i> \\N & Co" in " ".join(words(svg))


@needs_engine
def test_words_stand_in_the_group_of_their_block() -> None:
    root = ET.fromstring(draw(preset("gpt2")))
    groups = {group.get("id"): group for group in root.iter("{http://www.w3.org/2000/svg}g")}
    said = [element.text for element in groups["decoder.attn"].iter("{http://www.w3.org/2000/svg}text")]
    assert said == ["Masked", "Multi-Head", "Attention", "12 heads · 2.36M"]
    assert groups["decoder.attn"].get("class") == "node bg_attention"
    assert "12×" in words(draw(preset("gpt2")))


# -- files ------------------------------------------------------------------------------------------------------------


STARTS = [("svg", b"<?xml"), ("png", b"\x89PNG"), ("pdf", b"%PDF"), ("dot", b"digraph")]


@needs_engine
@pytest.mark.parametrize(("suffix", "start"), STARTS)
def test_the_suffix_says_the_format(suffix: str, start: bytes, tmp_path: Path) -> None:
    path = tmp_path / f"picture.{suffix}"
    content = draw(preset("lstm-nano"), path)
    assert path.read_bytes() == content and content.startswith(start)
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


@needs_engine
def test_a_pdf_is_the_same_whenever_it_is_written() -> None:
    first = draw(preset("lstm-nano"), format="pdf")
    time.sleep(1.1)
    assert draw(preset("lstm-nano"), format="pdf") == first
    assert b"(D:19700101000000" in first


@needs_engine
def test_dpi_makes_a_png_larger() -> None:
    small, large = (draw(preset("lstm-nano"), format="png", dpi=dpi) for dpi in (72, 144))
    sizes = [int.from_bytes(png[16:20]) for png in (small, large)]
    assert sizes[1] == pytest.approx(2 * sizes[0], abs=2)


def test_an_unknown_suffix_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BlockgraphError, match="has no known suffix; choose one of svg, png, pdf, dot"):
        draw(preset("lstm-nano"), tmp_path / "picture.jpeg")
    with pytest.raises(BlockgraphError, match="there is no format 'gif'; choose one of"):
        draw(preset("lstm-nano"), format="gif")


def test_a_folder_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(BlockgraphError, match=r"cannot write .*No such file or directory"):
        draw(preset("lstm-nano"), tmp_path / "nowhere" / "picture.dot")
    (tmp_path / "folder.dot").mkdir()
    with pytest.raises(BlockgraphError, match="cannot write"):
        draw(preset("lstm-nano"), tmp_path / "folder.dot")
    assert [file.name for file in tmp_path.iterdir()] == ["folder.dot"]


# -- engines and machines ---------------------------------------------------------------------------------------------


def test_without_an_engine_the_dot_is_kept_and_the_way_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "engine", lambda: None)
    with pytest.raises(EngineError, match=r"pip install pygraphviz.*picture\.dot"):
        draw(preset("lstm-nano"), tmp_path / "picture.svg")
    assert (tmp_path / "picture.dot").read_text(encoding="utf-8") == to_dot(preset("lstm-nano"))
    assert not (tmp_path / "picture.svg").exists()


@needs_engine
def test_what_the_engine_refuses_is_an_error_not_a_picture() -> None:
    with pytest.raises(EngineError, match="Graphviz did not paint the svg"):
        render("digraph {", "svg")


START = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
from tests.viz.handmade import *
from blockgraph.viz.draw import draw
"""


def run(code: str, **environment: str) -> bytes:
    """The standard output of Python code in a fresh process."""
    command = [sys.executable, "-c", START + code]
    done = subprocess.run(command, env=os.environ | environment, capture_output=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


@needs_engine
def test_pictures_are_the_same_to_the_byte_whatever_the_hash_seed() -> None:
    code = "m = preset('transformer-base')\nfor f in ('dot', 'svg', 'png'): sys.stdout.buffer.write(draw(m, format=f))"
    first, second = (run(code, PYTHONHASHSEED=seed) for seed in ("1", "77"))
    assert len(first) > 50_000 and first == second


def test_drawing_loads_neither_torch_nor_numpy() -> None:
    heavy = {"torch", "numpy", "matplotlib", "networkx"}
    loaded = run(f"draw(preset('gpt2'), format='dot')\nprint(*sorted({heavy!r} & set(sys.modules)))").decode().split()
    assert not {"torch", "numpy", "matplotlib"} & set(loaded)


FONTLESS = '<?xml version="1.0"?><!DOCTYPE fontconfig SYSTEM "fonts.dtd"><fontconfig></fontconfig>'
TWO = f"""
for label in ("iiiiiiii", "oooooooo"):
    sys.stdout.buffer.write(draw(model({TINY!r}.replace("LABEL", label)), format="png") + b"|||")
"""


@pytest.mark.skipif(engine._dejavu() is None, reason="matplotlib, whose fonts serve here, is not installed")
@pytest.mark.skipif(not engine.bundled(), reason="pygraphviz is not installed")
def test_without_path_and_fonts_a_png_has_letters(tmp_path: Path) -> None:
    """A machine without fonts draws the same empty box for every letter: two labels of one length look alike then."""
    (tmp_path / "fonts.conf").write_text(FONTLESS)
    bare = {"PATH": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path), "FONTCONFIG_FILE": str(tmp_path / "fonts.conf")}
    pictures = run(TWO, **bare).split(b"|||")[:2]
    assert pictures[0].startswith(b"\x89PNG") and pictures[0] != pictures[1]
    blind = "from blockgraph.viz import engine\nengine._dejavu = lambda: None\n"
    boxes = run(blind + TWO, **bare).split(b"|||")[:2]
    assert boxes[0] == boxes[1]  # so that the test above can fail


@pytest.mark.skipif(not (engine.on_path() and engine.bundled()), reason="one engine only: nothing to compare")
def test_both_engines_paint_the_same_places() -> None:
    dot = to_dot(preset("transformer-base"))
    drawn = [render(dot, "svg", use=use).decode() for use in ("dot", "pygraphviz")]
    shapes = [re.findall(r' (?:d|points|cx|cy|x|y)="([^"]+)"', tidy(svg, "", None)) for svg in drawn]
    places = [[float(number) for shape in found for number in re.findall(r"-?[\d.]+", shape)] for found in shapes]
    assert len(places[0]) > 500 and places[0] == pytest.approx(places[1], abs=2.5)
