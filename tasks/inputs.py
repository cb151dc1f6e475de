"""Inputs that are filled straight from the data: texts as ids, numbers as they are."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from blockgraph.data.batch import Batch
from blockgraph.data.examples import Column
from blockgraph.data.records import RowError
from blockgraph.tasks.padding import padded
from blockgraph.tasks.seq2seq import text_of
from blockgraph.tasks.task import Columns, Tools

if TYPE_CHECKING:
    from blockgraph.data.examples import Array

SEGMENTS = "segments"


@dataclass(frozen=True)
class Input(ABC):
    """The model's input `name`, made of the row's `fields`."""

    name: str
    fields: tuple[str, ...]

    @abstractmethod
    def columns(self, tools: Tools) -> list[Column]: ...

    @abstractmethod
    def add(self, rows: Columns, batch: Batch, tools: Tools) -> None: ...

    def vary(self, batch: Batch, random: np.random.Generator) -> None:  # noqa: B027 (most vary nothing)
        """Changes what was added as it is wanted while learning only; all that is drawn comes from `random`."""


@dataclass(frozen=True)
class TextInput(Input):
    """Texts as ids: start, text, end; several fields one behind the other, each with its end. `segments` is the input
    that is told which field a position belongs to, where the model has one (Devlin et al. 2018, §3.2)."""

    segments: str | None = None
    framed: bool = True  # with the start; a source of seq2seq has the end only

    def columns(self, tools: Tools) -> list[Column]:
        found = [Column(self.name, lambda values: self._encoded(values, tools)[0])]
        if self.segments is not None:
            found.append(Column(self.segments, lambda values: self._encoded(values, tools)[1], "<i2"))
        return found

    def _encoded(self, values: Mapping[str, Any], tools: Tools) -> tuple[Array, Array]:
        """Ids, and which field each is of."""
        parts = [tools.encode(text_of(values, field)) for field in self.fields]
        if not any(len(part) for part in parts):
            raise RowError(f"{' and '.join(self.fields)} {'is' if len(parts) == 1 else 'are'} empty")
        start, end = tools.specials.start if self.framed else None, tools.specials.end
        room = tools.length - (start is not None) - (len(parts) if end is not None else 0)
        ends = [] if end is None else [end]
        pieces = [np.concatenate([part, ends]).astype(np.int64) for part in shortened(parts, max(1, room))]
        if start is not None:
            pieces[0] = np.concatenate([[start], pieces[0]])
        which = [np.full(len(piece), min(number, 1)) for number, piece in enumerate(pieces)]
        return np.concatenate(pieces), np.concatenate(which)

    def add(self, rows: Columns, batch: Batch, tools: Tools) -> None:
        ids, real = padded(rows[self.name], tools.specials.pad or 0)
        batch.inputs[self.name] = ids
        if real is not None:
            batch.inputs[f"{self.name}_mask"] = real
        if self.segments is not None:
            batch.inputs[self.segments] = padded(rows[self.segments], 0)[0]
        batch.tokens += sum(len(row) for row in rows[self.name])


def shortened(parts: list[Array], room: int) -> list[Array]:
    """Texts that together have at most `room` ids: the longest loses its end first."""
    lengths = [len(part) for part in parts]
    while (over := sum(lengths) - room) > 0:
        longest = max(range(len(parts)), key=lambda number: lengths[number])
        others = [length for number, length in enumerate(lengths) if number != longest]
        lengths[longest] -= min(over, max(1, lengths[longest] - max(others, default=0)))
    return [part[:length] for part, length in zip(parts, lengths, strict=True)]
