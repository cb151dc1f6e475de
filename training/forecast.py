"""A schedule told before anything runs: its learning rates over the steps, and the numbers to look at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from blockgraph.training.errors import TrainError
from blockgraph.training.settings import from_spec

if TYPE_CHECKING:
    from blockgraph.specs.spec import Spec

POINTS = 1000  # of a curve; those where it bends are always among them


@dataclass(frozen=True)
class Forecast:
    """Learning rates of `steps` updates, numbered from 1. `curves` has a line for each optimizer, the one that a spec's
    `lr` names first. `warmup` is the last step of the rise (0: there is none); `peak` and `final` are step and rate."""

    kind: str
    steps: int
    warmup: int
    curves: dict[str, list[tuple[int, float]]]
    peak: tuple[int, float]
    final: tuple[int, float]


def forecast(spec: Spec, steps: int | None = None) -> Forecast:
    """What the spec's `train:` section says; `steps` replaces its number.

    Raises `TrainError` where there is no such section, or where its epochs have no number of steps without the data.
    """
    if spec.train is None:
        raise TrainError(f"{spec.name} has no `train:` section: add one, or name a preset that has")
    settings = from_spec(spec.train)
    count = steps or settings.steps
    if count is None:
        raise TrainError(
            f"train: epochs: {spec.train.epochs}: how many steps that is, the data decides: give their number, "
            "--steps 10000 (`blockgraph train` prints it once it has seen the data)"
        )
    schedule = settings.schedule_over(count, _width(spec) if settings.schedule == "noam" else None)
    places = _places(count, schedule.warmup)
    factors = [(n + 1, schedule.factor(n)) for n in places]
    optimizer = settings.optimizer
    rates: dict[str, float] = {optimizer.type: optimizer.lr}
    if optimizer.others is not None:
        rates[optimizer.others.type] = optimizer.others.lr
    curves = {name: [(step, rate * factor) for step, factor in factors] for name, rate in rates.items()}
    first = curves[optimizer.type]
    peak = max(first, key=lambda point: point[1])
    return Forecast(settings.schedule, count, min(schedule.warmup, count), curves, peak, first[-1])


def _places(steps: int, warmup: int) -> list[int]:
    """Updates (from 0) that are looked at: evenly many, and those around the end of the warm-up."""
    even = {round(n * (steps - 1) / (POINTS - 1)) for n in range(POINTS)}
    return sorted(even | {n for n in (warmup - 1, warmup) if 0 <= n < steps})


def _width(spec: Spec) -> int | None:
    """The model's width; nothing is allocated for it."""
    from blockgraph.builder.build import build
    from blockgraph.training.parameters import width_of

    return width_of(build(spec, device="meta"))
