"""How alike vectors are, all pairs of them."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from blockgraph.blocks.elementwise import Weightless


class Similarity(Weightless):
    """out[…, i, j] = a[…, i] · b[…, j], or with `cosine` the cosine of their angle (Radford et al. 2021, §2.3).

    a [..., A, width], b [..., B, width] → [..., A, B]; leading axes broadcast. A zero vector has the cosine zero.
    """

    def __init__(self, cosine: bool = False) -> None:
        super().__init__()
        self.cosine = cosine

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        if self.cosine:
            a, b = F.normalize(a, dim=-1), F.normalize(b, dim=-1)
        return a @ b.transpose(-2, -1)

    def extra_repr(self) -> str:
        return "cosine" if self.cosine else ""
