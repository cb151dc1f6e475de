"""Losses of the tasks. Legend: N targets, C classes."""

from __future__ import annotations

import torch
from torch import nn

from blockgraph.tasks.task import IGNORED


def cross_entropy(logits: torch.Tensor, targets: torch.Tensor, smoothing: float = 0.0) -> torch.Tensor:
    """Summed cross-entropy in nats of logits [..., C] on targets int64 [...], computed in fp32; targets that are
    `IGNORED` count nothing. Targets may be shares of the classes, float [..., C].

    `smoothing` ε mixes the target with the uniform distribution (Szegedy et al. 2016, §7).
    """
    return nn.functional.cross_entropy(
        logits.flatten(0, -2).float(),
        targets.flatten(0, -2) if targets.is_floating_point() else targets.flatten(),
        reduction="sum",
        ignore_index=IGNORED,
        label_smoothing=smoothing,
    )


def hits(logits: torch.Tensor, targets: torch.Tensor) -> tuple[float, int]:
    """How many targets are the likeliest class, and how many there are."""
    counted = targets != IGNORED
    return float(((logits.argmax(-1) == targets) & counted).sum()), int(counted.sum())
