"""From block graph to figure: what is folded, opened, shared and said."""

from __future__ import annotations

import pytest

from blockgraph.specs.builtin import BUILTIN
from blockgraph.specs.registry import resolve
from blockgraph.viz.figure import Box, Frame, Item
from blockgraph.viz.sketch import sketch
from tests.viz.handmade import model, preset

STACK = """
vars: {width: 64, layers: 8, vocab: 100}
blocks:
  Attend: {nodes: {norm: layer_norm, attn: {type: attention, heads: 4, causal: true}, add: {type: add, in: [x, attn]}}}
  Recur: {nodes: {norm: layer_norm, lstm: {type: lstm, width: =width}, add: {type: add, in: [x, lstm]}}}
inputs: {tokens: {tokens: =vocab, axis: T}}
nodes:
  embed: {type: embedding, width: =width}
  layers: {type: CALLED, repeat: =layers}
  logits: {type: linear, tie: embed}
"""


def words(item: Item) -> str:
    return (
        " ".join((*item.face.lines, *item.face.small))
        if isinstance(item, Box)
        else " ".join((item.times, *item.caption))
    )


def frame(item: Item) -> Frame:
    assert isinstance(item, Frame)
    return item


def test_copies_are_one_frame_with_their_number() -> None:
    stack = frame(sketch(model(STACK.replace("CALLED", "Attend"))).items["layers"])
    assert stack.times == "8×" and list(stack.items) == ["norm", "attn", "add"]
    assert stack.items["attn"].id == "layers.attn"


def test_a_pattern_of_layers_is_a_frame_of_runs() -> None:
    stack = frame(sketch(model(STACK.replace("CALLED", '"=Recur if layer % 4 == 3 else Attend"'))).items["layers"])
    assert stack.times == "2×"
    assert [words(run) for run in stack.items.values()] == ["3× Attend", " Recur"]
    assert [run.id for run in stack.items.values()] == ["layers.0", "layers.3"]


def test_first_layers_that_differ_are_a_run_of_their_own() -> None:
    stack = frame(sketch(model(STACK.replace("CALLED", '"=Recur if layer < 3 else Attend"'))).items["layers"])
    assert stack.times == "" and [words(run) for run in stack.items.values()] == ["3× Recur", "5× Attend"]


def test_copies_that_differ_in_a_number_only_are_one_frame_with_its_range() -> None:
    text = STACK.replace("CALLED", "Drop").replace("layers: 8", "layers: 100")
    text = text.replace("  Attend:", "  Drop: {nodes: {drop: {type: dropout, p: =layer/200}}}\n  Attend:")
    stack = frame(sketch(model(text)).items["layers"])
    assert stack.times == "100×" and words(stack.items["drop"]) == "Dropout 0…0.495"


def test_numbers_that_are_not_drawn_do_not_unfold_a_stack() -> None:
    text = STACK.replace("CALLED", "Attend").replace("causal: true", "causal: true, scale: =1/(layer + 1)")
    assert frame(sketch(model(text)).items["layers"]).times == "8×"


def test_one_stacked_block_has_a_frame() -> None:
    text = STACK.replace("type: CALLED", "type: ffn, hidden: 128")
    stack = frame(sketch(model(text)).items["layers"])
    assert stack.times == "8×" and words(stack.items["layers"]).startswith("Feed Forward (GELU)")


def test_sharing_and_ties_are_said() -> None:
    items = sketch(preset("transformer-base")).items
    assert words(items["tgt_embed"]) == "Embedding shared with Embedding"
    assert words(items["logits"]) == "Linear tied with Embedding"


def test_one_set_of_weights_is_said() -> None:
    stack = sketch(
        model(STACK.replace("CALLED", "Attend").replace("repeat: =layers", "repeat: =layers, copies: 1"))
    ).items["layers"]
    assert words(stack) == "8× one set of weights"


def test_inputs_stand_before_what_reads_them_and_outputs_last() -> None:
    assert list(sketch(preset("transformer-base")).items)[:3] == ["src", "embed", "positions"]
    assert list(sketch(preset("transformer-base")).items)[-1].endswith(":out")


def test_labels_replace_words() -> None:
    text = STACK.replace("CALLED, repeat: =layers", 'Attend, label: "My own block"')
    text = text.replace("tie: embed", 'width: 7, label: "Class scores"')
    items = sketch(model(text)).items
    assert (
        frame(items["layers"]).caption == ("My own", "block")
        or " ".join(frame(items["layers"]).caption) == "My own block"
    )
    assert words(items["logits"]).startswith("Class scores")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("heads: 8", "Multi-Head Attention 8 heads"),
        ("heads: 8, causal: true", "Masked Multi-Head Attention 8 heads"),
        ("heads: 8, kv_heads: 2", "Grouped-Query Attention 8 Q heads · 2 KV heads"),
        ("heads: 8, kv_heads: 1", "Multi-Query Attention 8 Q heads · 1 KV head"),
        ("heads: 1", "Multi-Head Attention 1 head ·"),
        ("heads: 8, window: 32", "window 32"),
    ],
)
def test_attention_says_what_it_is(options: str, said: str) -> None:
    text = STACK.replace("CALLED, repeat: =layers", f"attention, {options}").replace("type: CALLED", "")
    assert said in words(sketch(model(text)).items["layers"])


def test_rope_stands_beside() -> None:
    box = sketch(model(STACK.replace("CALLED, repeat: =layers", "attention, heads: 8, rope: {theta: 5e5}"))).items[
        "layers"
    ]
    assert isinstance(box, Box) and box.face.beside is not None and box.face.beside.lines == ("RoPE", "θ = 500000")


def test_skips_say_which_copies_they_read() -> None:
    text = """
blocks:
  Up: {inputs: [x, skip], nodes: {join: {type: add, in: [x, skip]}}}
inputs: {tokens: {tokens: 10, axis: T}}
nodes:
  embed: {type: embedding, width: 8}
  down: {type: linear, width: 8, repeat: 3}
  up: {type: Up, repeat: 3, in: {skip: "=down[2 - layer]"}}
"""
    notes = {link.note for link in sketch(model(text)).links if link.target.port == "skip"}
    assert notes == {"copies 2…0"}


@pytest.mark.parametrize("name", sorted(BUILTIN))
def test_every_type_has_a_look(name: str) -> None:
    assert callable(resolve(BUILTIN[name].look))


def test_blocks_too_deep_to_see_are_one_box() -> None:
    inner = "".join(
        f"  B{n}: {{nodes: {{a: layer_norm, b: {{type: {f'B{n + 1}' if n < 7 else 'layer_norm'}}}}}}}\n"
        for n in range(8)
    )
    text = f"blocks:\n{inner}inputs: {{x: {{shape: [T, 8]}}}}\nnodes: {{b: B0}}\n"
    boxes = [item for item in sketch(model(text)).walk() if isinstance(item, Box) and item.face.kind == "block"]
    assert [words(box) for box in boxes] == ["B B5 · 64"]


def test_nothing_repeated_is_passed_on() -> None:
    items = sketch(model(STACK.replace("CALLED", "Attend").replace("layers: 8", "layers: 0"))).items
    assert [key for key in items if ":" not in key] == ["tokens", "embed", "logits"]


def test_a_shared_block_is_drawn_again_and_says_so() -> None:
    text = STACK.replace("CALLED, repeat: =layers", "Attend").replace("  logits", "  again: {share: layers}\n  logits")
    again = frame(sketch(model(text)).items["again"])
    assert again.caption == ("Again", "shared with Layers") and list(again.items) == ["norm", "attn", "add"]
