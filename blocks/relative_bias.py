"""T5's relative position bias."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from blockgraph.blocks.state import PositionCache


def distance_buckets(distance: Tensor, buckets: int, max_distance: int, bidirectional: bool) -> Tensor:
    """The bucket of each j - i (Raffel et al. 2020, §2.1, and its code): int of any shape → int.

    Half the buckets are exact, half grow logarithmically up to `max_distance`; beyond it all share the last. If
    `bidirectional`, the upper half of the buckets is for keys after the query; else those fall into bucket 0.
    """
    offset = torch.zeros_like(distance)
    if bidirectional:
        buckets //= 2
        offset, distance = (distance > 0).long() * buckets, distance.abs()
    else:
        distance = (-distance).clamp(min=0)
    exact = buckets // 2
    ratio = torch.log(distance.clamp(min=1).float() / max(exact, 1)) / math.log(max_distance / max(exact, 1))
    far = (exact + (ratio * (buckets - exact)).long()).clamp(max=buckets - 1)
    return offset + torch.where(distance < exact, distance, far)


class RelativeBias(nn.Module):
    """weight[bucket(j - i)] for query i and key j: [1, heads, Q, K], to add to attention scores (Raffel et al. 2020).

    Only lengths are read: query [B, Q, …], key [B, K, …] (left open: the query's positions). weight [buckets, heads]
    starts normal with standard deviation 0.02.

    With a cache, queries continue where it stands. Keys are all positions so far, unless `key` is a source
    (`bidirectional`): its length is remembered, so that later calls may leave it out.
    """

    def __init__(self, heads: int, buckets: int = 32, max_distance: int = 128, bidirectional: bool = True) -> None:
        super().__init__()
        self.max_distance, self.bidirectional = max_distance, bidirectional
        self.weight = nn.Parameter(torch.empty(buckets, heads))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        nn.init.normal_(self.weight, std=0.02)

    def new_cache(
        self,
        batch: int,
        length: int,
        *,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> PositionCache:
        return PositionCache()

    def forward(self, query: Tensor, key: Tensor | None = None, *, cache: PositionCache | None = None) -> Tensor:
        start, count = 0 if cache is None else cache.length, query.shape[1]
        keys = self.count_keys(start + count, key, cache)
        here = torch.arange(start, start + count, device=query.device)
        distance = torch.arange(keys, device=query.device) - here.unsqueeze(1)
        bucket = distance_buckets(distance, self.weight.shape[0], self.max_distance, self.bidirectional)
        if cache is not None:
            cache.length += count
        return F.embedding(bucket, self.weight).permute(2, 0, 1).unsqueeze(0)  # [Q, K, H] → [1, H, Q, K]

    def count_keys(self, seen: int, key: Tensor | None, cache: PositionCache | None) -> int:
        if cache is None:
            return seen if key is None else key.shape[1]
        if self.bidirectional and key is not None and cache.keys is None:
            cache.keys = key.shape[1]
        return seen if cache.keys is None else cache.keys

    def extra_repr(self) -> str:
        buckets, heads = self.weight.shape
        return f"{heads} heads, {buckets} buckets to {self.max_distance}, bidirectional={self.bidirectional}"
