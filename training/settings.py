"""What the loop needs to know, free of where it was written. `from_spec` reads it from a spec's `train:` section."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from blockgraph.tasks.lesson import LOSS
from blockgraph.training.errors import TrainError
from blockgraph.training.schedules import Kind, Schedule, steps_of

LOWER_IS_BETTER = {LOSS, "perplexity", "absolute_error"}

OptimizerKind = Literal["adamw", "adam", "sgd", "adafactor", "muon"]


@dataclass(frozen=True, slots=True)
class Optimizer:
    """`others` is the AdamW beside Muon, for embeddings, head and what is no matrix. `lrs` gives weights that globs
    name a learning rate of their own."""

    type: OptimizerKind = "adamw"
    lr: float = 3e-4
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    weight_decay: float = 0.01
    momentum: float = 0.0
    lrs: Mapping[str, float] = field(default_factory=dict)
    others: Optimizer | None = None


@dataclass(frozen=True, slots=True)
class Batch:
    """`size` rows, or as many as have `tokens` positions, in each of `accumulate` parts of a step; none is longer than
    `length`."""

    size: int | None
    length: int
    accumulate: int = 1
    tokens: int | None = None

    @property
    def windows(self) -> int:
        """How many windows of a long text are in a part."""
        return self.size if self.size is not None else max(1, (self.tokens or 0) // self.length)


@dataclass(frozen=True, slots=True)
class Lora:
    """Low-rank updates of the weights that the globs `on` name; their scale is alpha / rank."""

    rank: int
    alpha: float
    on: tuple[str, ...]


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
    decay: float = 0.2
    ema: float | None = None
    output: str | None = None
    clip: float | None = 1.0
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    compile: Literal[False, True, "region"] = False
    seed: int = 0
    evaluate_every: int = 500
    patience: int | None = None
    best: str = LOSS
    samples: int = 0
    checkpoint_every: int = 500
    keep: int = 3
    freeze: tuple[str, ...] = ()
    train_only: tuple[str, ...] = ()
    tensorboard: bool = False
    parallel: Literal["ddp", "fsdp"] | None = None
    lora: Lora | None = None

    def score(self, measures: dict[str, float]) -> float:
        """The measure that decides which weights are the best, turned so that lower is better. Raises `TrainError`."""
        self.check_best(measures)
        return self.value_of(measures[self.best])

    def check_best(self, measures: Iterable[str]) -> None:
        """Raises `TrainError` where the measure that decides is not among those."""
        if self.best not in (known := list(measures)):
            raise TrainError(f"train: evaluate: best: there is no measure '{self.best}'; there is {', '.join(known)}")

    def value_of(self, score: float) -> float:
        """A score as the measure, or the other way round."""
        return score if self.best.rpartition(".")[2] in LOWER_IS_BETTER else -score

    def schedule_over(self, steps: int, width: int | None) -> Schedule:
        if self.schedule == "noam" and width is None:
            raise TrainError("schedule noam needs the model's width, and this model has no embedding that tells it")
        return Schedule(
            self.schedule, steps, steps_of(self.warmup, steps), self.floor, width, steps_of(self.decay, steps)
        )


def from_spec(train: Any) -> Settings:
    """The settings in a spec's `train` section (`specs.train.Train`). Raises `TrainError` for what is not there yet."""
    return Settings(
        batch=_batch(train.batch),
        steps=train.steps,
        epochs=train.epochs,
        optimizer=_optimizer(train.optimizer),
        schedule=train.schedule.type,
        warmup=train.schedule.warmup,
        floor=getattr(train.schedule, "floor", 0.0),
        decay=getattr(train.schedule, "decay", 0.0),
        ema=train.ema,
        output=train.task[0].output,
        clip=train.clip,
        precision=train.precision,
        compile=train.compile,
        seed=train.seed,
        evaluate_every=train.evaluate.every,
        patience=train.evaluate.patience,
        best=train.evaluate.best,
        samples=train.evaluate.samples,
        checkpoint_every=train.checkpoint.every,
        keep=train.checkpoint.keep,
        freeze=tuple(train.freeze or ()),
        train_only=tuple(train.train_only or ()),
        tensorboard=train.tensorboard,
        parallel=train.parallel,
        lora=Lora(train.lora.rank, train.lora.alpha, tuple(train.lora.on)) if train.lora is not None else None,
    )


def _batch(batch: Any) -> Batch:
    return Batch(batch.size, batch.length, batch.accumulate, batch.tokens)


def _optimizer(optimizer: Any) -> Optimizer:
    """Options that the optimizer's type has not keep this class's defaults, which it then never reads."""
    names = [name for name in Optimizer.__dataclass_fields__ if name != "others" and hasattr(optimizer, name)]
    given = {name: getattr(optimizer, name) for name in names if getattr(optimizer, name) is not None}
    others = getattr(optimizer, "others", None)
    return Optimizer(**given, others=_optimizer(others) if others is not None else None)
