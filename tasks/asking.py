"""What a trained model is asked, and what a task answers: rows without their targets in, texts and numbers out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

import torch

from blockgraph.data.batch import Batch
from blockgraph.data.records import RowError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from blockgraph.data.examples import Array
    from blockgraph.tasks.inputs import Input
    from blockgraph.tasks.task import Tools

Name = TypeVar("Name")
TOGETHER = 64  # rows that are read at once


@dataclass(frozen=True, slots=True)
class Choices:
    """`top`: how many classes or words are named, best first. The others say how texts are written: at most `max_new`
    new ids, drawn where `temperature` is not 0, searched with `beams`."""

    top: int = 1
    max_new: int = 128
    beams: int = 1
    length_penalty: float = 1.0
    temperature: float = 0.0
    seed: int = 0

    @property
    def decoding(self) -> dict[str, Any]:
        """The options of `generate_batch`."""
        searched = {"beams": self.beams, "length_penalty": self.length_penalty} if self.beams > 1 else {}
        return {"max_new": self.max_new, "temperature": self.temperature, "seed": self.seed, **searched}


@dataclass(frozen=True, slots=True)
class Answer:
    """`text` is a line for people, `values` the same for programs."""

    text: str
    values: dict[str, Any]


@dataclass
class Asked:
    """Some rows and the model that is asked about them. `read` runs it: what it returns, by output."""

    model: torch.nn.Module
    read: Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]]
    inputs: tuple[Input, ...]
    tools: Tools
    rows: Sequence[Mapping[str, Any]]
    choices: Choices = field(default_factory=Choices)

    @property
    def device(self) -> torch.device:
        return next(self.model.parameters()).device

    def encoded(self, values: Mapping[str, Any]) -> dict[str, Array]:
        """The columns of a row's inputs. Raises `RowError`."""
        return {column.name: column.encode(values) for part in self.inputs for column in part.columns(self.tools)}

    @cached_property
    def outputs(self) -> dict[str, torch.Tensor]:
        """What the model says of all rows, on the CPU: [rows, …]; shorter rows are padded."""
        batch, rows = Batch(), [self.encoded(values) for values in self.rows]
        for part in self.inputs:
            part.add({name: [row[name] for row in rows] for name in rows[0]}, batch, self.tools)
        return self.run(batch)

    def run(self, batch: Batch) -> dict[str, torch.Tensor]:
        with torch.inference_mode():
            found = self.read(batch.to(self.device).inputs)
        return {name: value.float().cpu() for name, value in found.items()}

    def ids(self, text: str) -> list[int]:
        """A text's ids, as the tokenizer makes them. Raises `RowError` where there are none."""
        found: list[int] = self.tools.encode(text).tolist()
        if not found:
            raise RowError("the text is empty")
        return found

    def write(self, texts: Sequence[Sequence[int]], **options: Any) -> list[list[int]]:
        """What the model writes for prompts or sources; `options` are `generate_batch`'s."""
        from blockgraph.running.batch import generate_batch

        tools = self.tools
        assert tools.tokenizer is not None
        common = {"below": tools.tokenizer.size, "window": tools.length, "pad": tools.specials.pad or 0}
        return generate_batch(self.model, texts, **(common | self.choices.decoding | options))

    def decoded(self, ids: Sequence[int], after: Sequence[int] = ()) -> str:
        assert self.tools.tokenizer is not None
        stream = self.tools.tokenizer.stream(after)
        return "".join([*(stream.push(token) for token in ids), stream.finish()])


def in_groups(rows: Iterable[Any], size: int = TOGETHER) -> Iterator[list[Any]]:
    group: list[Any] = []
    for row in rows:
        group.append(row)
        if len(group) == size:
            yield group
            group = []
    if group:
        yield group


def likeliest(logits: torch.Tensor, names: Sequence[Name], top: int) -> list[tuple[Name, float]]:
    """The best of the classes `names` with their probabilities; logits [C], of which the first have names."""
    probabilities = logits[: len(names)].softmax(-1)
    values, places = probabilities.topk(min(top, len(names)))
    return [(names[place], value) for place, value in zip(places.tolist(), values.tolist(), strict=True)]
