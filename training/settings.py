"""What the loop needs to know, free of where it was written. `from_spec` reads it from a spec's `train:` section."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, Literal

from blockgraph.training.errors import TrainError
from blockgraph.training.schedules import Kind, Schedule, warmup_steps

OptimizerKind = Literal["adamw", "adam", "sgd", "muon"]


@dataclass(frozen=True, slots=True)
class Optimizer:
    """`others` is the AdamW beside Muon, for embeddings, head and what is no matrix."""

    type: OptimizerKind = "adamw"
    lr: float = 3e-4
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    weight_decay: float = 0.01
    momentum: float = 0.0
    others: Optimizer | None = None


@dataclass(frozen=True, slots=True)
class Batch:
    """`size` windows of `length` ids in each of `accumulate` parts of a step."""

    size: int
    length: int
    accumulate: int = 1

    @property
    def tokens(self) -> int:
        """Ids that one step learns from."""
        return self.size * self.length * self.accumulate


@dataclass(frozen=True, slots=True)
class Settings:
    """One of `steps` and `epochs` is set. `every` counts steps; `patience` counts evaluations without improvement."""

    batch: Batch
    steps: int | None = None
    epochs: float | None = None
    optimizer: Optimizer = field(default_factory=Optimizer)
    schedule: Kind = "cosine"
    warmup: float = 0.02
    floor: float = 0.0
    label_smoothing: float = 0.0
    output: str | None = None
    clip: float | None = 1.0
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    compile: Literal[False, True, "region"] = False
    seed: int = 0
    evaluate_every: int = 500
    patience: int | None = None
    checkpoint_every: int = 500
    keep: int = 3
    freeze: tuple[str, ...] = ()
    train_only: tuple[str, ...] = ()

    def total_steps(self, windows: int) -> int:
        """Updates in all; with `epochs`, as many as see each of `windows` windows that often."""
        if self.steps is not None:
            return self.steps
        assert self.epochs is not None
        return max(1, math.ceil(self.epochs * windows / (self.batch.size * self.batch.accumulate)))

    def schedule_over(self, steps: int, width: int | None) -> Schedule:
        if self.schedule == "noam" and width is None:
            raise TrainError("schedule noam needs the model's width, and this model has no embedding that tells it")
        return Schedule(self.schedule, steps, warmup_steps(self.warmup, steps), self.floor, width)


def from_spec(train: Any) -> Settings:
    """The settings in a spec's `train` section (`specs.train.Train`). Raises `TrainError` for what is not there yet."""
    task = _only_task(train.task)
    return Settings(
        batch=_batch(train.batch),
        steps=train.steps,
        epochs=train.epochs,
        optimizer=_optimizer(train.optimizer),
        schedule=train.schedule.type,
        warmup=train.schedule.warmup,
        floor=getattr(train.schedule, "floor", 0.0),
        label_smoothing=task.label_smoothing,
        output=task.output,
        clip=train.clip,
        precision=train.precision,
        compile=train.compile,
        seed=train.seed,
        evaluate_every=train.evaluate.every,
        patience=train.evaluate.patience,
        checkpoint_every=train.checkpoint.every,
        keep=train.checkpoint.keep,
        freeze=tuple(train.freeze or ()),
        train_only=tuple(train.train_only or ()),
    )


def _only_task(task: Any) -> Any:
    tasks = task if isinstance(task, list | tuple) else [task]
    if len(tasks) != 1 or tasks[0].type != "causal_lm":
        named = ", ".join(one.type for one in tasks)
        raise TrainError(f"train: task: {named} is not there yet; this version trains causal_lm")
    return tasks[0]


def _batch(batch: Any) -> Batch:
    size = batch.size if batch.tokens is None else max(1, batch.tokens // batch.length)
    return Batch(size, batch.length, batch.accumulate)


def _optimizer(optimizer: Any) -> Optimizer:
    """Options that the optimizer's type has not keep this class's defaults, which it then never reads."""
    names = [name for name in Optimizer.__dataclass_fields__ if name != "others" and hasattr(optimizer, name)]
    given = {name: getattr(optimizer, name) for name in names if getattr(optimizer, name) is not None}
    others = getattr(optimizer, "others", None)
    return Optimizer(**given, others=_optimizer(others) if others is not None else None)
