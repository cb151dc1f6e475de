"""Blocks without weights that act on each element. Shapes broadcast from the right."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def drop(x: Tensor, p: float) -> Tensor:
    """Zero each number with probability p, scale the others by 1 / (1 - p) (Srivastava et al. 2014).

    Under `torch.compile` it is written out: a kernel's argument would be a constant of the graph, and layers that
    differ in p would each need a graph of their own.
    """
    if torch.compiler.is_compiling():
        return x * (torch.rand_like(x) >= p) / (1.0 - p)
    return F.dropout(x, p) if x.device.type != "cpu" or p >= 1.0 else _drop_on_cpu(x, p)


def _drop_on_cpu(x: Tensor, p: float) -> Tensor:
    """Four numbers from each 64 random bits, p in steps of 2⁻¹⁶: a fifth of the time that torch's draws take, and they
    were a twentieth of a training step."""
    dropped = round(p * 2**16)
    bits = torch.empty((x.numel() + 3) // 4, dtype=torch.int64).random_(-(2**63), None).view(torch.int16)
    kept = bits[: x.numel()].view(x.shape) >= dropped - 2**15
    return x * kept.to(x.dtype).mul_(2**16 / (2**16 - dropped))


class Weightless(nn.Module):
    """Base of blocks that have nothing to initialise."""

    def reset_parameters(self) -> None:
        """Nothing to set: it has no weights."""


class Add(Weightless):
    """x₀ + dropout(x₁) + …: the first is the residual, dropout falls on the others (Vaswani et al. 2017, §5.4)."""

    def __init__(self, dropout: float = 0.0) -> None:
        super().__init__()
        self.dropout = float(dropout)

    def forward(self, x: Tensor, *others: Tensor) -> Tensor:
        if self.dropout and self.training:
            others = tuple(drop(term, self.dropout) for term in others)
        for term in others:
            x = x + term
        return x

    def extra_repr(self) -> str:
        return f"dropout={self.dropout}" if self.dropout else ""


class Multiply(Weightless):
    """x₀ · x₁ · …, element by element."""

    def forward(self, x: Tensor, *others: Tensor) -> Tensor:
        for factor in others:
            x = x * factor
        return x


class Scale(Weightless):
    """x · by, a fixed number."""

    def __init__(self, by: float) -> None:
        super().__init__()
        self.by = float(by)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.by

    def extra_repr(self) -> str:
        return f"{self.by:g}"


class Softcap(Weightless):
    """cap · tanh(x / cap): nearly x while small, never beyond ±cap (Gemma 2, 2024, §2)."""

    def __init__(self, cap: float) -> None:
        super().__init__()
        self.cap = float(cap)

    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(x / self.cap) * self.cap

    def extra_repr(self) -> str:
        return f"{self.cap:g}"


class Dropout(Weightless):
    """While training, zero with probability p and scale what stays by 1 / (1 - p) (Srivastava et al. 2014).

    `per="element"` draws for every number; `per="sample"` once for every entry of the first axis, which drops a whole
    branch: stochastic depth (Huang et al. 2016).
    """

    def __init__(self, p: float, per: str = "element") -> None:
        super().__init__()
        if not 0 <= p < 1:
            raise ValueError(f"p is a probability below 1, not {p}")
        if per not in ("element", "sample"):
            raise ValueError(f"per is element or sample, not {per!r}")
        self.p = float(p)
        self.per = per

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or not self.p:
            return x
        if self.per == "element":
            return drop(x, self.p)
        return x * drop(x.new_ones(x.shape[0], *(1,) * (x.dim() - 1)), self.p)

    def extra_repr(self) -> str:
        return f"{self.p:g} per {self.per}"


class Blank(Weightless):
    """x with zeros where the text is padding: x [B, T, …], mask bool [B, T so far], true = a real token (DeBERTa)."""

    def forward(self, x: Tensor, *, mask: Tensor | None = None) -> Tensor:
        if mask is None:
            return x
        real = mask[:, -x.shape[1] :]
        return x * real.view(*real.shape, *(1,) * (x.dim() - 2))


class Squeeze(Weightless):
    """[..., 1] → [...]: the one feature of each position as a number."""

    def forward(self, x: Tensor) -> Tensor:
        return x.squeeze(-1)


class Equal(Weightless):
    """Which ids are the same: [..., A], [..., B] → bool [..., A, B]. A mask for packed documents."""

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        return a.unsqueeze(-1) == b.unsqueeze(-2)
