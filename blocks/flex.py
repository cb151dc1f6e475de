"""Sparse attention as one kernel on a GPU: FlexAttention, which skips blocks of 128 × 128 that a pattern hides."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn.attention.flex_attention import BlockMask, create_block_mask, flex_attention

from blockgraph.blocks.sparse import SparsePattern


class FlexKernel:
    """A pattern's masks by length, and the kernel; compiled at the first call on a GPU, and once for all lengths.

    Copies and pickles of it start empty.
    """

    def __init__(self, pattern: SparsePattern) -> None:
        self.pattern = pattern
        self.masks: dict[tuple[int, torch.device], BlockMask] = {}
        self.compiled: Any = None

    def __reduce__(self) -> tuple[Any, tuple[SparsePattern]]:
        return FlexKernel, (self.pattern,)

    def mask(self, length: int, device: torch.device) -> BlockMask:
        """Which blocks hold a pair that is seen, and the rule inside them; made once for a length."""
        key = (length, device)
        if key not in self.masks:
            pattern = self.pattern

            def seen(batch: Tensor, head: Tensor, i: Tensor, j: Tensor) -> Tensor:
                return pattern.sees(i, j, length)

            if len(self.masks) >= 16:  # texts of many lengths
                self.masks.clear()
            self.masks[key] = create_block_mask(seen, None, None, length, length, device=device)
        return self.masks[key]

    def __call__(self, q: Tensor, k: Tensor, v: Tensor, *, scale: float, real: Tensor | None = None) -> Tensor:
        """q [B, H, T, D], k and v [B, G, T, D] → [B, H, T, D]; `real` bool [B, T], true = a real token."""
        length, pattern = q.shape[2], self.pattern

        def score(value: Tensor, batch: Tensor, head: Tensor, i: Tensor, j: Tensor) -> Tensor:
            more = pattern.bias(i, j, length)
            value = value if more is None else value + more
            return value if real is None else torch.where(real[batch, j], value, -float("inf"))

        out: Tensor = self._kernel(q.device)(
            q,
            k,
            v,
            score_mod=score if pattern.biased or real is not None else None,
            block_mask=self.mask(length, q.device),
            scale=scale,
            enable_gqa=q.shape[1] != k.shape[1],
        )
        return out

    def _kernel(self, device: torch.device) -> Any:
        if device.type != "cuda":
            return flex_attention
        if self.compiled is None:
            self.compiled = torch.compile(flex_attention)
        return self.compiled
