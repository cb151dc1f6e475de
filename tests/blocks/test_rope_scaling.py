"""Frequencies of every rope type against `transformers`: same numbers, same switch at the original length."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from blockgraph.blocks.attention import Attention
from blockgraph.blocks.rope import RotaryPositions

HEAD, LENGTH, ORIGINAL = 16, 50, 32
# ours → theirs, where the name differs
THEIRS = {"theta": "rope_theta", "type": "rope_type", "fraction": "partial_rotary_factor"}
LLAMA3 = {"type": "llama3", "factor": 7.0, "low_freq_factor": 1.5, "high_freq_factor": 5.0}
YARN = {"type": "yarn", "factor": 6.0}
SHORT, LONG = [1.0 + 0.1 * n for n in range(HEAD // 2)], [2.0 + 0.7 * n for n in range(HEAD // 2)]
LONGROPE = {"type": "longrope", "short_factor": SHORT, "long_factor": LONG}
CASES: list[dict[str, Any]] = [
    {"type": "default", "theta": 700.0},
    {"type": "linear", "factor": 3.5},
    {"type": "dynamic", "factor": 3.0},
    {"type": "dynamic", "factor": 1.5, "theta": 300.0, "fraction": 0.5},
    LLAMA3,
    LLAMA3 | {"theta": 50.0, "fraction": 0.5},
    LLAMA3 | {"low_freq_factor": 0.2, "high_freq_factor": 0.9},
    YARN,
    YARN | {"truncate": False, "beta_fast": 12.0, "beta_slow": 2.5},
    YARN | {"attention_factor": 0.8, "theta": 200.0},
    YARN | {"factor": 0.5, "fraction": 0.5},
    YARN | {"beta_fast": 3.0, "beta_slow": 3.0, "theta": 5e5},
    LONGROPE,
    LONGROPE | {"factor": 9.0},
    LONGROPE | {"factor": 9.0, "attention_factor": 1.3, "theta": 70.0},
    {"type": "proportional", "fraction": 0.6},
    {"type": "proportional", "factor": 3.0, "theta": 300.0},
    LONGROPE | {"fraction": 0.5, "short_factor": SHORT[:4], "long_factor": LONG[:4]},
]


def theirs(o: dict[str, Any]) -> Any:
    """StableLM's rotary embedding: a Llama's, but it knows the share that rotates."""
    pytest.importorskip("transformers")
    from transformers.models.stablelm.modeling_stablelm import StableLmConfig, StableLmRotaryEmbedding

    numbers = {THEIRS.get(name, name): value for name, value in o.items()}
    numbers = {"rope_theta": 1e4, "partial_rotary_factor": 1.0, **numbers}
    scaled = o["type"] in ("llama3", "yarn", "longrope")
    longest = 3 * ORIGINAL if scaled else ORIGINAL
    numbers |= {"original_max_position_embeddings": ORIGINAL} if scaled else {}
    sizes = {"hidden_size": 4 * HEAD, "num_attention_heads": 4, "max_position_embeddings": longest}
    return StableLmRotaryEmbedding(StableLmConfig(rope_parameters=numbers, **sizes))


def ours(o: dict[str, Any]) -> RotaryPositions:
    lengths = {"max_length": 3 * ORIGINAL} if o["type"] == "longrope" else {}
    return RotaryPositions(HEAD, original_length=ORIGINAL, **lengths, **o)


def turned(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Their rotation of a part of each head, [B, T, H, D]; cosines and sines [1, T, d]."""
    d = cos.shape[-1]
    part, rest = x[..., :d], x[..., d:]
    a, b = part.chunk(2, -1)
    return torch.cat((part * cos.unsqueeze(2) + torch.cat((-b, a), -1) * sin.unsqueeze(2), rest), -1)


@pytest.mark.parametrize("o", CASES, ids=str)
@pytest.mark.parametrize("compiled", [False, True])
def test_rotations_are_those_of_transformers_at_every_length(
    o: dict[str, Any], compiled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine, reference = ours(o), theirs(o)
    if compiled:  # the path of a graph, step by step
        monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)
    torch.manual_seed(0)
    x = torch.randn(2, LENGTH, 3, HEAD)
    for length in (5, ORIGINAL, ORIGINAL + 1, LENGTH, ORIGINAL - 1, LENGTH):
        wanted = turned(x[:, :length], *reference(x, torch.arange(length).unsqueeze(0)))
        assert (mine(x[:, :length]) - wanted).abs().max() <= 2e-6 * (1 + wanted.abs().max()), length


@pytest.mark.parametrize("o", CASES, ids=str)
def test_frequencies_are_those_of_transformers(o: dict[str, Any]) -> None:
    mine, reference = ours(o), theirs(o)
    assert mine.amplitude == pytest.approx(reference.attention_scaling, rel=1e-12)
    assert torch.equal(mine.frequencies, reference.inv_freq)
    for length in (ORIGINAL, ORIGINAL + 1, 1000):
        reference(torch.zeros(1, length, 1, HEAD), torch.arange(length).unsqueeze(0))
        assert torch.equal(mine.at(length), reference.inv_freq)


def test_every_number_matters() -> None:
    """What a test with it at its default would not see."""
    base = {"type": "yarn", "factor": 6.0, "original_length": 4096, "theta": 1e3}
    x = torch.randn(1, LENGTH, 1, HEAD)
    plain = RotaryPositions(HEAD, **base)(x)
    changes = ({"beta_fast": 4.0}, {"beta_slow": 3.0}, {"truncate": False}, {"attention_factor": 1.0}, {"factor": 5.0})
    for change in (*changes, {"original_length": 1024}, {"theta": 1050.0}):
        assert (RotaryPositions(HEAD, **(base | change))(x) - plain).abs().max() > 1e-3, change


@pytest.mark.parametrize("o", [c for c in CASES if c["type"] in ("dynamic", "longrope")], ids=str)
@torch.no_grad()
def test_decoding_up_to_the_original_length_is_one_pass(o: dict[str, Any]) -> None:
    torch.manual_seed(0)
    rope = {**o, "original_length": ORIGINAL}
    module = Attention(4 * HEAD, 4, causal=True, rope=rope).eval()
    x = torch.randn(2, LENGTH, 4 * HEAD)
    module(x)  # a longer text before leaves no trace
    whole, cache = module(x[:, :ORIGINAL]), module.new_cache(2, LENGTH)
    steps = [module(x[:, n : n + 1], cache=cache) for n in range(ORIGINAL)]
    assert torch.allclose(torch.cat(steps, 1), whole, atol=1e-5)


def test_tables_follow_the_module_to_another_dtype_and_back() -> None:
    rope = ours(LONGROPE)
    x = torch.randn(1, LENGTH, 2, HEAD)
    wanted = rope(x)
    assert rope.bfloat16().limit is not None and rope.frequencies.dtype == torch.float32
    assert rope(x.bfloat16()).dtype == torch.bfloat16
    with torch.device("meta"):
        hollow = ours(LONGROPE)
    assert torch.equal(rope.float()(x), wanted) and torch.equal(hollow(x), wanted)
