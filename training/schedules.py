"""Learning-rate schedules: closed forms of the step, so that nothing about them needs to be saved."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

Kind = Literal["cosine", "linear", "constant", "noam", "wsd"]


@dataclass(frozen=True, slots=True)
class Schedule:
    """`factor(n)` scales every learning rate at the n-th update (n from 0).

    With w warm-up steps and N steps in all, a straight rise over the first w updates, then, with t = (n - w) / (N - w):
    cosine: floor + (1 - floor) (1 + cos πt) / 2, Loshchilov & Hutter 2017 without restarts; linear: 1 - (1 - floor) t;
    constant: 1; wsd (warm-up, stable, decay: Hu et al. 2024, MiniCPM, §4): 1 until the last `decay` steps, which go
    in a straight line to the floor. noam: width^-0.5 · min(s^-0.5, s · w^-1.5) with s = n + 1 (Vaswani et al. 2017,
    equation 3); it has no floor and needs the model's `width`.
    """

    kind: Kind
    steps: int
    warmup: int
    floor: float = 0.0
    width: int | None = None
    decay: int = 0

    def factor(self, n: int) -> float:
        if self.kind == "noam":
            return self._noam(n + 1)
        if n < self.warmup:
            return (n + 1) / (self.warmup + 1)
        if self.kind == "wsd":
            return self._falling(n)
        return self._after((n - self.warmup) / max(1, self.steps - self.warmup))

    def _after(self, t: float) -> float:
        t = min(1.0, t)
        if self.kind == "cosine":
            return self.floor + (1 - self.floor) * (1 + math.cos(math.pi * t)) / 2
        if self.kind == "linear":
            return 1 - (1 - self.floor) * t
        return 1.0

    def _falling(self, n: int) -> float:
        left = self.steps - n
        return 1.0 if left >= self.decay else self.floor + (1 - self.floor) * max(0, left) / self.decay

    def _noam(self, s: int) -> float:
        assert self.width is not None
        return float(self.width**-0.5 * min(s**-0.5, s * max(1, self.warmup) ** -1.5))


def steps_of(given: float, steps: int) -> int:
    """Warm-up and decay as a spec gives them: a number of steps, or a share of all steps where below 1."""
    return round(given * steps) if given < 1 else min(int(given), steps)
