"""A moving average of the weights (Polyak and Juditsky 1992), which is evaluated and saved instead of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch

from blockgraph.training.errors import TrainError
from blockgraph.training.parameters import Trained, here


class Average:
    """`decay` is the share of the average that a step leaves. It begins smaller, as (1 + n) / (10 + n) after n steps:
    the first weights are soon forgotten. Of a weight that is shared out, each process has the average of its share."""

    def __init__(self, weights: Sequence[Trained], decay: float) -> None:
        self.decay = decay
        self.weights = list(weights)
        self._leaves = {weight.name: weight.leaf for weight in weights}
        self.means = {name: leaf.detach().clone() for name, leaf in self._leaves.items()}

    @torch.no_grad()
    def update(self, n: int) -> None:
        """Takes in the weights after their n-th step (n from 1)."""
        share = 1 - min(self.decay, (1 + n) / (10 + n))
        means, leaves = [here(mean) for mean in self.means.values()], [here(leaf) for leaf in self._leaves.values()]
        torch._foreach_lerp_(means, leaves, share)

    @contextmanager
    def in_place(self, changed: Callable[[], None] = lambda: None) -> Iterator[None]:
        """While entered, the model's weights are the average. `changed` is told of each exchange."""
        self._exchange()
        changed()
        try:
            yield
        finally:
            self._exchange()
            changed()

    @torch.no_grad()
    def _exchange(self) -> None:
        for name, leaf in self._leaves.items():
            ours, mean = here(leaf), here(self.means[name])
            kept = ours.clone()
            ours.copy_(mean)
            mean.copy_(kept)

    def state(self) -> dict[str, torch.Tensor]:
        return {name: mean.cpu().clone() for name, mean in self.means.items()}

    def load(self, state: dict[str, torch.Tensor]) -> None:
        """Puts back what `state` gave. Raises `TrainError` where the names are not this model's."""
        if state.keys() != self.means.keys():
            raise TrainError("the checkpoint's average of the weights is not of the weights that are trained here")
        for name, mean in state.items():
            self.means[name].copy_(mean)
