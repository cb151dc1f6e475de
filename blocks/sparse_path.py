"""How a sparse pattern is computed: one kernel on a GPU, blocks of queries elsewhere, a mask over all pairs where that
is less or somebody else hides pairs too. All give the same numbers."""

from __future__ import annotations

import torch
from torch import Tensor

from blockgraph.blocks.banded import Attend, attend_in_blocks, attend_strided
from blockgraph.blocks.flex import FlexKernel
from blockgraph.blocks.sparse import BigBirdPattern, SparsePattern, StridedPattern
from blockgraph.blocks.state import KeyValueCache


class PlacedCache(KeyValueCache):
    """All keys and values, for a pattern that counts from the first position: padding before it would shift it."""

    pads_left = False


class SparsePath:
    """The ways of one pattern. `written_out`: the scores are changed in ways that the kernels lack (softcap, sinks)."""

    def __init__(self, pattern: SparsePattern, *, scale: float, dropout: float, written_out: bool) -> None:
        self.pattern, self.flex = pattern, FlexKernel(pattern)
        self.scale, self.dropout, self.written_out = scale, dropout, written_out

    def pays(self, q: Tensor, k: Tensor) -> bool:
        """Whether blocks of queries cost less than a mask over all pairs.

        An exported graph serves all lengths, so it keeps the mask. The least length comes first, so that the compiled
        code of short texts does not depend on the pattern's numbers.
        """
        length = q.shape[2]
        if torch.compiler.is_exporting() or length < 256 or length != k.shape[2] or not self.pattern.pays(length):
            return False
        return not (self.written_out and isinstance(self.pattern, StridedPattern))

    def attend(self, q: Tensor, k: Tensor, v: Tensor, real: Tensor | None, attend: Attend, training: bool) -> Tensor:
        """q [B, H, T, D], k and v [B, G, T, D] → [B, H, T, D]; `real` bool [B, T], true = a real token."""
        dropout = self.dropout if training else 0.0
        chosen = self.draw(k, training)
        lacking = dropout or self.written_out or chosen is not None or q.shape[-1] < 16  # what the kernel cannot do
        if q.is_cuda and not lacking and not torch.compiler.is_compiling():  # it is a compiled graph of its own
            return self.flex(q, k, v, scale=self.scale, real=real)
        if isinstance(self.pattern, StridedPattern):
            return attend_strided(q, k, v, self.pattern, scale=self.scale, real=real, dropout=dropout)
        return attend_in_blocks(q, k, v, self.pattern, attend, real=real, chosen=chosen)

    def masks(self, q: Tensor, k: Tensor, start: int, training: bool) -> tuple[Tensor | None, Tensor | None]:
        """Which of all pairs are seen, bool [Q, K], and what is added to their scores; queries begin at `start`."""
        length = k.shape[2]
        if torch.compiler.is_exporting():
            return self._exported(q, length, start)
        if not self.pattern.active(length):
            return None, None
        chosen = self.draw(k, training)
        i = torch.arange(start, start + q.shape[2], device=q.device).unsqueeze(1)
        j = torch.arange(length, device=q.device)
        visible = self.pattern.sees(i, j, length)
        if chosen is None:
            return visible, self.pattern.bias(i, j, length)
        blocks = torch.zeros(len(chosen), len(chosen), dtype=torch.bool, device=q.device).scatter(1, chosen, True)
        return visible | blocks[i // self.pattern.size, j // self.pattern.size], None

    def _exported(self, q: Tensor, length: int, start: int) -> tuple[Tensor, Tensor | None]:
        """The same of any length: whether the pattern holds is computed in the graph."""
        i = torch.arange(start, start + q.shape[2], device=q.device).unsqueeze(1)
        j = torch.arange(length, device=q.device)
        visible, bias = self.pattern.sees(i, j, length), self.pattern.bias(i, j, length)
        short = torch.full((), length, device=q.device) <= self.pattern.shortest
        return visible | short, None if bias is None else bias.masked_fill(short, 0.0)

    def draw(self, k: Tensor, training: bool) -> Tensor | None:
        """BigBird's random blocks of this call, in training; None where there are none."""
        if training and isinstance(self.pattern, BigBirdPattern) and self.pattern.active(k.shape[2]):
            return self.pattern.draw(k.shape[2], k.device)
        return None
