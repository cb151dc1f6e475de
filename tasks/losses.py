"""Losses of the tasks, and the loss over a whole split. Legend: B batch, T positions, V vocabulary."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import nn

from blockgraph.data.windows import Pair

Logits = Callable[[torch.Tensor], torch.Tensor]  # ids [B, T] → [B, T, V]


def next_token_loss(
    logits: torch.Tensor, targets: torch.Tensor, smoothing: float = 0.0, reduction: str = "mean"
) -> torch.Tensor:
    """Cross-entropy in nats of logits [B, T, V] on targets [B, T], computed in fp32.

    `smoothing` ε mixes the target with the uniform distribution (Szegedy et al. 2016, §7).
    """
    return nn.functional.cross_entropy(
        logits.flatten(0, 1).float(), targets.flatten(), reduction=reduction, label_smoothing=smoothing
    )


def whole_split_loss(
    logits_of: Logits, batches: Iterable[Pair], device: torch.device, tick: Callable[[], None]
) -> float:
    """The mean loss in nats per target, each target once, without smoothing. `tick` is called between batches."""
    total, count = 0.0, 0
    for tokens, targets in batches:
        logits = logits_of(tokens.to(device))
        total += float(next_token_loss(logits, targets.to(device), reduction="sum"))
        count += targets.numel()
        tick()
    return total / count
