"""An image as a sequence of vectors."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Patches(nn.Module):
    """out[n] = weight · pixels of patch n + bias, row by row from the top left (Dosovitskiy et al. 2020, §3.1).

    image [B, channels, height, width] → [B, patches, features]; a patch is `size` × `size` pixels, and patches do not
    overlap. weight [features, channels, size, size] starts Xavier-uniform by the number of pixels; bias at zero.
    """

    bias: nn.Parameter | None

    def __init__(self, channels: int, width: int, size: int, bias: bool = True) -> None:
        super().__init__()
        self.size = size
        self.weight = nn.Parameter(torch.empty(width, channels, size, size))
        self.register_parameter("bias", nn.Parameter(torch.empty(width)) if bias else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        nn.init.xavier_uniform_(self.weight.flatten(1))
        if self.bias is not None:
            nn.init.zeros_(self.bias)

    def forward(self, image: Tensor) -> Tensor:
        height, width = image.shape[-2:]
        if height % self.size or width % self.size:
            raise ValueError(f"patches of {self.size} pixels do not divide an image of {height} × {width}")
        return F.conv2d(image, self.weight, self.bias, stride=self.size).flatten(2).transpose(1, 2)

    def extra_repr(self) -> str:
        width, channels = self.weight.shape[:2]
        return f"{channels} × {self.size} × {self.size} → {width}, bias={self.bias is not None}"
