"""What belongs together. Legend: B rows, which are pairs of one thing and another."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch

from blockgraph.data.batch import Batch
from blockgraph.tasks.losses import cross_entropy, hits
from blockgraph.tasks.task import Columns, Task, Tools

if TYPE_CHECKING:
    import numpy as np


@dataclass
class Contrastive(Task):
    """Two towers: of [B, B] similarities, each row's and each column's own is the largest. The loss is the mean of the
    cross-entropies along both (Radford et al. 2021, figure 3)."""

    kind: ClassVar[str] = "contrastive"
    means: ClassVar[tuple[str, ...]] = ("accuracy", "accuracy_back")

    def add(self, rows: Columns, batch: Batch, tools: Tools, random: np.random.Generator) -> None:
        count = len(next(iter(rows.values())))
        batch.targets[self.name] = torch.arange(count)
        batch.counts[self.name] = count

    def loss(self, output: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        one, other = (cross_entropy(logits, targets, self.smoothing) for logits in (output, output.t()))
        return (one + other) / 2

    def measures(self, output: torch.Tensor, targets: torch.Tensor) -> dict[str, tuple[float, int]]:
        """How often the own one is the most similar: for each row among the columns, and the other way round."""
        return {"accuracy": hits(output, targets), "accuracy_back": hits(output.t(), targets)}
