"""Built-in blocks opened: what is inside, in which order, with which shapes."""

from __future__ import annotations

import pytest

from blockgraph.builder.counts import parameters
from blockgraph.builder.graph import Leaf
from blockgraph.specs.builtin import BUILTIN
from blockgraph.viz.check import problems
from blockgraph.viz.draw import compose
from blockgraph.viz.figure import Box, Frame
from blockgraph.viz.open_block import INSIDES, inside
from blockgraph.viz.sketch import sketch
from blockgraph.viz.view import View
from tests.viz.handmade import model

ONE = """
inputs: {INPUTS}
nodes:
  first: layer_norm
  block: {BLOCK}
  last: {type: add, in: [first, block]}
"""
GIVEN = {"memory": "shape: [S, 32]", "mask": "shape: [T, T], dtype: bool", "bias": "shape: [T, T]"}


def block(text: str) -> Frame:
    """The inside of the node `block`, which may read `x`, `first`, `memory`, `mask` and `bias`."""
    given = {"x": "shape: [T, 64]"} | {name: shape for name, shape in GIVEN.items() if f": {name}" in text}
    inputs = ", ".join(f"{name}: {{{shape}}}" for name, shape in given.items())
    spec = ONE.replace("INPUTS", inputs).replace("BLOCK", text)
    item = sketch(model(spec), View(open=("block",))).items["block"]
    assert isinstance(item, Frame)
    return item


def parts(frame: Frame) -> list[str]:
    """Boxes from bottom to top, each with its words; frames inside are walked into."""
    return [" ".join((*i.face.lines, *i.face.small)) for i in frame.walk() if isinstance(i, Box)]


def names(frame: Frame) -> list[str]:
    return [item.id.removeprefix(f"{frame.id}.") for item in frame.walk()]


def shapes(frame: Frame) -> set[str]:
    every = (frame, *(item for item in frame.walk() if isinstance(item, Frame)))
    return {link.label for level in every for link in level.links if link.label}


def test_attention_is_figure_2() -> None:
    frame = block("type: attention, heads: 8, in: {query: first}")
    assert parts(frame) == [
        "Linear Q 64 → 64 · 4.2K",
        "Linear K 64 → 64 · 4.2K",
        "Linear V 64 → 64 · 4.2K",
        "MatMul",
        "Scale 1/√8",
        "SoftMax",
        "MatMul",
        "Concat",
        "Linear 64 → 64 · 4.2K",
    ]
    assert shapes(frame) == {"[B, 8, T, 8]", "[B, 8, T, T]", "[B, T, 64]"}
    assert frame.caption == ("Multi-Head", "Attention")
    inner = frame.items["scores"]
    assert isinstance(inner, Frame) and inner.caption == ("Scaled", "Dot-Product", "Attention", "(8 heads)")


def test_cross_attention_reads_keys_elsewhere() -> None:
    frame = block("type: attention, heads: 8, kv_heads: 2, in: {query: first, key: memory}")
    assert frame.ports == ("query", "key")
    assert "Linear V 32 → 16 · 528" in parts(frame)
    assert shapes(frame) == {"[B, 8, T, 8]", "[B, 2, S, 8]", "[B, 8, T, S]", "[B, T, 64]"}
    assert [x.target.item for x in frame.links if x.source.item is None] == ["query", "key", "value"]


@pytest.mark.parametrize(
    ("options", "between"),
    [
        ("causal: true", ["scale", "mask"]),
        ("causal: true, window: 4", ["scale", "mask"]),
        ("softcap: 50", ["scale", "softcap"]),
        ("alibi: true, causal: true", ["scale", "alibi", "mask"]),
        ("alibi: {scaled: true}", ["alibi", "scale"]),
        ("softcap: 50, alibi: true, causal: true", ["scale", "softcap", "alibi", "mask"]),
        ("in: {query: first, bias: bias}", ["scale", "bias"]),
        ("in: {query: first, mask: mask}", ["scale", "mask"]),
        ("scale: 1", []),
    ],
)
def test_what_happens_to_scores(options: str, between: list[str]) -> None:
    reads = "" if "in:" in options else ", in: {query: first}"
    frame = block(f"type: attention, heads: 8, {options}{reads}")
    scores = [name.removeprefix("scores.") for name in names(frame) if name.startswith("scores.")]
    assert scores == ["product", *between, "softmax", "mix"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("causal: true, window: 4", "Mask causal · window 4"),
        ("rope: {theta: 5e5, fraction: 0.5}", "RoPE θ = 500000 · 0.5 of each head"),
        ("qk_norm: {}", "RMSNorm per head · 8"),
        ("qk_norm: {type: layer_norm, over: all}", "LayerNorm over all heads · 128"),
        ("sinks: true, dropout: 0.1", "SoftMax a sink for each head · dropout 0.1"),
        ("clip: 8", "Linear V 64 → 64 · 4.2K clipped at ±8"),
        ("scale: 0.5", "Scale × 0.5"),
        ("sparse: {}", "Mask block-sparse"),
        ("causal: true, sparse: {type: strided, stride: 8}", "Mask causal · strided 8"),
    ],
)
def test_what_later_models_added(options: str, said: str) -> None:
    assert said in parts(block(f"type: attention, heads: 8, {options}, in: {{query: first}}"))


def test_norms_and_rotations_come_after_the_projections_of_queries_and_keys() -> None:
    found = names(block("type: attention, heads: 8, qk_norm: {}, rope: {}, in: {query: first}"))
    for side in ("query", "key"):
        assert found.index(side) < found.index(f"{side}_norm") < found.index(f"{side}_rope")
    assert "value_norm" not in found


def test_ffn() -> None:
    frame = block("type: ffn, hidden: 16, activation: relu, dropout: 0.1")
    assert parts(frame) == ["Linear 64 → 16 · 1.0K", "ReLU dropout 0.1", "Linear 16 → 64 · 1.1K"]
    assert shapes(frame) == {"[B, T, 16]"}


def test_gated_ffn() -> None:
    frame = block("type: ffn, hidden: 16, activation: silu, gated: true")
    assert parts(frame) == [
        "Linear 64 → 16 · 1.0K",
        "SiLU",
        "Linear 64 → 16 · 1.0K",
        "×",
        "Linear 16 → 64 · 1.1K",
    ]
    product = {link.source.item for link in frame.links if link.target.item == "product"}
    assert product == {"activation", "up"}


def test_add_norm_stands_on_its_last_input() -> None:
    frame = block("type: add_norm, in: [x, first]")
    assert parts(frame) == ["+", "LayerNorm 128"]
    assert frame.ports == ("x:1", "x:0")


def test_add_norm_reads_each_of_its_inputs() -> None:
    spec = "inputs: {x: {shape: [T, 8]}}\nnodes: {a: layer_norm, b: {type: add_norm, in: [x, a]}, c: layer_norm}\n"
    frame = sketch(model(spec), View(open=("b",)))
    read = {link.target.port: link.source.item for link in frame.links if link.target.item == "b"}
    assert read == {"x:0": "x", "x:1": "a"}


def test_moe_is_a_router_and_a_stack_of_experts() -> None:
    frame = block("type: moe, experts: 8, top_k: 2, hidden: 16")
    experts = frame.items["experts"]
    assert isinstance(experts, Frame) and (experts.times, experts.caption) == ("8×", ("experts,", "top 2"))
    said = parts(frame)
    assert "Router 64 → 8 · 512" in said and "Weighted Sum of 2 experts" in said
    assert "Linear 64 → 16 · 1.0K" in said  # one expert's
    assert any(line.startswith("Top 2 of 8 softmax") for line in said)


@pytest.mark.parametrize("name", sorted(INSIDES))
def test_insides_are_of_types_that_there_are(name: str) -> None:
    assert name in BUILTIN


@pytest.mark.parametrize(
    "options",
    [
        "attention, heads: 8, qk_norm: {}",
        "attention, heads: 8, kv_heads: 2, bias: {query: true, key: false, value: false, out: true}",
        "ffn, hidden: 16, gated: true, bias: false",
        "add_norm",
    ],
)
def test_parts_hold_all_parameters(options: str) -> None:
    """What the parts say, in ones, is what the closed block has."""
    spec = f"inputs: {{x: {{shape: [T, 16]}}}}\nnodes: {{first: layer_norm, block: {{type: {options}}}}}\n"
    leaf = model(spec).root.calls["block"].body
    assert isinstance(leaf, Leaf)
    small = [box.face.small for box in inside(leaf, "block").walk() if isinstance(box, Box)]
    said = [
        line.rpartition("· ")[2]
        for lines in small
        for line in lines[:1]
        if "→" in line or line.isdigit() or "per" in line
    ]
    assert sum(int(amount) for amount in said if amount.isdigit()) == parameters(leaf)


def test_a_model_that_is_one_built_in_block_has_no_frame_around_it() -> None:
    spec = "inputs: {query: {shape: [T, 64]}, key: {shape: [S, 64]}}\nnodes: {a: {type: attention, heads: 8, in: {query: query, key: key}}}\n"
    drawn = compose(model(spec), View(open=("a",)))
    assert [panel.id for panel in drawn.panels()] == ["a.scores"]
    assert problems(drawn) == []
    below = {line.target: line.source for line in drawn.lines}
    assert (below["a.query"], below["a.key"], below["a.value"]) == ("query", "key", "key")
