"""A run with the lesson that it learned: what measuring and asking it need."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from blockgraph.running.runs import Run, Which, open_run
from blockgraph.running.specials import specials_of
from blockgraph.tasks.asking import Asked, Choices
from blockgraph.tasks.lesson import Lesson
from blockgraph.tasks.plan import lesson_for
from blockgraph.training.errors import TrainError
from blockgraph.training.loop import forward_of
from blockgraph.training.precision import Precision
from blockgraph.training.run_data import RunData
from blockgraph.training.settings import Settings, from_spec

if TYPE_CHECKING:
    from blockgraph.specs.train import Train


@dataclass(frozen=True)
class Trained:
    run: Run
    lesson: Lesson
    settings: Settings

    @property
    def section(self) -> Train:
        assert self.run.spec.train is not None
        return self.run.spec.train

    @property
    def device(self) -> torch.device:
        return next(self.run.model.parameters()).device

    @property
    def precision(self) -> Precision:
        """As in training, so that the numbers are those of its validation."""
        return Precision(self.settings.precision, self.device)

    def asked(self, rows: Sequence[Mapping[str, Any]], choices: Choices) -> Asked:
        lesson, precision = self.lesson, self.precision
        forward = forward_of(self.run.model, lesson)

        def read(inputs: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
            with precision.autocast():
                return forward(inputs)

        return Asked(self.run.model, read, lesson.inputs, lesson.tools, rows, choices)


def open_trained(
    path: str | Path, *, which: Which = "best", device: str = "auto", plugins: tuple[str, ...] = ()
) -> Trained:
    """The run at `path`, its model loaded, its lesson as in training. Raises `BlockgraphError`."""
    from blockgraph.builder.build import resolve_device

    run = open_run(path, which=which, device=resolve_device(device), plugins=plugins)
    if run.spec.train is None:
        raise TrainError(f"{run.folder / 'spec.yaml'} has no `train:` section: nothing says what the model learned")
    lesson, settings = lesson_for(run.model.definition, run.spec.train), from_spec(run.spec.train)
    if lesson.vocabulary is not None:
        lesson.tools.tokenizer = run.tokenizer
        lesson.tools.specials = lesson.fixed.over(specials_of(run.tokenizer))
    if any(task.has_labels for task in lesson.tasks):
        lesson.tools.labels.update(RunData(run.folder).labels())
    return Trained(run, lesson, settings)
