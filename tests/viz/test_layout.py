"""What must hold of every picture: no overlaps, no line through a box, nothing lost."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from blockgraph.specs import presets
from blockgraph.viz.draw import compose
from blockgraph.viz.drawing import Drawing, drawing
from blockgraph.viz.figure import Box, End, Frame
from blockgraph.viz.place import layout
from blockgraph.viz.sketch import sketch
from tests.graphs import specs
from tests.viz.handmade import figure, model, preset
from tests.viz.invariants import problems

EVERY = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
SPECS = sorted(Path(os.environ["BLOCKGRAPH_SPECS"]).glob("*.yaml")) if "BLOCKGRAPH_SPECS" in os.environ else []


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


def check(frame: Frame) -> Drawing:
    drawn = drawing(layout(frame))
    assert problems(drawn) == []
    lines = Counter((line.source, line.target) for line in drawn.lines if not line.source.endswith(".beside"))
    assert set(lines) == set(flows(frame, []))
    boxes = {item.id for item in frame.walk() if isinstance(item, Box)}
    assert {box.id for box in drawn.boxes()} - {f"{id}.beside" for id in boxes} == boxes
    return drawn


@pytest.mark.parametrize("name", presets.names())
def test_presets_are_clean(name: str) -> None:
    check(sketch(preset(name)))


@pytest.mark.skipif(not SPECS, reason="BLOCKGRAPH_SPECS names no folder of specs")
@pytest.mark.parametrize("path", SPECS, ids=lambda path: path.stem)
def test_other_specs_are_clean(path: Path) -> None:
    check(sketch(preset(str(path))))


@EVERY
@given(st.integers(0, 2**32))
def test_random_figures_are_clean(seed: int) -> None:
    check(figure(Random(seed)))


@settings(EVERY, max_examples=40)
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
