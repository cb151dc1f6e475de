"""Tasks with classes or numbers as targets. Legend: B rows, T positions, C classes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch

from blockgraph.data.batch import Batch
from blockgraph.data.examples import Column
from blockgraph.data.records import RowError, text_of
from blockgraph.tasks.asking import Answer, Asked, likeliest
from blockgraph.tasks.losses import cross_entropy, hits
from blockgraph.tasks.padding import padded
from blockgraph.tasks.scores import OUTSIDE, ClassScore, CorrelationScore, EntityScore
from blockgraph.tasks.task import IGNORED, Columns, Task, Tools

if TYPE_CHECKING:
    from blockgraph.data.examples import Array
    from blockgraph.tasks.scores import Score

LARGEST = float(np.finfo(np.float32).max)  # as targets are kept


@dataclass
class Classification(Task):
    """A class for each row: cross-entropy of [B, C]."""

    kind: ClassVar[str] = "classification"
    has_labels: ClassVar[bool] = True
    means: ClassVar[tuple[str, ...]] = ("accuracy",)
    field: str = "label"
    classes: int = 2
    mixup: float = 0.0

    @property
    def fields(self) -> tuple[str, ...]:
        return (self.field,)

    def label_values(self, values: Mapping[str, Any]) -> list[str]:
        value = values.get(self.field)
        return [] if _no_class(value) else [str(value)]

    def columns(self, tools: Tools) -> list[Column]:
        numbers = {name: number for number, name in enumerate(tools.labels[self.name])}

        def encode(values: Mapping[str, Any]) -> Array:
            found = self.label_values(values)
            if not found:
                value = values.get(self.field)
                missing = value is None or isinstance(value, str)
                raise RowError(
                    f"there is no {self.field}" if missing else f"{self.field}: {str(value)[:40]} is no class"
                )
            if found[0] not in numbers:
                raise RowError(f"the {self.field} {found[0]!r} is not among those of the training rows")
            return np.array(numbers[found[0]])

        return [Column(self.name, encode, "<i4", ())]

    def add(self, rows: Columns, batch: Batch, tools: Tools, random: np.random.Generator) -> None:
        batch.targets[self.name] = torch.tensor([int(row) for row in rows[self.name]])
        batch.counts[self.name] = len(rows[self.name])

    def vary(self, batch: Batch, random: np.random.Generator) -> None:
        """mixup (Zhang et al. 2018, eq. 1): each row is mixed with another one of the batch, its target as well."""
        if not self.mixup:
            return
        targets = batch.targets[self.name]
        others = torch.from_numpy(random.permutation(len(targets)))
        share = torch.from_numpy(random.beta(self.mixup, self.mixup, len(targets)).astype(np.float32))

        def mixed(x: torch.Tensor) -> torch.Tensor:
            weight = share.view(-1, *[1] * (x.dim() - 1))
            return weight * x + (1 - weight) * x[others]

        batch.inputs = {name: mixed(x) for name, x in batch.inputs.items()}
        batch.targets[self.name] = mixed(torch.nn.functional.one_hot(targets, self.classes).float())

    def loss(self, output: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return cross_entropy(output, targets, self.smoothing)

    def measures(self, output: torch.Tensor, targets: torch.Tensor) -> dict[str, tuple[float, int]]:
        return {"accuracy": hits(output, targets)}

    def scores(self, tools: Tools) -> list[Score]:
        return [ClassScore()]

    def answers(self, asked: Asked) -> list[Answer]:
        """Each row's likeliest classes."""
        names, logits = asked.tools.labels[self.name], asked.outputs[self.output]
        return [_named(likeliest(row, names, asked.choices.top)) for row in logits]


@dataclass
class Regression(Task):
    """A number for each row: the squared error of [B] or [B, 1]."""

    kind: ClassVar[str] = "regression"
    loss_unit: ClassVar[str] = "squared error"
    means: ClassVar[tuple[str, ...]] = ("absolute_error",)
    field: str = "label"

    @property
    def fields(self) -> tuple[str, ...]:
        return (self.field,)

    def columns(self, tools: Tools) -> list[Column]:
        def encode(values: Mapping[str, Any]) -> Array:
            try:
                found = float(values[self.field])
            except (KeyError, TypeError, ValueError):
                raise RowError(f"{self.field} is no number") from None
            if not abs(found) <= LARGEST:
                raise RowError(f"{self.field} is {found}")
            return np.array(found)

        return [Column(self.name, encode, "<f4", ())]

    def add(self, rows: Columns, batch: Batch, tools: Tools, random: np.random.Generator) -> None:
        batch.targets[self.name] = torch.tensor([float(row) for row in rows[self.name]])
        batch.counts[self.name] = len(rows[self.name])

    def loss(self, output: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return (output.float().reshape(targets.shape) - targets).square().sum()

    def measures(self, output: torch.Tensor, targets: torch.Tensor) -> dict[str, tuple[float, int]]:
        error = (output.float().reshape(targets.shape) - targets).abs()
        return {"absolute_error": (float(error.sum()), len(targets))}

    def scores(self, tools: Tools) -> list[Score]:
        return [CorrelationScore()]

    def answers(self, asked: Asked) -> list[Answer]:
        """Each row's number."""
        return [Answer(f"{value:.6g}", {"value": value}) for value in asked.outputs[self.output].reshape(-1).tolist()]


@dataclass
class TokenClassification(Task):
    """A class for each position: cross-entropy of [B, T, C]. The row's labels are a list, or texts with spaces between;
    each belongs to one word of the text (`words` are split at spaces), and its first token learns it."""

    kind: ClassVar[str] = "classification"
    has_labels: ClassVar[bool] = True
    means: ClassVar[tuple[str, ...]] = ("accuracy",)
    field: str = "label"
    words: str = "text"

    @property
    def fields(self) -> tuple[str, ...]:
        return (self.field, self.words)

    def label_values(self, values: Mapping[str, Any]) -> list[str]:
        value = values.get(self.field)
        return [] if value is None else list(map(str, value if isinstance(value, list) else str(value).split()))

    def columns(self, tools: Tools) -> list[Column]:
        numbers = {name: number for number, name in enumerate(tools.labels[self.name])}

        def encode(values: Mapping[str, Any]) -> Array:
            labels, words = self.label_values(values), text_of(values, self.words).split()
            if len(labels) != len(words):
                raise RowError(f"{len(labels)} labels in {self.field}, and {len(words)} words in {self.words}")
            unknown = [label for label in labels if label not in numbers]
            if unknown:
                raise RowError(f"the {self.field} {unknown[0]!r} is not among those of the training rows")
            return self._aligned([numbers[label] for label in labels], words, tools)

        return [Column(self.name, encode)]

    @staticmethod
    def _aligned(labels: list[int], words: list[str], tools: Tools) -> Array:
        """A label where a word's first token stands, `IGNORED` elsewhere; framed as the input is."""
        found: list[int] = [] if tools.specials.start is None else [IGNORED]
        text = ""
        done = 0
        for label, word in zip(labels, words, strict=True):
            text = f"{text} {word}" if text else word
            size = len(tools.encode(text))
            found += [label, *[IGNORED] * (size - done - 1)] if size > done else []
            done = size
        return np.array(found[: tools.length], dtype=np.int64)

    def add(self, rows: Columns, batch: Batch, tools: Tools, random: np.random.Generator) -> None:
        positions = max(tensor.shape[1] for tensor in batch.inputs.values() if tensor.dim() == 2)
        targets, _ = padded(rows[self.name], IGNORED)
        missing = positions - targets.shape[1]
        targets = (
            torch.nn.functional.pad(targets, (0, missing), value=IGNORED) if missing > 0 else targets[:, :positions]
        )
        batch.targets[self.name] = targets
        batch.counts[self.name] = int((targets != IGNORED).sum())

    def loss(self, output: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return cross_entropy(output, targets, self.smoothing)

    def measures(self, output: torch.Tensor, targets: torch.Tensor) -> dict[str, tuple[float, int]]:
        return {"accuracy": hits(output, targets)}

    def scores(self, tools: Tools) -> list[Score]:
        tags = tools.labels[self.name]
        return [ClassScore(), EntityScore(tags)] if OUTSIDE in tags else [ClassScore()]

    def answers(self, asked: Asked) -> list[Answer]:
        """Each word's class; words beyond the longest sequence have none."""
        logits = asked.outputs[self.output]  # [B, T, C]
        return [
            self._told(text_of(row, self.words).split(), logits[number], asked) for number, row in enumerate(asked.rows)
        ]

    def _told(self, words: list[str], logits: torch.Tensor, asked: Asked) -> Answer:
        places = {
            int(word): place for place, word in enumerate(self._aligned(list(range(len(words))), words, asked.tools))
        }
        found: list[dict[str, Any]] = []
        for number, word in enumerate(words):
            place = places.get(number)
            if place is None or place >= len(logits):
                found.append({"word": word, "label": None, "probability": None})
            else:
                label, share = likeliest(logits[place], asked.tools.labels[self.name], 1)[0]
                found.append({"word": word, "label": label, "probability": share})
        return Answer(" ".join(f"{one['word']}/{one['label'] or '?'}" for one in found), {"words": found})


def _no_class(value: Any) -> bool:
    """Whether a cell names no class: it is empty, holds several values, or is a missing number."""
    if value is None or isinstance(value, list | dict | np.ndarray):
        return True
    return value == "" or (isinstance(value, float) and math.isnan(value))


def _named(found: list[tuple[str, float]]) -> Answer:
    text = "\t".join(f"{label}\t{share:.4f}" for label, share in found)
    top = [{"label": label, "probability": share} for label, share in found]
    return Answer(text, {**top[0], **({"top": top} if len(top) > 1 else {})})
