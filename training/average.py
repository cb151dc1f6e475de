"""A moving average of the weights (Polyak and Juditsky 1992), which is evaluated and saved instead of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch

from blockgraph.training.errors import TrainError
from blockgraph.training.parameters import Trained


class Average:
    """`decay` is the share of the average that a step leaves. It begins smaller, as (1 + n) / (10 + n) after n steps:
    the first weights are soon forgotten."""

    def __init__(self, weights: Sequence[Trained], decay: float) -> None:
        self.decay = decay
        self._leaves = {weight.name: weight.leaf.detach() for weight in weights}
        self._means = {name: leaf.clone() for name, leaf in self._leaves.items()}

    @torch.no_grad()
    def update(self, n: int) -> None:
        """Takes in the weights after their n-th step (n from 1)."""
        share = 1 - min(self.decay, (1 + n) / (10 + n))
        torch._foreach_lerp_(list(self._means.values()), list(self._leaves.values()), share)

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

    def _exchange(self) -> None:
        for name, leaf in self._leaves.items():
            kept = leaf.clone()
            leaf.copy_(self._means[name])
            self._means[name].copy_(kept)

    def state(self) -> dict[str, torch.Tensor]:
        return {name: mean.cpu().clone() for name, mean in self._means.items()}

    def load(self, state: dict[str, torch.Tensor]) -> None:
        """Puts back what `state` gave. Raises `TrainError` where the names are not this model's."""
        if state.keys() != self._means.keys():
            raise TrainError("the checkpoint's average of the weights is not of the weights that are trained here")
        for name, mean in state.items():
            self._means[name].copy_(mean)
