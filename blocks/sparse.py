"""Which keys a query may see beside order and padding: sparse patterns, each a rule about two positions.

A pattern says it twice: `sees` for masks over all pairs, and `size`, `offsets`, `fold` and `extra` for the paths of
`banded.py`, which compute only the pairs near the diagonal and the keys that everybody sees.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

NUMBERS_OF_PATTERNS = ("window", "dilation", "block", "reach", "stride", "summary", "random", "global_tokens")


class SparsePattern:
    """A rule about positions. Queries stand in blocks of `size`; a block reads the keys up to `before` and `after` it.

    Distances are counted in positions of one class, where positions of a class are `fold` apart (dilation). `extra`
    positions are read by every block; the first `global_tokens` are, and those see everything. `sees` is exact; what a
    block reads and does not see is masked.
    """

    biased = False  # whether `bias` gives anything
    shortest = 0  # up to so many positions, all see all
    in_place = False  # whether it counts from the first position, not from the query

    def __init__(self, causal: bool, global_tokens: int, before: int, after: int, *, unit: int = 1) -> None:
        self.causal, self.global_tokens, self.fold = causal, global_tokens, 1
        self.before, self.after = before, 0 if causal else after
        wanted = min(128, max(32, (max(before, after) + 1) // 2))  # measured: half of what is seen to one side
        self.size = unit * max(1, wanted // unit)

    @property
    def placed(self) -> bool:
        """Whether a position's place in the text matters, not only how far it is from another."""
        return self.in_place or self.global_tokens > 0

    @property
    def offsets(self) -> range:
        """Which blocks a block reads, relative to it."""
        return range(-self.before // self.size, -(-self.after // self.size) + 1)

    def near(self, i: Tensor, j: Tensor) -> Tensor:
        """Bool, broadcast: the rule itself, without order and global tokens."""
        raise NotImplementedError

    def sees(self, i: Tensor, j: Tensor, length: int) -> Tensor:
        """Bool, broadcast: may query i see key j of a sequence of `length`?"""
        found = self.near(i, j)
        if self.global_tokens:
            found = found | (j < self.global_tokens) | (i < self.global_tokens)
        return found & (i >= j) if self.causal else found

    def active(self, length: int) -> bool:
        """Whether the rule holds at this length; else all see all."""
        return length > self.shortest

    def columns(self, length: int) -> int:
        """How many extra positions there are."""
        return self.global_tokens

    def extra(self, length: int, device: torch.device) -> Tensor:
        """Their places, int [columns]."""
        return torch.arange(self.global_tokens, device=device)

    def is_extra(self, j: Tensor, length: int) -> Tensor:
        return j < self.global_tokens

    def rows(self, length: int, device: torch.device) -> Tensor | None:
        """The places of queries that see everything, int; in causal order nobody looks beyond the extra keys."""
        return None if self.causal or not self.global_tokens else torch.arange(self.global_tokens, device=device)

    def bias(self, i: Tensor, j: Tensor, length: int) -> Tensor | None:
        """What is added to the scores, float, broadcast."""
        return None

    def __repr__(self) -> str:
        numbers = {name: value for name, value in vars(self).items() if name in NUMBERS_OF_PATTERNS and value}
        return " ".join(
            [type(self).__name__.removesuffix("Pattern").lower(), *(f"{n}={v}" for n, v in numbers.items())]
        )

    def pays(self, length: int) -> bool:
        """Whether blocks cost less than a mask over all pairs (measured: benchmarks/attention.py)."""
        read = len(self.offsets) * self.size + self.columns(length)
        return length >= 256 and self.active(length) and 2 * length >= 3 * read


class WindowPattern(SparsePattern):
    """The last `window` keys, or half of it on each side; of every `dilation`-th key (Beltagy et al. 2020, §3.1)."""

    def __init__(self, window: int, dilation: int = 1, *, causal: bool = False, global_tokens: int = 0) -> None:
        self.window, self.dilation, self.reach = window, dilation, window - 1 if causal else window // 2
        super().__init__(causal, global_tokens, self.reach, self.reach)
        self.fold = dilation

    def near(self, i: Tensor, j: Tensor) -> Tensor:
        distance = i - j
        found = distance.abs() <= self.reach * self.dilation
        return found if self.dilation == 1 else found & (distance % self.dilation == 0)


class NeighbourPattern(SparsePattern):
    """The own block, and `reach` blocks on each side."""

    in_place = True

    def __init__(self, block: int, reach: int, *, causal: bool = False, global_tokens: int = 0) -> None:
        self.block, self.reach = block, reach
        super().__init__(causal, global_tokens, reach * block, reach * block, unit=block)

    def near(self, i: Tensor, j: Tensor) -> Tensor:
        return (i // self.block - j // self.block).abs() <= self.reach


class StridedPattern(SparsePattern):
    """Keys less than `stride` away, and every `stride`-th (Child et al. 2019, §4.3, "strided")."""

    def __init__(self, stride: int, *, causal: bool = False, global_tokens: int = 0) -> None:
        super().__init__(causal, global_tokens, stride - 1, stride - 1)
        self.stride = self.size = stride

    def near(self, i: Tensor, j: Tensor) -> Tensor:
        distance = i - j
        return (distance.abs() < self.stride) | (distance % self.stride == 0)

    def pays(self, length: int) -> bool:
        """Scores are written out here, and lie in memory; global tokens have no place among them."""
        read = len(self.offsets) * self.stride + -(-length // self.stride)
        return length >= 256 and not self.global_tokens and length >= 3 * read


class SummaryPattern(SparsePattern):
    """The own block, and the last `summary` keys of each block (Child et al. 2019, §4.3, "fixed")."""

    in_place = True

    def __init__(self, block: int, summary: int, *, causal: bool = False, global_tokens: int = 0) -> None:
        self.block, self.summary = block, summary
        super().__init__(causal, global_tokens, 0, 0, unit=block)

    def near(self, i: Tensor, j: Tensor) -> Tensor:
        return (i // self.block == j // self.block) | self._last(j)

    def _last(self, j: Tensor) -> Tensor:
        return j % self.block >= self.block - self.summary

    def _summaries(self, length: int) -> int:
        """How many summary keys there are before position `length`."""
        return length // self.block * self.summary + max(0, length % self.block - (self.block - self.summary))

    def columns(self, length: int) -> int:
        return self.global_tokens + self._summaries(length) - self._summaries(self.global_tokens)

    def extra(self, length: int, device: torch.device) -> Tensor:
        number = torch.arange(self._summaries(self.global_tokens), self._summaries(length), device=device)
        last = number // self.summary * self.block + self.block - self.summary + number % self.summary
        return torch.cat((super().extra(length, device), last))

    def is_extra(self, j: Tensor, length: int) -> Tensor:
        return (j < self.global_tokens) | self._last(j)


class BigBirdPattern(SparsePattern):
    """The own block and its neighbours, the first and the last block, and `random` others (Zaheer et al. 2020, §2).

    Positions of the first and last block see everything. In training the random blocks are drawn anew at each call
    (`draw`), for all heads alike. In evaluation the published models read the first block in their stead: it then
    counts 1 + random times in the softmax. Up to (5 + 2 · random) · block positions, all see all.
    """

    def __init__(self, block: int, random: int) -> None:
        super().__init__(False, 0, block, block)
        self.block = self.size = block
        self.random, self.biased, self.shortest = random, random > 0, (5 + 2 * random) * block

    def _last(self, length: int) -> int:
        return (length - 1) // self.block * self.block

    def near(self, i: Tensor, j: Tensor) -> Tensor:
        return (i // self.block - j // self.block).abs() <= 1

    def sees(self, i: Tensor, j: Tensor, length: int) -> Tensor:
        return self.near(i, j) | self.is_extra(i, length) | self.is_extra(j, length)

    def columns(self, length: int) -> int:
        return self.block + length - self._last(length)

    def extra(self, length: int, device: torch.device) -> Tensor:
        last = torch.arange(self._last(length), length, device=device)
        return torch.cat((torch.arange(self.block, device=device), last))

    def is_extra(self, j: Tensor, length: int) -> Tensor:
        return (j < self.block) | (j >= self._last(length))

    def rows(self, length: int, device: torch.device) -> Tensor | None:
        return self.extra(length, device)

    def bias(self, i: Tensor, j: Tensor, length: int) -> Tensor | None:
        again = (j < self.block) & ~self.is_extra(i, length)
        return torch.where(again, math.log(1 + self.random), 0.0) if self.biased else None

    def draw(self, length: int, device: torch.device) -> Tensor | None:
        """Other blocks for every block to see, int [blocks, random], none of them seen anyway."""
        if not self.random:
            return None
        count = -(-length // self.block)
        block = torch.arange(count, device=device)
        taken = ((block.unsqueeze(1) - block).abs() <= 1) | (block == 0) | (block == count - 1)
        return torch.rand(count, count, device=device).masked_fill(taken, -1.0).topk(self.random).indices


def sparse_pattern(
    sparse: Mapping[str, Any] | None, *, window: int | None = None, causal: bool = False, global_tokens: int = 0
) -> SparsePattern | None:
    """The pattern of attention's options: `sparse` {type, …} or `window`; None for neither."""
    shared: dict[str, Any] = {"causal": causal, "global_tokens": global_tokens}
    if sparse is None:
        return None if window is None else WindowPattern(window, **shared)
    options = {name: value for name, value in sparse.items() if name != "type"}
    if sparse["type"] == "bigbird":
        return BigBirdPattern(**options)
    kinds = {"dilated": WindowPattern, "strided": StridedPattern, "fixed": SummaryPattern, "blocks": NeighbourPattern}
    if sparse["type"] not in kinds:
        raise ValueError(f"sparse type is bigbird, {', '.join(kinds)}, not {sparse['type']!r}")
    made: SparsePattern = kinds[sparse["type"]](**options, **shared)
    return made
