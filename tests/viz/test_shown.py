"""How much is shown: depth, what is opened and closed, copies one by one, shapes and parameters."""

from __future__ import annotations

from pathlib import Path

import pytest

from blockgraph.specs import presets
from blockgraph.specs.diagnostics import BlockgraphError
from blockgraph.viz.check import problems
from blockgraph.viz.draw import compose
from blockgraph.viz.figure import Box, Frame, Item
from blockgraph.viz.sketch import sketch
from blockgraph.viz.view import ALL, View
from tests.viz.handmade import model, preset

FIGURES = Path(__file__).parents[2] / "docs" / "figures"

NESTED = """
vars: {width: 8, layers: 3}
blocks:
  Feed: {nodes: {norm: layer_norm, up: {type: ffn, hidden: 16}}}
  Layer: {nodes: {feed: Feed, add: {type: add, in: [x, feed]}}}
inputs: {tokens: {tokens: 10, axis: T}}
nodes:
  embed: {type: embedding, width: =width}
  layers: {type: Layer, repeat: =layers}
  last: {type: Feed, label: The last one}
"""
SKIPS = """
blocks:
  Up: {inputs: [x, skip], nodes: {join: {type: add, in: [x, skip]}}}
inputs: {tokens: {tokens: 10, axis: T}}
nodes:
  embed: {type: embedding, width: 8}
  down: {type: linear, width: 8, repeat: 3}
  up: {type: Up, repeat: 3, in: {skip: "=down[2 - layer]"}}
"""


def ids(frame: Frame) -> set[str]:
    """All boxes, without inputs and outputs."""
    return {item.id for item in frame.walk() if isinstance(item, Box) and item.face.shape != "text"}


def words(item: Item) -> tuple[str, ...]:
    return (*item.face.lines, *item.face.small) if isinstance(item, Box) else (item.times, *item.caption)


# -- depth ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("depth", "shown"),
    [
        (0, {"embed", "layers", "last"}),
        (1, {"embed", "layers.feed", "layers.add", "last.norm", "last.up"}),
        (2, {"embed", "layers.feed.norm", "layers.feed.up", "layers.add", "last.norm", "last.up.up"}),
        (None, {"embed", "layers.feed.norm", "layers.feed.up", "layers.add", "last.norm", "last.up"}),
    ],
)
def test_depth_opens_so_many_blocks_within_blocks(depth: int | None, shown: set[str]) -> None:
    found = ids(sketch(model(NESTED), View(depth=depth)))
    assert {id for id in found if not id.startswith("last.up.")} == {id for id in shown if id != "last.up.up"}
    assert ("last.up.up" in found) == (depth == 2)


def test_all_opens_built_in_blocks_too() -> None:
    found = ids(sketch(model(NESTED), View(depth=ALL)))
    assert {"layers.feed.up.up", "layers.feed.up.activation", "layers.feed.up.down"} <= found
    assert "layers.feed.up" not in found


def test_a_closed_block_says_what_it_holds() -> None:
    items = sketch(model(NESTED), View(depth=0)).items
    assert words(items["layers"]) == ("Layers", "3× Layer · 888")
    assert words(items["last"]) == ("The last one", "Feed · 296")


def test_a_closed_block_with_weights_of_another_says_so() -> None:
    text = NESTED + "  again: {share: last}\n"
    assert words(sketch(model(text), View(depth=0)).items["again"]) == ("Again", "shared with The last one")


def test_transformer_base_is_at_most_25_boxes() -> None:
    drawn = compose(preset("transformer-base"))
    assert sum(box.face.shape != "text" for box in drawn.boxes()) <= 25


# -- open and close ---------------------------------------------------------------------------------------------------


def test_open_shows_what_is_inside_whatever_the_depth() -> None:
    found = ids(sketch(model(NESTED), View(depth=0, open=("layers.feed",))))
    assert found == {"embed", "layers.feed.norm", "layers.feed.up", "layers.add", "last"}


def test_close_hides_what_is_inside() -> None:
    found = ids(sketch(model(NESTED), View(close=("layers.feed", "last"))))
    assert found == {"embed", "layers.feed", "layers.add", "last"}


def test_a_built_in_block_opens_in_place() -> None:
    frame = sketch(preset("gpt2"), View(open=("decoder.ffn",)))
    assert {"decoder.ffn.up", "decoder.ffn.activation", "decoder.ffn.down", "decoder.attn"} <= ids(frame)


def test_a_path_with_a_number_opens_one_copy_where_copies_are_drawn_one_by_one() -> None:
    found = ids(sketch(model(NESTED), View(unroll=True, open=("layers.1.feed.up",))))
    assert {"layers.0.feed.up", "layers.1.feed.up.down", "layers.2.feed.up"} <= found
    folded = ids(sketch(model(NESTED), View(open=("layers.1.feed.up",))))
    assert "layers.feed.up.down" in folded


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("layers.fed", "there is no node 'layers.fed'; did you mean 'layers.feed'?"),
        ("feed", "there is no node 'feed'; did you mean 'layers.feed'?"),
        ("layers.feed.norn", "there is no node 'layers.feed.norn'; did you mean 'layers.feed.norm'?"),
        ("embed.table", "there is no node 'embed.table'; 'embed' has no nodes inside"),
        ("zzz", "there is no node 'zzz'; nodes: embed, layers, last"),
        ("", "there is no node ''; nodes: embed, layers, last"),
        ("layers.7", "'layers' has 3 copies, numbered 0 to 2"),
        ("embed", "'embed' is a block of the type 'embedding', which has no inside"),
        ("layers.feed.norm", "'layers.feed.norm' is a block of the type 'layer_norm', which has no inside"),
    ],
)
def test_paths_that_cannot_be_opened(path: str, said: str) -> None:
    with pytest.raises(BlockgraphError, match="--open") as caught:
        sketch(model(NESTED), View(open=(path,)))
    assert said in str(caught.value)


def test_close_wants_a_node_too_and_not_one_that_is_to_be_open() -> None:
    with pytest.raises(BlockgraphError, match="--close: there is no node 'layer'; did you mean 'layers'"):
        sketch(model(NESTED), View(close=("layer",)))
    with pytest.raises(BlockgraphError, match="'last' cannot be both"):
        sketch(model(NESTED), View(open=("last",), close=("last",)))


# -- copies one by one ------------------------------------------------------------------------------------------------


def test_unrolled_copies_have_their_numbers() -> None:
    frame = sketch(model(NESTED), View(unroll=True, depth=1))
    assert [words(frame.items[f"layers.{n}"]) for n in range(3)] == [("", f"Layers {n}") for n in range(3)]
    assert [item.id for item in frame.items.values()][2:5] == ["layers.0", "layers.1", "layers.2"]


def test_unrolled_skips_go_to_the_copy_that_reads_them() -> None:
    frame = sketch(model(SKIPS), View(unroll=True))
    skips = {(x.source.item, x.target.item) for x in frame.links if x.target.port == "skip"}
    assert skips == {("down.2", "up.0"), ("down.1", "up.1"), ("down.0", "up.2")}
    assert problems(compose(model(SKIPS), View(unroll=True))) == []


def test_unrolled_copies_that_share_weights_say_whose() -> None:
    text = NESTED.replace("repeat: =layers", "repeat: 4, copies: 2")
    frame = sketch(model(text), View(unroll=True))
    captions = [words(frame.items[f"layers.{n}"])[1:] for n in range(4)]
    assert captions == [
        ("Layers 0",),
        ("Layers 1", "shared with Layers 0"),
        ("Layers 2",),
        ("Layers 3", "shared with Layers 2"),
    ]


def test_a_thousand_unrolled_nodes() -> None:
    text = NESTED.replace("layers: 3", "layers: 340")
    drawn = compose(model(text), View(unroll=True))
    assert sum(1 for _ in drawn.boxes()) > 1000


# -- shapes, parameters, labels ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("depth", [None, ALL])
def test_no_shapes(depth: int | None) -> None:
    assert compose(preset("gpt2"), View(shapes=False, depth=depth)).words == []


@pytest.mark.parametrize("depth", [None, 0, ALL])
def test_no_params(depth: int | None) -> None:
    boxes = compose(preset("gpt2"), View(params=False, depth=depth)).boxes()
    small = " ".join(word for box in boxes for word in box.face.small)
    assert not any(amount in small for amount in ("38.6M", "2.36M", "1.5K", "4.72M", "0.59M", "85.1M"))


def test_no_params_keeps_what_is_shared_and_the_shape_of_a_parameter() -> None:
    text = "inputs: {x: {shape: [T, 8]}}\nnodes: {p: {type: parameter, shape: [4, 8]}, c: {type: concat, along: positions, in: [p, x]}}\n"
    assert words(sketch(model(text), View(params=False)).items["p"]) == ("Parameter", "4 × 8")
    items = sketch(preset("transformer-base"), View(params=False)).items
    assert words(items["tgt_embed"]) == ("Embedding", "shared with Embedding")


def test_labels_are_broken_evenly() -> None:
    text = NESTED.replace("axis: T}", "axis: T, label: Outputs (shifted right)}")
    assert words(sketch(model(text)).items["tokens"]) == ("Outputs", "(shifted right)")


def test_a_length_that_is_a_long_sum_is_left_out_of_a_shape() -> None:
    convolutions = "".join(f"  c{n}: {{type: conv1d, width: 8, stride: 2}}\n" for n in range(3))
    text = f"inputs: {{x: {{shape: [T, 8]}}}}\nnodes:\n{convolutions}"
    labels = [link.label for link in sketch(model(text)).links]
    assert labels[:2] == ["[B, T, 8]", "[B, (T-1)//2+1, 8]"] and labels[-1] == "[B, …, 8]"


@pytest.mark.parametrize("name", ["transformer", "gpt2", "llama3-8b", "attention"])
@pytest.mark.parametrize("view", [View(), View(depth=0), View(depth=ALL)], ids=["", "closed", "opened"])
def test_figures_of_the_docs_are_clean(name: str, view: View) -> None:
    assert problems(compose(preset(str(FIGURES / f"{name}.yaml")), view)) == []


@pytest.mark.parametrize("name", presets.names())
def test_presets_are_clean_at_every_depth(name: str) -> None:
    found = preset(name)
    for view in (View(depth=0), View(depth=1), View(depth=ALL), View(depth=ALL, params=False, shapes=False)):
        drawn = compose(found, view)
        assert (drawn.note, problems(drawn)) == ("", [])
