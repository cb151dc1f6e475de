"""Fonts: which is asked for, and what is said where none has a character."""

from __future__ import annotations

import shutil
import warnings
import xml.etree.ElementTree as ET

import pytest

from blockgraph.specs.diagnostics import BlockgraphError
from blockgraph.viz import fonts
from blockgraph.viz.draw import draw, to_dot
from blockgraph.viz.drawing import Drawing, Placed
from blockgraph.viz.engine import engine
from blockgraph.viz.faces import Face
from blockgraph.viz.fonts import GlyphWarning, css_families, families, missing, warning
from blockgraph.viz.view import View
from tests.viz.handmade import model, preset

SPEC = "inputs: {tokens: {tokens: 10, axis: T}}\nnodes: {embed: {type: embedding, width: 8, label: LABEL}}\n"
needs_engine = pytest.mark.skipif(engine() is None, reason="no Graphviz here: PATH has no dot, no pygraphviz")


def only(monkeypatch: pytest.MonkeyPatch, *ranges: tuple[int, int]) -> None:
    """A machine whose fonts have these characters."""
    monkeypatch.setattr(fonts, "_installed", lambda asked: list(ranges))


def test_what_serves_comes_after_what_is_asked_for() -> None:
    assert families(None) == "Helvetica,Arial,sans-serif"
    assert families("'Noto Serif', 思源黑体") == "Noto Serif,思源黑体,Helvetica,Arial,sans-serif"
    assert css_families("Noto Serif,Georgia") == "'Noto Serif',Georgia,Helvetica,Arial,sans-serif"


@pytest.mark.parametrize(
    ("label", "spoken", "family"),
    [("词元 token", "zh", "SC"), ("トークン 词", "ja", "JP"), ("토큰", "ko", "KR"), ("Tökén θ", None, None)],
)
def test_han_characters_are_drawn_in_the_shapes_of_their_language(
    label: str, spoken: str | None, family: str | None
) -> None:
    asked = model(SPEC.replace("LABEL", label))
    names = f"Helvetica,Arial,Noto Sans CJK {family},sans-serif" if family else "Helvetica,Arial,sans-serif"
    assert ET.fromstring(draw(asked)).get("lang") == spoken
    assert f'fontname="{names}"' in to_dot(asked)


@pytest.mark.parametrize("font", ["", "a,,b", '"', "x;fill:red", "url(x)", "</style>", "a\\b", "-x"])
def test_what_is_no_family_is_refused(font: str) -> None:
    with pytest.raises(BlockgraphError, match="is no font family; give its name, such as Noto Sans"):
        families(font)


def test_dot_asks_for_the_font() -> None:
    dot = to_dot(preset("gpt2"), View(font="Noto Serif"))
    assert dot.count('fontname="Noto Serif,Helvetica,Arial,sans-serif"') == 2
    assert 'fontname="Noto Serif,Helvetica,Arial,sans-serif bold"' in dot


def test_common_characters_are_not_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(asked: list[str]) -> list[tuple[int, int]]:
        raise AssertionError(f"fonts were read for {asked}")

    monkeypatch.setattr(fonts, "_installed", never)
    assert missing("Attention θ = 1e4 · 768 → 3072 × Ж é ∑ … \ufffd \u202e e\u0301") == []


def test_the_warning_names_characters_and_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    only(monkeypatch, (0x20, 0x7E), (0x5143, 0x5143))
    drawn = Drawing([Placed("a", Face("ffn", ("词元嵌入",)), 0, 0, 100, 40)])
    said = warning(drawn, "图")
    assert said is not None and "no font on this machine has 入 图 嵌 词: install Noto Sans CJK" in said
    assert "apt install fonts-noto-cjk" in said
    assert warning(Drawing([Placed("a", Face("ffn", ("Feed",)), 0, 0, 100, 40)])) is None
    many = warning(Drawing([Placed("a", Face("ffn", ("".join(map(chr, range(0x4E00, 0x4E20))),)), 0, 0, 9, 9)]))
    assert many is not None and "and 20 more" in many


def test_what_to_install_depends_on_the_script(monkeypatch: pytest.MonkeyPatch) -> None:
    only(monkeypatch, (0x20, 0x7E))
    said = [warning(Drawing(), text) or "" for text in ("한국", "😀", "ខ្មែរ")]
    assert [name in text for name, text in zip(("noto-cjk", "noto-color-emoji", "noto-core"), said, strict=True)] == [
        True,
        True,
        True,
    ]


@needs_engine
def test_a_missing_glyph_warns_and_nothing_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    only(monkeypatch, (0x20, 0x7E))
    chinese = model(SPEC.replace("LABEL", "词元嵌入"))
    with pytest.warns(GlyphWarning, match="fonts-noto-cjk"):
        assert draw(chinese, format="png").startswith(b"\x89PNG")
    with pytest.warns(GlyphWarning, match="fonts-noto-cjk"):
        assert draw(chinese, format="pdf").startswith(b"%PDF")
    with warnings.catch_warnings():  # a reader's fonts are not ours
        warnings.simplefilter("error")
        assert all(draw(chinese, format=format) for format in ("svg", "dot", "mermaid"))


def test_without_fontconfigs_tools_matplotlib_reads_the_fonts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    assert missing("\U0001f8ff ა") == []  # unassigned: nobody's; Georgian: DejaVu has it
    assert missing("\U00012000") in ([], ["\U00012000"])  # cuneiform


@pytest.mark.skipif(shutil.which("fc-list") is None, reason="fontconfig's tools are not installed")
def test_both_ways_to_ask_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "词元 😀 한국 ა ខ"
    first = missing(text)
    monkeypatch.setattr(shutil, "which", lambda _: None)
    assert missing(text) == first


@needs_engine
@pytest.mark.skipif(missing("词元嵌入层") != [], reason="no font here has Chinese: install fonts-noto-cjk to run this")
def test_chinese_labels_come_out_in_a_png() -> None:
    """Without a glyph every character is the same box: two words of one length would look alike."""
    first, second = (draw(model(SPEC.replace("LABEL", word)), format="png") for word in ("词元嵌入", "元词入嵌"))
    assert first != second
