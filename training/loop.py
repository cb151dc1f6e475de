"""The loop: it knows a model, batches, a lesson that tells their loss, and settings; not how any of them were made.

A step is a function of the weights, the optimizer's state, the random states and the step's number. All of these are in
a checkpoint, so a resumed training goes on as if it had never ended.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from blockgraph.data.batch import Batch, Feed, Split
from blockgraph.tasks.lesson import LOSS, Forward, Lesson, outputs_of
from blockgraph.training.average import Average
from blockgraph.training.board import FOLDER
from blockgraph.training.checkpoints import Checkpoints, Loaded
from blockgraph.training.errors import NotFinite, Stopped
from blockgraph.training.low_rank import LowRank
from blockgraph.training.metrics import Metrics, NoMetrics, Record
from blockgraph.training.optimizers import Optimizers
from blockgraph.training.parameters import head_of, trained_weights, width_of
from blockgraph.training.pending import Pending
from blockgraph.training.precision import Precision
from blockgraph.training.progress import Reporter, Silent
from blockgraph.training.settings import Settings
from blockgraph.training.signals import StopRequests
from blockgraph.training.world import World

RECORDS = 1000  # about how many lines of metrics a training leaves
RECORD_AT_LEAST_EVERY = 100  # steps
TOKENS = "tokens of all inputs"  # beside the tasks' names in a step's counts


class _Interrupted(Exception):  # noqa: N818
    """A signal came, between two parts of a step or in an evaluation."""


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

    `identity` tells which spec and data this is; it is kept in the checkpoints. `show` is called after each
    checkpoint and where a step was the best; `sample` shows what the model writes at a step, and leaves the random
    states alone.
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
    show: Callable[[Trainer], None] = lambda trainer: None
    world: World = field(default_factory=World)
    sample: Callable[[int], None] = lambda step: None

    def __post_init__(self) -> None:
        settings, model = self.settings, self.model
        self.world.check_parts(settings.batch.accumulate)
        self.device = next(model.parameters()).device
        self.precision = Precision(settings.precision, self.device)
        head = head_of(model, settings.output)
        low_rank = LowRank(model, settings, head) if settings.lora is not None else None
        if low_rank is None:
            weights = trained_weights(model, freeze=settings.freeze, train_only=settings.train_only, head=head)
        else:
            weights = low_rank.trained
        outputs = frozenset(task.output for task in self.lesson.tasks)
        self._taught, weights, self.low_rank = self.world.model_for_steps(model, weights, outputs, low_rank)
        self.checkpoints.low_rank = self.low_rank
        self.optimizers = Optimizers(weights, settings.optimizer)
        self.average = Average(weights, settings.ema) if settings.ema is not None else None
        self.steps = settings.steps if settings.steps is not None else self.train.steps(settings.epochs or 1)
        self.schedule = settings.schedule_over(self.steps, width_of(model) if settings.schedule == "noam" else None)
        self.record_every = min(RECORD_AT_LEAST_EVERY, max(1, self.steps // RECORDS))
        self.progress, self._pending, self._clock = Progress(), Pending(), Clock()
        self._forward = forward_of(self._taught, self.lesson)
        self.stop = StopRequests()
        self.world.seed(settings.seed)

    # what a checkpoint holds

    def state(self) -> dict[str, Any]:
        random, *others = self.world.random_states()
        return {
            "progress": asdict(self.progress),
            "pending": self._pending.state(self.model),
            "optimizer": self.optimizers.state(),
            "scaler": self.precision.state(),
            "average": self.world.average_state(self.average) if self.average is not None else {},
            "random": random,
            "others": others,
            "parts": self.settings.batch.accumulate,
            "threads": torch.get_num_threads(),
            "identity": dict(self.identity),
        }

    def restore(self, loaded: Loaded) -> None:
        """Goes on from a checkpoint. The random states come last: nothing after them may draw."""
        if self.low_rank is None:
            self.world.load_weights(self.model, loaded)
        else:
            self.low_rank.load(loaded.weights, loaded.folder)
        self.world.load_optimizers(self.optimizers, loaded)
        self.precision.load(loaded.state["scaler"])
        if self.average is not None:
            self.world.load_average(self.average, loaded.state["average"])
        self.progress = Progress(**loaded.state["progress"])
        if self.world.kind is None:  # several processes begin such a step again
            self._pending = Pending.restored(loaded.state.get("pending", {}), self.model)
        self.optimizers.set_factor(self.schedule.factor(max(0, self.progress.step - 1)))
        if (before := loaded.state["threads"]) != (now := torch.get_num_threads()) and self.device.type == "cpu":
            self.reporter.message(
                f"{now} threads now, {before} before: sums are rounded in another order, losses may differ"
            )
        states = [loaded.state["random"], *loaded.state.get("others", ())]
        if not self.world.restore_random(states, self.settings.seed, self.progress.step):
            self.reporter.message(
                "another number of processes than before: what is drawn, as for dropout, is drawn anew"
            )

    # the training

    def run(self) -> Outcome:
        """Trains to the end. Raises `Stopped` (saved), `NotFinite`, `DiskFull`."""
        board = self.metrics_path.parent / FOLDER if self.settings.tensorboard else None
        done = self.progress.step if self.progress.closed else self.progress.step - 1
        self._metrics = Metrics(self.metrics_path, done, board) if self.world.first else NoMetrics()
        self.reporter.start(self.progress.step, self.steps, self.lesson.counted)
        try:
            with self.stop:
                return self._run()
        finally:
            self.reporter.close()
            self._metrics.close()

    def _run(self) -> Outcome:
        self.model.train()
        try:
            if not self.progress.closed:
                self._close_step()
            while self.progress.step < self.steps and not self.patience_is_over:
                self._interrupt()
                self._step()
                self._close_step()
                self._checkpoint_if_due()
                if self.progress.step < self.steps:
                    self._interrupt()
        except _Interrupted:
            self._save()
            self.show(self)
            asked = self.stop.requested or "another process"
            raise Stopped(f"stopped by {asked} at step {self.progress.step:,} of {self.steps:,}, and saved") from None
        progress, best = self.progress, self.settings.value_of(self.progress.best_score)
        return Outcome(progress.step, best if math.isfinite(best) else None, progress.best_step, self.patience_is_over)

    @property
    def patience_is_over(self) -> bool:
        return self.settings.patience is not None and self.progress.worse >= self.settings.patience

    def _step(self) -> None:
        began, n = time.perf_counter(), self.progress.step
        self.optimizers.set_factor(self.schedule.factor(n))
        batches = [self.train.batch(n, part) for part in self.world.parts(self.settings.batch.accumulate)]
        counts = {**self.lesson.totals(batches), TOKENS: sum(batch.tokens for batch in batches)}
        totals = self.world.totals(counts)
        loss, tokens = self._gradients(batches, totals), totals[TOKENS]
        self._update(loss, n, tokens)
        self.progress.step, self.progress.closed = n + 1, False
        self._clock.seconds += time.perf_counter() - began
        self._clock.tokens += tokens
        self.progress.tokens += tokens

    def _gradients(self, batches: list[Batch], totals: dict[str, int]) -> torch.Tensor:
        """Adds up the gradients of the step's parts, and returns the step's mean loss (on the device): every target of
        the step counts the same, whichever part it is in, and whichever process has it. A signal ends it after a part,
        where one process trains: several would have to agree each time."""
        begun, total = self._pending.parts, self._pending.loss.to(self.device)
        for number, batch in enumerate(batches[begun:], begun + 1):
            batch = batch.to(self.device)
            with self.world.part(self._taught, last=number == len(batches)):
                with self.precision.autocast():
                    outputs = self._forward(batch.inputs)
                loss = self.lesson.loss(outputs, batch, totals)
                self.precision.backward(self.world.scaled(loss))
            total = total + loss.detach()
            if number < len(batches) and self.world.kind is None and self.stop.requested is not None:
                self._pending = Pending(number, total)
                raise _Interrupted
        self._pending = Pending()
        return self.world.summed(total)

    def _update(self, loss: torch.Tensor, n: int, tokens: int) -> None:
        """Clips, checks, and lets the optimizers step: loss and norm leave the device once, together."""
        self.optimizers.take_gradients()
        if self.low_rank is not None:
            self.low_rank.take_gradients()
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
        self._merge()
        if self.average is not None:
            self.average.update(n + 1)
        self.progress.loss_sum += value
        self.progress.norm_sum += size
        self.progress.loss_count += 1
        self.reporter.step(n + 1, value, self.optimizers.lr, tokens)

    def _clipped_norm(self) -> torch.Tensor:
        """The norm of all gradients before they are clipped to at most `clip`."""
        leaves, clip = self.optimizers.leaves, self.settings.clip
        norm = self.world.whole(nn.utils.get_total_norm([leaf.grad for leaf in leaves if leaf.grad is not None]))
        if clip is not None:
            nn.utils.clip_grads_with_norm_(leaves, clip, norm)
        return norm

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
        valid = self._judged() if self._evaluation_is_due else {}
        progress.closed = True
        if progress.step % self.record_every == 0 or valid or progress.step == self.steps:
            self._record(valid)
        if valid and progress.best_step == progress.step:
            self.show(self)

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

    def _judged(self) -> dict[str, float]:
        """Evaluates, and keeps the weights where they are the best: those of the average, where there is one."""
        with self.average.in_place(self._weights_changed) if self.average is not None else nullcontext():
            valid = self._evaluate()
            self._judge(valid)
            return valid

    def _weights_changed(self) -> None:
        self.world.settle(self.model)
        self._merge()

    def _merge(self) -> None:
        if self.low_rank is not None:
            self.low_rank.merge()

    def _evaluate(self) -> dict[str, float]:
        measures = evaluate(self.model, self.lesson, self.valid, self.precision, self._interrupt)
        return self.world.shared(lambda: measures)

    def _interrupt(self) -> None:
        if self.world.any(self.stop.requested is not None):
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
        step, ends = self.progress.step, self.progress.step == self.steps or self.patience_is_over
        if step % self.settings.checkpoint_every == 0 or ends:
            self._save()
            self.show(self)

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
