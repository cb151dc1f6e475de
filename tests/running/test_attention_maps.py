"""Attention maps: the weights of `transformers`, of a softmax by hand, for every kind of attention."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from blockgraph.api import build, from_huggingface
from blockgraph.blocks.plain import attend_plain, attention_weights
from blockgraph.running.attention_maps import AttentionError, AttentionMap, attention_maps, chosen
from blockgraph.running.trace_inputs import Asked, feed
from tests.running import parity

TEXT = "I have a cat"
SUM = pytest.approx(1.0, abs=1e-5)


def maps_of(text: str, asked: Asked | None = None) -> list[AttentionMap]:
    model = build(text, seed=3)
    return attention_maps(model, feed(model, asked or Asked(TEXT)).tensors)[0]


def one(options: str, inputs: str = "", wiring: str = "", type: str = "attention") -> str:
    return (
        f"blockgraph: 1\ninputs: {{tokens: {{tokens: 50, axis: T, pad: 0}}{inputs}}}\nnodes:\n"
        f"  embed: {{type: embedding, width: 16}}\n  attn: {{type: {type}, {options}{wiring}}}\n"
    )


def totals(found: AttentionMap) -> Tensor:
    sums = found.weights.sum(-1)
    return sums if found.sink is None else sums + found.sink


# -- against transformers ---------------------------------------------------------------------------------------------


def theirs(output: Any) -> dict[str, tuple[Tensor, ...]]:
    """The weights of each kind; a model without a decoder has encoder's or decoder's alike."""
    names = {
        "encoder_attentions": "encoder",
        "decoder_attentions": "self",
        "cross_attentions": "cross",
        "attentions": "self",
    }
    return {kind: output[key] for key, kind in names.items() if output.get(key)}


def by_kind(maps: list[AttentionMap]) -> dict[str, list[AttentionMap]]:
    """Our maps under the same names; alternating kinds of layers are one list there."""
    found: dict[str, list[AttentionMap]] = {}
    two = any(each.cross for each in maps)
    for each in maps:
        kind = "cross" if each.cross else "encoder" if two and each.node.startswith("encoder") else "self"
        found.setdefault(kind, []).append(each)
    return found


@pytest.mark.parametrize(
    "name",
    ["gpt2", "bert", "t5", "llama", "mistral", "gemma2", "bloom"]
    + [pytest.param(name, marks=pytest.mark.slow) for name in ("marian", "albert", "modernbert", "gpt-neo", "phi", "gpt-j")],
)  # fmt: skip
def test_weights_are_those_of_transformers(name: str, tmp_path: Path) -> None:
    reference = parity.save(name, tmp_path)
    reference.set_attn_implementation("eager")
    ours = from_huggingface(tmp_path)
    for given in [given for what, given, _ in parity.scenarios(name) if what in ("full", "right")]:
        with torch.no_grad():
            expected = theirs(reference(**given, output_attentions=True))
        found = by_kind(attention_maps(ours, {key: value[1:2] for key, value in given.items()})[0])
        assert {kind: len(maps) for kind, maps in found.items()} == {kind: len(e) for kind, e in expected.items()}
        for kind, layer, each in [(kind, n, each) for kind, maps in found.items() for n, each in enumerate(maps)]:
            there = expected[kind][layer][1]
            reads_source = kind == "encoder" or (kind == "self" and "encoder" not in found)
            rows = given["attention_mask"][1].bool() if reads_source else slice(None)  # of padding, nobody cares
            assert each.weights.shape == there.shape
            assert (each.weights - there)[:, rows].abs().max() < 1e-5, (kind, layer)
            assert (totals(each)[:, rows] - 1).abs().max() < 1e-5


# -- by hand ----------------------------------------------------------------------------------------------------------

OPTIONS = {
    "plain": "heads: 4",
    "causal": "heads: 4, causal: true",
    "grouped": "heads: 4, kv_heads: 2, causal: true",
    "one key head, its own scale": "heads: 4, kv_heads: 1, scale: 0.3",
    "rope": "heads: 4, causal: true, rope: {theta: 100}",
    "alibi": "heads: 4, causal: true, alibi: true",
    "window": "heads: 4, causal: true, window: 3",
    "window both ways": "heads: 4, window: 4",
    "softcap": "heads: 4, causal: true, softcap: 0.5",
    "sinks": "heads: 4, kv_heads: 2, causal: true, window: 4, sinks: true",
    "qk_norm": "heads: 4, qk_norm: {type: rms_norm}, rope: {}",
    "clip": "heads: 4, clip: 0.1, causal: true",
}


def by_hand(module: Any, x: Tensor) -> Tensor:
    """One softmax per row in double precision, over the keys that the options let be seen; the sink comes last."""
    q, k, _ = (part[0].double() for part in module.project(x, None, None))
    heads, length = module.heads, x.shape[1]
    rows = torch.zeros(heads, length, length + 1, dtype=torch.float64)
    for h in range(heads):
        key = k[h // (heads // k.shape[0])]
        for i in range(length):
            seen = [j for j in range(length) if not module.causal or j <= i]
            if module.window is not None:
                seen = [
                    j for j in seen if (i - j < module.window if module.causal else abs(i - j) <= module.window // 2)
                ]
            scores = torch.stack([q[h, i] @ key[j] for j in seen]) * module.scale
            if module.softcap is not None:
                scores = module.softcap * torch.tanh(scores / module.softcap)
            if module.alibi is not None:
                scores = scores + 2.0 ** (-8 * (h + 1) / heads) * torch.tensor([float(j - i) for j in seen])
            more = scores if module.sinks is None else torch.cat([scores, module.sinks[h : h + 1].double()])
            shares = torch.softmax(more, 0)
            rows[h, i, seen] = shares[: len(seen)]
            rows[h, i, length] = 0.0 if module.sinks is None else shares[-1]
    return rows


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS.keys())
def test_every_option_against_a_softmax_by_hand(options: str) -> None:
    model = build(one(options), seed=3)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_()
        fed = feed(model, Asked(TEXT)).tensors
        [found], _ = attention_maps(model, fed)
        expected = by_hand(model.attn, model.embed(fed["tokens"]))
    assert (found.weights - expected[..., :-1]).abs().max() < 1e-5
    assert (found.sink is not None) == ("sinks" in options)
    if found.sink is not None:
        assert (found.sink - expected[..., -1]).abs().max() < 1e-5
    assert totals(found).min() == SUM and totals(found).max() == SUM
    assert found.weights.std() > 0.01 and (found.node, found.layer, found.cross) == ("attn", 0, False)


def test_mask_and_bias_of_the_file() -> None:
    inputs = ", seen: {shape: [T, T], dtype: bool}, more: {shape: [T, T]}"
    text = one("heads: 2", inputs, ", in: {query: embed, mask: seen, bias: more}")
    seen = [[1, 0, 0], [1, 1, 0], [0, 0, 0]]
    values = {
        "tokens": [1, 2, 3],
        "seen": [[bool(v) for v in row] for row in seen],
        "more": [[0.0, 0, 0], [9.0, 0, 0], [0, 0, 0]],
    }
    [found] = maps_of(text, Asked("", values=values))
    assert (found.weights != 0).int().tolist() == [seen, seen]
    assert found.weights[:, 1, 0].min() > 0.9 and found.weights[:, 2].abs().max() == 0.0


@pytest.mark.parametrize("more", ["", ", query_rank: 6", ", causal: true"])
def test_latent_attention(more: str) -> None:
    options = f"heads: 2, kv_rank: 6, head_dim: 4, rope_dim: 2, value_dim: 3, rope: {{}}{more}"
    model = build(one(options, type="latent_attention"), seed=3)
    fed = feed(model, Asked(TEXT)).tensors
    with torch.no_grad():
        [found], _ = attention_maps(model, fed)
        x = model.embed(fed["tokens"])
        q, turned = model.attn.queries(x)
        latent, shared = model.attn.latents(x).split([6, 2], -1)
        keys = (latent @ model.attn.kv_up_weight[:8].T).view(*x.shape[:2], 2, 4)
        scores = torch.einsum("bihd,bjhd->bhij", q, keys) + torch.einsum("bihr,bjr->bhij", turned, shared)
        if "causal" in more:
            scores = scores.masked_fill(~torch.ones(scores.shape[-2:], dtype=torch.bool).tril(), -torch.inf)
    assert (found.weights - (scores[0] * 6**-0.5).softmax(-1)).abs().max() < 1e-5


def test_local_and_global_rows_are_one_map() -> None:
    text = one(
        "heads: 2, window: 2", ", all: {shape: [T], dtype: bool}", ", in: [embed, all]", "local_global_attention"
    )
    [found] = maps_of(text, Asked("abcdef", values={"all": [True] + [False] * 5}))
    near = (torch.arange(6)[:, None] - torch.arange(6)).abs() <= 1
    near[0] = near[:, 0] = True
    assert torch.equal(found.weights[0] > 0, near) and totals(found).min() == SUM


def test_weights_are_what_the_values_are_mixed_by() -> None:
    random = torch.Generator().manual_seed(1)
    q, k, v = (torch.randn(2, heads, 5, 4, generator=random) for heads in (4, 2, 2))
    sinks, visible = torch.randn(4, generator=random), torch.ones(5, 5, dtype=torch.bool).tril()
    options = {"scale": 0.5, "visible": visible, "softcap": 2.0, "sinks": sinks}
    weights = attention_weights(q, k, **options)
    assert weights.shape == (2, 4, 5, 6) and weights.sum(-1).min() == SUM
    assert torch.equal(weights[..., :-1] @ v.repeat_interleave(2, 1), attend_plain(q, k, v, **options))


# -- which maps -------------------------------------------------------------------------------------------------------

TWO = """
blockgraph: 1
inputs:
  src: {tokens: 50, axis: S, pad: 0}
  tgt: {tokens: 40, axis: T, start: 1, pad: 0}
nodes:
  high: {type: embedding, in: src, width: 8}
  encoder: {type: attention, heads: 2, repeat: 3}
  low: {type: embedding, in: tgt, width: 8}
  self: {type: attention, heads: 2, causal: true}
  cross: {type: attention, heads: 4, in: {query: self, key: encoder}}
  again: {share: encoder, in: cross}
"""


def test_stacks_layers_and_axes() -> None:
    maps = maps_of(TWO, Asked("abc", "de"))
    assert [(each.node, each.stack, each.layer, each.cross, each.axes) for each in maps] == [
        ("encoder.0", "encoder", 0, False, ("S", "S")),
        ("encoder.1", "encoder", 1, False, ("S", "S")),
        ("encoder.2", "encoder", 2, False, ("S", "S")),
        ("self", "self", 0, False, ("T", "T")),
        ("cross", "cross", 0, True, ("T", "S")),
        *((f"again.{n}", "again", n, False, ("T", "T")) for n in range(3)),
    ]
    assert maps[4].weights.shape == (4, 3, 3)


def test_layers_and_heads_are_chosen_from_either_end() -> None:
    maps = maps_of(TWO, Asked("abc", "de"))
    assert [each.node for each in chosen(maps, (0,), ())] == ["encoder.0", "self", "cross", "again.0"]
    assert [each.node for each in chosen(maps, (2,), ())] == ["encoder.2", "again.2"]
    [only] = chosen(maps, (-1,), (3,))
    assert only.node == "cross" and only.heads == (3,) and torch.equal(only.weights[0], maps[4].weights[3])
    for layers, heads in (((3,), ()), ((), (4,))):
        with pytest.raises(AttentionError, match=r"there are (layers 0 to 2|heads 0 to 3)"):
            chosen(maps, layers, heads)


def test_a_model_without_attention_says_so() -> None:
    with pytest.raises(AttentionError, match="has no attention"):
        maps_of("blockgraph: 1\ninputs: {tokens: {tokens: 50, axis: T}}\nnodes: {embed: {type: embedding, width: 8}}\n")


def test_the_model_is_as_it_was() -> None:
    model = build(one("heads: 2, dropout: 0.5"), seed=3).train()
    tensors = feed(model, Asked(TEXT)).tensors
    [found], output = attention_maps(model, tensors)
    assert model.training and torch.equal(output, model.eval()(**tensors)) and totals(found).min() == SUM
    assert not [hook for module in model.modules() for hook in module._forward_hooks]


def test_windows_in_blocks_have_no_map() -> None:
    model = build(one("heads: 2, causal: true, window: 3"), seed=3)
    tokens = torch.ones(1, 512, dtype=torch.long)
    with pytest.raises(AttentionError, match="attn computes 512 positions in blocks, which have no map"):
        attention_maps(model, {"tokens": tokens})
    assert not [hook for module in model.modules() for hook in module._forward_hooks]
