"""The loop: it knows a model, batches, a lesson that tells their loss, and settings; not how any of them were made.

A step is a function of the weights, the optimizer's state, the random states and the step's number. All of these are in
a checkpoint, so a resumed training goes on as if it had never ended.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from blockgraph.data.batch import Batch, Feed, Split
from blockgraph.running.weights import load_weights
from blockgraph.tasks.lesson import LOSS, Forward, Lesson, outputs_of
from blockgraph.training import random_state
from blockgraph.training.checkpoints import Checkpoints, Loaded
from blockgraph.training.errors import NotFinite, Stopped
from blockgraph.training.metrics import Metrics, Record
from blockgraph.training.optimizers import Optimizers
from blockgraph.training.parameters import head_of, trained_weights, width_of
from blockgraph.training.precision import Precision
from blockgraph.training.progress import Reporter, Silent
from blockgraph.training.settings import Settings
from blockgraph.training.signals import StopRequests

RECORDS = 1000  # about how many lines of metrics a training leaves
RECORD_AT_LEAST_EVERY = 100  # steps


class _Interrupted(Exception):  # noqa: N818
    """A signal came during an evaluation."""


@dataclass(slots=True)
class Progress:
    """Where the training stands. `closed`: what follows a step (evaluation, record) has been done for `step` too."""

    step: int = 0
    closed: bool = True
    best_score: float = math.inf  # lower is better: see `Settings.score`
    best_step: int = 0
    worse: int = 0  # evaluations since the best
    loss_sum: float = 0.0  # of the steps since the last record, as is what follows
    norm_sum: float = 0.0
    loss_count: int = 0
    tokens: int = 0  # of all steps


@dataclass(slots=True)
class Clock:
    """Time spent in steps since the last record: what `tokens_per_s` is about."""

    seconds: float = 0.0
    tokens: int = 0

    def rate(self) -> float | None:
        """Begins anew."""
        rate = round(self.tokens / self.seconds, 1) if self.seconds > 0 else None
        self.seconds, self.tokens = 0.0, 0
        return rate


@dataclass
class Outcome:
    """How a training ended. `early`: no improvement for as many evaluations as `patience` allows."""

    step: int
    best: float | None  # of the measure that decides
    best_step: int
    early: bool = False


@dataclass
class Trainer:
    """Trains `model` (on its device already) on `train`, judged by `valid` (empty: never), as `lesson` says.

    `identity` tells which spec and data this is; it is kept in the checkpoints. `plot` draws what `metrics` hold;
    `sample` shows what the model writes at a step, and leaves the random states alone.
    """

    model: nn.Module
    lesson: Lesson
    train: Feed
    valid: Split
    settings: Settings
    checkpoints: Checkpoints
    metrics_path: Path
    reporter: Reporter = field(default_factory=Silent)
    identity: dict[str, str] = field(default_factory=dict)
    plot: Callable[[], None] = lambda: None
    sample: Callable[[int], None] = lambda step: None

    def __post_init__(self) -> None:
        settings, model = self.settings, self.model
        self.device = next(model.parameters()).device
        self.precision = Precision(settings.precision, self.device)
        head = head_of(model, settings.output)
        weights = trained_weights(model, freeze=settings.freeze, train_only=settings.train_only, head=head)
        self.optimizers = Optimizers(weights, settings.optimizer)
        self.steps = settings.steps if settings.steps is not None else self.train.steps(settings.epochs or 1)
        self.schedule = settings.schedule_over(self.steps, width_of(model) if settings.schedule == "noam" else None)
        self.record_every = min(RECORD_AT_LEAST_EVERY, max(1, self.steps // RECORDS))
        self.progress, self._clock = Progress(), Clock()
        self._forward = forward_of(model, self.lesson)
        self._stop = StopRequests()
        random_state.seed_all(settings.seed)

    # what a checkpoint holds

    def state(self) -> dict[str, Any]:
        return {
            "progress": asdict(self.progress),
            "optimizer": self.optimizers.state(),
            "scaler": self.precision.state(),
            "random": random_state.capture(),
            "threads": torch.get_num_threads(),
            "identity": dict(self.identity),
        }

    def restore(self, loaded: Loaded) -> None:
        """Goes on from a checkpoint. The random states come last: nothing after them may draw."""
        load_weights(self.model, loaded.weights, loaded.folder)
        self.optimizers.load(loaded.state["optimizer"])
        self.precision.load(loaded.state["scaler"])
        self.progress = Progress(**loaded.state["progress"])
        self.optimizers.set_factor(self.schedule.factor(max(0, self.progress.step - 1)))
        if (before := loaded.state["threads"]) != (now := torch.get_num_threads()) and self.device.type == "cpu":
            self.reporter.message(
                f"{now} threads now, {before} before: sums are rounded in another order, losses may differ"
            )
        random_state.restore(loaded.state["random"])

    # the training

    def run(self) -> Outcome:
        """Trains to the end. Raises `Stopped` (saved), `NotFinite`, `DiskFull`."""
        self._metrics = Metrics(
            self.metrics_path, self.progress.step if self.progress.closed else self.progress.step - 1
        )
        self.reporter.start(self.progress.step, self.steps)
        try:
            with self._stop:
                return self._run()
        finally:
            self.reporter.close()
            self._metrics.close()

    def _run(self) -> Outcome:
        self.model.train()
        try:
            if not self.progress.closed:
                self._close_step()
            while self.progress.step < self.steps and not self._patience_is_over:
                self._step()
                self._close_step()
                self._checkpoint_if_due()
                if self._stop.requested and self.progress.step < self.steps:
                    raise _Interrupted
        except _Interrupted:
            self._save()
            self.plot()
            raise Stopped(
                f"stopped by {self._stop.requested} at step {self.progress.step:,} of {self.steps:,}, and saved"
            ) from None
        progress, best = self.progress, self.settings.value_of(self.progress.best_score)
        return Outcome(progress.step, best if math.isfinite(best) else None, progress.best_step, self._patience_is_over)

    @property
    def _patience_is_over(self) -> bool:
        return self.settings.patience is not None and self.progress.worse >= self.settings.patience

    def _step(self) -> None:
        began, n = time.perf_counter(), self.progress.step
        self.optimizers.set_factor(self.schedule.factor(n))
        batches = [self.train.batch(n, part) for part in range(self.settings.batch.accumulate)]
        loss, tokens = self._gradients(batches), sum(batch.tokens for batch in batches)
        self._update(loss, n, tokens)
        self.progress.step, self.progress.closed = n + 1, False
        self._clock.seconds += time.perf_counter() - began
        self._clock.tokens += tokens
        self.progress.tokens += tokens

    def _gradients(self, batches: list[Batch]) -> torch.Tensor:
        """Adds up the gradients of the step's parts, and returns the step's mean loss (on the device): every target of
        the step counts the same, whichever part it is in."""
        total, totals = torch.zeros((), device=self.device), self.lesson.totals(batches)
        for batch in batches:
            batch = batch.to(self.device)
            with self.precision.autocast():
                outputs = self._forward(batch.inputs)
            loss = self.lesson.loss(outputs, batch, totals)
            self.precision.backward(loss)
            total += loss.detach()
        return total

    def _update(self, loss: torch.Tensor, n: int, tokens: int) -> None:
        """Clips, checks, and lets the optimizers step: loss and norm leave the device once, together."""
        self.optimizers.take_gradients()
        scaler = self.precision.scaler
        if scaler is not None:
            for optimizer in self.optimizers.all:
                scaler.unscale_(optimizer)
        value, size = torch.stack([loss, self._clipped_norm()]).tolist()
        self._check_finite(value, size if scaler is None else 0.0, n)  # fp16's scaler skips such a step by itself
        if scaler is None:
            self.optimizers.step()
        else:
            for optimizer in self.optimizers.all:
                scaler.step(optimizer)
            scaler.update()
        self.optimizers.zero()
        self.progress.loss_sum += value
        self.progress.norm_sum += size
        self.progress.loss_count += 1
        self.reporter.step(n + 1, value, self.optimizers.lr, tokens)

    def _clipped_norm(self) -> torch.Tensor:
        """The norm of all gradients before they are clipped to at most `clip`."""
        leaves, clip = self.optimizers.leaves, self.settings.clip
        if clip is not None:
            return nn.utils.clip_grad_norm_(leaves, clip)
        return nn.utils.get_total_norm([leaf.grad for leaf in leaves if leaf.grad is not None])

    def _check_finite(self, loss: float, norm: float, n: int) -> None:
        if math.isfinite(loss) and math.isfinite(norm):
            return
        what = (
            f"the loss is {loss}"
            if not math.isfinite(loss)
            else f"the gradient's norm is {norm} (the loss is {loss:.4g})"
        )
        raise NotFinite(
            f"at step {n + 1:,} {what}; the weights were not touched by it, and the checkpoints before stand. "
            f"Look at the learning rate (now {self.optimizers.lr:.3g}), a longer warmup, clip, precision (fp32 shows "
            f"whether it is rounding), and the metrics before this step"
        )

    # after a step

    def _close_step(self) -> None:
        """Evaluates and records, where this step asks for it."""
        progress = self.progress
        valid = self._evaluate() if self._evaluation_is_due else {}
        progress.closed = True
        if valid:
            self._judge(valid)
        if progress.step % self.record_every == 0 or valid or progress.step == self.steps:
            self._record(valid)

    def _record(self, valid: dict[str, float]) -> None:
        progress, seconds = self.progress, self._metrics.seconds + self._clock.seconds
        rate = self._clock.rate()
        count = progress.loss_count
        mean, norm = (total / count if count else None for total in (progress.loss_sum, progress.norm_sum))
        progress.loss_sum, progress.norm_sum, progress.loss_count = 0.0, 0.0, 0
        more = {name: value for name, value in valid.items() if name != LOSS}
        record = Record(progress.step, mean, valid.get(LOSS), self.optimizers.lr, rate, norm, more)
        self._metrics.add(replace(record, tokens=progress.tokens, seconds=round(seconds, 3)))

    @property
    def _evaluation_is_due(self) -> bool:
        step = self.progress.step
        return len(self.valid) > 0 and (step % self.settings.evaluate_every == 0 or step == self.steps)

    def _evaluate(self) -> dict[str, float]:
        return evaluate(self.model, self.lesson, self.valid, self.precision, self._interrupt)

    def _interrupt(self) -> None:
        if self._stop.requested:
            raise _Interrupted

    def _judge(self, measures: dict[str, float]) -> None:
        progress, score = self.progress, self.settings.score(measures)
        better = score < progress.best_score
        if better:
            progress.best_score, progress.best_step, progress.worse = score, progress.step, 0
            self.checkpoints.save_best(progress.step, self.model)
        else:
            progress.worse += 1
        self.reporter.evaluation(progress.step, measures, better)
        self.sample(progress.step)

    def _checkpoint_if_due(self) -> None:
        step, ends = self.progress.step, self.progress.step == self.steps or self._patience_is_over
        if step % self.settings.checkpoint_every == 0 or ends:
            self._save()
            self.plot()

    def _save(self) -> None:
        self._metrics.sync()
        self.checkpoints.save(self.progress.step, self.model, self.state())


def forward_of(model: nn.Module, lesson: Lesson) -> Forward:
    """Calls the model with a batch's inputs; what it returns, by output."""
    first = lesson.tasks[0].output

    def forward(inputs: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        return outputs_of(model(**inputs), first)

    return forward


def evaluate(
    model: nn.Module, lesson: Lesson, split: Split, precision: Precision, tick: Callable[[], None] = lambda: None
) -> dict[str, float]:
    """Loss and measures over all of a split, with dropout off and without gradients; the model's mode is as before
    afterwards."""
    device, was_training = next(model.parameters()).device, model.training
    model.eval()
    try:
        with torch.no_grad(), precision.autocast():
            return lesson.judge(forward_of(model, lesson), split, device, tick)
    finally:
        model.train(was_training)
