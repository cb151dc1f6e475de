"""What a task is: the columns that it wants of the data, what it adds to a batch, and its loss at one output."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import torch

from blockgraph.data.batch import Batch
from blockgraph.data.errors import TrainError
from blockgraph.data.records import RowError
from blockgraph.running.specials import Specials

if TYPE_CHECKING:
    import numpy as np

    from blockgraph.data.examples import Array, Column
    from blockgraph.data.records import BadRow, Record
    from blockgraph.running.tokenizers import Tokenizer
    from blockgraph.tasks.asking import Answer, Asked
    from blockgraph.tasks.scores import Score

Columns = Mapping[str, "Sequence[Array]"]
IGNORED = -100  # a target that no loss counts


@dataclass
class Tools:
    """What texts and labels become numbers with. `length` is where a sequence is cut; `labels` are the names of the
    classes by task, in the order of their numbers."""

    length: int
    tokenizer: Tokenizer | None = None
    specials: Specials = field(default_factory=Specials)
    labels: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def encode(self, text: str) -> Array:
        """Raises `RowError` where the text has characters that the tokenizer does not know."""
        from blockgraph.running.tokenizers import TokenizerError

        assert self.tokenizer is not None
        try:
            return self.tokenizer.encode(text)
        except TokenizerError as error:
            raise RowError(str(error)) from None

    def offsets(self, text: str) -> Array:
        assert self.tokenizer is not None
        return self.tokenizer.offsets(text)


@dataclass
class Task(ABC):
    """One thing that is learned, at the model's output `output`. `name` tells it from the others of a training."""

    kind: ClassVar[str]
    has_labels: ClassVar[bool] = False  # whether its classes have names in the data
    looks_ahead: ClassVar[bool] = False  # whether a model that sees later positions sees what it is to predict
    has_perplexity: ClassVar[bool] = False  # whether exp(loss) says something: the loss is in nats per token
    loss_unit: ClassVar[str] = "nats per target"
    means: ClassVar[tuple[str, ...]] = ()  # the names of what `measures` gives
    name: str
    output: str
    weight: float = 1.0
    smoothing: float = 0.0

    @property
    def fields(self) -> tuple[str, ...]:
        """Every field of a row that the task itself reads."""
        return self.text_fields

    @property
    def text_fields(self) -> tuple[str, ...]:
        """The fields of a row that the task itself encodes as texts."""
        return ()

    def columns(self, tools: Tools) -> list[Column]:
        """The columns that the task itself needs, beside the inputs'."""
        return []

    def label_values(self, values: Mapping[str, Any]) -> list[str]:
        """The names of classes in a row, for tasks that have classes; they are collected before rows are encoded."""
        return []

    def split(self, row: Record, tools: Tools) -> Iterator[Record | BadRow]:
        """The rows that are learned from instead of this one: windows of a long text."""
        yield row

    def taken(self, outputs: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Of the model's outputs what `loss` and `measures` read."""
        return outputs[self.output]

    @abstractmethod
    def add(self, rows: Columns, batch: Batch, tools: Tools, random: np.random.Generator) -> None:
        """Adds the task's targets, their count, and the inputs that it makes itself."""

    def vary(self, batch: Batch, random: np.random.Generator) -> None:  # noqa: B027 (most vary nothing)
        """Changes the batch as it is wanted while learning only; all that is drawn comes from `random`."""

    @abstractmethod
    def loss(self, output: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """The sum over all targets, a scalar in fp32; the gradient flows to `output`."""

    def measures(self, output: torch.Tensor, targets: torch.Tensor) -> dict[str, tuple[float, int]]:
        """Beside the loss, what a judged batch adds to each measure: (sum, count)."""
        return {}

    def scores(self, tools: Tools) -> list[Score]:
        """What adds up measures that are no mean over targets, anew for each judged split."""
        return []

    def measured(self, tools: Tools) -> tuple[str, ...]:
        """The names of all measures beside the loss."""
        return (*self.means, *(name for score in self.scores(tools) for name in score.names))

    def answers(self, asked: Asked) -> list[Answer]:
        """What the model says of each row. Raises `RowError` where it is asked about one row that cannot be read."""
        raise TrainError(f"a model that learned {self.kind} has nothing to predict: `blockgraph evaluate` measures it")


class Written(Task):
    """A task whose answers are texts, which are compared with those of the row's field `field`."""

    field: str

    @abstractmethod
    def right(self, values: Mapping[str, Any]) -> list[str]:
        """A row's right texts; the first is learned. Raises `RowError` where there is none."""

    @abstractmethod
    def compared(self, told: Sequence[str], right: Sequence[Sequence[str]]) -> dict[str, float]:
        """The measures of what it told of all rows, each with its right texts."""
