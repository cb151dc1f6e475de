"""Drawings that flow down or sideways: clean as those that flow up, words level."""

from __future__ import annotations

from random import Random

import pytest

from blockgraph.specs import presets
from blockgraph.viz.check import problems
from blockgraph.viz.checked import checked_layout
from blockgraph.viz.draw import compose
from blockgraph.viz.drawing import Drawing
from blockgraph.viz.view import ALL, DIRECTIONS, Direction, View
from tests.viz.handmade import figure, preset


def middle(drawn: Drawing, id: str) -> tuple[float, float]:
    return next((box.x, box.y) for box in drawn.boxes() if box.id == id)


@pytest.mark.parametrize(
    ("direction", "axis", "sign"), [("up", 1, 1), ("down", 1, -1), ("right", 0, 1), ("left", 0, -1)]
)
def test_data_flows_that_way(direction: Direction, axis: int, sign: int) -> None:
    drawn = compose(preset("gpt2"), View(direction=direction))
    places = [middle(drawn, id)[axis] * sign for id in ("tokens", "embed", "decoder.attn", "decoder.ffn", "logits")]
    assert places == sorted(places)
    assert len({round(middle(drawn, id)[1 - axis], 3) for id in ("embed", "decoder.attn", "logits")}) == 1


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_boxes_keep_their_size_and_their_words(direction: Direction) -> None:
    up, drawn = compose(preset("llama3-8b")), compose(preset("llama3-8b"), View(direction=direction))
    sizes = {box.id: (box.face, box.width, box.height) for box in up.boxes()}
    assert {box.id: (box.face, box.width, box.height) for box in drawn.boxes()} == sizes
    assert sorted(words.text for words in drawn.words) == sorted(words.text for words in up.words)


@pytest.mark.parametrize("direction", ["down", "right", "left"])
@pytest.mark.parametrize("name", presets.names())
def test_presets_are_clean_in_every_direction(name: str, direction: Direction) -> None:
    drawn = compose(preset(name), View(direction=direction, depth=ALL if direction == "right" else None))
    assert (drawn.note, problems(drawn)) == ("", [])


@pytest.mark.parametrize("direction", ["down", "right", "left"])
def test_random_figures_are_clean_in_every_direction(direction: Direction) -> None:
    for seed in range(25):
        drawn, note = checked_layout(figure(Random(seed)), View(direction=direction))
        assert (note, problems(drawn)) == ("", []), seed


def test_encoder_stands_above_decoder_where_data_flows_right() -> None:
    drawn = compose(preset("transformer-base"), View(direction="right"))
    encoder, decoder = sorted(drawn.panels(), key=lambda panel: panel.id, reverse=True)
    assert encoder.id == "encoder" and encoder.box[1] > decoder.box[3]
    assert encoder.words > encoder.box[3]  # 6× above it
