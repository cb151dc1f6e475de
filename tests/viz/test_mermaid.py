"""Mermaid: the same blocks, frames and lines as the drawing."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from blockgraph.specs import presets
from blockgraph.viz.draw import compose, draw
from blockgraph.viz.drawing import Drawing, Line, Panel, Placed
from blockgraph.viz.faces import Face
from blockgraph.viz.mermaid import label, write_mermaid
from blockgraph.viz.view import DIRECTIONS, Direction, View
from tests.golden_files import compare
from tests.viz.handmade import preset

GOLDEN = Path(__file__).parents[1] / "golden" / "mermaid"


@pytest.mark.parametrize("name", ["transformer-base", "gpt2"])
def test_presets_equal_their_golden_files(name: str) -> None:
    compare(GOLDEN / f"{name}.mmd", draw(preset(name), format="mermaid").decode())


@pytest.mark.parametrize("name", presets.names())
def test_every_block_frame_and_pair_is_there_once(name: str) -> None:
    drawn = compose(preset(name))
    lines = write_mermaid(drawn, View(), name).split("\n")
    blocks = [line for line in lines if re.match(r" +n_\w+[(\[]", line)]
    links = [line for line in lines if "-->" in line]
    assert len(blocks) == len(set(blocks)) == len(list(drawn.boxes()))
    assert sum(line.lstrip().startswith("subgraph ") for line in lines) == len(list(drawn.panels()))
    assert sum(line.strip() == "end" for line in lines) == len(list(drawn.panels()))
    assert len(links) == len(set(links)) == len({(line.source, line.target) for line in drawn.lines})
    shown = {words.text for words in drawn.words}
    assert {label(words) for words in shown} == set(re.findall(r'-->\|"(.*?)"\|', "\n".join(links)))


@pytest.mark.parametrize(("direction", "sign"), [*zip(DIRECTIONS, ("BT", "TB", "LR", "RL"), strict=True)])
def test_the_direction_is_the_views(direction: Direction, sign: str) -> None:
    assert f"\nflowchart {sign}\n" in write_mermaid(Drawing(), View(direction=direction), "t")


def test_labels_stay_readable_where_they_may() -> None:
    plain = "Multi-Head (ReLU), 512 × 8 → 1.05M [B, T, 512]"
    assert label(plain) == plain
    assert label('a "b" #1; - c -- [d](e) www.x') == ("a #34;b#34; #35;1#59; #45; c #45;#45; [d]#40;e) www#46;x")


def test_names_never_meet() -> None:
    ids = ["a.b_c", "a_b.c", "a.b.c", "end", "a:b.c"]
    drawn = Drawing(
        [Panel("end", "2×", (), (0, 0, 1, 1), 0, tuple(Placed(i, Face("ffn", (i,)), 0, 0, 9, 9) for i in ids))]
    )
    names = re.findall(r"^ +(?:subgraph )?(\w+)[(\[]", write_mermaid(drawn, View(), "t"), re.MULTILINE)
    assert len(names) == 6 == len(set(names)) and "end" not in names


def test_what_differs_says_so() -> None:
    face = Face("norm", ("RMSNorm",), mark="removed", notes=("−768",))
    text = write_mermaid(Drawing([Placed("a", face, 0, 0, 9, 9)], [Line("a", "a", ((0, 0), (0, 9)))]), View(), "t")
    assert 'n_a("RMSNorm<br/>(removed)<br/>−768")' in text and "stroke-dasharray:5 3" in text
