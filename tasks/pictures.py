"""Inputs that are numbers: arrays of a fixed shape, pictures among them. Legend: B rows, C channels, H × W pixels."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from blockgraph.data.batch import Batch
from blockgraph.data.examples import Column
from blockgraph.data.images import MODES, SUFFIXES, is_image, picture
from blockgraph.data.records import RowError
from blockgraph.tasks.inputs import Input
from blockgraph.tasks.task import Columns, Tools
from blockgraph.tasks.varying import Varied

if TYPE_CHECKING:
    from blockgraph.data.examples import Array


@dataclass(frozen=True)
class Levels:
    """(x / scale - mean) / std; mean and std are one number, or one for each channel."""

    scale: float = 1.0
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)

    def applied(self, x: torch.Tensor) -> torch.Tensor:
        """float32 [B, ...]; with several levels [B, C, ...]."""
        shape = (1, -1) + (1,) * (x.dim() - 2) if max(len(self.mean), len(self.std)) > 1 else (1,) * x.dim()
        return (x / self.scale - torch.tensor(self.mean).view(shape)) / torch.tensor(self.std).view(shape)


@dataclass(frozen=True)
class NumbersInput(Input):
    """Numbers of a fixed shape: an array, a list in a jsonl file, one field, as many fields as there are numbers, or a
    picture's path."""

    shape: tuple[int, ...] = ()
    levels: Levels = field(default_factory=Levels)
    varied: Varied | None = None
    dtype: str = "<f4"

    @property
    def is_picture(self) -> bool:
        """Whether one field is a whole array [C, H, W] that can be a picture's."""
        return len(self.fields) == 1 and len(self.shape) == 3 and self.shape[0] in MODES

    def value_of(self, text: str) -> Any:
        """A picture's path, a number, or a list of them as in JSON."""
        if self.is_picture and Path(text).suffix.lower() in SUFFIXES:
            return Path(text)
        try:
            return json.loads(text)
        except ValueError:
            return text

    def columns(self, tools: Tools) -> list[Column]:
        return [Column(self.name, self._encoded, self.dtype, self.shape)]

    def _encoded(self, values: Mapping[str, Any]) -> Array:
        given = [values.get(field) for field in self.fields]
        first: Any = given[0]
        if isinstance(first, Path) or is_image(first):
            channels, height, width = self.shape
            return picture(first, channels, height, width)
        name = ", ".join(self.fields)
        try:
            numbers = np.asarray(first if len(given) == 1 else given)
            if np.iscomplexobj(numbers):
                raise TypeError
            with np.errstate(over="ignore"):  # inf is found below
                found = numbers.astype(self.dtype).reshape(self.shape)
        except (TypeError, ValueError):
            raise RowError(f"{name} is no array of numbers {list(self.shape)}") from None
        if not np.isfinite(found).all():
            raise RowError(f"{name} holds nan, inf, or a number that float32 has no room for")
        return found

    def add(self, rows: Columns, batch: Batch, tools: Tools) -> None:
        stacked = torch.from_numpy(np.stack(list(rows[self.name])).astype(np.float32))
        batch.inputs[self.name] = self.levels.applied(stacked)
        batch.tokens += len(stacked)

    def vary(self, batch: Batch, random: np.random.Generator) -> None:
        if self.varied is not None:
            black = self.levels.applied(torch.zeros(1, *self.shape))
            batch.inputs[self.name] = self.varied.applied(batch.inputs[self.name] - black, random) + black
