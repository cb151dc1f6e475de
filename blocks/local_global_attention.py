"""Longformer's attention: a window for every position, everything for some."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from blockgraph.blocks.canonical import CanonicalWeights
from blockgraph.blocks.plain import attend_plain


class LocalGlobalAttention(CanonicalWeights):
    """Attention within abs(i - j) ≤ window / 2, and to and from global positions (Beltagy et al. 2020, §3.1).

    x [B, T, width] → the same. `global_tokens` bool [B, T]: every position sees these too, and these see every position
    by projections of their own, `query_global`, `key_global` and `value_global`. All seven projections have a bias;
    weights start Xavier-uniform, biases zero. Scores are scaled by (width / heads)^-0.5.

    `mask` bool [B, T], true = a real token. A query that sees no key gives zeros.

    Windows are masks over all T² scores here: exact, but no cheaper than full attention.
    """

    qkv_weight: nn.Parameter
    qkv_bias: nn.Parameter
    qkv_global_weight: nn.Parameter
    qkv_global_bias: nn.Parameter
    out_weight: nn.Parameter
    out_bias: nn.Parameter

    def __init__(self, width: int, heads: int, window: int, *, dropout: float = 0.0) -> None:
        super().__init__()
        if width % heads:
            raise ValueError(f"{heads} heads do not divide the width {width}")
        if window % 2:
            raise ValueError(f"window is cut in two halves, but {window} is odd")
        self.heads, self.window, self.dropout = heads, window, float(dropout)
        names = ("query", "key", "value")
        self.add_weights("qkv", dict.fromkeys(names, width), width, True)
        self.add_weights("qkv_global", {f"{name}_global": width for name in names}, width, True)
        self.add_weights("out", {"out": width}, width, True)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        for path, part in self.slices():
            nn.init.zeros_(part.tensor) if path.endswith("bias") else nn.init.xavier_uniform_(part.tensor)

    def forward(self, x: Tensor, global_tokens: Tensor | None = None, *, mask: Tensor | None = None) -> Tensor:
        places = torch.arange(x.shape[1], device=x.device)
        visible = (places.unsqueeze(1) - places).abs() <= self.window // 2
        real = None if mask is None else mask[:, None, None]
        if global_tokens is not None:
            visible = visible | global_tokens[:, None, None]
        local = F.linear(x, self.qkv_weight, self.qkv_bias)
        out = self._attend(local, visible if real is None else visible & real)
        if global_tokens is not None:
            own = F.linear(x, self.qkv_global_weight, self.qkv_global_bias)
            out = torch.where(global_tokens.unsqueeze(-1), self._attend(own, real), out)
        return F.linear(out, self.out_weight, self.out_bias)

    def _attend(self, qkv: Tensor, visible: Tensor | None) -> Tensor:
        """[B, T, 3·width] → [B, T, width]: every head's mixture of the values that it may see."""
        q, k, v = torch.unflatten(qkv, -1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4).unbind(0)
        dropout = self.dropout if self.training else 0.0
        if dropout and torch.compiler.is_compiling() and q.device.type == "cpu":  # see `drop`
            out = attend_plain(q, k, v, scale=q.shape[-1] ** -0.5, visible=visible, dropout=dropout)
        else:
            out = F.scaled_dot_product_attention(q, k, v, attn_mask=visible, dropout_p=dropout)
        return out.transpose(1, 2).flatten(2)

    def extra_repr(self) -> str:
        dropout = f", dropout={self.dropout:g}" if self.dropout else ""
        return f"{self.out_weight.shape[0]}, {self.heads} heads, window={self.window}{dropout}"
