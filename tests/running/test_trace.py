"""Traces: every node is seen, the numbers are right, and the masks are those that attention used."""

from __future__ import annotations

import json
import struct
import zlib
from typing import Any

import pytest
import torch
import yaml
from hypothesis import given, settings
from torch import Tensor

from blockgraph.api import build
from blockgraph.running.tokenizers import Bytes
from blockgraph.running.trace import Trace, stats, trace
from blockgraph.running.trace_inputs import Asked, TraceError, feed, values_of
from blockgraph.running.trace_report import data, html, png, text_picture
from tests.graphs import specs

LAYERS = """
blockgraph: 1
blocks:
  Layer:
    nodes:
      attn: {type: attention, heads: 2, causal: true}
      ffn: {type: ffn, hidden: 16, in: x}
      sum: {type: add, in: [x, attn, ffn]}
inputs: {tokens: {tokens: 50, axis: T, pad: 0}}
nodes:
  embed: {type: embedding, width: 8}
  layers: {type: Layer, repeat: 4}
  again: {share: layers}
  logits: {type: linear, tie: embed}
"""

TWO = """
blockgraph: 1
inputs:
  tgt: {tokens: 40, axis: T, start: 1}
  src: {tokens: 50, axis: S, pad: 0}
nodes:
  low: {type: embedding, in: tgt, width: 8}
  high: {type: embedding, in: src, width: 8}
  encoder: {type: attention, heads: 2, repeat: 2}
  cross: {type: attention, heads: 2, in: {query: low, key: encoder}}
  logits: {type: linear, width: 40}
"""


def one(options: str, wiring: str = "", inputs: str = "") -> str:
    """A model of one attention, whose output at a position shows what that position saw."""
    return (
        f"blockgraph: 1\ninputs: {{tokens: {{tokens: 50, axis: T, pad: 0}}{inputs}}}\n"
        f"nodes:\n  embed: {{type: embedding, width: 8}}\n  attn: {{type: attention, heads: 2, {options}{wiring}}}\n"
    )


def traced(text: str, asked: Asked, **options: Any) -> tuple[Any, dict[str, Tensor], Trace]:
    model = build(text, seed=1)
    fed = feed(model, asked)
    return model, fed.tensors, trace(model, fed.tensors, **options)


def test_every_node_is_seen_in_the_order_of_execution() -> None:
    _, _, found = traced(LAYERS, Asked("hello"))
    inner = [name for n in (0, 3) for name in (f"N.{n}", f"N.{n}.attn", f"N.{n}.ffn", f"N.{n}.sum")]
    stacks = [name.replace("N", stack) for stack in ("layers", "again") for name in inner]
    assert [visit.path for visit in found.visits] == ["embed", *stacks, "logits"]
    assert [visit.depth for visit in found.visits][:4] == [0, 0, 1, 1]
    assert all(visit.outputs for visit in found.visits)
    assert found.visits[1].note == "layers.1 to 2 are left out"
    everything = traced(LAYERS, Asked("hello"), all_copies=True)[2]
    assert len(everything.visits) == 2 + 2 * 4 * 4 and not any(
        visit.note for visit in everything.visits if visit.path == "layers.0"
    )


def test_an_encoder_that_runs_first_keeps_its_own_numbers() -> None:
    _, _, found = traced(TWO, Asked("abc", "de"))
    assert [visit.path for visit in found.visits] == [
        "high", "encoder.0", "encoder.1", "low", "cross", "logits"
    ]  # fmt: skip
    shapes = {visit.path: visit.outputs["out"].shape for visit in found.visits}
    # The file names tgt first, so it gets the text; the second input of ids, src, gets the target.
    assert shapes["low"] == (1, 3, 8) and shapes["high"] == (1, 2, 8) and shapes["logits"] == (1, 3, 40)


def test_statistics_are_those_of_a_plain_computation() -> None:
    model, tensors, found = traced(LAYERS, Asked("hello"))
    with torch.no_grad():
        x = model.embed(tensors["tokens"])
        attended = model.layers[0].attn(x)
        logits = model(tensors["tokens"])
    of = {visit.path: visit.outputs["out"] for visit in found.visits if "out" in visit.outputs}
    for path, tensor in (("embed", x), ("layers.0.attn", attended), ("logits", logits)):
        assert of[path].shape == tuple(tensor.shape)
        assert of[path].mean == pytest.approx(tensor.mean().item(), abs=1e-6)
        assert of[path].std == pytest.approx(tensor.std(correction=0).item(), rel=1e-5)
        assert (of[path].min, of[path].max) == (tensor.min().item(), tensor.max().item())
        assert of[path].norm == pytest.approx(tensor.norm(dim=-1).mean().item(), rel=1e-5)
    assert found.outputs["logits"] == of["logits"]


def test_what_is_not_finite_is_counted_and_left_out_of_the_numbers() -> None:
    found = stats(torch.tensor([1.0, 3.0, torch.nan, torch.inf, -torch.inf]))
    assert (found.mean, found.std, found.min, found.max, found.nan, found.inf) == (2.0, 1.0, 1.0, 3.0, 1, 2)
    assert stats(torch.full((2,), torch.nan)).mean is None
    assert stats(torch.zeros(0, 3)).shape == (0, 3)
    assert stats(torch.tensor([True, False])).mean == 0.5


def test_the_model_is_left_as_it_was() -> None:
    model = build(LAYERS).train()
    trace(model, feed(model, Asked("hello")).tensors)
    assert model.training and not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


MASKS = {
    "causal": (one("causal: true"), Asked("abcdef"), ("causal",)),
    "window": (one("causal: true, window: 3"), Asked("abcdef"), ("causal", "window 3")),
    "both sides": (one("window: 3"), Asked("abcdef"), ("window 3",)),
    "padding": (one("causal: false"), Asked("abcd", pad=2), ("padding",)),
    "all": (one("causal: false"), Asked("abcd"), ()),
    "softcap": (one("causal: true, softcap: 5.0"), Asked("abcd", pad=2), ("causal", "padding")),
    "alibi": (one("causal: true, alibi: {}"), Asked("abcdef"), ("causal",)),
    "grouped": (one("causal: true, kv_heads: 1, rope: {}"), Asked("abcdef"), ("causal",)),
    "custom": (
        one("causal: true", ", in: {query: embed, mask: same}", ", part: {tokens: 9, axis: T}").replace(
            "  attn:", "  same: {type: equal, in: [part, part]}\n  attn:"
        ),
        Asked("abcdef", values={"part": [0, 0, 1, 1, 1, 2]}),
        ("causal", "custom mask"),
    ),
    "cross": (
        one("causal: false", ", in: {query: low, key: embed}", ", tgt: {tokens: 40, axis: U}").replace(
            "  attn:", "  low: {type: embedding, in: tgt, width: 8}\n  attn:"
        ).replace("{type: embedding, width", "{type: embedding, in: tokens, width"),
        Asked("abcd", "xyz", pad=2),
        ("cross", "padding"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", MASKS)
def test_the_mask_is_the_one_that_attention_used(case: str) -> None:
    """Another key at a place that a query cannot see changes nothing for it; at one that it sees, something."""
    text, asked, kinds = MASKS[case]
    model, tensors, found = traced(text, asked)
    ((mask, nodes),) = found.masks
    assert nodes == ["attn"] and mask.kinds == kinds and mask.head is None
    before = captured(model, tensors, None)
    assert tuple(mask.visible.shape) == (before.shape[1], tensors["tokens"].shape[1])
    for key in range(mask.visible.shape[1]):
        after = captured(model, tensors, key)
        changed = (after - before).abs().amax(-1)[0] > 1e-7
        if "key" not in model.definition.root.calls["attn"].first.inputs:
            changed[key], expected = True, mask.visible[:, key].clone()  # its own query changed too
            expected[key] = True
        else:
            expected = mask.visible[:, key]
        assert changed.tolist() == expected.tolist(), key


def captured(model: Any, tensors: dict[str, Tensor], place: int | None) -> Tensor:
    """What the attention puts out, with the token at one place of the first input changed; masks stay."""
    given = dict(tensors)
    given.setdefault("tokens_mask", tensors["tokens"] != 0)
    if place is not None:
        given["tokens"] = tensors["tokens"].clone()
        given["tokens"][0, place] = (tensors["tokens"][0, place] + 7) % 50 or 1
    with torch.no_grad():
        found: Tensor = model.eval()(**given)
    return found


def test_masks_that_are_alike_are_shown_once_with_all_their_nodes() -> None:
    found = traced(LAYERS, Asked("hello"))[2]
    ((mask, nodes),) = found.masks
    assert nodes == [f"{stack}.{n}.attn" for stack in ("layers", "again") for n in range(4)]
    assert torch.equal(mask.visible, torch.ones(5, 5).tril().bool())


@pytest.mark.parametrize("preset", ["gpt-nano", "lstm-nano", "llama-nano", "transformer-nano"])
def test_presets_are_traced(preset: str) -> None:
    model = build(preset)
    found = trace(model, feed(model, Asked("I have a cat")).tensors)
    assert found.visits and all(visit.outputs for visit in found.visits)
    assert all(s.nan == s.inf == 0 for visit in found.visits for s in visit.outputs.values())


@settings(max_examples=15, deadline=None, derandomize=True)
@given(specs())
def test_random_graphs_are_traced_whole(spec: dict[str, Any]) -> None:
    """Every call once, and each output as large as the spec says: a hook that met another call would not fit."""
    model = build(yaml.safe_dump(spec, sort_keys=False), sets=["vars.vocab=40"])
    fed = feed(model, Asked("hello", "you" if len(spec["inputs"]) > 1 else None))
    found = trace(model, fed.tensors, all_copies=True)
    sizes = {"B": 1, "T": fed.tensors["tokens"].shape[1], "S": fed.tensors.get("source", torch.zeros(1, 0)).shape[1]}
    assert len({visit.path for visit in found.visits}) == len(found.visits)
    for visit in found.visits:
        expected = {name: tuple(map(int, value.at(sizes).shape)) for name, value in visit.step.outputs.items()}
        assert {name: seen.shape for name, seen in visit.outputs.items()} == expected, visit.path


# -- inputs ----------------------------------------------------------------------------------------------------------


def test_characters_are_ids_modulo_the_vocabulary_and_never_padding() -> None:
    fed = feed(build(one("causal: true")), Asked("a2é"))
    assert fed.tensors["tokens"].tolist() == [[97 % 50, 1, 233 % 50]]  # "2" is code point 50, which would be the pad 0
    assert fed.labels["T"] == ["a", "2", "é"]
    assert fed.notes == ["there is no tokenizer: a character's id is its code point modulo 50"]


def test_a_tokenizer_makes_the_ids() -> None:
    model = build("gpt-nano", sets=["vars.vocab=256"])
    fed = feed(model, Asked("hé"), Bytes())
    assert fed.tensors["tokens"].tolist() == [[104, 195, 169]] and fed.notes == []
    with pytest.raises(TraceError, match="the tokenizer makes the id 195, and the model has 50 only"):
        feed(build(one("causal: true")), Asked("é"), Bytes())


def test_the_target_starts_with_the_start_id() -> None:
    text = TWO.replace("  tgt: {tokens: 40, axis: T, start: 1}\n", "") .replace(
        "pad: 0}\n", "pad: 0}\n  tgt: {tokens: 40, axis: T, start: 1}\n"
    )  # fmt: skip
    fed = feed(build(text), Asked("abc", "d"))
    assert fed.tensors["tgt"].tolist() == [[1, ord("d") % 40]] and fed.labels["T"] == ["<start>", "d"]
    assert "tgt gets the same text; --target gives it another" in feed(build(text), Asked("abc")).notes


def test_other_inputs_are_made_up_and_said() -> None:
    text = "blockgraph: 1\ninputs: {image: {shape: [T, 8]}}\nnodes: {out: {type: linear, width: 3}}\n"
    fed = feed(build(text), Asked("x"))
    assert fed.tensors["image"].shape == (1, 16, 8)
    assert fed.notes[0] == "no input takes ids: the text is not used"
    assert "image [1, 16, 8] is random numbers, seed 0" in fed.notes[1]


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (Asked("a", target="b"), "--target is for a second input"),
        (Asked(""), "the text is empty"),
        (Asked("a", values={"nope": [1]}), "there is no such input; the model has tokens"),
        (Asked("a", values={"tokens": [[[1]]]}), r"takes \[B, T\], ids below 50, and this is \[1, 1, 1\]"),
        (Asked("a", values={"tokens": [50]}), "ids below 50"),
        (Asked("a", values={"tokens": ["x"]}), "--input tokens: "),
    ],
)
def test_what_does_not_fit_is_refused(asked: Asked, message: str) -> None:
    with pytest.raises(TraceError, match=message):
        feed(build(one("causal: true")), asked)


def test_values_are_json() -> None:
    assert values_of(("a=[1, 2]", "b=0.5")) == {"a": [1, 2], "b": 0.5}
    with pytest.raises(TraceError, match="write NAME=JSON"):
        values_of(("a",))


# -- reports ---------------------------------------------------------------------------------------------------------


def test_a_mask_as_text_and_as_png() -> None:
    model, tensors, found = traced(one("causal: true"), Asked("a b"))
    mask = found.masks[0][0]
    labels = feed(model, Asked("a b")).labels
    assert text_picture(mask, labels) == "  a ␣ b\na ■ · ·\n␣ ■ ■ ·\nb ■ ■ ■"
    width, height, pixels = decoded(png(mask))
    assert (width, height) == (48, 48)
    seen = [[pixels[16 * row + 3][3 * (16 * column + 3)] < 100 for column in range(3)] for row in range(3)]
    assert seen == mask.visible.tolist()
    assert png(mask) == png(trace(model, tensors).masks[0][0])


def decoded(picture: bytes) -> tuple[int, int, list[bytes]]:
    """Width, height and rows of RGB of a PNG without filters."""
    width, height = struct.unpack(">II", picture[16:24])
    start = picture.index(b"IDAT") + 4
    rows = zlib.decompress(picture[start : start + struct.unpack(">I", picture[start - 8 : start - 4])[0]])
    step = 1 + 3 * width
    return width, height, [rows[step * row + 1 : step * (row + 1)] for row in range(height)]


def test_long_masks_are_cut_in_a_terminal_and_become_images_on_a_page() -> None:
    _, _, found = traced(one("causal: true"), Asked("x" * 700))
    mask = found.masks[0][0]
    text = text_picture(mask, {"T": ["x"] * 700})
    assert len(text.splitlines()) == 50 and text.endswith("(the first 48 of 700 queries and 700 keys)")
    assert struct.unpack(">II", png(mask)[16:24]) == (700, 700)
    assert "data:image/png;base64," in html(found, {}, title="long", pieces={}, notes=[])


def test_the_page_is_self_contained_and_escapes_the_text() -> None:
    model, _, found = traced(one("causal: true"), Asked("<b>&"))
    fed = feed(model, Asked("<b>&"))
    page = html(found, fed.labels, title="<x>", pieces=fed.pieces, notes=["<n>"])
    assert "<b>&" not in page and "<x>" not in page and "<n>" not in page
    assert "http" not in page and "src=" not in page and page.count("<svg") == 1
    assert page == html(found, fed.labels, title="<x>", pieces=fed.pieces, notes=["<n>"])


def test_the_data_is_json() -> None:
    _, _, found = traced(one("causal: true"), Asked("abc"))
    plain = json.loads(json.dumps(data(found, {"tokens": ["a", "b", "c"]}, ["n"])))
    assert plain["masks"][0]["rows"] == ["100", "110", "111"] and plain["masks"][0]["nodes"] == ["attn"]
    assert plain["nodes"][0]["outputs"]["out"]["symbolic"] == "[B, T, 8]"
