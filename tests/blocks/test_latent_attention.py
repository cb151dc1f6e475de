"""Latent attention: against DeepSeek-V2 and V3 of `transformers`, and step by step against one pass."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from blockgraph.blocks.latent_attention import LatentAttention

BATCH, LENGTH, WIDTH = 3, 11, 24
SIZES: dict[str, Any] = {"heads": 3, "kv_rank": 10, "head_dim": 6, "rope_dim": 4, "value_dim": 7}
CHUNKS = [[1] * LENGTH, [4, 1, 1, 5], [LENGTH], [1, 7, 3]]


def perturbed(module: torch.nn.Module) -> Any:
    with torch.no_grad():
        for tensor in module.parameters():
            tensor.normal_(0, 0.3)
    return module.eval()


def padded() -> Tensor:
    """Real tokens, bool [B, T]: on the left, whole, on the right."""
    places = torch.arange(LENGTH)
    return torch.stack((places >= 4, places >= 0, places < 7))


def visible(mask: Tensor) -> Tensor:
    """What the reference adds to its scores: [B, 1, T, T]."""
    allowed = torch.ones(LENGTH, LENGTH, dtype=torch.bool).tril() & mask[:, None, None]
    return torch.zeros(BATCH, 1, LENGTH, LENGTH).masked_fill(~allowed, torch.finfo(torch.float32).min)


def reference(version: int, scaling: dict[str, Any] | None = None, **changes: Any) -> tuple[Any, Any]:
    """A perturbed attention module of DeepSeek-V2 or V3, and what it is given for positions 0 to LENGTH - 1."""
    hf = pytest.importorskip("transformers")
    name = f"deepseek_v{version}"
    source = __import__(f"transformers.models.{name}.modeling_{name}", fromlist=["x"])
    sizes = {"qk_nope_head_dim": 6, "qk_rope_head_dim": 4, "v_head_dim": 7, "kv_lora_rank": 10}
    heads = {"num_attention_heads": 3, "num_key_value_heads": 3, "hidden_size": WIDTH}
    rope = {"rope_type": "default", "rope_theta": 50.0, **(scaling or {})}
    config = getattr(hf, f"DeepseekV{version}Config")(**sizes, **heads, rope_parameters=rope, **changes)
    config._attn_implementation = "eager"
    module = perturbed(getattr(source, f"DeepseekV{version}Attention")(config, 0))
    rotary = getattr(source, f"DeepseekV{version}RotaryEmbedding")(config)
    return module, rotary(torch.zeros(1, LENGTH, WIDTH), torch.arange(LENGTH).unsqueeze(0))


def canonical(module: Any) -> dict[str, Tensor]:
    """The reference's weights under our names; `kv_b_proj` is cut head by head into key and value rows."""
    names = {
        "q_proj": "query",
        "q_a_proj": "query_down",
        "q_a_layernorm": "query_norm",
        "q_b_proj": "query_up",
        "kv_a_proj_with_mqa": "kv_down",
        "kv_a_layernorm": "kv_norm",
        "o_proj": "out",
    }
    weights = module.state_dict()
    both = weights.pop("kv_b_proj.weight").unflatten(0, (SIZES["heads"], -1))
    keys, values = both.split((SIZES["head_dim"], SIZES["value_dim"]), dim=1)
    found = {f"{names[key.rpartition('.')[0]]}.{key.rpartition('.')[2]}": value for key, value in weights.items()}
    return found | {"key_up.weight": keys.flatten(0, 1), "value_up.weight": values.flatten(0, 1)}


@pytest.mark.parametrize("query_rank", [None, 9])
@pytest.mark.parametrize(("version", "pairing"), [(2, "interleaved"), (3, "interleaved"), (3, "halves")])
@torch.no_grad()
def test_attention_is_that_of_transformers(version: int, pairing: str, query_rank: int | None) -> None:
    torch.manual_seed(version)
    changes = {"rope_interleave": pairing == "interleaved"} if version == 3 else {}
    module, positions = reference(version, q_lora_rank=query_rank, attention_bias=True, **changes)
    scale = 0.4 if version == 3 else None
    module.scaling = scale or module.scaling
    rope = {"theta": 50.0, "pairing": pairing}
    built = LatentAttention(
        WIDTH, **SIZES, query_rank=query_rank, rope=rope, causal=True, bias=True, scale=scale
    ).eval()
    built.load_state_dict(canonical(module))
    x, mask = torch.randn(BATCH, LENGTH, WIDTH), padded()
    wanted = module(hidden_states=x, position_embeddings=positions, attention_mask=visible(mask))[0]
    difference = (built(x, mask=mask) - wanted)[mask]
    assert difference.abs().max() <= 1e-4 * wanted[mask].std()


@pytest.mark.parametrize("version", [2, 3])
@torch.no_grad()
def test_yarn_scales_frequencies_and_scores(version: int) -> None:
    torch.manual_seed(version)
    yarn = {"factor": 4.0, "mscale": 0.7, "mscale_all_dim": 0.4, "beta_fast": 3.0, "beta_slow": 0.2}
    sizes = {"rope_type": "yarn", "original_max_position_embeddings": 8}
    module, positions = reference(version, {**yarn, **sizes}, q_lora_rank=None, max_position_embeddings=32)
    up = [0.1 * yarn[name] * math.log(yarn["factor"]) + 1 for name in ("mscale", "mscale_all_dim")]
    scaling = {"type": "yarn", "factor": 4.0, "original_length": 8, "beta_fast": 3.0, "beta_slow": 0.2}
    rope = {"theta": 50.0, "pairing": "interleaved", **scaling, "attention_factor": up[0] / up[1]}
    built = LatentAttention(WIDTH, **SIZES, rope=rope, causal=True, scale=10**-0.5 * up[1] ** 2).eval()
    built.load_state_dict(canonical(module))
    x, mask = torch.randn(BATCH, LENGTH, WIDTH), padded()
    wanted = module(hidden_states=x, position_embeddings=positions, attention_mask=visible(mask))[0][mask]
    assert (built(x, mask=mask)[mask] - wanted).abs().max() <= 1e-4 * wanted.std()
    assert (built(x)[mask] - wanted).abs().max() > 1e-2 * wanted.std()  # a wrong answer is seen


@pytest.mark.parametrize("chunks", CHUNKS, ids=str)
@pytest.mark.parametrize("o", [{}, {"rope": {"pairing": "interleaved"}, "query_rank": 6, "scale": 0.7}], ids=str)
@torch.no_grad()
def test_step_by_step_equals_one_pass(o: dict[str, Any], chunks: list[int]) -> None:
    torch.manual_seed(0)
    module = perturbed(LatentAttention(WIDTH, **SIZES, causal=True, **o))
    x, mask = torch.randn(BATCH, LENGTH, WIDTH), padded()
    whole, masked = module(x), module(x, mask=mask)
    cache, masked_cache = module.new_cache(BATCH, LENGTH), module.new_cache(BATCH, LENGTH)
    start = 0
    for size in chunks:
        part = slice(start, start + size)
        assert torch.allclose(module(x[:, part], cache=cache), whole[:, part], atol=1e-5)
        step = module(x[:, part], mask=mask[:, : part.stop], cache=masked_cache)
        assert torch.allclose(step, masked[:, part], atol=1e-5)
        start = part.stop
    assert cache.length == LENGTH and cache.numbers == BATCH * LENGTH * (10 + 4)


@torch.no_grad()
def test_beams_are_selected_in_place() -> None:
    torch.manual_seed(0)
    module = perturbed(LatentAttention(WIDTH, **SIZES, causal=True, rope={}))
    x, rows = torch.randn(BATCH, 5, WIDTH), torch.tensor([2, 0, 0, 1])
    cache = module.new_cache(BATCH, 5)
    module(x[:, :4], cache=cache)
    cache.select(rows)
    assert torch.allclose(module(x[rows, 4:], cache=cache), module(x[rows])[:, 4:], atol=1e-5)


@torch.no_grad()
def test_what_is_not_causal_looks_both_ways_and_has_no_cache() -> None:
    torch.manual_seed(0)
    module = perturbed(LatentAttention(WIDTH, **SIZES))
    x = torch.randn(1, 6, WIDTH)
    assert torch.allclose(module(x).flip(1), module(x.flip(1)), atol=1e-5)
    with pytest.raises(ValueError, match="not causal cannot decode"):
        module.new_cache(1, 6)


def test_a_full_cache_and_another_batch_are_refused() -> None:
    module = LatentAttention(WIDTH, **SIZES, causal=True)
    with pytest.raises(ValueError, match="holds 2 positions, and 3 are needed"):
        module(torch.zeros(1, 3, WIDTH), cache=module.new_cache(1, 2))
    with pytest.raises(ValueError, match="for 2 sequences, not for 1"):
        module(torch.zeros(1, 1, WIDTH), cache=module.new_cache(2, 2))


@torch.no_grad()
def test_a_query_that_sees_no_key_gives_zeros() -> None:
    module = LatentAttention(WIDTH, **SIZES, causal=True)
    out = module(torch.randn(1, 3, WIDTH), mask=torch.tensor([[False, False, True]]))
    assert not out[0, :2].any() and out[0, 2].any()
