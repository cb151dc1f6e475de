"""Answers that stand in a text (Rajpurkar et al. 2016). Legend: B rows, T positions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch

from blockgraph.data.batch import Batch
from blockgraph.data.examples import Column
from blockgraph.data.records import BadRow, Record, RowError, text_of
from blockgraph.tasks.asking import Answer, Asked
from blockgraph.tasks.inputs import TextInput
from blockgraph.tasks.losses import cross_entropy
from blockgraph.tasks.task import Columns, Task, Tools

if TYPE_CHECKING:
    from blockgraph.data.examples import Array

PLACE = "answer's place"  # a row's value: characters (from, to) in its context; None: the answer is not there
LONGEST = 30  # positions of an answer at most, as Devlin et al. 2018 have it
NOWHERE = 0  # the position that stands for "there is no answer": the start's


@dataclass
class Spans(Task):
    """The first and the last token of the answer: cross-entropy over the context's positions, the mean of both.

    The output is [B, T, 2], or [B, T] of two outputs. The model's input `part` has the context as its last field. A row
    whose context is too long becomes several, of which each begins `stride` tokens behind the one before.
    """

    kind: ClassVar[str] = "spans"
    part: TextInput = field(default_factory=lambda: TextInput("tokens", ("question", "context")))
    field: str = "answer"
    start: str | None = None
    stride: int = 128
    last: str | None = None

    @property
    def fields(self) -> tuple[str, ...]:
        return (self.field, *([self.start] if self.start else []))

    @property
    def context(self) -> str:
        return self.part.fields[-1]

    def taken(self, outputs: Mapping[str, torch.Tensor]) -> torch.Tensor:
        found = outputs[self.output]
        return found if self.last is None else torch.stack([found, outputs[self.last]], -1)

    # -- rows ----------------------------------------------------------------------------------------------------------

    def split(self, row: Record, tools: Tools) -> Iterator[Record | BadRow]:
        try:
            text, place = text_of(row.values, self.context), self._place(row.values)
            offsets = tools.offsets(text)
            room = self.part.room(row.values, tools)
        except RowError as error:
            yield BadRow(row.place, str(error))
            return
        stride = min(self.stride, room)
        for first in range(0, max(0, len(offsets) - room) + stride, stride):
            window = offsets[first : first + room]
            begin, end = (int(window[0, 0]), int(window[-1, 1])) if len(offsets) > room else (0, len(text))
            inside = place is not None and begin <= place[0] and place[1] <= end
            at = (place[0] - begin, place[1] - begin) if inside and place is not None else None
            yield Record(row.place, {**row.values, self.context: text[begin:end], PLACE: at})

    def _place(self, values: Mapping[str, Any]) -> tuple[int, int] | None:
        """Where the answer's characters stand in the context; None: it says that there is none."""
        text, begin = answers_of(values.get(self.field)), values.get(self.start) if self.start else None
        if not text or not text[0][0]:
            return None
        answer, said = text[0]
        context = text_of(values, self.context)
        try:
            place = int(begin) if begin is not None else said if said is not None else context.find(answer)
        except (TypeError, ValueError):
            raise RowError(f"{self.start} is no number") from None
        if place < 0 or context[place : place + len(answer)] != answer:
            raise RowError(f"the answer {answer[:40]!r} is not in the {self.context}" + (f" at {place}" * (place >= 0)))
        return place, place + len(answer)

    def columns(self, tools: Tools) -> list[Column]:
        def encode(values: Mapping[str, Any]) -> Array:
            pieces = self.part.pieces(values, tools)
            first = sum(len(piece) for piece in pieces[:-1]) + (len(pieces) == 1 and self.part.starts(tools))
            count = len(pieces[-1]) - self.part.ends(tools) - (len(pieces) == 1 and self.part.starts(tools))
            at = _tokens(values.get(PLACE), tools.offsets(text_of(values, self.context))[:count])
            found = (NOWHERE, NOWHERE) if at is None else (first + at[0], first + at[1])
            return np.array([*found, first, first + count])

        return [Column(self.name, encode, "<i4", (4,))]

    # -- batches -------------------------------------------------------------------------------------------------------

    def add(self, rows: Columns, batch: Batch, tools: Tools, random: np.random.Generator) -> None:
        batch.targets[self.name] = torch.from_numpy(np.stack(list(rows[self.name])).astype(np.int64))
        batch.counts[self.name] = len(rows[self.name])

    def loss(self, output: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        logits = _masked(output, targets)
        return (cross_entropy(logits[..., 0], targets[:, 0]) + cross_entropy(logits[..., 1], targets[:, 1])) / 2

    def measures(self, output: torch.Tensor, targets: torch.Tensor) -> dict[str, tuple[float, int]]:
        found, _ = best_spans(output, targets)
        common = torch.minimum(found[:, 1], targets[:, 1]) - torch.maximum(found[:, 0], targets[:, 0]) + 1
        sizes = (found[:, 1] - found[:, 0] + 1) + (targets[:, 1] - targets[:, 0] + 1)
        exact = (found == targets[:, :2]).all(1)
        return {
            "exact_match": (float(exact.sum()), len(targets)),
            "f1": (float((2 * common.clamp(min=0) / sizes).sum()), len(targets)),
        }

    def answers(self, asked: Asked) -> list[Answer]:
        """Each row's answer, as it stands in the text; empty: there is none."""
        return [self._answer(values, asked) for values in asked.rows]

    def _answer(self, values: Mapping[str, Any], asked: Asked) -> Answer:
        """The best of all windows that find an answer."""
        windows = []
        for row in self.split(Record("", {**values, self.field: None}), asked.tools):
            if isinstance(row, BadRow):
                raise RowError(row.reason)
            windows.append(row.values)
        numbers = np.stack([self.columns(asked.tools)[0].encode(window) for window in windows]).astype(np.int64)
        found, scores = best_spans(self.taken(replace(asked, rows=windows).outputs), torch.from_numpy(numbers))
        scores = scores.masked_fill(found[:, 0] == NOWHERE, -torch.inf)
        best = int(scores.argmax())
        if scores[best] == -torch.inf:
            return Answer("", {"answer": "", "score": None})
        offsets, context = asked.tools.offsets(text_of(windows[best], self.context)), windows[best][self.context]
        first, last = (found[best] - int(numbers[best, 2])).tolist()
        text = context[int(offsets[first, 0]) : int(offsets[last, 1])]
        return Answer(text, {"answer": text, "score": float(scores[best])})


def answers_of(value: Any) -> list[tuple[str, int | None]]:
    """A row's answers with their first characters, where they are said: a text, a list of texts, or
    `{text: […], answer_start: […]}` as SQuAD has it."""
    if value is None:
        return []
    if isinstance(value, Mapping):
        texts, starts = list(value.get("text") or []), list(value.get("answer_start") or [])
        return [(str(text), int(start)) for text, start in zip(texts, starts, strict=False)]
    return [(str(text), None) for text in (value if isinstance(value, list) else [value])]


def _tokens(place: tuple[int, int] | None, offsets: Array) -> tuple[int, int] | None:
    """The first and the last token that share a character with the place."""
    if place is None:
        return None
    inside = np.flatnonzero((offsets[:, 1] > place[0]) & (offsets[:, 0] < place[1]))
    whole = len(inside) and offsets[inside[-1], 1] >= place[1]
    return (int(inside[0]), int(inside[-1])) if whole else None


def _masked(output: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """The logits [B, T, 2] in fp32, those of the question and of padding at -inf."""
    places = torch.arange(output.shape[1], device=output.device)
    allowed = (places >= targets[:, 2:3]) & (places < targets[:, 3:4]) | (places == NOWHERE)
    return output.float().masked_fill(~allowed[..., None], -torch.inf)


def best_spans(output: torch.Tensor, targets: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The likeliest first and last positions, int64 [B, 2], and their summed logits [B]: in the context and at most
    `LONGEST` of them, or `NOWHERE`. Of `targets` [B, 4] only where the context begins and stops is read."""
    logits = _masked(output, targets)
    scores = logits[:, :, None, 0] + logits[:, None, :, 1]  # [B, T, T]
    places = torch.arange(output.shape[1], device=output.device)
    length = places[None, :] - places[:, None]
    crossing = (places[:, None] == NOWHERE) & (places[None, :] != NOWHERE) & (targets[:, 2] > NOWHERE)[:, None, None]
    scores = scores.masked_fill((length < 0) | (length >= LONGEST) | crossing, -torch.inf).flatten(1)
    best, place = scores.max(1)
    return torch.stack([place // output.shape[1], place % output.shape[1]], 1), best
