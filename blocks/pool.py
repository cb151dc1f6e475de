"""One vector per sequence."""

from __future__ import annotations

import torch
from torch import Tensor

from blockgraph.blocks.elementwise import Weightless

KINDS = ("first", "last", "mean", "max")


class Pool(Weightless):
    """[B, T, width] → [B, width].

    `take`: `first` | `last` | `mean` | `max` | a position (negative counts from the end) | `token`: where `ids` [B, T]
    first equals `token` (CLIP's end of text; the first position where none does) | `highest`: where `ids` are highest
    first (the end of text too, where it is the last word of the vocabulary). With `mask` (bool [B, T], true = a
    real token), last, mean and max see real tokens only; a sequence without any gives its first vector for `last`, else
    zeros.
    """

    def __init__(self, take: str | int, token: int | None = None) -> None:
        super().__init__()
        if isinstance(take, str) and take not in (*KINDS, "token", "highest"):
            raise ValueError(f"take is {', '.join(KINDS)}, token, highest or a position, not {take!r}")
        if (take == "token") != (token is not None):
            raise ValueError("take: token needs the token's id, and only it does")
        self.take, self.token = take, token

    def forward(self, x: Tensor, ids: Tensor | None = None, *, mask: Tensor | None = None) -> Tensor:
        if isinstance(self.take, int):
            return x[:, self.take]
        if self.take == "first":
            return x[:, 0]
        if self.take in ("token", "highest"):
            if ids is None:
                raise ValueError(f"take: {self.take} needs the ids")
            return self.at(x, (torch.eq(ids, self.token or 0).int() if self.take == "token" else ids).argmax(dim=1))
        if mask is None:
            return x[:, -1] if self.take == "last" else x.mean(dim=1) if self.take == "mean" else x.amax(dim=1)
        return self.masked(x, mask)

    def masked(self, x: Tensor, mask: Tensor) -> Tensor:
        if self.take == "last":
            places = torch.arange(x.shape[1], device=x.device)
            return self.at(x, (places * mask).argmax(dim=1))
        shown = mask.unsqueeze(-1)
        if self.take == "mean":
            return x.masked_fill(~shown, 0.0).sum(dim=1) / mask.sum(dim=1, keepdim=True).clamp(min=1).to(x.dtype)
        top = x.masked_fill(~shown, torch.finfo(x.dtype).min).amax(dim=1)
        return top.masked_fill(~mask.any(dim=1, keepdim=True), 0.0)

    def at(self, x: Tensor, places: Tensor) -> Tensor:
        """The vector at each sequence's own place [B]."""
        return x.gather(1, places.view(-1, 1, 1).expand(-1, 1, x.shape[2])).squeeze(1)

    def extra_repr(self) -> str:
        return f"{self.take}" + (f" {self.token}" if self.token is not None else "")
