"""Attention in blocks of queries: only the keys that a sparse pattern lets a block see are read.

Axes: B batch, H heads, G key heads, T positions, D features of a head, N blocks, S positions of a block, M keys that a
block reads.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from blockgraph.blocks.elementwise import drop
from blockgraph.blocks.sparse import SparsePattern, StridedPattern

# q [·, H, Q, D], k and v [·, G, K, D], visible bool and bias float, broadcasting to [·, H, Q, K] → [·, H, Q, D]
Attend = Callable[[Tensor, Tensor, Tensor, Tensor | None, Tensor | None], Tensor]


class KeyBlocks:
    """Where the queries and keys of each block stand in a sequence of `length`.

    Positions of a class (`fold` apart) come together, each class filled up to whole blocks: `places` int [N, S] are
    the positions, beyond `length` where there is none. `table` int [N, ·] are the blocks that a block reads, `within`
    bool [N, ·] false where that is none of its class. `chosen` int [N, ·] are blocks that it sees whole.
    """

    def __init__(self, pattern: SparsePattern, length: int, device: torch.device, chosen: Tensor | None = None) -> None:
        self.pattern, self.length, self.chosen = pattern, length, chosen
        fold, size = pattern.fold, pattern.size
        each = -(-length // (fold * size))  # blocks of a class
        self.slots = each * fold * size
        places = torch.arange(self.slots, device=device)
        self.places = places.view(-1, fold).t().reshape(each * fold, size) if fold > 1 else places.view(each, size)
        inner = torch.arange(each, device=device).unsqueeze(1) + torch.tensor(list(pattern.offsets), device=device)
        self.within = ((inner >= 0) & (inner < each)).repeat(fold, 1)
        first = torch.arange(fold, device=device).view(-1, 1, 1) * each
        self.table = (inner.clamp(0, each - 1) + first).flatten(0, 1)
        if chosen is not None:
            self.table = torch.cat((self.table, chosen), dim=1)

    def cut(self, x: Tensor) -> Tensor:
        """[B, T, …] → [B, N, S, …], zeros where there is no position."""
        missing = self.slots - self.length
        if missing:
            x = F.pad(x, (0, 0) * (x.dim() - 2) + (0, missing))
        if self.pattern.fold > 1:
            x = torch.unflatten(x, 1, (-1, self.pattern.fold)).transpose(1, 2).flatten(1, 2)
        return torch.unflatten(x, 1, self.places.shape)

    def join(self, x: Tensor) -> Tensor:
        """[B, N, S, …] → [B, T, …]: the way back."""
        x = x.flatten(1, 2)
        if self.pattern.fold > 1:
            x = torch.unflatten(x, 1, (self.pattern.fold, -1)).transpose(1, 2).flatten(1, 2)
        return x[:, : self.length]

    def read(self, x: Tensor) -> Tensor:
        """[B, T, …] → [B, N, M, …]: what each block reads."""
        found = self.cut(x).index_select(1, self.table.flatten())
        return torch.unflatten(found, 1, self.table.shape).flatten(2, 3)

    def visible(self) -> Tensor:
        """Bool [N, S, M]: which of the keys that it reads a query sees; those that are `extra` stand elsewhere."""
        i, j = self.places.unsqueeze(2), self.places[self.table].flatten(1).unsqueeze(1)
        banded = self.within.shape[1] * self.pattern.size
        own = j[..., :banded]
        seen = self.pattern.sees(i, own, self.length) & self.within.repeat_interleave(self.pattern.size, 1).unsqueeze(1)
        if self.pattern.columns(self.length):
            seen = seen & ~self.pattern.is_extra(own, self.length)
        if self.chosen is not None:
            seen = torch.cat((seen, torch.ones_like(j[..., banded:]).bool().expand(-1, seen.shape[1], -1)), dim=-1)
        return seen & (j < self.length)


def attend_in_blocks(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    pattern: SparsePattern,
    attend: Attend,
    *,
    real: Tensor | None = None,
    chosen: Tensor | None = None,
) -> Tensor:
    """What `attend` gives with the pattern's mask over all pairs, from O(T · M) of them.

    q [B, H, T, D], k and v [B, G, T, D] → [B, H, T, D]. `real` bool [B, T], true = a real token. `chosen` int
    [N, ·]: blocks that each block sees whole (BigBird's draw).
    """
    if isinstance(pattern, StridedPattern):
        raise TypeError("strided attention has a path of its own: attend_strided")
    blocks = KeyBlocks(pattern, q.shape[2], q.device, chosen)
    length, places = blocks.length, blocks.places.unsqueeze(2)
    beside, bias = None, None
    if pattern.columns(length):
        extra = pattern.extra(length, q.device)
        seen = pattern.sees(places, extra, length).unsqueeze(0)
        if real is not None:
            seen = seen & real.index_select(1, extra)[:, None, None]
        beside = (k.transpose(1, 2).index_select(1, extra), v.transpose(1, 2).index_select(1, extra), seen)
        again = pattern.bias(places, extra, length)  # on extra keys only; drawn blocks take its place
        if again is not None and chosen is None:
            bias = F.pad(again.expand(*blocks.places.shape, -1), (blocks.table.shape[1] * pattern.size, 0))
    out = attend_blocks(q, k, v, blocks, attend, real=real, beside=beside, bias=bias)
    rows = pattern.rows(length, q.device)
    if rows is None:
        return out
    shown = None if real is None else real[:, None, None]
    return out.index_copy(2, rows, attend(q.index_select(2, rows), k, v, shown, None))


def attend_blocks(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    blocks: KeyBlocks,
    attend: Attend,
    *,
    real: Tensor | None = None,
    beside: tuple[Tensor, Tensor, Tensor] | None = None,
    bias: Tensor | None = None,
) -> Tensor:
    """Every block of queries over the keys that it reads, and those `beside`: keys and values [B, E, G, D], and which
    of them are seen, bool [B or 1, N, S, E]. `bias` float [N, S, M + E] is added to the scores."""
    batch, count = q.shape[0], len(blocks.places)
    keys, values = blocks.read(k.transpose(1, 2)), blocks.read(v.transpose(1, 2))  # [B, N, M, G, D]
    visible = blocks.visible().unsqueeze(0)  # [B or 1, N, S, M]
    if real is not None:
        visible = visible & blocks.read(real).unsqueeze(2)
    if beside is not None:
        more_keys, more_values, seen = beside
        keys, values = (
            torch.cat((own, more.unsqueeze(1).expand(-1, count, -1, -1, -1)), dim=2)
            for own, more in ((keys, more_keys), (values, more_values))
        )
        size = max(len(visible), len(seen))
        visible = torch.cat((visible.expand(size, -1, -1, -1), seen.expand(size, -1, -1, -1)), dim=-1)
    visible = visible.expand(batch, -1, -1, -1).flatten(0, 1).unsqueeze(1)  # [B·N, 1, S, M]
    if bias is not None:
        bias = bias.unsqueeze(0).expand(batch, -1, -1, -1).flatten(0, 1).unsqueeze(1)
    queries = blocks.cut(q.transpose(1, 2)).flatten(0, 1).transpose(1, 2)  # [B·N, H, S, D]
    keys, values = (part.flatten(0, 1).transpose(1, 2) for part in (keys, values))
    out = attend(queries, keys, values, visible, bias).transpose(1, 2)  # [B·N, S, H, D]
    return blocks.join(torch.unflatten(out, 0, (batch, count))).transpose(1, 2)


def attend_strided(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    pattern: StridedPattern,
    *,
    scale: float,
    real: Tensor | None = None,
    dropout: float = 0.0,
) -> Tensor:
    """Strided attention written out: scores of near keys and of a query's own column share one softmax.

    q [B, H, T, D], k and v [B, G, T, D] → [B, H, T, D]. Keys are cut into rows of `stride`; a column is what stands
    `stride` apart. O(T · (stride + T / stride)) scores instead of T² (Child et al. 2019, §4.2).
    """
    groups = q.shape[1] // k.shape[1]
    if groups > 1:
        k, v = k.repeat_interleave(groups, dim=1), v.repeat_interleave(groups, dim=1)
    blocks = KeyBlocks(pattern, q.shape[2], q.device)
    rows, columns = (blocks.cut(x.transpose(1, 2)).permute(0, 3, 1, 2, 4) for x in (q, k))  # [B, H, N, S, D]
    near = [blocks.read(x.transpose(1, 2)).permute(0, 3, 1, 2, 4) for x in (k, v)]  # [B, H, N, M, D]
    distant = blocks.cut(v.transpose(1, 2)).permute(0, 3, 2, 1, 4)  # [B, H, S, N, D]
    beside = rows @ near[0].transpose(-2, -1)  # [B, H, N, S, M]
    above = (rows.transpose(2, 3) @ columns.permute(0, 1, 3, 4, 2)).transpose(2, 3)  # [B, H, N, S, N]
    scores = torch.cat((beside, above), dim=-1).to(torch.promote_types(q.dtype, torch.float32)) * scale
    visible = _strided_visible(blocks, pattern, real)
    weights = torch.softmax(scores.masked_fill(~visible, torch.finfo(scores.dtype).min), dim=-1)
    weights = weights.masked_fill(~visible, 0.0)
    weights = (drop(weights, dropout) if dropout else weights).to(v.dtype)
    beside, above = torch.split(weights, [near[0].shape[3], len(blocks.places)], dim=-1)
    out = beside @ near[1] + (above.transpose(2, 3) @ distant).transpose(2, 3)  # [B, H, N, S, D]
    return blocks.join(out.permute(0, 2, 3, 1, 4)).transpose(1, 2)


def _strided_visible(blocks: KeyBlocks, pattern: StridedPattern, real: Tensor | None) -> Tensor:
    """Bool [B or 1, 1, N, S, M + N]: the near keys less than `stride` away, then those of the column further away."""
    i, j = blocks.places.unsqueeze(2), blocks.places[blocks.table].flatten(1).unsqueeze(1)
    near = blocks.visible() & ((i - j).abs() < pattern.stride)
    row = torch.arange(len(blocks.places), device=near.device)
    above = (row.unsqueeze(1) > row) if pattern.causal else (row.unsqueeze(1) != row)
    place = blocks.places.t().unsqueeze(0)  # [1, S, N]: the keys of a query's column
    far = above.unsqueeze(1) & (place < blocks.length)
    if real is None:
        return torch.cat((near, far), dim=-1)[None, None]
    near = near & blocks.read(real).unsqueeze(2)
    far = far & blocks.cut(real).transpose(1, 2).unsqueeze(1)
    return torch.cat((near, far), dim=-1).unsqueeze(1)
