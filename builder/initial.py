"""`init:` draws one weight. Names and formulas are those of `torch.nn.init`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

KINDS: Mapping[str, Callable[..., Any]] = {
    "normal": nn.init.normal_,
    "trunc_normal": nn.init.trunc_normal_,
    "zeros": nn.init.zeros_,
    "ones": nn.init.ones_,
    "xavier_uniform": nn.init.xavier_uniform_,
    "xavier_normal": nn.init.xavier_normal_,
    "kaiming_uniform": nn.init.kaiming_uniform_,
    "kaiming_normal": nn.init.kaiming_normal_,
}


def draw(weight: Tensor, kind: str, options: Mapping[str, Any], *, stacked: bool = False) -> None:
    """Draws `weight` in place. Xavier and Kaiming need a fan-in and a fan-out: a vector is taken as one row, and of a
    `stacked` weight (experts) each matrix is drawn by its own size."""
    fans = kind.startswith(("xavier", "kaiming"))
    with torch.no_grad():
        for part in weight if fans and stacked else (weight,):
            KINDS[kind](part.unsqueeze(0) if fans and part.dim() == 1 else part, **options)
