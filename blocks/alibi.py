"""Attention with linear biases (Press et al. 2022, ALiBi)."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from blockgraph.blocks.canonical import DerivedBuffers


def alibi_slopes(heads: int) -> list[float]:
    """The slope of each head: 2^(-8h/n) for h = 1 … n where n is a power of two; else those of the power of two below,
    then every second one of the power above, as the paper's and BLOOM's code do. MPT's code says the same otherwise."""
    below = 2 ** math.floor(math.log2(heads))
    slopes = [2 ** (-8 * h / below) for h in range(1, below + 1)]
    return slopes + [2 ** (-4 * h / below) for h in range(1, 2 * (heads - below), 2)]


class LinearBiases(DerivedBuffers):
    """slope · (j - i) for query position i and key position j. No weights.

    `scaled`: attention adds it before it scales the scores (Falcon). `rounded`: slope · j with slope and product in
    bfloat16, and j counting real tokens only, which is how Falcon was trained; without the rounding the difference
    would be a constant per row, which softmax ignores.
    """

    slopes: Tensor

    def __init__(self, heads: int, scaled: bool = False, rounded: bool = False) -> None:
        super().__init__()
        self.heads, self.scaled, self.rounded = heads, scaled, rounded
        self.register_buffer("slopes", torch.empty(heads), persistent=False)
        self.fill_buffers()

    def fill_buffers(self, device: torch.device | None = None) -> None:
        self.slopes = torch.tensor(alibi_slopes(self.heads), device=device or self.slopes.device)

    def reset_parameters(self) -> None:
        self.fill_buffers()

    def forward(self, start: int, queries: int, places: Tensor, key_mask: Tensor | None = None) -> Tensor:
        """float32 [heads, Q, K], or [B or 1, heads, 1, K] where rounded. The first query's position is `start`, the
        keys' are `places` int64 [K]; `key_mask` bool [B, K], true = a real token."""
        if self.slopes.device != places.device:  # a meta module that was given real weights
            self.fill_buffers(places.device)
        if not self.rounded:
            distance = places.unsqueeze(0) - torch.arange(start, start + queries, device=places.device).unsqueeze(1)
            return self.slopes.view(-1, 1, 1) * distance.to(self.slopes.dtype)
        there = places.unsqueeze(0) if key_mask is None else (key_mask.cumsum(-1) - 1) * key_mask
        biases = self.slopes.bfloat16().view(-1, 1, 1) * there[:, None, None, :]
        return biases.to(self.slopes.dtype)

    def extra_repr(self) -> str:
        said = [f"{self.heads} heads"]
        said += ["scaled"] if self.scaled else []
        said += ["rounded"] if self.rounded else []
        return ", ".join(said)
