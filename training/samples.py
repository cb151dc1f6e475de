"""What a model writes while it learns: a few texts of the validation data at each evaluation, kept in `samples.txt`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from torch import nn

from blockgraph.data.records import Record, Records, RowError
from blockgraph.data.sources import Source
from blockgraph.specs.diagnostics import BlockgraphError
from blockgraph.tasks.asking import Asked, Choices
from blockgraph.tasks.language import TEXT
from blockgraph.tasks.task import Task
from blockgraph.training import random_state
from blockgraph.training.errors import TrainError
from blockgraph.training.files import write_whole
from blockgraph.training.loop import Trainer, forward_of

SAMPLES = "samples.txt"
READ = 1 << 16  # characters in which prompts are looked for
PROMPT = 24  # characters of a line that the model goes on from
LONGEST = 64  # new ids
WRITING = ("causal_lm", "seq2seq")


@dataclass
class Samples:
    """`rows` are what the model is asked. The training's random states are as before afterwards, and weights and
    optimizers are not touched: what is written changes nothing of what is learned."""

    trainer: Trainer
    task: Task
    rows: list[Mapping[str, Any]]
    path: Path

    @classmethod
    def of(cls, trainer: Trainer, data: Source, path: Path) -> Samples:
        """With as many rows of the validation data (else of the training data) as the settings ask for. What the file
        tells of steps that are still to come (again) goes. Raises `TrainError` where the task writes no texts."""
        task, progress = trainer.lesson.tasks[0], trainer.progress
        if task.kind not in WRITING:
            raise TrainError(f"train: evaluate: samples: {task.kind} writes no texts; {' and '.join(WRITING)} do")
        if path.is_file():
            done = progress.step if progress.closed else progress.step - 1
            lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
            write_whole(path, "".join(line for line in lines if _step_of(line) <= done))
        return cls(trainer, task, _rows(data, trainer.settings.samples), path)

    def show(self, step: int) -> None:
        """Tells what the model writes; what it cannot write is told in its place."""
        before = random_state.capture()
        try:
            lines = [f"step {step:,}: {' → '.join(_shown(value) for value in values)}" for values in self._written()]
        except (BlockgraphError, RowError) as error:
            lines = [f"step {step:,}: no sample: {error}"]
        finally:
            random_state.restore(before)
        with self.path.open("a", encoding="utf-8") as file:
            file.writelines(line + "\n" for line in lines)
        for line in lines:
            self.trainer.reporter.message(line)

    def _written(self) -> list[list[str]]:
        trainer = self.trainer
        model = trainer.world.whole_model(trainer.model)
        assert model is not None
        choices = Choices(max_new=min(LONGEST, trainer.settings.batch.length))
        read = forward_of(model, trainer.lesson)
        with _as_written(model), trainer.precision.autocast():
            asked = Asked(model, read, trainer.lesson.inputs, trainer.lesson.tools, self.rows, choices)
            answers = self.task.answers(asked)
        return [[str(value) for value in answer.values.values()] for answer in answers]


@contextmanager
def _as_written(model: nn.Module) -> Iterator[None]:
    """The model without its compiled calls: a text that grows would have them compiled anew at each length."""
    calls = [(module, module._compiled_call_impl) for module in model.modules()]
    try:
        for module, _ in calls:
            module._compiled_call_impl = None
        yield
    finally:
        for module, call in calls:
            module._compiled_call_impl = call


def _step_of(line: str) -> int:
    """The step of a line of the file."""
    number = line.removeprefix("step ").partition(":")[0].replace(",", "")
    return int(number) if number.isdigit() else 0


def _rows(data: Source, count: int) -> list[Mapping[str, Any]]:
    if not isinstance(data, Records):
        pieces = (piece for split in ("valid", "train") for piece in data.pieces(split) if piece)
        lines = (line.strip()[:PROMPT] for line in next(pieces, "")[:READ].splitlines())
        return list(islice(({TEXT: line} for line in lines if line), count))
    rows = data.rows("valid" if data.has("valid") else "train")
    return [row.values for row in islice((row for row in rows if isinstance(row, Record)), count)]


def _shown(text: str) -> str:
    """On one line."""
    return " ".join(text.split())
