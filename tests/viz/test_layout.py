"""What must hold of every picture: no overlaps, no line through a box, nothing lost."""

from __future__ import annotations

import time
from collections.abc import Iterator
from random import Random
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from blockgraph.specs import presets
from blockgraph.viz import checked
from blockgraph.viz.check import Problem, problems
from blockgraph.viz.draw import compose
from blockgraph.viz.drawing import drawing
from blockgraph.viz.figure import Box, End, Frame
from blockgraph.viz.place import layout
from blockgraph.viz.plain import plain
from blockgraph.viz.sketch import sketch
from blockgraph.viz.view import View
from tests.graphs import specs
from tests.viz.handmade import figure, model, preset
from tests.viz.sweep import broken, cases, named, other_specs
from tests.viz.towers import towers

EVERY = settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)


def leaves(frame: Frame, end: End, above: list[tuple[Frame, str]]) -> Iterator[str]:
    """The boxes that a link's source stands for, through frames; `above`: the frames around, and their names there."""
    if end.item is None:
        if above:
            (outer, key), rest = above[-1], above[:-1]
            for link in outer.links:
                if link.target == End(key, end.port):
                    yield from leaves(outer, link.source, rest)
        return
    item = frame.items[end.item]
    if isinstance(item, Box):
        yield item.id
    else:
        for link in item.links:
            if link.target == End(None, end.port):
                yield from leaves(item, link.source, [*above, (frame, end.item)])


def flows(frame: Frame, above: list[tuple[Frame, str]]) -> Iterator[tuple[str, str]]:
    """Every pair of boxes that a value goes between."""
    for link in frame.links:
        target = frame.items[link.target.item] if link.target.item is not None else None
        if isinstance(target, Box):
            yield from ((source, target.id) for source in leaves(frame, link.source, above))
    for key, item in frame.items.items():
        if isinstance(item, Frame):
            yield from flows(item, [*above, (frame, key)])


def check(frame: Frame) -> None:
    """Both layouts of a figure break no rule and show everything in it."""
    shown = {item.id for item in frame.walk() if isinstance(item, Box)}
    for drawn in (drawing(layout(frame)), plain(frame)):
        assert list(map(str, problems(drawn))) == []
        lines = {(line.source, line.target) for line in drawn.lines if not line.source.endswith(".beside")}
        assert lines == set(flows(frame, []))
        assert {box.id for box in drawn.boxes()} - {f"{id}.beside" for id in shown} == shown


@pytest.mark.parametrize("name", presets.names())
def test_presets_are_clean(name: str) -> None:
    check(sketch(preset(name)))


@pytest.mark.parametrize("name", presets.names())
def test_presets_are_clean_in_every_view(name: str) -> None:
    wrong = {case[0]: found for case in named([name]) if (found := broken(case))}
    assert wrong == {}


@pytest.mark.skipif(not other_specs(), reason="BLOCKGRAPH_SPECS names no folder of specs")
@pytest.mark.parametrize("path", other_specs())
def test_other_specs_are_clean(path: str) -> None:
    check(sketch(preset(path)))


def test_random_views_of_random_towers_are_clean() -> None:
    """`python -m tests.viz.sweep` draws more of them."""
    wrong = {case[0]: found for case in cases(60, 5000) if (found := broken(case))}
    assert wrong == {}


@pytest.mark.parametrize("seed", range(12))
def test_towers_show_everything(seed: int) -> None:
    check(sketch(model(towers(Random(seed)))))


@EVERY
@given(st.integers(0, 2**32))
def test_random_figures_are_clean(seed: int) -> None:
    check(figure(Random(seed)))


@settings(EVERY, max_examples=25)
@given(specs())
def test_random_specs_are_clean(spec: dict[str, Any]) -> None:
    text = yaml.safe_dump(
        {key: value for key, value in spec.items() if key not in ("blockgraph", "name")}, sort_keys=False
    )
    check(sketch(model(text)))


def test_encoder_stands_left_of_decoder_and_its_output_comes_in_from_the_left() -> None:
    drawn = compose(preset("transformer-base"))
    encoder, decoder = drawn.panels()
    assert encoder.box[2] < decoder.box[0]
    assert encoder.words < encoder.box[0] and decoder.words > decoder.box[2]
    across = [line for line in drawn.lines if (line.source, line.target) == ("encoder.norm2", "decoder.cross")]
    assert len(across) == 2  # key and value
    top = max(y for line in across for _, y in line.points)
    assert encoder.box[3] < top and across[0].points[-1][1] < top


def test_residuals_go_round_what_they_skip() -> None:
    drawn = compose(preset("gpt2"))
    boxes = {box.id: box for box in drawn.boxes()}
    residual = next(line for line in drawn.lines if (line.source, line.target) == ("decoder.add1", "decoder.add2"))
    assert min(x for x, _ in residual.points) < boxes["decoder.ffn"].x - boxes["decoder.ffn"].width / 2


def test_a_column_is_straight() -> None:
    drawn = compose(preset("gpt2"))
    assert {round(box.x, 3) for box in drawn.boxes() if not box.id.endswith(".beside")} == {0.0}


def test_shapes_stand_where_they_change() -> None:
    said = [words.text for words in compose(preset("gpt2")).words]
    assert said == ["[B, T]", "[B, T, 768]", "[B, T, 768]", "[B, T, 50257]"]


def test_columns_stand_close_where_they_can() -> None:
    """The second embedding is beside the first one, below the frame: no wider than the frame needs."""
    drawn = compose(preset("bert-base"))
    boxes = {box.id: box for box in drawn.boxes()}
    first, second = (box for box in boxes.values() if box.face.kind == "embedding" and not box.id.endswith(".beside"))
    assert second.x - second.width / 2 - (first.x + first.width / 2) <= 30


def test_an_output_stands_above_what_it_shows() -> None:
    two = """
inputs: {a: {tokens: 10, axis: S}, b: {tokens: 10, axis: T}}
nodes:
  left:  {type: embedding, width: 8, in: a}
  right: {type: embedding, width: 8, in: b}
  read:  {type: attention, heads: 1, in: {query: right, key: left}}
outputs: {side: left, main: read}
"""
    boxes = {box.id: box for box in compose(model(two)).boxes()}
    assert boxes["side:out"].x == boxes["left"].x and boxes["main:out"].x == boxes["read"].x


# -- where the fine layout is wrong -------------------------------------------------------------------------------------


def test_a_plainer_layout_is_used_where_the_fine_one_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = [[Problem("overlap", "a overlaps b"), Problem("overlap", "c overlaps d")], []]
    monkeypatch.setattr(checked, "problems", lambda drawn: answers.pop(0))
    drawn = compose(preset("gpt2"))
    assert drawn.note == "one block a row, because the fine layout breaks a rule: a overlaps b and 1 more"
    assert problems(drawn) == []
    rows = [box.y for box in drawn.boxes() if not box.id.endswith(".beside")]
    assert len(set(rows)) == len(rows)


def test_the_fine_layout_is_kept_where_the_plainer_one_is_no_better(monkeypatch: pytest.MonkeyPatch) -> None:
    fine = compose(preset("gpt2"))
    monkeypatch.setattr(checked, "problems", lambda drawn: [Problem("overlap", "a overlaps b")])
    drawn = compose(preset("gpt2"))
    assert drawn.items == fine.items and "please report" in drawn.note


# -- large graphs -------------------------------------------------------------------------------------------------------


def branches(count: int) -> str:
    nodes = [f"  b{n}: {{type: linear, width: 8, in: embed}}" for n in range(count)]
    ends = ", ".join(f"b{n}" for n in range(count))
    head = ["inputs: {tokens: {tokens: 10, axis: T}}", "nodes:", "  embed: {type: embedding, width: 8}"]
    return "\n".join([*head, *nodes, f"  sum: {{type: add, in: [{ends}]}}"])


def test_many_branches_are_clean_and_fast() -> None:
    built = model(branches(300))
    start = time.process_time()
    assert compose(built).note == ""
    assert time.process_time() - start < 5  # 0.4 s on a free machine


def test_a_thousand_nodes_are_clean_and_fast() -> None:
    chain = "\n".join(f"  n{n}: {{type: linear, width: 8}}" for n in range(1000))
    text = "inputs: {tokens: {tokens: 10, axis: T}}\nnodes:\n  embed: {type: embedding, width: 8}\n" + chain
    built = model(text)
    start = time.process_time()
    assert compose(built).note == ""
    assert time.process_time() - start < 10


def test_a_thousand_unrolled_nodes_are_clean_and_fast() -> None:
    built = model(
        """
blocks:
  Layer:
    nodes:
      norm1: layer_norm
      attn:  {type: attention, heads: 2}
      add1:  {type: add, in: [x, attn]}
      norm2: layer_norm
      ffn:   {type: ffn, hidden: 8}
      add2:  {type: add, in: [add1, ffn]}
inputs: {tokens: {tokens: 10, axis: T}}
nodes:
  embed: {type: embedding, width: 8}
  layers: {type: Layer, repeat: 170}
"""
    )
    start = time.process_time()
    drawn = compose(built, View(unroll=True))
    assert len(list(drawn.boxes())) > 1000 and drawn.note == ""
    assert time.process_time() - start < 10
