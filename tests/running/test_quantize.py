"""Weights in int8: what is rounded and how far that goes, and that everything else stays as it was."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

import blockgraph
from blockgraph.running.generate import generate
from blockgraph.running.int8 import Int8Weight
from blockgraph.running.layout import for_steps
from blockgraph.running.quantize import QuantizeError
from blockgraph.specs.diagnostics import BlockgraphError

SETS = ("vars.layers=2", "vars.width=64", "vars.heads=4", "vars.vocab=97", "vars.max_len=96")


def small_gpt2() -> Any:
    return blockgraph.build("gpt2", sets=SETS).eval()


def error(found: torch.Tensor, wanted: torch.Tensor) -> float:
    return float((found - wanted).std() / wanted.std())


@settings(max_examples=25, deadline=None)
@given(rows=st.integers(1, 9), columns=st.integers(2, 40), seed=st.integers(0, 99), scale=st.floats(1e-4, 1e3))
def test_a_rounded_weight_is_within_half_a_step_of_its_row(rows: int, columns: int, seed: int, scale: float) -> None:
    weight = torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed)) * scale
    floats = Int8Weight(weight).floats()
    step = weight.abs().amax(1, keepdim=True) / 127
    assert ((floats - weight).abs() <= step * 0.5001).all()
    assert torch.allclose(floats.abs().amax(1, keepdim=True), 127 * step)


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (3, 5)])
def test_products_are_those_of_the_floats(shape: tuple[int, int]) -> None:
    torch.manual_seed(0)
    weight, bias, x = Int8Weight(torch.randn(48, 32)), torch.randn(48), torch.randn(*shape, 32)
    x[0, 0] *= 1000  # one loud position does not drown the others
    for b in (None, bias):
        found, plain = F.linear(x, weight, b), F.linear(x, weight.floats(), b)
        assert found.shape == plain.shape
        for row, wanted in zip(found.flatten(0, 1), plain.flatten(0, 1), strict=True):
            assert error(row, wanted) < 0.02
    assert F.linear(x.bfloat16(), weight).dtype == torch.bfloat16
    assert F.linear(x[:, :0], weight, bias).shape == (shape[0], 0, 48)


def test_zero_rows_and_zero_inputs_give_the_bias() -> None:
    weight, bias = Int8Weight(torch.zeros(4, 8)), torch.arange(4.0)
    for x in (torch.randn(1, 2, 8), torch.zeros(1, 1, 8), torch.zeros(1, 3, 8)):
        assert torch.equal(F.linear(x, weight, bias), bias.expand(*x.shape[:-1], 4))


def test_what_is_not_finite_is_not_hidden() -> None:
    weight = Int8Weight(torch.ones(4, 8))
    for x in (torch.full((1, 1, 8), torch.nan), torch.full((1, 3, 8), torch.inf)):
        assert not F.linear(x, weight).isfinite().any()


def test_a_model_keeps_its_answers_its_names_and_its_embedding() -> None:
    model = small_gpt2()
    small = blockgraph.quantize(copy.deepcopy(model))
    tokens = torch.arange(24).view(2, 12)
    with torch.inference_mode():
        assert 0 < error(small(tokens), model(tokens)) < 0.05
    assert list(small.state_dict()) == list(model.state_dict())
    kinds = {name: type(part) for name, part in small.named_parameters()}
    assert kinds["decoder.0.attn.qkv_weight"] is kinds["decoder.1.ffn.down_weight"] is Int8Weight
    assert kinds["decoder.0.attn.qkv_bias"] is torch.nn.Parameter and kinds["positions.weight"] is torch.nn.Parameter
    assert torch.equal(F.embedding(tokens, small.embed.weight), F.embedding(tokens, model.embed.weight))
    assert sum(p.numel() for p in small.parameters()) == sum(p.numel() for p in model.parameters())
    weight = small.decoder[0].ffn.up_weight
    assert weight.nbytes < weight.numel() * 1.2 and small.embed.weight.nbytes > 5 * 97 * 64
    with torch.inference_mode():
        again = blockgraph.quantize(copy.deepcopy(small))  # twice is once
        assert torch.equal(again(tokens), small(tokens))


def test_decoding_goes_on_in_int8() -> None:
    model = small_gpt2()
    small = blockgraph.quantize(copy.deepcopy(model))
    assert for_steps(small, 1, 64) is small
    fast = list(generate(small, range(8), max_new=40, temperature=0))
    assert len(fast) == 40
    with torch.inference_mode():
        ids = torch.tensor([[*range(8), *fast]])
        exact = model(ids)[0, 7:-1]
        chosen = exact.gather(1, torch.tensor(fast).unsqueeze(1)).squeeze(1)
        assert (exact.amax(1) - chosen).max() < 0.1 * exact.std()  # each was the likeliest, or all but


@pytest.mark.parametrize("preset", ["llama-nano", "transformer-nano"])
def test_other_decoders(preset: str) -> None:
    model = blockgraph.build(preset).eval()
    for weight in model.parameters():  # some start at zero
        torch.nn.init.normal_(weight, std=0.1)
    small = blockgraph.quantize(copy.deepcopy(model))
    ids = torch.arange(12).view(1, 12)
    given = dict.fromkeys(model.definition.root.inputs, ids)
    with torch.inference_mode():
        found, wanted = small(**given), model(**given)
    if isinstance(wanted, dict):
        found, wanted = found["logits"], wanted["logits"]
    assert 0 < error(found, wanted) < 0.06


def test_experts_and_routers() -> None:
    model = blockgraph.build(MOE).eval()
    small = blockgraph.quantize(copy.deepcopy(model))
    assert isinstance(small.moe.experts_up_weight, Int8Weight) and not isinstance(small.moe.router_weight, Int8Weight)
    tokens = torch.arange(20).view(2, 10)
    with torch.inference_mode():
        assert 0 < error(small(tokens), model(tokens)) < 0.05


MOE = """\
blockgraph: 1
name: experts
inputs: {tokens: {tokens: 50, axis: T}}
nodes:
  embed: {type: embedding, width: 32}
  moe: {type: moe, experts: 4, top_k: 2, hidden: 48, in: embed}
  add: {type: add, in: [embed, moe]}
  logits: {type: linear, width: 50}
"""


@pytest.mark.parametrize("action", ["to", "half", "load", "write"])
def test_int8_weights_are_not_written_or_moved(action: str) -> None:
    model = small_gpt2()
    small = blockgraph.quantize(copy.deepcopy(model))
    actions = {
        "to": lambda: small.to(torch.float64),
        "half": small.half,
        "load": lambda: small.load_state_dict(model.state_dict()),
        "write": lambda: small.decoder[0].ffn.up_weight.zero_(),
    }
    with pytest.raises(TypeError, match="cannot be written or moved"):
        actions[action]()


def test_refusals() -> None:
    with pytest.raises(QuantizeError, match="no linear map"):
        blockgraph.quantize(torch.nn.LayerNorm(4))  # type: ignore[arg-type]
    with pytest.raises(BlockgraphError, match="on the CPU only; the model is on meta"):
        blockgraph.quantize(blockgraph.build("gpt-nano", device="meta"))


def test_saved_weights_are_the_rounded_ones(tmp_path: Path) -> None:
    from blockgraph.running.weights import load_weights, read_weights, save_weights

    small = blockgraph.quantize(small_gpt2())
    save_weights(small, tmp_path / "w.safetensors")
    model = small_gpt2()
    load_weights(model, read_weights(tmp_path / "w.safetensors"), tmp_path)
    tokens = torch.arange(10).view(1, 10)
    with torch.inference_mode():
        assert 0 < error(small(tokens), model(tokens)) < 0.03
