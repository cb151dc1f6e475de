"""Convolution along positions."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Conv1d(nn.Module):
    """out[t] = Σ over k of weight[:, :, k] x[stride · t + k - (kernel - 1) // 2] + bias (LeCun et al. 1989).

    x [B, T, in_width] → [B, (T - 1) // stride + 1, width]; what lies beyond the ends is zero, so stride 1 keeps the
    length. weight [width, in_width, kernel] starts Xavier-uniform, bias at zero.

    An output is real where the position at its middle, stride · t, is; padded positions are read like others.
    """

    bias: nn.Parameter | None

    def __init__(self, in_width: int, width: int, kernel: int = 3, stride: int = 1, bias: bool = True) -> None:
        super().__init__()
        self.kernel, self.stride = kernel, stride
        self.before, self.after = (kernel - 1) // 2, kernel // 2
        self.weight = nn.Parameter(torch.empty(width, in_width, kernel))
        self.register_parameter("bias", nn.Parameter(torch.empty(width)) if bias else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        nn.init.xavier_uniform_(self.weight)
        if self.bias is not None:
            nn.init.zeros_(self.bias)

    def forward(self, x: Tensor) -> Tensor:
        x, padding = x.transpose(1, 2), self.before
        if self.before != self.after:
            x, padding = F.pad(x, (self.before, self.after)), 0
        return F.conv1d(x, self.weight, self.bias, stride=self.stride, padding=padding).transpose(1, 2)

    def masks(self, inputs: Sequence[Tensor], masks: Sequence[Tensor | None]) -> Tensor | None:
        """The result's padding mask, bool [B, its positions]; None where x has none."""
        return None if masks[0] is None else masks[0][:, :: self.stride]

    def extra_repr(self) -> str:
        width, in_width, kernel = self.weight.shape
        return f"{in_width} → {width}, kernel={kernel}, stride={self.stride}, bias={self.bias is not None}"
