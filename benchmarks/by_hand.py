"""A GPT-2 decoder as one would write it by hand: what the generated one is compared with.

Legend: B batch, T positions, D width, H heads, V vocabulary.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Attention(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:  # [B, T, D] -> [B, T, D]
        b, t, d = x.shape
        q, k, v = (
            self.qkv(x).view(b, t, 3, self.heads, d // self.heads).permute(2, 0, 3, 1, 4).unbind(0)
        )  # [B, H, T, D/H]
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.out(y.transpose(1, 2).reshape(b, t, d))


class FeedForward(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.up = nn.Linear(width, 4 * width)
        self.down = nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.down(F.gelu(self.up(x), approximate="tanh"))


class Layer(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1, self.attn = nn.LayerNorm(width), Attention(width, heads)
        self.norm2, self.ffn = nn.LayerNorm(width), FeedForward(width)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.norm1(x))
        return x + self.ffn(self.norm2(x))


class GPT(nn.Module):
    """Learned positions, pre-norm layers, tied output."""

    def __init__(self, width: int, heads: int, layers: int, vocab: int, length: int) -> None:
        super().__init__()
        self.embed, self.positions = nn.Embedding(vocab, width), nn.Embedding(length, width)
        self.layers = nn.ModuleList(Layer(width, heads) for _ in range(layers))
        self.norm = nn.LayerNorm(width)

    def forward(self, tokens: Tensor) -> Tensor:  # [B, T] -> [B, T, V]
        x = self.embed(tokens) + self.positions(torch.arange(tokens.shape[1], device=tokens.device))
        for layer in self.layers:
            x = layer(x)
        return F.linear(self.norm(x), self.embed.weight)

    def take(self, ours: dict[str, Tensor]) -> None:
        """Copies the weights of the same model built from YAML (its canonical names)."""
        state = {"embed.weight": ours["embed.weight"], "positions.weight": ours["positions.weight"]}
        state |= {f"norm.{kind}": ours[f"norm.{kind}"] for kind in ("weight", "bias")}
        for i in range(len(self.layers)):
            for kind in ("weight", "bias"):
                there, here = f"decoder.{i}.", f"layers.{i}."
                state[f"{here}attn.qkv.{kind}"] = torch.cat(
                    [ours[f"{there}attn.{name}.{kind}"] for name in ("query", "key", "value")]
                )
                for name in ("attn.out", "norm1", "norm2", "ffn.up", "ffn.down"):
                    state[f"{here}{name}.{kind}"] = ours[f"{there}{name}.{kind}"]
        self.load_state_dict(state)


SPEC = """\
blockgraph: 1
name: gpt
vars: {{width: {width}, heads: {heads}, layers: {layers}, vocab: {vocab}, length: {length}, bias: {bias}}}
defaults:
  layer_norm: {{bias: =bias}}
  attention: {{heads: =heads, bias: =bias}}
  ffn: {{hidden: =4*width, activation: {activation}, bias: =bias}}
blocks:
  Layer:
    nodes:
      norm1: layer_norm
      attn: {{type: attention, causal: true}}
      add1: {{type: add, in: [x, attn]}}
      norm2: layer_norm
      ffn: ffn
      add2: {{type: add, in: [add1, ffn]}}
inputs: {{tokens: {{tokens: =vocab, axis: T}}}}
nodes:
  embed: {{type: embedding, width: =width}}
  positions: {{type: positions, kind: learned, length: =length}}
  decoder: {{type: Layer, repeat: =layers}}
  norm: layer_norm
  logits: {{type: linear, tie: embed, bias: false}}
init:
  "*.attn.out.weight": {{type: normal, std: "=0.02 / sqrt(2 * layers)"}}
  "*.ffn.down.weight": {{type: normal, std: "=0.02 / sqrt(2 * layers)"}}
  "*.bias": zeros
  "*": {{type: normal, std: 0.02}}
"""


def spec_text(
    width: int, heads: int, layers: int, vocab: int, length: int, *, bias: bool = True, activation: str = "gelu_tanh"
) -> str:
    """The same model as YAML."""
    return SPEC.format(
        width=width,
        heads=heads,
        layers=layers,
        vocab=vocab,
        length=length,
        bias=str(bias).lower(),
        activation=activation,
    )


def built(text: str, seed: int = 0) -> nn.Module:
    """The model of a spec's text."""
    from blockgraph.builder.build import build
    from blockgraph.specs.diagnostics import Diagnostics
    from blockgraph.specs.load import load_text

    diagnostics = Diagnostics()
    spec = load_text(text, diagnostics, name="gpt")
    diagnostics.raise_errors()
    assert spec is not None
    return build(spec, seed=seed)
