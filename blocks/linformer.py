"""Attention over positions that were projected to a few.

Axes: B batch, T positions, R rank, H heads, D features of a head.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from blockgraph.blocks.canonical import CanonicalWeights
from blockgraph.blocks.kernel import attend_fused


class LinformerAttention(CanonicalWeights):
    """softmax(q (E k)ᵀ / √D) (F v) per head, E and F [R, T] (Wang et al. 2020, eq. 7). x [B, T, width] → the same.

    E and F are `key_positions` and `value_positions`, [R, length]: of a shorter text their first T columns count, a
    longer one is refused. `share` "heads": all heads use the same two; "none": each its own, [H · R, length];
    "key_value": one matrix `positions` is both, for all heads (§4, "Additional Efficiency Techniques").

    `mask` bool [B, T], true = a real token; keys and values elsewhere are zero before they are projected. All
    projections start Xavier-uniform, biases zero.
    """

    qkv_weight: nn.Parameter
    qkv_bias: nn.Parameter | None
    positions_weight: nn.Parameter
    out_weight: nn.Parameter
    out_bias: nn.Parameter | None

    def __init__(
        self,
        width: int,
        heads: int,
        length: int,
        rank: int,
        *,
        share: str = "heads",
        bias: bool = True,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if width % heads:
            raise ValueError(f"{heads} heads do not divide the width {width}")
        if share not in ("none", "heads", "key_value"):
            raise ValueError(f"share is none | heads | key_value, not {share!r}")
        self.heads, self.length, self.rank, self.share, self.dropout = heads, length, rank, share, float(dropout)
        self.add_weights("qkv", dict.fromkeys(("query", "key", "value"), width), width, bias)
        rows = heads * rank if share == "none" else rank
        names = ("positions",) if share == "key_value" else ("key_positions", "value_positions")
        self.add_weights("positions", dict.fromkeys(names, rows), length, False)
        self.add_weights("out", {"out": width}, width, bias)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        for path, part in self.slices():
            nn.init.zeros_(part.tensor) if path.endswith("bias") else nn.init.xavier_uniform_(part.tensor)

    def forward(self, x: Tensor, *, mask: Tensor | None = None) -> Tensor:
        if x.shape[1] > self.length:
            raise ValueError(f"linformer_attention has {self.length} positions, and the text has {x.shape[1]}")
        qkv = torch.unflatten(F.linear(x, self.qkv_weight, self.qkv_bias), -1, (3, self.heads, -1))
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)  # each [B, H, T, D]
        if mask is not None:
            real = mask[:, None, :, None]
            k, v = k.where(real, 0), v.where(real, 0)
        maps = torch.unflatten(self.positions_weight.narrow(1, 0, x.shape[1]), 0, (-1, self.rank))  # [matrices, R, T]
        to_keys, to_values = (maps, maps) if self.share == "key_value" else maps.chunk(2)
        out = self._attend(q, to_keys @ k, to_values @ v)  # keys and values [B, H, R, D]
        return F.linear(out.transpose(1, 2).flatten(2), self.out_weight, self.out_bias)

    def _attend(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return attend_fused(q, k, v, dropout=self.dropout if self.training else 0.0)

    def extra_repr(self) -> str:
        said = f"{self.out_weight.shape[0]}, {self.heads} heads, {self.length} positions to {self.rank}"
        return said + f", share={self.share}" + (f", dropout={self.dropout:g}" if self.dropout else "")
