"""A vector per id."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from blockgraph.blocks.canonical import DerivedBuffers


class Embedding(DerivedBuffers):
    """y = scale · weight[ids]. int [...] → [..., width]; weight [rows, width].

    The scale is rounded to the weight's dtype before it multiplies, as Gemma does (√3072 is 55.5 in bfloat16).
    Starts normal with standard deviation 0.02 (GPT-2, BERT), or width^-0.5 where the scale is √width, so that vectors
    have unit variance (Vaswani et al. 2017, §3.4). `freeze` keeps the weight as it is loaded.
    """

    scale: Tensor | None

    def __init__(self, rows: int, width: int, scale: float = 1.0, freeze: bool = False) -> None:
        super().__init__()
        self.factor = float(scale)
        self.weight = nn.Parameter(torch.empty(rows, width), requires_grad=not freeze)
        self.register_buffer("scale", None if self.factor == 1.0 else torch.tensor(self.factor), persistent=False)
        self.reset_parameters()

    def fill_buffers(self, device: torch.device | None = None) -> None:
        if self.scale is not None:
            self.scale = torch.tensor(self.factor, dtype=self.weight.dtype, device=device or self.weight.device)

    def reset_parameters(self) -> None:
        self.fill_buffers()
        width = self.weight.shape[1]
        std = width**-0.5 if math.isclose(self.factor, math.sqrt(width), rel_tol=1e-3) else 0.02
        nn.init.normal_(self.weight, std=std)

    def forward(self, ids: Tensor) -> Tensor:
        x = F.embedding(ids, self.weight)
        return x if self.scale is None else x * self.scale

    def extra_repr(self) -> str:
        rows, width = self.weight.shape
        scale = f", scale={self.factor:g}" if self.scale is not None else ""
        return f"{rows} × {width}{scale}" + ("" if self.weight.requires_grad else ", frozen")
