"""Absolute positions: vectors added to x, learned or sinusoidal."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from blockgraph.blocks.elementwise import drop
from blockgraph.blocks.state import PositionCache


def position_rows(mask: Tensor, offset: int) -> Tensor:
    """The table's row for each position when padding is not counted: int [B, T] of a mask [B, T], true = a real token.

    The n-th real token has row n - 1 + offset; padding has row offset - 1 (at least 0), which is OPT's rule and, with
    offset = pad + 1, RoBERTa's and M2M-100's.
    """
    counted = mask.long()
    return (counted.cumsum(1) * counted - 1 + offset).clamp(min=0)


class Positions(nn.Module):
    """Base of both: which row of the table belongs to which position, and where a cache stands.

    With `pad`, `ids` int [B, T] say what is padding, whatever the mask says: only other ids are counted.
    """

    pad_is_blank = False  # whether ids that are `pad` get no vector

    def __init__(self, width: int, offset: int, skip_padding: bool, dropout: float, pad: int | None = None) -> None:
        super().__init__()
        self.width, self.offset, self.skip_padding, self.dropout = width, offset, skip_padding, float(dropout)
        self.pad = pad

    def table(self, stop: int, like: Tensor) -> Tensor:
        """At least `stop` rows [rows, width]."""
        raise NotImplementedError

    def new_cache(
        self,
        batch: int,
        length: int,
        *,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> PositionCache:
        return PositionCache()

    def forward(
        self,
        x: Tensor,
        ids: Tensor | None = None,
        *,
        mask: Tensor | None = None,
        cache: PositionCache | None = None,
    ) -> Tensor:
        """x [B, T, width] plus its positions. With a cache they go on from its length, and a mask covers all so far;
        they count from each sequence's own beginning where the cache knows of padding before it. `ids` are x's."""
        start, count = 0 if cache is None else cache.length, x.shape[1]
        table = self.table(start + count + self.offset, x)
        if ids is not None and self.pad is not None:
            added = self._by_ids(ids != self.pad, table, cache)
        elif mask is not None and self.skip_padding:
            added = F.embedding(position_rows(mask, self.offset)[:, -count:], table)
        elif cache is not None and cache.padding is not None:
            here = torch.arange(start, start + count, device=x.device) - cache.padding.unsqueeze(1)
            added = F.embedding(here.clamp(min=0) + self.offset, table)
        else:
            added = table[self.offset + start : self.offset + start + count]
        if cache is not None:
            cache.length += count
        x = x + added
        return drop(x, self.dropout) if self.training and self.dropout else x

    def _by_ids(self, real: Tensor, table: Tensor, cache: PositionCache | None) -> Tensor:
        """The rows of positions [B, T] of which `real` ones count; a cache keeps each sequence's count."""
        counts = real.long().cumsum(1)
        if cache is not None:
            counts = counts if cache.counts is None else counts + cache.counts
            cache.counts = counts[:, -1:]
        rows = F.embedding((counts * real - 1 + self.offset).clamp(min=0), table)
        return rows * real.unsqueeze(-1) if self.pad_is_blank else rows


class LearnedPositions(Positions):
    """x + weight[position + offset]; weight [length + offset, width] (Gehring et al. 2017; GPT, BERT).

    `skip_padding` counts real tokens only, see `position_rows`; `pad` counts ids other than that one by the same rule,
    with the same row for padding (RoBERTa). Starts normal with standard deviation 0.02 (GPT-2).
    ValueError where x has more positions than the table.
    """

    def __init__(
        self,
        length: int,
        width: int,
        offset: int = 0,
        skip_padding: bool = False,
        dropout: float = 0.0,
        pad: int | None = None,
    ) -> None:
        super().__init__(width, offset, skip_padding, dropout, pad)
        self.length = length
        self.weight = nn.Parameter(torch.empty(length + offset, width))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        nn.init.normal_(self.weight, std=0.02)

    def table(self, stop: int, like: Tensor) -> Tensor:
        if stop > self.weight.shape[0]:
            raise ValueError(f"{stop - self.offset} positions, but there are learned ones for {self.length} only")
        return self.weight

    def extra_repr(self) -> str:
        pad = "" if self.pad is None else f", pad={self.pad}"
        return f"{self.length} × {self.width}, offset={self.offset}{pad}, dropout={self.dropout:g}"


class SinusoidalPositions(Positions):
    """x + sinusoids of geometrically growing wavelength, 2π … 2π·theta (Vaswani et al. 2017, §3.5). No weights.

    `layout`: `interleaved` sin, cos, sin, … (the paper) or `halves`: all sines, then all cosines (tensor2tensor,
    Marian). The n-th pair turns by theta^(-2n/width), or with `endpoint` by theta^(-n/(width/2 - 1)), so that the last
    wavelength is 2π·theta exactly (tensor2tensor, Whisper). Computed in float64 where the device has it. `length` is
    only how many positions are computed at first; any number can be asked for. With `pad`, only ids other than that
    one are counted, and padding gets no vector (M2M-100).
    """

    pad_is_blank = True

    def __init__(
        self,
        width: int,
        layout: str = "interleaved",
        endpoint: bool = False,
        theta: float = 10000.0,
        offset: int = 0,
        skip_padding: bool = False,
        dropout: float = 0.0,
        length: int | None = None,
        pad: int | None = None,
    ) -> None:
        super().__init__(width, offset, skip_padding, dropout, pad)
        if layout not in ("interleaved", "halves"):
            raise ValueError(f"layout is interleaved or halves, not {layout!r}")
        self.layout, self.endpoint, self.theta, self.length = layout, endpoint, float(theta), length
        self.log_theta = math.log(self.theta)
        self.kept: Tensor | None = None

    def reset_parameters(self) -> None:
        """Nothing to set: it has no weights."""

    def table(self, stop: int, like: Tensor) -> Tensor:
        if torch.compiler.is_compiling():
            return self.compute(stop, like)
        kept = self.kept
        if kept is None or kept.device != like.device or kept.dtype != like.dtype or len(kept) < stop:
            with torch.inference_mode(False), torch.no_grad():
                rows = max((self.length or 0) + self.offset, 1 << (stop - 1).bit_length())
                self.kept = kept = self.compute(rows, like)
        return kept

    def compute(self, rows: int, like: Tensor) -> Tensor:
        """The first `rows` positions: [rows, width] in `like`'s dtype."""
        wide = torch.float32 if like.device.type == "mps" else torch.float64
        pairs = (self.width + 1) // 2
        exponents = torch.arange(pairs, dtype=wide, device=like.device)
        exponents = exponents / max(pairs - 1, 1) if self.endpoint else exponents * 2 / self.width
        angles = torch.arange(rows, dtype=wide, device=like.device).unsqueeze(1) * torch.exp(
            exponents * -self.log_theta
        )
        if self.layout == "halves":
            table = torch.cat((angles.sin(), angles.cos()), 1)
        else:
            table = torch.stack((angles.sin(), angles.cos()), 2).flatten(1)
        return table[:, : self.width].to(like.dtype)

    def extra_repr(self) -> str:
        pad = "" if self.pad is None else f", pad={self.pad}"
        said = f"{self.width}, {self.layout}, endpoint={self.endpoint}, theta={self.theta:g}, offset={self.offset}"
        return said + pad
