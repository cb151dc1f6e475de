"""Multi-head latent attention: keys and values come from one small latent, which is all that decoding keeps.

Axes: B batch, Q query positions, K key positions, H heads, D head_dim, R rope_dim, V value_dim, L kv_rank.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from blockgraph.blocks.canonical import CanonicalWeights
from blockgraph.blocks.kernel import attend_fused
from blockgraph.blocks.norms import RMSNorm
from blockgraph.blocks.rope import RotaryPositions
from blockgraph.blocks.state import LatentCache


class LatentAttention(CanonicalWeights):
    """softmax(scale · (q kᵀ + q_rope k_ropeᵀ)) v (DeepSeek-AI 2024, DeepSeek-V2, §2.1). x [B, T, width] → the same.

    [latent L | k_rope R] = kv_down x; k [H, D] and v [H, V] = key_up and value_up of norm(latent). `k_rope` is rotated
    and the same for all heads. [q D | q_rope R] of each head = query x, or query_up norm(query_down x) with a
    `query_rank`. Norms are RMS with `eps`. `scale` is (D + R)^-0.5 by default. `bias`: what reads x and the output
    have one, what reads a latent has none (DeepSeek-V3's code).

    `mask` bool [B, K], true = a real token. A query that sees no key gives zeros.

    With a cache (`new_cache`, causal only) K counts all positions so far. One position at a time is computed on the
    latents themselves: key_up goes to the query, value_up to the mixture (§2.1.2), so nothing is expanded.
    """

    query_weight: nn.Parameter
    query_down_weight: nn.Parameter
    query_down_bias: nn.Parameter | None
    query_up_weight: nn.Parameter
    kv_down_weight: nn.Parameter
    kv_down_bias: nn.Parameter | None
    kv_up_weight: nn.Parameter
    out_weight: nn.Parameter
    out_bias: nn.Parameter | None

    def __init__(
        self,
        width: int,
        heads: int,
        kv_rank: int,
        head_dim: int,
        rope_dim: int,
        value_dim: int,
        *,
        query_rank: int | None = None,
        rope: Mapping[str, Any] | None = None,
        causal: bool = False,
        scale: float | None = None,
        bias: bool = False,
        eps: float = 1e-6,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.heads, self.kv_rank, self.head_dim, self.rope_dim = heads, kv_rank, head_dim, rope_dim
        self.value_dim, self.query_rank, self.causal = value_dim, query_rank, causal
        self.own_scale = scale is not None
        self.scale = float((head_dim + rope_dim) ** -0.5 if scale is None else scale)
        self.dropout = float(dropout)
        self._add_queries(width, bias)
        self.query_norm = None if query_rank is None else RMSNorm(query_rank, eps=eps)
        self.add_weights("kv_down", {"kv_down": kv_rank + rope_dim}, width, bias)
        self.kv_norm = RMSNorm(kv_rank, eps=eps)
        self.add_weights("kv_up", {"key_up": heads * head_dim, "value_up": heads * value_dim}, kv_rank, False)
        self.add_weights("out", {"out": width}, heads * value_dim, bias)
        self.rope = None if rope is None else RotaryPositions(rope_dim, **rope)
        self.reset_parameters()

    def _add_queries(self, width: int, bias: bool) -> None:
        rows = self.heads * (self.head_dim + self.rope_dim)
        if self.query_rank is None:
            self.add_weights("query", {"query": rows}, width, False)
        else:
            self.add_weights("query_down", {"query_down": self.query_rank}, width, bias)
            self.add_weights("query_up", {"query_up": rows}, self.query_rank, False)

    def reset_parameters(self) -> None:
        for path, part in self.slices():
            nn.init.zeros_(part.tensor) if path.endswith("bias") else nn.init.xavier_uniform_(part.tensor)
        for child in (self.query_norm, self.kv_norm, self.rope):
            if child is not None:
                child.reset_parameters()

    def new_cache(
        self,
        batch: int,
        length: int,
        *,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> LatentCache:
        """Memory for the latents and rotated keys of `length` positions."""
        if not self.causal:
            raise ValueError("attention that is not causal cannot decode step by step: it looks ahead")
        device, dtype = device or self.out_weight.device, dtype or self.out_weight.dtype
        return LatentCache(batch, length, self.kv_rank + self.rope_dim, device=device, dtype=dtype)

    def forward(self, x: Tensor, *, mask: Tensor | None = None, cache: LatentCache | None = None) -> Tensor:
        start = 0 if cache is None else cache.length
        q, q_rope = self.queries(x, start)
        kept = self.latents(x, start)
        if cache is not None:
            kept = cache.update(kept)
        visible = None if mask is None else mask[:, None, None]
        if cache is not None and x.shape[1] == 1:
            out = self._absorbed(q, q_rope, kept, visible)
        else:
            out = self._expanded(q, q_rope, kept, visible, start)
        return F.linear(out, self.out_weight, self.out_bias)

    def queries(self, x: Tensor, start: int = 0) -> tuple[Tensor, Tensor]:
        """[B, Q, width] → [B, Q, H, D] and, rotated from position `start` on, [B, Q, H, R]."""
        if self.query_norm is None:
            q = F.linear(x, self.query_weight)
        else:
            low = self.query_norm(F.linear(x, self.query_down_weight, self.query_down_bias))
            q = F.linear(low, self.query_up_weight)
        heads = q.view(q.shape[0], q.shape[1], self.heads, -1)
        q, q_rope = torch.split(heads, [self.head_dim, self.rope_dim], dim=-1)
        return q, q_rope if self.rope is None else self.rope(q_rope.contiguous(), start)

    def latents(self, x: Tensor, start: int = 0) -> Tensor:
        """[B, T, width] → [B, T, L + R]: the normed latent, and the key that all heads share, rotated."""
        down = F.linear(x, self.kv_down_weight, self.kv_down_bias)
        latent, key = torch.split(down, [self.kv_rank, self.rope_dim], dim=-1)
        if self.rope is not None:
            key = self.rope(key.unsqueeze(2).contiguous(), start).squeeze(2)
        return torch.cat((self.kv_norm(latent), key), dim=-1)

    def _expanded(self, q: Tensor, q_rope: Tensor, kept: Tensor, visible: Tensor | None, start: int) -> Tensor:
        """Keys and values of every head, then ordinary attention: [B, Q, H·V]."""
        latent, shared = torch.split(kept, [self.kv_rank, self.rope_dim], dim=-1)
        keys, values = torch.split(F.linear(latent, self.kv_up_weight), self._rows(), dim=-1)
        keys, values = (torch.unflatten(part, -1, (self.heads, -1)) for part in (keys, values))
        shared = shared.unsqueeze(2).expand(-1, -1, self.heads, -1)
        query, key = (torch.cat(parts, dim=-1).transpose(1, 2) for parts in ((q, q_rope), (keys, shared)))
        fresh = self.causal and visible is None and start == 0
        if self.causal and not fresh:
            here = torch.arange(start, start + q.shape[1], device=q.device).unsqueeze(1)
            past = here >= torch.arange(kept.shape[1], device=q.device)
            visible = past if visible is None else visible & past
        return self._attend(query, key, values.transpose(1, 2), visible, fresh).transpose(1, 2).flatten(2)

    def _absorbed(self, q: Tensor, q_rope: Tensor, kept: Tensor, visible: Tensor | None) -> Tensor:
        """One position: heads are queries of one attention over the latents. [B, 1, H·V]."""
        parts = torch.split(self.kv_up_weight, self._rows())
        key_up, value_up = (torch.unflatten(part, 0, (self.heads, -1)) for part in parts)
        query = torch.cat((torch.einsum("bhd,hdl->bhl", q[:, 0], key_up), q_rope[:, 0]), dim=-1)
        mixed = self._attend(query.unsqueeze(1), kept.unsqueeze(1), kept[..., : self.kv_rank].unsqueeze(1), visible)
        return torch.einsum("bhl,hvl->bhv", mixed[:, 0], value_up).flatten(1).unsqueeze(1)

    def _rows(self) -> list[int]:
        return [self.heads * self.head_dim, self.heads * self.value_dim]

    def _attend(self, q: Tensor, k: Tensor, v: Tensor, visible: Tensor | None, causal: bool = False) -> Tensor:
        dropout, scale = self.dropout if self.training else 0.0, self.scale
        if self.own_scale and torch.compiler.is_compiling():
            q, scale = q * scale, 1.0  # the kernel's scale would be a constant of the graph
        return attend_fused(q, k, v, mask=visible, causal=causal, scale=scale, dropout=dropout)

    def extra_repr(self) -> str:
        said = [f"{self.out_weight.shape[0]}, {self.heads} heads × ({self.head_dim} + {self.rope_dim} rotated)"]
        said += [f"values × {self.value_dim}", f"kv_rank={self.kv_rank}"]
        said += [] if self.query_rank is None else [f"query_rank={self.query_rank}"]
        said += ["causal"] if self.causal else []
        said += [f"dropout={self.dropout:g}"] if self.dropout else []
        return ", ".join(said)
