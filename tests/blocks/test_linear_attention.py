"""Attention whose cost grows with the length: against sums written pair by pair, and against softmax attention."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from blockgraph.blocks.attention import Attention
from blockgraph.blocks.linear_attention import LinearAttention
from blockgraph.blocks.linformer import LinformerAttention

WIDTH, HEADS = 12, 3


def drawn(module: Any) -> Any:
    with torch.no_grad():
        for weight in module.parameters():
            weight.copy_(torch.randn_like(weight) * 0.5)
    return module


def heads_of(module: Any, x: Tensor) -> list[Tensor]:
    """Queries, keys and values [B, H, T, D]."""
    weights = module.state_dict()
    parts = [x @ weights[f"{n}.weight"].T + weights.get(f"{n}.bias", 0.0) for n in ("query", "key", "value")]
    return [part.unflatten(-1, (HEADS, -1)).transpose(1, 2) for part in parts]


def out(module: Any, heads: Tensor) -> Tensor:
    weights = module.state_dict()
    return heads.transpose(1, 2).flatten(2) @ weights["out.weight"].T + weights.get("out.bias", 0.0)


def favor(module: LinearAttention, x: Tensor) -> Tensor:
    assert module.directions is not None
    y = x / x.shape[-1] ** 0.25
    return torch.exp(y @ module.directions.double().T - (y * y).sum(-1, keepdim=True) / 2) / module.features**0.5


OPTIONS: list[dict[str, Any]] = [
    {"feature_map": "elu"},
    {"feature_map": "relu", "bias": False, "head_dim": 5},
    {"feature_map": "favor", "features": 7},
]


@pytest.mark.parametrize("padded", [True, False])
@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("o", OPTIONS, ids=str)
def test_sums_equal_the_weights_of_all_pairs(o: dict[str, Any], causal: bool, padded: bool) -> None:
    torch.manual_seed(0)
    module = drawn(LinearAttention(WIDTH, HEADS, causal=causal, **o).double())
    x = torch.randn(2, 150, WIDTH, dtype=torch.float64)
    real = torch.rand(2, 150) > 0.3 if padded else torch.ones(2, 150, dtype=torch.bool)
    q, k, v = heads_of(module, x)
    maps = {"elu": lambda t: F.elu(t) + 1, "relu": F.relu, "favor": lambda t: favor(module, t)}
    weights = maps[o["feature_map"]](q) @ maps[o["feature_map"]](k).transpose(-2, -1) * real[:, None, None]
    weights = weights.tril() if causal else weights
    wanted = out(module, weights @ v / weights.sum(-1, keepdim=True).clamp(min=1e-300))
    found = module(x, mask=real if padded else None)
    shown = weights.sum(-1).amin(1) > 1e-2  # where no key weighs anything, eps decides
    assert shown.sum() > 200
    torch.testing.assert_close(found[shown], wanted[shown], atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("o", OPTIONS, ids=str)
@torch.no_grad()
def test_the_running_sum_gives_the_same_tokens(o: dict[str, Any]) -> None:
    torch.manual_seed(0)
    module = drawn(LinearAttention(WIDTH, HEADS, causal=True, eps=1e-2, **o))
    x, real = torch.randn(2, 90, WIDTH), torch.arange(90) >= torch.tensor([[0], [5]])
    cache = module.new_cache(2, 90)
    size, found = cache.nbytes, []
    for start, stop in ((0, 70), (70, 73), *((at, at + 1) for at in range(73, 90))):
        found.append(module(x[:, start:stop], mask=real[:, :stop], cache=cache))
    torch.testing.assert_close(torch.cat(found, 1), module(x, mask=real), atol=1e-4, rtol=1e-4)
    assert cache.nbytes == size and cache.length == 90
    before = cache.sums.clone()
    cache.select(torch.tensor([1, 1, 0]))
    assert torch.equal(cache.sums, before[[1, 1, 0]])


@torch.no_grad()
def test_more_random_features_come_nearer_to_softmax() -> None:
    torch.manual_seed(0)
    x, exact = torch.randn(2, 40, 16) / 2, Attention(16, 2)
    errors = []
    for features in (8, 2048):
        module = LinearAttention(16, 2, feature_map="favor", features=features)
        module.load_state_dict(exact.state_dict())
        errors.append((module(x) - exact(x)).square().mean().sqrt() / exact(x).std())
    assert errors[1] < 0.06 and errors[0] > 0.2
    assert module.directions is not None and module.directions.mean().abs() < 0.02


def test_bfloat16_sums_in_float32() -> None:
    torch.manual_seed(0)
    module = LinearAttention(WIDTH, HEADS, causal=True)
    x = torch.randn(1, 300, WIDTH)
    low = module.bfloat16()(x.bfloat16())
    assert low.dtype == torch.bfloat16
    assert (low.float() - module.float()(x)).abs().max() < 0.05


def test_bad_arguments_and_caches_are_refused() -> None:
    with pytest.raises(ValueError, match="not 'softmax'"):
        LinearAttention(WIDTH, HEADS, feature_map="softmax")
    with pytest.raises(ValueError, match="looks ahead"):
        LinearAttention(WIDTH, HEADS).new_cache(1, 5)
    with pytest.raises(ValueError, match="not 'all'"):
        LinformerAttention(WIDTH, HEADS, 8, 4, share="all")
    with pytest.raises(ValueError, match="5 heads do not divide"):
        LinformerAttention(WIDTH, 5, 8, 4)
    with pytest.raises(ValueError, match="has 8 positions, and the text has 9"):
        LinformerAttention(WIDTH, HEADS, 8, 4)(torch.randn(1, 9, WIDTH))


@pytest.mark.parametrize("length", [20, 13])
@pytest.mark.parametrize("share", ["none", "heads", "key_value"])
def test_linformer_attends_to_projected_positions(share: str, length: int) -> None:
    torch.manual_seed(0)
    module = drawn(LinformerAttention(WIDTH, HEADS, 20, 6, share=share).double())
    x, real = torch.randn(2, length, WIDTH, dtype=torch.float64), torch.rand(2, length) > 0.3
    weights = module.state_dict()
    names = ["positions"] * 2 if share == "key_value" else ["key_positions", "value_positions"]
    q, k, v = heads_of(module, x)
    for given in (None, real):
        wanted = torch.zeros_like(q)
        for head in range(HEADS):
            rows = slice(head * 6, head * 6 + 6) if share == "none" else slice(0, 6)
            keys, values = (
                weights[f"{name}.weight"][rows, :length]
                @ (part[:, head] if given is None else part[:, head] * given[..., None])
                for name, part in zip(names, (k, v), strict=True)
            )
            scores = q[:, head] @ keys.transpose(-2, -1) / (WIDTH // HEADS) ** 0.5
            wanted[:, head] = torch.softmax(scores, -1) @ values
        torch.testing.assert_close(module(x, mask=given), out(module, wanted), atol=1e-9, rtol=0)


def test_linformer_drops_in_training_only() -> None:
    torch.manual_seed(0)
    module, x = LinformerAttention(WIDTH, HEADS, 20, 6, dropout=0.5), torch.randn(1, 20, WIDTH)
    assert not torch.equal(module(x), module(x))
    assert torch.equal(module.eval()(x), module(x))
