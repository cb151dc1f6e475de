"""Tasks on one long text, such as the texts of all rows: the next token, and hidden tokens. Legend: B rows,
T positions, V vocabulary."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import torch

from blockgraph.data.batch import Batch
from blockgraph.tasks.losses import cross_entropy, hits
from blockgraph.tasks.task import IGNORED, Columns, Task, Tools

if TYPE_CHECKING:
    from blockgraph.data.examples import Array


def windows(rows: Columns) -> Array:
    return np.asarray(rows["text"], dtype=np.int64)


@dataclass
class CausalLM(Task):
    """The next token at every position: cross-entropy of [B, T, V]."""

    kind: ClassVar[str] = "causal_lm"
    looks_ahead: ClassVar[bool] = True
    input: str = "tokens"
    texts: tuple[str, ...] = ()

    @property
    def text_fields(self) -> tuple[str, ...]:
        return self.texts

    def add(self, rows: Columns, batch: Batch, tools: Tools, random: np.random.Generator) -> None:
        ids = torch.from_numpy(windows(rows))  # [B, T+1]
        batch.inputs[self.input] = ids[:, :-1].contiguous()
        batch.targets[self.name] = ids[:, 1:].contiguous()
        batch.counts[self.name] = batch.tokens = batch.targets[self.name].numel()

    def loss(self, output: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return cross_entropy(output, targets, self.smoothing)


@dataclass
class MaskedLM(Task):
    """Hidden tokens (Devlin et al. 2018, §3.1): of a share `rate`, 80% become the mask, 10% any token, 10% stay."""

    kind: ClassVar[str] = "masked_lm"
    input: str = "tokens"
    rate: float = 0.15
    texts: tuple[str, ...] = ()

    @property
    def text_fields(self) -> tuple[str, ...]:
        return self.texts

    def add(self, rows: Columns, batch: Batch, tools: Tools, random: np.random.Generator) -> None:
        ids = windows(rows)[:, :-1]  # [B, T]
        hidden = random.random(ids.shape) < self.rate
        if not hidden.any():  # a short window: there must be something to learn
            hidden[..., random.integers(ids.shape[-1])] = True
        assert tools.specials.mask is not None
        kinds = random.random(ids.shape)
        seen = np.where(hidden & (kinds < 0.8), tools.specials.mask, ids)
        seen = np.where(hidden & (kinds >= 0.9), random.integers(0, self._ordinary(tools), ids.shape), seen)
        batch.inputs[self.input] = torch.from_numpy(seen)
        batch.targets[self.name] = torch.from_numpy(np.where(hidden, ids, IGNORED))
        batch.counts[self.name], batch.tokens = int(hidden.sum()), ids.size

    @staticmethod
    def _ordinary(tools: Tools) -> int:
        assert tools.tokenizer is not None
        return tools.tokenizer.size

    def loss(self, output: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return cross_entropy(output, targets)

    def measures(self, output: torch.Tensor, targets: torch.Tensor) -> dict[str, tuple[float, int]]:
        return {"accuracy": hits(output, targets)}
