"""A text from a text. Legend: B rows, T target positions, V vocabulary."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch

from blockgraph.data.batch import Batch
from blockgraph.data.examples import Column
from blockgraph.data.records import RowError, text_of
from blockgraph.tasks.asking import Answer, Asked
from blockgraph.tasks.losses import cross_entropy, hits
from blockgraph.tasks.padding import padded
from blockgraph.tasks.task import IGNORED, Columns, Task, Tools

if TYPE_CHECKING:
    from blockgraph.data.examples import Array


@dataclass
class Seq2Seq(Task):
    """The target's next token, given the source and the target so far (teacher forcing; Sutskever et al. 2014)."""

    kind: ClassVar[str] = "seq2seq"
    has_perplexity: ClassVar[bool] = True
    writes: ClassVar[bool] = True
    input: str = "target"
    field: str = "target"

    @property
    def text_fields(self) -> tuple[str, ...]:
        return (self.field,)

    def columns(self, tools: Tools) -> list[Column]:
        def encode(values: Mapping[str, Any]) -> Array:
            ids = tools.encode(text_of(values, self.field))
            if not len(ids):
                raise RowError(f"{self.field} is empty")
            return ids[: tools.length - 1]

        return [Column(self.input, encode)]

    def add(self, rows: Columns, batch: Batch, tools: Tools, random: np.random.Generator) -> None:
        start, end = tools.specials.start, tools.specials.end
        assert start is not None and end is not None
        pad = tools.specials.pad or 0
        given, real = padded([np.concatenate([[start], row]) for row in rows[self.input]], pad)
        targets, _ = padded([np.concatenate([row, [end]]) for row in rows[self.input]], IGNORED)
        batch.inputs[self.input] = given
        if real is not None:
            batch.inputs[f"{self.input}_mask"] = real
        batch.targets[self.name] = targets
        count = int((targets != IGNORED).sum())
        batch.counts[self.name] = count
        batch.tokens += count

    def loss(self, output: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return cross_entropy(output, targets, self.smoothing)

    def measures(self, output: torch.Tensor, targets: torch.Tensor) -> dict[str, tuple[float, int]]:
        return {"token_accuracy": hits(output, targets)}

    def answers(self, asked: Asked) -> list[Answer]:
        """What the model writes for each source."""
        start, end = asked.tools.specials.start, asked.tools.specials.end
        assert start is not None and end is not None
        source = next(part for part in asked.inputs if part.fields)
        ids = [asked.encoded(row)[source.name].tolist() for row in asked.rows]
        made = asked.write(ids, start=(start,), stop=(end,), output=self.output)
        texts = [asked.decoded(new) for new in made]
        given = [" ".join(text_of(row, name) for name in source.fields) for row in asked.rows]
        return [Answer(text, {"source": one, "text": text}) for one, text in zip(given, texts, strict=True)]
