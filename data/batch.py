"""What one call of the model learns from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np
    import torch

    from blockgraph.data.examples import Array


@dataclass
class Batch:
    """`inputs` are the model's arguments; `targets` and `counts` (how many targets there are) go by task. `tokens`
    counts the positions that are no padding."""

    inputs: dict[str, torch.Tensor] = field(default_factory=dict)
    targets: dict[str, torch.Tensor] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    tokens: int = 0

    def to(self, device: torch.device) -> Batch:
        """The same on a device; to a GPU without waiting for it."""
        if device.type == "cpu":
            return self

        def moved(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
            if device.type != "cuda":
                return {name: tensor.to(device) for name, tensor in tensors.items()}
            return {name: tensor.pin_memory().to(device, non_blocking=True) for name, tensor in tensors.items()}

        return Batch(moved(self.inputs), moved(self.targets), self.counts, self.tokens)


class Collate(Protocol):
    """Rows, by column, become a batch. `random` is for what is drawn anew each time (hidden tokens, flipped pictures);
    `learning` is false where a split is judged: nothing is augmented then, and `random` is the same every time."""

    def __call__(self, rows: Mapping[str, Sequence[Array]], random: np.random.Generator, learning: bool) -> Batch: ...


class Feed(Protocol):
    """Batches to learn from: each is a function of the seed, the step and its part alone."""

    def batch(self, step: int, part: int) -> Batch: ...

    def steps(self, epochs: float) -> int:
        """How many steps see every row `epochs` times."""


class Split(Protocol):
    """What a model is judged by. `len` is 0 where there is nothing."""

    def __len__(self) -> int: ...

    def batches(self) -> Iterator[Batch]:
        """Every row once."""
