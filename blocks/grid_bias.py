"""BEiT's relative position bias on a grid of patches."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class GridBias(nn.Module):
    """weight[how far patch i is from patch j, down and across]: [1, heads, N, N], to add to attention scores.

    Positions are the patches of a grid, row by row: N = rows · columns; with `class_token` one more before them, which
    has three entries of its own: from it, to it, and to itself (Bao et al. 2021, BEiT, and its code). weight
    [(2 rows - 1)(2 columns - 1) + 3 class_token, heads] starts at zero.
    """

    def __init__(self, heads: int, rows: int, columns: int, class_token: bool = True) -> None:
        super().__init__()
        self.rows, self.columns, self.class_token = rows, columns, class_token
        self.weight = nn.Parameter(torch.empty((2 * rows - 1) * (2 * columns - 1) + 3 * class_token, heads))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        nn.init.zeros_(self.weight)

    def forward(self) -> Tensor:
        return F.embedding(self.places(), self.weight).permute(2, 0, 1).unsqueeze(0)  # [N, N, H] → [1, H, N, N]

    def places(self) -> Tensor:
        """The row of the table for each pair of positions: int64 [N, N]."""
        down = torch.arange(self.rows, device=self.weight.device).repeat_interleave(self.columns)
        across = torch.arange(self.columns, device=self.weight.device).repeat(self.rows)
        apart = [each.unsqueeze(1) - each for each in (down, across)]  # of query and key, each [N, N]
        places = (apart[0] + self.rows - 1) * (2 * self.columns - 1) + apart[1] + self.columns - 1
        if not self.class_token:
            return places
        places = F.pad(places, (1, 0, 1, 0), value=self.weight.shape[0] - 3)
        places[1:, 0] = self.weight.shape[0] - 2
        places[0, 0] = self.weight.shape[0] - 1
        return places

    def extra_repr(self) -> str:
        return f"{self.weight.shape[1]} heads, {self.rows} × {self.columns}, class_token={self.class_token}"
