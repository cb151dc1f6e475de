"""Longformer's attention: a window for every position, everything for some."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from blockgraph.blocks.banded import KeyBlocks, attend_blocks
from blockgraph.blocks.canonical import CanonicalWeights
from blockgraph.blocks.kernel import attend_fused
from blockgraph.blocks.sparse import WindowPattern


class LocalGlobalAttention(CanonicalWeights):
    """Attention within abs(i - j) ≤ window / 2, and to and from global positions (Beltagy et al. 2020, §3.1).

    x [B, T, width] → the same. `global_tokens` bool [B, T], or 0 and 1: every position sees these too,
    and these see every position by projections of their own, `query_global`, `key_global` and `value_global`. All seven
    projections have a bias; weights start Xavier-uniform, biases zero. Scores are scaled by (width / heads)^-0.5.

    `mask` bool [B, T], true = a real token. A query that sees no key gives zeros.

    Long texts are computed in blocks of queries that read the windows around them and the global keys (`banded.py`).
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
        self.pattern = WindowPattern(window)
        names = ("query", "key", "value")
        self.add_weights("qkv", dict.fromkeys(names, width), width, True)
        self.add_weights("qkv_global", {f"{name}_global": width for name in names}, width, True)
        self.add_weights("out", {"out": width}, width, True)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        for path, part in self.slices():
            nn.init.zeros_(part.tensor) if path.endswith("bias") else nn.init.xavier_uniform_(part.tensor)

    def forward(self, x: Tensor, global_tokens: Tensor | None = None, *, mask: Tensor | None = None) -> Tensor:
        flags = None if global_tokens is None else global_tokens.bool()
        out = self._near(x, flags, mask) if self._pays(x, flags) else self._all(x, flags, mask)
        return F.linear(out, self.out_weight, self.out_bias)

    def _pays(self, x: Tensor, flags: Tensor | None) -> bool:
        """Whether the text is long enough for blocks. A compiled graph does not know how many positions are global."""
        if torch.compiler.is_exporting() or x.shape[1] < 256:
            return False
        return self.pattern.pays(x.shape[1]) and (flags is None or not torch.compiler.is_compiling())

    def _all(self, x: Tensor, flags: Tensor | None, real: Tensor | None) -> Tensor:
        """Masks over all pairs: [B, T, width]."""
        places = torch.arange(x.shape[1], device=x.device)
        visible = (places.unsqueeze(1) - places).abs() <= self.window // 2
        real = None if real is None else real[:, None, None]
        if flags is not None:
            visible = visible | flags[:, None, None]
        q, k, v = self._heads(F.linear(x, self.qkv_weight, self.qkv_bias))
        out = _joined(self._attend(q, k, v, visible if real is None else visible & real))
        if flags is None:
            return out
        q, k, v = self._heads(F.linear(x, self.qkv_global_weight, self.qkv_global_bias))
        return torch.where(flags.unsqueeze(-1), _joined(self._attend(q, k, v, real)), out)

    def _near(self, x: Tensor, flags: Tensor | None, real: Tensor | None) -> Tensor:
        """Windows in blocks of queries, which also read the global keys; then the rows of global queries."""
        q, k, v = self._heads(F.linear(x, self.qkv_weight, self.qkv_bias))
        blocks = KeyBlocks(self.pattern, x.shape[1], x.device)
        most = 0 if flags is None or flags.is_meta else int(flags.sum(1).max())
        if flags is None or not most:
            return _joined(attend_blocks(q, k, v, blocks, self._attend, real=real))
        places = flags.to(torch.uint8).sort(dim=1, descending=True, stable=True).indices[:, :most]  # [B, E]
        found = flags.gather(1, places)  # other texts of the batch may have fewer
        shown = found if real is None else found & real.gather(1, places)
        seen = shown[:, None, None].expand(-1, *blocks.places.shape, -1)
        beside = (_rows(k.transpose(1, 2), places), _rows(v.transpose(1, 2), places), seen)
        own = ~flags if real is None else real & ~flags
        out = _joined(attend_blocks(q, k, v, blocks, self._attend, real=own, beside=beside))
        rows = torch.where(found.unsqueeze(-1), self._global(x, places, real), _rows(out, places))
        return out.scatter(1, places.unsqueeze(-1).expand_as(rows), rows)

    def _global(self, x: Tensor, places: Tensor, real: Tensor | None) -> Tensor:
        """What the queries at `places` [B, E] see of all positions, by the global projections: [B, E, width]."""
        weights = self.qkv_global_weight.chunk(3)
        biases = self.qkv_global_bias.chunk(3)
        sources = (_rows(x, places), x, x)
        parts = (F.linear(source, w, b) for source, w, b in zip(sources, weights, biases, strict=True))
        q, k, v = (torch.unflatten(part, -1, (self.heads, -1)).transpose(1, 2) for part in parts)
        return _joined(self._attend(q, k, v, None if real is None else real[:, None, None]))

    def _heads(self, qkv: Tensor) -> tuple[Tensor, ...]:
        """[B, T, 3·width] → queries, keys and values [B, H, T, D]."""
        return torch.unflatten(qkv, -1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4).unbind(0)

    def _attend(
        self, q: Tensor, k: Tensor, v: Tensor, visible: Tensor | None = None, bias: Tensor | None = None
    ) -> Tensor:
        """[·, H, Q, D]: every head's mixture of the values that it may see."""
        return attend_fused(q, k, v, mask=visible, dropout=self.dropout if self.training else 0.0)

    def extra_repr(self) -> str:
        dropout = f", dropout={self.dropout:g}" if self.dropout else ""
        return f"{self.out_weight.shape[0]}, {self.heads} heads, window={self.window}{dropout}"


def _joined(heads: Tensor) -> Tensor:
    """[B, H, T, D] → [B, T, H·D]."""
    return heads.transpose(1, 2).flatten(2)


def _rows(x: Tensor, places: Tensor) -> Tensor:
    """The positions `places` [B, E] of [B, T, …]: [B, E, …]."""
    return x.gather(1, places.view(*places.shape, *(1,) * (x.dim() - 2)).expand(-1, -1, *x.shape[2:]))
