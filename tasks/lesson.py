"""All that a training does with a batch: the inputs that the data fills, the tasks that learn from it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch

from blockgraph.data.batch import Batch, Feed, Split
from blockgraph.data.errors import TrainError
from blockgraph.data.feeds import Windows
from blockgraph.data.records import BadRow, Record, Records
from blockgraph.data.sources import WantedFields
from blockgraph.running.specials import Specials
from blockgraph.tasks.inputs import Input, TextInput
from blockgraph.tasks.pictures import NumbersInput
from blockgraph.tasks.task import Task, Tools

if TYPE_CHECKING:
    import numpy as np

    from blockgraph.data.examples import Column
    from blockgraph.tasks.task import Columns

Outputs = dict[str, torch.Tensor]
Forward = Callable[[dict[str, torch.Tensor]], Outputs]
LOSS = "loss"


@dataclass
class Lesson:
    """`stream`: it learns from one long text, not from rows. `fixed` are the ids that the model's inputs name,
    `needs` those without which the tasks cannot be, `reserves` those that a tokenizer made for them has. `classes`: how
    many the outputs of tasks have; `vocabulary`: how many ids the inputs have (None: nothing is text). `strict`:
    a row that cannot be used is an error."""

    tasks: tuple[Task, ...]
    inputs: tuple[Input, ...] = ()
    tools: Tools = field(default_factory=lambda: Tools(256))
    stream: bool = False
    fixed: Specials = field(default_factory=Specials)
    needs: tuple[str, ...] = ()
    reserves: tuple[str, ...] = ()
    classes: dict[str, int] = field(default_factory=dict)
    vocabulary: int | None = None
    strict: bool = False

    @property
    def counted(self) -> str:
        """What a batch's tokens are."""
        return "rows" if self.vocabulary is None else "ids"

    @property
    def loss_unit(self) -> str | None:
        """None: the tasks' losses have several, and are added."""
        units = {task.loss_unit for task in self.tasks}
        return units.pop() if len(units) == 1 else None

    @property
    def fields(self) -> tuple[str, ...]:
        """Every field of a row that is read."""
        found = [name for part in self.inputs for name in part.fields]
        return tuple(dict.fromkeys([*found, *(name for task in self.tasks for name in task.fields)]))

    @property
    def text_fields(self) -> tuple[str, ...]:
        """Those that are texts."""
        found = [name for part in self.inputs if isinstance(part, TextInput) for name in part.fields]
        return tuple(dict.fromkeys([*found, *(name for task in self.tasks for name in task.text_fields)]))

    @property
    def wanted(self) -> WantedFields:
        return WantedFields(self.fields, self.picture_fields)

    @property
    def picture_fields(self) -> tuple[str, ...]:
        """Those that are arrays [C, H, W], or name the file of a picture."""
        parts = [part for part in self.inputs if isinstance(part, NumbersInput) and part.is_picture]
        return tuple(dict.fromkeys(name for part in parts for name in part.fields))

    def columns(self) -> list[Column]:
        """Every column of the encoded rows, each once."""
        found = [column for part in self.inputs for column in part.columns(self.tools)]
        found += [column for task in self.tasks for column in task.columns(self.tools)]
        return list({column.name: column for column in found}.values())

    def rows(self, rows: Iterable[Record | BadRow]) -> Iterator[Record | BadRow]:
        """Rows as they are encoded: a long text may become several."""
        for row in rows:
            found = [row]
            for task in self.tasks:
                parts = [task.split(one, self.tools) if isinstance(one, Record) else [one] for one in found]
                found = [one for part in parts for one in part]
            yield from found

    def collect_labels(self, data: Records) -> None:
        """The names of the classes, from the training rows. Raises `TrainError` where an output has too few places."""
        found: dict[str, Counter[str]] = {task.name: Counter() for task in self.tasks if task.has_labels}
        if not found:
            return
        for row in data.rows("train"):
            if isinstance(row, Record):
                for task in self.tasks:
                    if task.name in found:
                        found[task.name].update(task.label_values(row.values))
        for name, counts in found.items():
            labels = tuple(sorted(counts, key=_in_order))
            if len(labels) > self.classes[name]:
                raise TrainError(
                    f"the data has {len(labels)} classes for {name}, the output has room for {self.classes[name]}: "
                    f"write {len(labels)} as its width"
                )
            self.tools.labels[name] = labels

    def check(self, feed: Feed) -> None:
        """Raises `TrainError` where an output lacks an id of the tokenizer, or the text uses the padding's id."""
        tokenizer = self.tools.tokenizer
        for task in self.tasks:
            room = self.classes.get(task.name)
            if tokenizer is not None and not task.has_labels and room is not None and tokenizer.size > room:
                raise TrainError(f"the tokenizer has {tokenizer.size:,} ids, the output '{task.output}' has {room:,}")
        if isinstance(feed, Windows) and self.fixed.pad is not None and (feed.ids == self.fixed.pad).any():
            raise TrainError(
                f"the input's pad is {self.fixed.pad}, and the text uses that id, so it would be taken for padding: "
                f"leave `pad` out, or use a tokenizer that keeps the id free"
            )

    def collate(self, rows: Columns, random: np.random.Generator, learning: bool) -> Batch:
        batch = Batch()
        for part in self.inputs:
            part.add(rows, batch, self.tools)
        for task in self.tasks:
            task.add(rows, batch, self.tools, random)
        varying: list[Input | Task] = [*self.inputs, *self.tasks] if learning else []
        for one in varying:
            one.vary(batch, random)
        return batch

    def totals(self, batches: Iterable[Batch]) -> dict[str, int]:
        """How many targets each task has in all parts of a step."""
        counts: Counter[str] = Counter()
        for batch in batches:
            counts.update(batch.counts)
        return dict(counts)

    def loss(self, outputs: Outputs, batch: Batch, totals: dict[str, int]) -> torch.Tensor:
        """The part of a step's loss that is this batch's: each task's mean over the step, times its weight."""
        parts = [
            task.loss(task.taken(outputs), batch.targets[task.name]) * (task.weight / max(1, totals[task.name]))
            for task in self.tasks
        ]
        return parts[0] if len(parts) == 1 else torch.stack(parts).sum()

    def judge(
        self, forward: Forward, split: Split, device: torch.device, tick: Callable[[], None] = lambda: None
    ) -> dict[str, float]:
        """The loss (weighted, without smoothing) and every measure, over all rows. `tick` is called between batches."""
        scores = {task.name: task.scores(self.tools) for task in self.tasks}
        sums: dict[str, float] = {}
        counts: dict[str, int] = {}
        for batch in split.batches():
            batch = batch.to(device)
            outputs = forward(batch.inputs)
            for task in self.tasks:
                for score in scores[task.name]:
                    score.add(task.taken(outputs), batch.targets[task.name])
                for name, (total, count) in self._measured(task, outputs, batch).items():
                    key = self.key(task, name)
                    sums[key] = sums.get(key, 0.0) + total
                    counts[key] = counts.get(key, 0) + count
            tick()
        found = {key: sums[key] / max(1, counts[key]) for key in sums}
        for task in self.tasks:
            results = [score.result() for score in scores[task.name]]
            found |= {self.key(task, name): value for result in results for name, value in result.items()}
        if len(self.tasks) > 1:
            found = {LOSS: sum(task.weight * found[f"{task.name}.{LOSS}"] for task in self.tasks), **found}
        return found

    @property
    def measured(self) -> list[str]:
        """The name of everything that `judge` gives."""
        own = () if len(self.tasks) == 1 else (LOSS,)
        return [LOSS, *(self.key(task, name) for task in self.tasks for name in (*own, *task.measured(self.tools)))]

    def key(self, task: Task, measure: str) -> str:
        """A measure's name, with the task's where there are several."""
        return measure if len(self.tasks) == 1 else f"{task.name}.{measure}"

    @staticmethod
    def _measured(task: Task, outputs: Outputs, batch: Batch) -> dict[str, tuple[float, int]]:
        output, targets = task.taken(outputs), batch.targets[task.name]
        smoothing, task.smoothing = task.smoothing, 0.0
        try:
            loss = float(task.loss(output, targets))
        finally:
            task.smoothing = smoothing
        return {LOSS: (loss, batch.counts[task.name]), **task.measures(output, targets)}


def _in_order(label: str) -> tuple[bool, float, str]:
    """Numbers in their order, then texts in theirs."""
    try:
        return (False, float(label), label)
    except ValueError:
        return (True, 0.0, label)


def outputs_of(result: Any, first: str) -> Outputs:
    """What a model returned, by name; `first` is the name of an only output."""
    return result if isinstance(result, dict) else {first: result}
