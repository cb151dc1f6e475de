"""Joining and cutting values along the features or the positions, and the padding masks with them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from blockgraph.blocks.elementwise import Weightless

JOINING_AXES = {"features": -1, "positions": -2}


def joining_axis(along: str) -> int:
    if along not in JOINING_AXES:
        raise ValueError(f"along is features or positions, not {along!r}")
    return JOINING_AXES[along]


def broadcast_sizes(shapes: Sequence[Sequence[int]]) -> tuple[int, ...]:
    """What the shapes broadcast to, aligned from the right."""
    return tuple(torch.broadcast_shapes(*shapes))  # type: ignore[no-untyped-call]


class Concat(Weightless):
    """Join along the last axis (`features`) or the one before (`positions`); all other axes broadcast from the right.

    [B, T₁, width], [B, T₂, width] → [B, T₁ + T₂, width]; a parameter [M, width] joins every sequence.
    """

    def __init__(self, along: str = "features") -> None:
        super().__init__()
        self.along, self.axis = along, joining_axis(along)

    def forward(self, *x: Tensor) -> Tensor:
        if all(t.shape == x[0].shape for t in x):
            return torch.cat(x, dim=self.axis)
        others = broadcast_sizes([t.shape[: self.axis] for t in x])
        if self.axis == -1:
            return torch.cat([t.expand(*others, t.shape[-1]) for t in x], dim=-1)
        width = broadcast_sizes([t.shape[-1:] for t in x])
        return torch.cat([t.expand(*others, t.shape[-2], *width) for t in x], dim=-2)

    def masks(self, inputs: Sequence[Tensor], masks: Sequence[Tensor | None]) -> Tensor | None:
        """The result's padding mask, bool [B, positions]; None where no input has one. Inputs without one are real."""
        known = [mask for mask in masks if mask is not None]
        if not known:
            return None
        if self.axis == -1:
            joined = known[0]
            for mask in known[1:]:
                joined = joined & mask
            return joined
        batch, like = known[0].shape[0], known[0]
        parts = [
            like.new_ones(batch, x.shape[-2]) if mask is None else mask for x, mask in zip(inputs, masks, strict=True)
        ]
        return torch.cat(parts, dim=1)

    def extra_repr(self) -> str:
        return self.along


class Split(Weightless):
    """Cut along the last axis (`features`) or the one before (`positions`) into consecutive parts: a tuple of views.

    `sizes` are their lengths; None, at most once, takes what the others leave. ValueError where they don't fit.
    """

    def __init__(self, sizes: Sequence[int | None], along: str = "features") -> None:
        super().__init__()
        if sum(size is None for size in sizes) > 1:
            raise ValueError("only one part can take the rest")
        self.given = tuple(sizes)
        self.along, self.axis = along, joining_axis(along)

    def sizes(self, total: int) -> list[int]:
        rest = total - sum(size for size in self.given if size is not None)
        if rest < 0 or (rest and None not in self.given):
            raise ValueError(f"{self.along} of size {total} do not split into {self.given}")
        return [rest if size is None else size for size in self.given]

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        return tuple(torch.split(x, self.sizes(x.shape[self.axis]), dim=self.axis))

    def masks(self, inputs: Sequence[Tensor], masks: Sequence[Tensor | None]) -> tuple[Tensor | None, ...]:
        """Each part's padding mask, bool [B, its positions], or None."""
        mask = masks[0]
        if mask is None or self.axis == -1:
            return (mask,) * len(self.given)
        return tuple(torch.split(mask, self.sizes(mask.shape[1]), dim=1))

    def extra_repr(self) -> str:
        return f"{', '.join('rest' if size is None else str(size) for size in self.given)} along {self.along}"
