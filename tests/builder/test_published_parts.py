"""Attention of published models, and small whole ones, against `transformers`: weights are copied by hand.

Nothing is at its default, biases and norms are drawn, and the bar is 1e-4 of the reference's standard deviation.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import blockgraph
from blockgraph.blocks.attention import Attention

pytest.importorskip("transformers")

WIDTH, HEADS, LENGTH = 32, 4, 40
COMMON: dict[str, Any] = {
    "vocab_size": 53,
    "hidden_size": WIDTH,
    "num_attention_heads": HEADS,
    "num_key_value_heads": 2,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "attention_bias": True,
    "rms_norm_eps": 3e-3,
}
SHORT, LONG = [1.0, 1.3, 2.0, 2.5], [2.0, 5.0, 9.0, 14.0]


def drawn(module: nn.Module, seed: int = 0) -> nn.Module:
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in module.parameters():
            spread = 0.5 if weight.dim() == 1 else 1.5 / weight[0].numel() ** 0.5
            weight.copy_(torch.randn(weight.shape, generator=generator) * spread)
    return module.eval()


def copied(mine: nn.Module, theirs: nn.Module, names: dict[str, str]) -> None:
    """Their weights under our names: the first prefix that fits; every weight of both must be used."""
    mine.load_state_dict(renamed(theirs.state_dict(), names))


def renamed(state: dict[str, Tensor], names: dict[str, str]) -> dict[str, Tensor]:
    found = {}
    for name, tensor in state.items():
        prefix = next(prefix for prefix in names if name.startswith(prefix))
        found[names[prefix] + name[len(prefix) :]] = tensor
    return found


def layers(names: dict[str, str], theirs: str = "layers", ours: str = "encoder") -> dict[str, str]:
    """The names of two layers."""
    return {f"{theirs}.{n}.{a}": f"{ours}.{n}.{b}" for n in range(2) for a, b in names.items()}


def check(found: Tensor, wanted: Tensor, bar: float = 1e-4) -> None:
    assert found.shape == wanted.shape
    assert (found - wanted).abs().max() <= bar * wanted.std()


PROJECTIONS = {"q_proj": "query", "k_proj": "key", "v_proj": "value", "o_proj": "out"}
NORMS = {"q_norm": "query_norm", "k_norm": "key_norm"}


def order(length: int, window: int | None = None) -> Tensor:
    """Their causal mask, which is added: [1, 1, Q, K]."""
    distance = torch.arange(length).unsqueeze(1) - torch.arange(length)
    shown = (distance >= 0) & (distance < (window or length))
    return torch.zeros(1, 1, length, length).masked_fill(~shown, torch.finfo(torch.float32).min)


@pytest.mark.parametrize("window", [None, 7])
@torch.no_grad()
def test_sinks_of_gpt_oss(window: int | None) -> None:
    from transformers.models.gpt_oss.modeling_gpt_oss import GptOssAttention, GptOssConfig, GptOssRotaryEmbedding

    yarn = {"rope_type": "yarn", "factor": 5.0, "beta_fast": 9.0, "beta_slow": 1.2, "truncate": False}
    rope = yarn | {"rope_theta": 900.0, "original_max_position_embeddings": 256}
    kinds = ["full_attention" if window is None else "sliding_attention"]
    sizes = COMMON | {"num_hidden_layers": 1, "head_dim": 6, "layer_types": kinds}
    config = GptOssConfig(**sizes, rope_parameters=rope, sliding_window=window or 99, attn_implementation="eager")
    theirs = drawn(GptOssAttention(config, 0))
    ours = {"type": "yarn", "factor": 5.0, "beta_fast": 9.0, "beta_slow": 1.2, "truncate": False, "theta": 900.0}
    ours["original_length"] = 256
    mine = Attention(WIDTH, HEADS, kv_heads=2, head_dim=6, causal=True, window=window, sinks=True, rope=ours).eval()
    copied(mine, theirs, PROJECTIONS | {"sinks": "sinks"})
    x = torch.randn(2, LENGTH, WIDTH, generator=torch.Generator().manual_seed(1))
    turns = GptOssRotaryEmbedding(config)(x, torch.arange(LENGTH).unsqueeze(0))
    wanted, _ = theirs(x, turns, order(LENGTH, window))
    check(mine(x), wanted)
    cache = mine.new_cache(2, LENGTH)
    check(torch.cat([mine(x[:, n : n + 1], cache=cache) for n in range(LENGTH)], 1), wanted)
    mine.sinks.add_(0.01)
    assert (mine(x) - wanted).abs().max() > 1e-4 * wanted.std()


@pytest.mark.parametrize("family", ["olmo", "olmoe"])
@torch.no_grad()
def test_clip_of_olmo(family: str) -> None:
    """OLMoE clips after the norms of queries and keys; OLMo has none."""
    from transformers.models.olmo import modeling_olmo as olmo
    from transformers.models.olmoe import modeling_olmoe as olmoe

    rope = {"rope_type": "default", "rope_theta": 500.0}
    more: dict[str, Any] = {"rope_parameters": rope, "clip_qkv": 0.6, "attn_implementation": "eager"}
    sizes = {name: value for name, value in COMMON.items() if name != "rms_norm_eps"}
    if family == "olmo":
        config: Any = olmo.OlmoConfig(**sizes, **more)
        theirs, turn = olmo.OlmoAttention(config, 0), olmo.OlmoRotaryEmbedding(config)
    else:
        config = olmoe.OlmoeConfig(**COMMON, **more)
        theirs, turn = olmoe.OlmoeAttention(config, 0), olmoe.OlmoeRotaryEmbedding(config)
    drawn(theirs)
    norm = None if family == "olmo" else {"type": "rms_norm", "over": "all", "eps": 3e-3}
    o: dict[str, Any] = {"kv_heads": 2, "causal": True, "rope": {"theta": 500.0}, "qk_norm": norm}
    x = torch.randn(2, LENGTH, WIDTH, generator=torch.Generator().manual_seed(1))
    wanted, _ = theirs(x, turn(x, torch.arange(LENGTH).unsqueeze(0)), order(LENGTH))
    for fused in (True, False):
        mine = Attention(WIDTH, HEADS, clip=0.6, fused=fused, **o).eval()
        copied(mine, theirs, PROJECTIONS | NORMS)
        check(mine(x), wanted)
    other = Attention(WIDTH, HEADS, clip=0.62, **o).eval()
    other.load_state_dict(mine.state_dict())
    assert (other(x) - wanted).abs().max() > 1e-4 * wanted.std()


LLAMA = """
blockgraph: 1
vars: {width: 32, heads: 4, rope: {}}
defaults: {rms_norm: {eps: 3e-3}}
blocks:
  Layer:
    nodes:
      norm1: rms_norm
      attn:  {type: attention, heads: =heads, kv_heads: 2, bias: true, causal: true, rope: =rope}
      add1:  {type: add, in: [x, attn]}
      norm2: rms_norm
      ffn:   {type: ffn, hidden: 24, activation: silu, gated: true, bias: false}
      add2:  {type: add, in: [add1, ffn]}
inputs: {tokens: {tokens: 53, axis: T}}
nodes:
  embed:   {type: embedding, width: =width}
  decoder: {type: Layer, repeat: 2}
  norm:    rms_norm
  logits:  {type: linear, width: 53, bias: false}
"""
LLAMA_NAMES = {"model.embed_tokens": "embed", "model.norm": "norm", "lm_head": "logits"}
LLAMA_LAYER = {
    "input_layernorm": "norm1",
    "post_attention_layernorm": "norm2",
    "mlp.gate_proj": "ffn.gate",
    "mlp.up_proj": "ffn.up",
    "mlp.down_proj": "ffn.down",
    **{f"self_attn.{theirs}": f"attn.{ours}" for theirs, ours in PROJECTIONS.items()},
}
# ours; theirs is the same with other names, and `max_position_embeddings` the longest text
ROPES: list[tuple[dict[str, Any], int]] = [
    ({"type": "linear", "factor": 3.0}, 64),
    ({"type": "dynamic", "factor": 3.0, "original_length": 24}, 24),
    ({"type": "llama3", "factor": 6.0, "low_freq_factor": 1.2, "high_freq_factor": 3.0, "original_length": 24}, 144),
    ({"type": "yarn", "factor": 6.0, "original_length": 24, "beta_fast": 5.0, "beta_slow": 0.5}, 144),
    ({"type": "yarn", "factor": 6.0, "original_length": 24, "attention_factor": 1.4, "truncate": False}, 144),
    ({"type": "longrope", "short_factor": SHORT, "long_factor": LONG, "original_length": 24, "max_length": 96}, 96),
]


@pytest.mark.parametrize(("rope", "longest"), ROPES, ids=lambda o: o["type"] if isinstance(o, dict) else "")
@torch.no_grad()
def test_a_llama_with_scaled_rope(rope: dict[str, Any], longest: int) -> None:
    from transformers import LlamaConfig, LlamaForCausalLM

    theirs = {"type": "rope_type", "original_length": "original_max_position_embeddings"}
    unknown = {"max_length"} | ({"original_length"} if rope["type"] == "dynamic" else set())
    numbers = {theirs.get(name, name): value for name, value in rope.items() if name not in unknown}
    numbers["rope_theta"] = 300.0
    config = LlamaConfig(**COMMON, rope_parameters=numbers, max_position_embeddings=longest)
    reference = drawn(LlamaForCausalLM(config))
    model = blockgraph.build(LLAMA, sets=[f"vars.rope={{theta: 300.0, {_flow(rope)}}}"]).eval()
    copied(model, reference, LLAMA_NAMES | layers(LLAMA_LAYER, "model.layers", "decoder"))
    tokens = torch.randint(53, (2, LENGTH), generator=torch.Generator().manual_seed(2))
    for length in (9, 24, LENGTH):
        check(model(tokens[:, :length]), reference(tokens[:, :length]).logits)


def _flow(rope: dict[str, Any]) -> str:
    return ", ".join(f"{name}: {str(value).lower()}" for name, value in rope.items())


VIT = """
blockgraph: 1
vars: {width: 32, layers: 2}
defaults: {layer_norm: {eps: 3e-3}, attention: {heads: 4}}
blocks:
  Layer:
    nodes:
      norm1: layer_norm
      attn:  attention
      add1:  {type: add, in: [x, attn]}
      norm2: layer_norm
      ffn:   {type: ffn, hidden: 24, activation: gelu}
      add2:  {type: add, in: [add1, ffn]}
inputs: {image: {shape: [2, 12, 18]}}
nodes:
  patches:   {type: patches, width: =width, size: 6}
  cls:       {type: parameter, shape: [1, =width]}
  sequence:  {type: concat, in: [cls, patches], along: positions}
  positions: {type: positions, kind: learned}
  encoder:   {type: Layer, repeat: =layers}
  norm:      layer_norm
"""


VIT_NAMES = {
    "embeddings.cls_token": "cls.weight",
    "embeddings.position_embeddings": "positions.weight",
    "embeddings.patch_embeddings.projection": "patches",
    "layernorm.": "norm.",
}
VIT_LAYER = {
    "attention.q_proj": "attn.query",
    "attention.k_proj": "attn.key",
    "attention.v_proj": "attn.value",
    "attention.o_proj": "attn.out",
    "layernorm_before": "norm1",
    "layernorm_after": "norm2",
    "mlp.fc1": "ffn.up",
    "mlp.fc2": "ffn.down",
}


@torch.no_grad()
def test_a_vit() -> None:
    from transformers import ViTConfig, ViTModel

    sizes: dict[str, Any] = {name: COMMON[name] for name in ("hidden_size", "num_attention_heads", "intermediate_size")}
    sizes |= {"num_hidden_layers": 2, "image_size": (12, 18), "patch_size": 6, "num_channels": 2}
    reference = drawn(ViTModel(ViTConfig(**sizes, layer_norm_eps=3e-3), add_pooling_layer=False))
    for name in ("cls_token", "position_embeddings"):
        weight = getattr(reference.embeddings, name)
        weight.data = weight.data[0]  # ours have no axis of size one in front; theirs broadcast
    model = blockgraph.build(VIT).eval()
    copied(model, reference, VIT_NAMES | layers(VIT_LAYER))
    for name in ("cls_token", "position_embeddings"):
        weight = getattr(reference.embeddings, name)
        weight.data = weight.data.unsqueeze(0)
    image = torch.randn(3, 2, 12, 18, generator=torch.Generator().manual_seed(3))
    check(model(image), reference(image).last_hidden_state)


WHISPER = """
blockgraph: 1
vars: {width: 32}
blocks:
  Layer:
    nodes:
      norm1: layer_norm
      attn:  {type: attention, heads: 4, bias: {key: false}}
      add1:  {type: add, in: [x, attn]}
      norm2: layer_norm
      ffn:   {type: ffn, hidden: 24, activation: gelu}
      add2:  {type: add, in: [add1, ffn]}
inputs: {audio: {shape: [18, 5]}}
nodes:
  conv1:     {type: conv1d, width: =width}
  act1:      {type: activation, kind: gelu}
  conv2:     {type: conv1d, width: =width, stride: 2}
  act2:      {type: activation, kind: gelu}
  positions: {type: positions, kind: sinusoidal, layout: halves, endpoint: true}
  encoder:   {type: Layer, repeat: 2}
  norm:      layer_norm
"""
WHISPER_LAYER = {
    "self_attn.q_proj": "attn.query",
    "self_attn.k_proj": "attn.key",
    "self_attn.v_proj": "attn.value",
    "self_attn.out_proj": "attn.out",
    "self_attn_layer_norm": "norm1",
    "final_layer_norm": "norm2",
    "fc1": "ffn.up",
    "fc2": "ffn.down",
}


@torch.no_grad()
def test_an_encoder_of_whisper() -> None:
    from transformers.models.whisper.modeling_whisper import WhisperConfig, WhisperEncoder

    sizes: dict[str, Any] = {"d_model": WIDTH, "encoder_attention_heads": HEADS, "encoder_ffn_dim": 24}
    sizes |= {"encoder_layers": 2, "num_mel_bins": 5, "max_source_positions": 9}
    reference = WhisperEncoder(WhisperConfig(**sizes))
    table = reference.embed_positions.weight.clone()
    drawn(reference)
    reference.embed_positions.weight.copy_(table)  # frozen sines
    model = blockgraph.build(WHISPER).eval()
    state = {name: tensor for name, tensor in reference.state_dict().items() if "embed_positions" not in name}
    names = {"conv1": "conv1", "conv2": "conv2", "layer_norm": "norm"} | layers(WHISPER_LAYER)
    model.load_state_dict(renamed(state, names))
    mel = torch.randn(2, 5, 18, generator=torch.Generator().manual_seed(4))
    check(model(mel.transpose(1, 2)), reference(mel).last_hidden_state)


def test_a_convolution_hands_the_padding_mask_on() -> None:
    """With one position in view, what stands after a text changes nothing of it, at half the positions too."""
    model = blockgraph.build("""
blockgraph: 1
inputs: {tokens: {tokens: 53, axis: T}}
nodes:
  embed: {type: embedding, width: 16}
  every: {type: conv1d, width: 12, kernel: 1, stride: 2}
  attn:  {type: attention, heads: 3}
  same:  {type: conv1d, width: 12, kernel: 1}
  mean:  {type: pool, take: mean}
""").eval()
    tokens = torch.randint(53, (2, 11), generator=torch.Generator().manual_seed(5))
    mask = torch.arange(11) < torch.tensor([[11], [5]])
    found = model(tokens, tokens_mask=mask)
    torch.testing.assert_close(found[:1], model(tokens[:1]))
    torch.testing.assert_close(found[1:], model(tokens[1:, :5]))
    assert not torch.allclose(found[1:], model(tokens[1:]), atol=1e-3)
