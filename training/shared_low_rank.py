"""LoRA over a model that several processes share by rows (FSDP2): W's rows are where they are, A and B are whole in
every process, and their gradients are sums over all rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch
import torch.distributed as dist
from torch import Tensor, nn

from blockgraph.blocks.canonical import Slice, canonical_parameters
from blockgraph.training.low_rank import LowRank, Update, leaves_of
from blockgraph.training.parameters import Trained, here
from blockgraph.training.sharding import by_name, everywhere, joined, share_of


class SharedLowRank(LowRank):
    """The updates `before` of a model that has been shared out since; `whole` is what is trained beside them."""

    def __init__(self, before: LowRank, model: nn.Module, whole: list[Trained]) -> None:
        parts = canonical_parameters(model)
        self.scale, self.whole = before.scale, whole
        self.updates = [_shared(each, parts[each.name]) for each in before.updates]
        self.trained = [*self.small(), *whole]

    def small(self) -> list[Trained]:
        return [replace(each, holds=((each.name, len(each.leaf)),)) for each in super().small()]

    def take_gradients(self) -> None:
        super().take_gradients()
        gradients = [here(leaf.grad) for each in self.updates for _, leaf in leaves_of(each) if leaf.grad is not None]
        if not gradients:
            return
        sums = torch.cat([gradient.flatten() for gradient in gradients])
        dist.all_reduce(sums)
        for gradient, total in zip(gradients, torch.split(sums, [each.numel() for each in gradients]), strict=True):
            gradient.copy_(total.view_as(gradient))

    def _give(self, each: Update, down: Tensor, up: Tensor) -> None:
        """What the rows that are here say. Only an expert's A is of some rows alone."""
        every = slice(None)
        for leaf, found, rows in (
            (each.down, down, each.rows if each.down.dim() > 2 else every),
            (each.up, up, each.rows),
        ):
            gradient = torch.zeros_like(here(leaf.detach()))
            gradient[rows] = found
            leaf.grad = everywhere(gradient, each.part.parameter)

    def weights(self) -> dict[str, Tensor]:
        """Gathered: every process must ask."""
        return {name: value.cpu() for each in self.trained for name, value in by_name(each, each.leaf.detach()).items()}

    def _put(self, each: Trained, weights: Mapping[str, Tensor]) -> None:
        each.leaf.copy_(joined(each, weights))


def _shared(each: Update, part: Slice) -> Update:
    share, rows = share_of(part)
    down, up = (nn.Parameter(everywhere(leaf.detach(), part.parameter)) for _, leaf in leaves_of(each))
    return Update(each.name, share, each.start[rows].clone(), down, up, rows)
