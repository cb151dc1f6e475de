"""A weight that is a value of its own: class tokens, prefixes, gains."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class Parameter(nn.Module):
    """Gives its weight, of any shape ([]: a scalar); it has no input and no batch axis.

    `init`: normal (standard deviation 0.02, as ViT's class token), zeros, ones, or a number to fill with.
    """

    def __init__(self, shape: Sequence[int] = (), init: str | float = "normal") -> None:
        super().__init__()
        if isinstance(init, str) and init not in ("normal", "zeros", "ones"):
            raise ValueError(f"init is normal, zeros, ones or a number, not {init!r}")
        self.init = init
        named = {"normal": None, "zeros": 0.0, "ones": 1.0}
        self.fill = named[init] if isinstance(init, str) else float(init)
        self.weight = nn.Parameter(torch.empty(tuple(shape)))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        if self.fill is None:
            nn.init.normal_(self.weight, std=0.02)
        else:
            nn.init.constant_(self.weight, self.fill)

    def forward(self) -> Tensor:
        return self.weight

    def extra_repr(self) -> str:
        return f"{list(self.weight.shape)}, init={self.init}"
