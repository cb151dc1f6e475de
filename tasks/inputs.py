"""Inputs that are filled straight from the data: texts as ids, numbers as they are."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from blockgraph.data.batch import Batch
from blockgraph.data.examples import Column
from blockgraph.data.records import RowError, text_of
from blockgraph.tasks.padding import padded
from blockgraph.tasks.task import Columns, Tools

if TYPE_CHECKING:
    from blockgraph.data.examples import Array

SEGMENTS = "segments"


@dataclass(frozen=True)
class Input(ABC):
    """The model's input `name`, made of the row's `fields`."""

    name: str
    fields: tuple[str, ...]

    def value_of(self, text: str) -> Any:
        """A field's value, from a command line."""
        return text

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
    prefix: str = ""  # stands before the first text, as T5 says its task (Raffel et al. 2020, §2.4)

    def columns(self, tools: Tools) -> list[Column]:
        found = [Column(self.name, lambda values: np.concatenate(self.pieces(values, tools)))]
        if self.segments is not None:
            found.append(Column(self.segments, lambda values: _segments(self.pieces(values, tools)), "<i2"))
        return found

    def pieces(self, values: Mapping[str, Any], tools: Tools) -> list[Array]:
        """The ids of each field, with what stands around them."""
        parts = [tools.encode(text) for text in self._texts(values)]
        if not any(len(part) for part in parts):
            raise RowError(f"{' and '.join(self.fields)} {'is' if len(parts) == 1 else 'are'} empty")
        ends = [tools.specials.end] if self.ends(tools) else []
        room = max(1, tools.length - self._around(tools))
        pieces = [np.concatenate([part, ends]).astype(np.int64) for part in shortened(parts, room)]
        if self.starts(tools):
            pieces[0] = np.concatenate([[tools.specials.start], pieces[0]])
        return pieces

    def room(self, values: Mapping[str, Any], tools: Tools) -> int:
        """How many ids the last field may have beside the others. Raises `RowError` where there is no room."""
        taken = sum(len(tools.encode(text)) for text in self._texts(values)[:-1])
        room = tools.length - self._around(tools) - taken
        if room < 1:
            raise RowError(f"{' and '.join(self.fields[:-1])} leaves no room within {tools.length} ids")
        return room

    def starts(self, tools: Tools) -> bool:
        return self.framed and tools.specials.start is not None

    def ends(self, tools: Tools) -> bool:
        return tools.specials.end is not None

    def _around(self, tools: Tools) -> int:
        return self.starts(tools) + self.ends(tools) * len(self.fields)

    def _texts(self, values: Mapping[str, Any]) -> list[str]:
        texts = [text_of(values, field) for field in self.fields]
        return [self.prefix + texts[0], *texts[1:]]

    def add(self, rows: Columns, batch: Batch, tools: Tools) -> None:
        ids, real = padded(rows[self.name], tools.specials.pad or 0)
        batch.inputs[self.name] = ids
        if real is not None:
            batch.inputs[f"{self.name}_mask"] = real
        if self.segments is not None:
            batch.inputs[self.segments] = padded(rows[self.segments], 0)[0]
        batch.tokens += sum(len(row) for row in rows[self.name])


def _segments(pieces: list[Array]) -> Array:
    """Which field each id is of: the first, or another."""
    return np.concatenate([np.full(len(piece), min(number, 1)) for number, piece in enumerate(pieces)])


def shortened(parts: list[Array], room: int) -> list[Array]:
    """Texts that together have at most `room` ids: the longest loses its end first."""
    lengths = [len(part) for part in parts]
    while (over := sum(lengths) - room) > 0:
        longest = max(range(len(parts)), key=lambda number: lengths[number])
        others = [length for number, length in enumerate(lengths) if number != longest]
        lengths[longest] -= min(over, max(1, lengths[longest] - max(others, default=0)))
    return [part[:length] for part, length in zip(parts, lengths, strict=True)]
