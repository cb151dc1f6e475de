"""Attention without a softmax: features of queries and keys whose products are the weights, so keys add up first.

Axes: B batch, T positions, H heads, D features of a head, F mapped features, N chunks, C positions of a chunk.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from blockgraph.blocks.canonical import CanonicalWeights, DerivedBuffers
from blockgraph.blocks.state import Cache

CHUNK = 64  # positions that look at each other directly; further ones meet in the running sum


class SumCache(Cache):
    """The running sum of mapped keys times values, [batch, heads, F, D + 1]; its size does not grow."""

    pads_left = True

    def __init__(
        self,
        batch: int,
        heads: int,
        features: int,
        width: int,
        *,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.sums = torch.zeros(batch, heads, features, width, device=device, dtype=dtype)

    def tensors(self) -> Iterator[Tensor]:
        yield self.sums

    def update(self, sums: Tensor, positions: int) -> None:
        self.sums = sums.detach()
        self.length += positions

    def select(self, rows: Tensor) -> None:
        self.sums = self.sums.index_select(0, rows.to(self.sums.device))


def orthogonal_features(features: int, width: int) -> Tensor:
    """Random directions [features, width], orthogonal in groups of `width`, as long as normal vectors are (Choromanski
    et al. 2021, §2.4); the same at every call."""
    random = torch.Generator().manual_seed(0)
    q, r = torch.linalg.qr(torch.randn(-(-features // width), width, width, generator=random, device="cpu"))
    q = q * r.diagonal(dim1=-2, dim2=-1).sign().unsqueeze(-2)  # else some directions are likelier than others
    lengths = torch.randn(features, width, generator=random, device="cpu").norm(dim=1, keepdim=True)
    found: Tensor = q.transpose(-2, -1).flatten(0, 1)[:features] * lengths
    return found


class LinearAttention(CanonicalWeights, DerivedBuffers):
    """Σⱼ (φ(qᵢ)·φ(kⱼ)) vⱼ / (Σⱼ φ(qᵢ)·φ(kⱼ) + eps), then the output projection (Katharopoulos et al. 2020, eq. 5).

    x [B, T, width] → the same. `causal` sums over j ≤ i. φ is `elu`: elu(x) + 1; `relu`; or `favor`: exp(ω·y - y²/2)
    with y = x / D^¼ and `features` random directions ω (default 4 · D), whose products estimate exp(q·k / √D)
    (Performer: Choromanski et al. 2021, §2.3). The directions are fixed and in no checkpoint.

    Sums come first: φ(k) vᵀ is [F, D] whatever T is. Causal: chunks of 64 positions look at each other, and at the sum
    of the chunks before. `mask` bool [B, T], true = a real token; others add nothing.

    With a cache (`new_cache`, causal only) the sum goes on from call to call: its size is the same for any length.
    """

    qkv_weight: nn.Parameter
    qkv_bias: nn.Parameter | None
    out_weight: nn.Parameter
    out_bias: nn.Parameter | None
    directions: Tensor | None

    def __init__(
        self,
        width: int,
        heads: int,
        *,
        head_dim: int | None = None,
        feature_map: str = "elu",
        features: int | None = None,
        causal: bool = False,
        bias: bool = True,
        eps: float = 1e-6,
    ) -> None:
        super().__init__()
        if feature_map not in ("elu", "relu", "favor"):
            raise ValueError(f"feature_map is elu | relu | favor, not {feature_map!r}")
        self.heads, self.head_dim, self.causal, self.eps = heads, head_dim or width // heads, causal, float(eps)
        self.feature_map = feature_map
        self.features = (features or 4 * self.head_dim) if feature_map == "favor" else self.head_dim
        inner = heads * self.head_dim
        self.add_weights("qkv", dict.fromkeys(("query", "key", "value"), inner), width, bias)
        self.add_weights("out", {"out": width}, inner, bias)
        made = None if feature_map != "favor" else torch.empty(self.features, self.head_dim)
        self.register_buffer("directions", made, persistent=False)
        self.reset_parameters()

    def fill_buffers(self, device: torch.device | None = None) -> None:
        if self.directions is not None:
            made = orthogonal_features(self.features, self.head_dim)
            self.directions = made.to(device or self.directions.device)

    def reset_parameters(self) -> None:
        self.fill_buffers()
        for path, part in self.slices():
            nn.init.zeros_(part.tensor) if path.endswith("bias") else nn.init.xavier_uniform_(part.tensor)

    def new_cache(
        self,
        batch: int,
        length: int,
        *,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> SumCache:
        """Memory for the running sum; `length` does not matter."""
        if not self.causal:
            raise ValueError("attention that is not causal cannot decode step by step: it looks ahead")
        device, dtype = device or self.out_weight.device, dtype or self.out_weight.dtype
        return SumCache(batch, self.heads, self.features, self.head_dim + 1, device=device, dtype=dtype)

    def forward(self, x: Tensor, *, mask: Tensor | None = None, cache: SumCache | None = None) -> Tensor:
        qkv = torch.unflatten(F.linear(x, self.qkv_weight, self.qkv_bias), -1, (3, self.heads, self.head_dim))
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)  # each [B, H, T, D]
        q, k = self.mapped(q, keys=False), self.mapped(k, keys=True)
        if mask is not None:
            k = k * mask[:, None, -x.shape[1] :, None]
        values = torch.cat((v, torch.ones_like(v[..., :1])), dim=-1).to(q.dtype)  # the last column counts the weights
        if self.causal:
            sums, out = self._causal(q, k, values, None if cache is None else cache.sums.to(q.dtype))
            if cache is not None:
                cache.update(sums.to(cache.sums.dtype), x.shape[1])
        else:
            out = q @ (k.transpose(-2, -1) @ values)
        mixed = (out[..., :-1] / (out[..., -1:] + self.eps)).to(x.dtype)
        return F.linear(mixed.transpose(1, 2).flatten(2), self.out_weight, self.out_bias)

    def mapped(self, x: Tensor, keys: bool) -> Tensor:
        """[B, H, T, D] → [B, H, T, F], none negative, at least float32."""
        x = x.to(torch.promote_types(x.dtype, torch.float32))
        if self.directions is None:
            return F.elu(x) + 1 if self.feature_map == "elu" else F.relu(x)
        x = x * self.head_dim**-0.25
        exponent = x @ self.directions.to(x.dtype).t() - x.square().sum(-1, keepdim=True) / 2
        if not keys:  # a query's own factor falls out of the quotient
            exponent = exponent - exponent.amax(-1, keepdim=True).detach()
        found: Tensor = torch.exp(exponent) * self.features**-0.5
        return found

    def _causal(self, q: Tensor, k: Tensor, v: Tensor, before: Tensor | None) -> tuple[Tensor, Tensor]:
        """The sum after the last position [B, H, F, D + 1], and Σ over j ≤ i [B, H, T, D + 1]."""
        length = q.shape[2]
        if torch.compiler.is_exporting():  # a graph for all lengths: one chunk, at the cost of its square
            sums = k.transpose(-2, -1) @ v
            out = (q @ k.transpose(-2, -1)).tril() @ v
            return (sums, out) if before is None else (sums + before, out + q @ before)
        chunk = min(CHUNK, length)
        count = (length + chunk - 1) // chunk
        q, k, v = (F.pad(x, (0, 0, 0, count * chunk - length)) for x in (q, k, v))
        q, k, v = (x.reshape(*x.shape[:2], count, chunk, x.shape[3]) for x in (q, k, v))  # [B, H, N, C, ·]
        sums = (k.transpose(-2, -1) @ v).cumsum(2)  # [B, H, N, F, D + 1], each with its own chunk
        if before is not None:
            sums = sums + before.unsqueeze(2)
        first = torch.zeros_like(sums[:, :, :1]) if before is None else before.unsqueeze(2)
        earlier = torch.cat((first, sums[:, :, :-1]), dim=2)
        out = q @ earlier + (q @ k.transpose(-2, -1)).tril() @ v
        return sums[:, :, -1], out.flatten(2, 3)[:, :, :length]

    def extra_repr(self) -> str:
        said = [f"{self.out_weight.shape[0]}, {self.heads} heads × {self.head_dim}, {self.feature_map}"]
        said += [f"{self.features} features"] if self.directions is not None else []
        said += ["causal"] if self.causal else []
        return ", ".join(said)
