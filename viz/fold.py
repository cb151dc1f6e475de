"""Repetitions as a reader would say them: `a a a b a a a b c` is two times (three a, one b), then one c."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

LONGEST_PERIOD = 32  # patterns of layers are short; the bound keeps thousands of repetitions cheap


@dataclass(frozen=True)
class Run:
    """`times` repetitions in a row, from `start`: of one element (`parts` empty), or of the runs in `parts`."""

    start: int
    times: int
    parts: tuple[Run, ...] = ()


def fold(keys: Sequence[object], start: int = 0) -> tuple[Run, ...]:
    """The runs that make up `keys` (compared by `==`), found greedily from the left; `start` is the first one's
    number."""
    runs: list[Run] = []
    at = 0
    while at < len(keys):
        period, times = _best(keys, at)
        inner = fold(keys[at : at + period], start + at) if period > 1 else ()
        runs.append(Run(start + at, times, inner))
        at += period * times
    return tuple(runs)


def _best(keys: Sequence[object], at: int) -> tuple[int, int]:
    """Period and number of the repetition at `at` that covers most; the shortest period of those, (1, 1) if none
    repeats."""
    best = (1, 1)
    left = len(keys) - at
    for period in range(1, min(left // 2, LONGEST_PERIOD) + 1):
        times = 1
        while keys[at + times * period : at + (times + 1) * period] == keys[at : at + period]:
            times += 1
        if times > 1 and period * times > best[0] * best[1]:
            best = (period, times)
        if period * times == left:
            break
    return best
