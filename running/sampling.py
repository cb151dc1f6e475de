"""Choosing the next id: greedy, or drawn from what temperature, top-k and top-p leave. Legend: V vocabulary."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from blockgraph.specs.diagnostics import BlockgraphError

if TYPE_CHECKING:
    import torch


class GenerateError(BlockgraphError):
    """The request makes no sense, or the model cannot continue texts."""


@dataclass(frozen=True, slots=True)
class Sampling:
    """How the next id is chosen from the logits z [V].

    `temperature` T: from softmax(z / T); 0 is greedy, the largest logit. `top_k`: only the k largest logits.
    `top_p`: only the smallest set of ids whose probabilities sum to p or more (Holtzman et al. 2020, nucleus sampling),
    after top_k. `seed` starts a generator of its own: nothing else changes what is drawn.
    """

    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.temperature < float("inf"):
            raise GenerateError(f"temperature is {self.temperature}; it must be 0 (greedy) or more")
        if self.top_k is not None and self.top_k < 1:
            raise GenerateError(f"top_k is {self.top_k}; it must be 1 or more")
        if self.top_p is not None and not 0 < self.top_p <= 1:
            raise GenerateError(f"top_p is {self.top_p}; it must be above 0 and at most 1")


@dataclass(frozen=True, slots=True)
class Allowed:
    """Which ids may come: those below `below`; those of `stop`, which end a text, only after `min_new` others."""

    stop: frozenset[int] = frozenset()
    below: int | None = None
    min_new: int = 0

    def of(self, logits: torch.Tensor, made: int) -> torch.Tensor:
        """Logits [rows, V] after `made` new ids, without those of ids that may not come."""
        logits = logits[:, : self.below]
        if made >= self.min_new or not self.stop:
            return logits
        known = [token for token in self.stop if token < logits.shape[1]]
        return logits.index_fill(1, logits.new_tensor(known).long(), -float("inf"))


class Chooser:
    """Chooses for each sequence of a batch; sequence n has a generator of its own, started with seed + n."""

    def __init__(self, sampling: Sampling, allowed: Allowed, sequences: int = 1) -> None:
        import torch

        self.sampling, self.allowed = sampling, allowed
        drawn = range(sequences) if sampling.temperature else ()
        self.generators = [torch.Generator().manual_seed(sampling.seed + number) for number in drawn]

    def choose(self, logits: torch.Tensor, sequences: Sequence[int], made: int) -> list[int]:
        """An id for each of the `sequences`, whose logits are [len(sequences), V]. `GenerateError` if not finite."""
        logits = self.allowed.of(logits, made)
        largest, ids = logits.max(dim=1)
        if not all(-float("inf") < value for value in largest.tolist()):
            raise GenerateError("the model's logits are not finite: its weights are damaged, or its training diverged")
        if self.sampling.temperature == 0:
            return [int(token) for token in ids.tolist()]
        rows = zip(logits.float().cpu(), sequences, strict=True)
        return [self._draw(row, sequence) for row, sequence in rows]

    def _draw(self, logits: torch.Tensor, sequence: int) -> int:
        import torch

        return int(torch.multinomial(distribution(logits, self.sampling), 1, generator=self.generators[sequence]))


def distribution(logits: torch.Tensor, sampling: Sampling) -> torch.Tensor:
    """The probabilities [V] that an id is drawn from, given its logits [V]; 0 for what top_k and top_p leave out."""
    import torch

    if sampling.temperature == 0:
        return torch.nn.functional.one_hot(logits.argmax(), len(logits)).float()
    scaled = (logits - logits.max()) / sampling.temperature
    if sampling.top_k is not None and sampling.top_k < len(scaled):
        kept = torch.full_like(scaled, -torch.inf)
        largest = scaled.topk(sampling.top_k)
        scaled = kept.scatter(0, largest.indices, largest.values)
    probabilities = scaled.softmax(0)
    return probabilities if sampling.top_p is None else _nucleus(probabilities, sampling.top_p)


def _nucleus(probabilities: torch.Tensor, p: float) -> torch.Tensor:
    """An id stays where the more probable ones together do not reach p, so that the first always stays."""
    import torch

    ordered, order = probabilities.sort(descending=True, stable=True)
    before = ordered.cumsum(0) - ordered
    kept = torch.where(before < p, ordered, 0.0)
    return torch.zeros_like(probabilities).scatter(0, order, kept / kept.sum())
