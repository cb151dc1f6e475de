"""Themes: everything can be read, the kinds are told apart."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from itertools import combinations

import pytest

from blockgraph.specs.diagnostics import BlockgraphError
from blockgraph.viz.draw import compose
from blockgraph.viz.drawing import Drawing, Placed
from blockgraph.viz.faces import FILLS, Face, Mark
from blockgraph.viz.svg import write_svg
from blockgraph.viz.themes import BY_NAME, DARK, MONO, theme
from blockgraph.viz.view import THEMES, View
from tests.viz.eyes import EYES, contrast, difference
from tests.viz.handmade import preset

SVG = "{http://www.w3.org/2000/svg}"
MARKS: tuple[Mark, ...] = ("", "added", "removed", "changed")
DRAWN = [kind for kind in FILLS if kind != "io"]  # inputs and outputs have no box


def test_the_arithmetic_of_colour_is_right() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)
    assert difference("#ff0000", "#00ff00") == pytest.approx(170.6, abs=0.1)
    assert difference("#ffffff", "#000000") == pytest.approx(100, abs=0.01)
    assert difference("#7fb000", "#d29b00", "deutan") < 12 < difference("#7fb000", "#d29b00") / 3  # green, orange
    assert all(difference("#808080", "#808081", eyes) < 1 for eyes in EYES)


def test_every_theme_of_the_view_has_colours_for_every_kind() -> None:
    assert set(BY_NAME) == set(THEMES)
    assert all(set(theme(name).fills) == set(FILLS) for name in THEMES)
    with pytest.raises(BlockgraphError, match="there is no theme 'pink'; choose one of paper, dark, cvd, mono, auto"):
        theme("pink")


@pytest.mark.parametrize("name", THEMES)
def test_all_text_has_a_contrast_of_four_and_a_half(name: str) -> None:
    look = theme(name)
    inside = [
        contrast(look.words(face, role), look.fill(face))
        for kind in (*DRAWN, "a plugin's own")
        for mark in MARKS
        for role in ("line", "small", "note", "sign")
        for face in [Face(kind, (), mark=mark)]
    ]
    loose = [contrast(color, behind) for color in (look.ink, look.grey) for behind in (look.page, look.panel)]
    gone = [contrast(look.words(Face("io", (), mark="removed"), "line"), behind) for behind in (look.page, look.panel)]
    assert min(inside) >= 4.5 and min(loose) >= 4.5 and min(gone) >= 4.5


@pytest.mark.parametrize("name", THEMES)
@pytest.mark.parametrize("shown", ["transformer-base", "llama3-8b"])
def test_every_word_of_a_picture_can_be_read_on_what_is_behind_it(shown: str, name: str) -> None:
    root = ET.fromstring(write_svg(compose(preset(shown)), View(theme=name, title="A title"), shown, None))
    painted: list[tuple[float, float, float, float, str]] = []  # left, top, right, bottom, fill
    contrasts = []
    for element in root.iter():
        if element.tag in (f"{SVG}rect", f"{SVG}circle"):
            painted.append((*_area(element), element.get("fill", "")))
        elif element.tag == f"{SVG}text":
            x, y = _number(element, "x"), _number(element, "y") - 2
            fill = [fill for left, top, right, low, fill in painted if left <= x <= right and top <= y <= low][-1]
            contrasts.append(contrast(element.get("fill", root.get("fill", "")), fill))
    assert len(contrasts) > 20 and min(contrasts) >= 4.5


def _area(shape: ET.Element) -> tuple[float, float, float, float]:
    if shape.tag == f"{SVG}circle":
        x, y, r = (_number(shape, key) for key in ("cx", "cy", "r"))
        return x - r, y - r, x + r, y + r
    x, y = _number(shape, "x"), _number(shape, "y")
    return x, y, x + _number(shape, "width"), y + _number(shape, "height")


def _number(element: ET.Element, key: str) -> float:
    return float(element.get(key, 0))


@pytest.mark.parametrize("name", THEMES)
def test_lines_and_outlines_stand_out(name: str) -> None:
    """WCAG asks 3 of what is no text."""
    look = theme(name)
    for behind in (look.page, look.panel):
        assert contrast(look.edge, behind) >= 3 and all(contrast(color, behind) >= 3 for color in look.marks.values())
    assert contrast(look.border, look.page) >= 3


@pytest.mark.parametrize("eyes", EYES)
def test_fills_for_the_colour_blind_are_told_apart(eyes: str) -> None:
    fills = theme("cvd").fills
    pairs = {(a, b): difference(fills[a], fills[b], eyes) for a, b in combinations(DRAWN, 2)}
    closest = min(pairs, key=lambda pair: pairs[pair])
    assert pairs[closest] >= 10, (closest, pairs[closest])


def test_the_papers_own_colours_would_not_pass() -> None:
    """So that the test above can fail."""
    assert min(difference(FILLS[a], FILLS[b], "deutan") for a, b in combinations(DRAWN, 2)) < 10


def test_mono_is_grey_and_tells_kinds_apart_by_fill_and_outline() -> None:
    colors = [*MONO.fills.values(), *MONO.marks.values(), MONO.ink, MONO.grey, MONO.edge, MONO.border, MONO.panel]
    assert all(color[1:3] == color[3:5] == color[5:7] for color in colors)
    looks = {kind: (MONO.fills[kind], MONO.outline(Face(kind, ()))) for kind in DRAWN}
    assert len(set(looks.values())) == len(DRAWN)
    greys = sorted({fill for fill, _ in looks.values()})
    assert min(difference(a, b) for a, b in combinations(greys, 2)) >= 6


@pytest.mark.parametrize("name", THEMES)
def test_what_was_removed_is_told_by_its_outline_too(name: str) -> None:
    outline = theme(name).outline(Face("ffn", ("Feed",), mark="removed"))
    assert outline.dash == "dashed" and outline.width > 2


def test_auto_is_paper_and_dark_where_the_viewer_asks_for_it() -> None:
    drawn = Drawing([Placed("a", Face("ffn", ("Feed",), ("small",)), 0, 0, 100, 40)])
    auto = write_svg(drawn, View(theme="auto"), "two figures", None)
    paper = write_svg(drawn, View(), "two figures", None)
    before, style, after = auto.partition("<style>")
    rules, _, rest = after.partition("</style>\n")
    assert before + rest == paper and style and rules.startswith("@media (prefers-color-scheme:dark){")
    assert all(f".bg-{kind}>.bg-body{{fill:{fill}}}" in rules for kind, fill in DARK.fills.items())
    selectors = [rule.split("{")[0] for rule in rules.removeprefix("@media (prefers-color-scheme:dark){").split("}")]
    assert all(s.startswith("#two-figures-figure") for selector in selectors if selector for s in selector.split(","))
