"""DOT, SVG, PNG, PDF: goldens, exact words, the same bytes, any machine."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
import time
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from blockgraph.specs.diagnostics import BlockgraphError
from blockgraph.viz import engine
from blockgraph.viz.draw import draw, to_dot
from blockgraph.viz.engine import EngineError, render
from blockgraph.viz.view import View
from tests.golden_files import compare
from tests.viz.handmade import model, preset
from tests.viz.test_sketch import STACK

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "tests" / "golden" / "dot"
TINY = "inputs: {tokens: {tokens: 10, axis: T}}\nnodes: {embed: {type: embedding, width: 8, label: LABEL}}\n"
NO_ENGINE = "no Graphviz here: PATH has no dot, and pygraphviz is missing"
needs_engine = pytest.mark.skipif(engine.engine() is None, reason=NO_ENGINE)


# -- DOT --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["transformer-base", "gpt2", "llama3-8b", "bert-base", "lstm-nano"])
def test_presets_equal_their_golden_files(name: str) -> None:
    compare(GOLDEN / f"{name}.dot", to_dot(preset(name)))


def test_a_pattern_equals_its_golden_file() -> None:
    text = STACK.replace("CALLED", '"=Recur if layer % 4 == 3 else Attend"')
    compare(GOLDEN / "pattern.dot", to_dot(model(text)))


def test_dot_is_the_same_each_time() -> None:
    assert to_dot(preset("transformer-base")) == to_dot(preset("transformer-base"))


# -- files ------------------------------------------------------------------------------------------------------------


STARTS = [("svg", b"<?xml"), ("png", b"\x89PNG"), ("pdf", b"%PDF"), ("dot", b"digraph"), ("mmd", b"---")]


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


@needs_engine
def test_a_title_cannot_take_the_resolution_over() -> None:
    view = View(title='graph [dpi=10 "graph ["')
    png = draw(preset("lstm-nano"), format="png", dpi=72, view=view)
    assert int.from_bytes(png[20:24]) > int.from_bytes(draw(preset("lstm-nano"), format="png", dpi=72)[20:24])


@needs_engine
def test_a_pdf_holds_its_fonts() -> None:
    pdf = draw(preset("lstm-nano"), format="pdf")
    text = pdf + b"".join(_inflated(pdf))
    assert text.count(b"/FontFile") >= text.count(b"/FontDescriptor ") / 2 > 0


def _inflated(pdf: bytes) -> Iterator[bytes]:
    """What a PDF holds in compressed streams."""
    for stream in re.findall(rb"stream\r?\n(.*?)\r?\nendstream", pdf, re.DOTALL):
        with contextlib.suppress(zlib.error):
            yield zlib.decompress(stream)


def test_an_unknown_suffix_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BlockgraphError, match="has no known suffix; choose one of svg, png, pdf, dot, mermaid"):
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
        draw(preset("lstm-nano"), tmp_path / "picture.png")
    assert (tmp_path / "picture.dot").read_text(encoding="utf-8") == to_dot(preset("lstm-nano"))
    assert not (tmp_path / "picture.png").exists()


def test_an_svg_needs_no_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "engine", lambda: None)
    assert draw(preset("lstm-nano"), tmp_path / "picture.svg").startswith(b"<?xml")
    assert [file.name for file in tmp_path.iterdir()] == ["picture.svg"]


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
    formats = ("dot", "svg", "mermaid", "png", "pdf")
    code = f"m = preset('transformer-base')\nfor f in {formats}: sys.stdout.buffer.write(draw(m, format=f) + b'=then=')"
    first, second = (run(code, PYTHONHASHSEED=seed).split(b"=then=") for seed in ("1", "77"))
    assert min(map(len, first[:5])) > 2_000
    assert [a == b for a, b in zip(first, second, strict=True)] == [True] * len(first)


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
    shapes = [re.findall(r' (?:d|points|cx|cy|x|y)="([^"]+)"', svg) for svg in drawn]
    places = [[float(number) for shape in found for number in re.findall(r"-?[\d.]+", shape)] for found in shapes]
    assert len(places[0]) > 500 and places[0] == pytest.approx(places[1], abs=2.5)
