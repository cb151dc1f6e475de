"""An image as a sequence of vectors."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Patches(nn.Module):
    """out[n] = weight · pixels of patch n + bias, row by row from the top left (Dosovitskiy et al. 2020, §3.1).

    image [B, channels, height, width] → [B, patches, features]; a patch is `size` pixels high and wide, or a pair of
    them, and patches do not overlap. Pixels on the right and at the bottom that fill no patch are refused, or left out
    if `cut`. weight [features, channels, height of a patch, its width] starts Xavier-uniform by the number of pixels;
    bias at zero.
    """

    bias: nn.Parameter | None

    def __init__(
        self, channels: int, width: int, size: int | tuple[int, int], bias: bool = True, cut: bool = False
    ) -> None:
        super().__init__()
        self.size = (size, size) if isinstance(size, int) else size
        self.cut = cut
        self.weight = nn.Parameter(torch.empty(width, channels, *self.size))
        self.register_parameter("bias", nn.Parameter(torch.empty(width)) if bias else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        nn.init.xavier_uniform_(self.weight.flatten(1))
        if self.bias is not None:
            nn.init.zeros_(self.bias)

    def forward(self, image: Tensor) -> Tensor:
        height, width = image.shape[-2:]
        high, wide = self.size
        if not self.cut and (height % high or width % wide):
            raise ValueError(f"patches of {high} × {wide} pixels do not divide an image of {height} × {width}")
        return F.conv2d(image, self.weight, self.bias, stride=self.size).flatten(2).transpose(1, 2)

    def extra_repr(self) -> str:
        width, *sizes = self.weight.shape
        return f"{' × '.join(map(str, sizes))} → {width}, bias={self.bias is not None}"
