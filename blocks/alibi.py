"""Attention with linear biases (Press et al. 2022, ALiBi)."""

from __future__ import annotations

import math

from torch import Tensor


def alibi_slopes(heads: int) -> list[float]:
    """The slope of each head: 2^(-8h/n) for h = 1 … n where n is a power of two; else those of the power of two below,
    then every second one of the power above, as the paper's and BLOOM's code do."""
    below = 2 ** math.floor(math.log2(heads))
    slopes = [2 ** (-8 * h / below) for h in range(1, below + 1)]
    return slopes + [2 ** (-4 * h / below) for h in range(1, 2 * (heads - below), 2)]


def alibi_bias(slopes: Tensor, queries: Tensor, keys: Tensor) -> Tensor:
    """slope · (j - i) for query position i [Q] and key position j [K]: float32 [heads, Q, K].

    Up to a constant per row, which softmax ignores, this is BLOOM's slope · j.
    """
    distance = (keys.unsqueeze(0) - queries.unsqueeze(1)).to(slopes.dtype)
    return slopes.view(-1, 1, 1) * distance
