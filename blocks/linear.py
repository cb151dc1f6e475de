"""Linear maps of the features."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Linear(nn.Module):
    """y = x Wᵀ + b. [..., in_width] → [..., width]; weight [width, in_width].

    Starts Xavier-uniform (Glorot & Bengio 2010, as in the code of Vaswani et al. 2017), bias zero.
    """

    bias: nn.Parameter | None

    def __init__(self, in_width: int, width: int, bias: bool = True) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(width, in_width))
        self.register_parameter("bias", nn.Parameter(torch.empty(width)) if bias else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        nn.init.xavier_uniform_(self.weight)
        if self.bias is not None:
            nn.init.zeros_(self.bias)

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight, self.bias)

    def extra_repr(self) -> str:
        width, in_width = self.weight.shape
        return f"{in_width} → {width}, bias={self.bias is not None}"


class TiedLinear(nn.Module):
    """y = x Wᵀ + b with an embedding's matrix as W (Press & Wolf 2017). [..., width] → [..., rows].

    The matrix is given at every call and belongs to the embedding; only the bias [rows] is this module's own, and
    starts at zero.
    """

    bias: nn.Parameter | None

    def __init__(self, rows: int, bias: bool = True) -> None:
        super().__init__()
        self.rows = rows
        self.register_parameter("bias", nn.Parameter(torch.empty(rows)) if bias else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        if self.bias is not None:
            nn.init.zeros_(self.bias)

    def forward(self, x: Tensor, weight: Tensor) -> Tensor:
        return F.linear(x, weight, self.bias)

    def extra_repr(self) -> str:
        return f"→ {self.rows} (tied), bias={self.bias is not None}"
