"""Comparing two functions fairly: interleaved rounds, one thread, CPU time, median of ratios with its interval."""

from __future__ import annotations

import multiprocessing
import random
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from multiprocessing.connection import Connection
from typing import NoReturn, cast

import torch


def one_thread() -> None:
    torch.set_num_threads(1)


def cpu_seconds(function: Callable[[], object]) -> float:
    start = time.process_time_ns()
    function()
    return (time.process_time_ns() - start) / 1e9


def compare(
    ours: Callable[[], object],
    other: Callable[[], object],
    rounds: int = 101,
    warm: int = 3,
    seconds: Callable[[Callable[[], object]], float] = cpu_seconds,
) -> float:
    """The median over rounds of other's time / our time; above 1 we are faster. The order alternates within rounds;
    each ran `warm` times before. `seconds` runs one and tells its time."""
    for function in (ours, other) * warm:
        function()
    ratios: list[float] = []
    times: tuple[list[float], list[float]] = ([], [])
    for number in range(rounds):
        pair = [0.0, 0.0]
        for which in (0, 1) if number % 2 else (1, 0):
            pair[which] = seconds((ours, other)[which])
        times[0].append(pair[0])
        times[1].append(pair[1])
        ratios.append(pair[1] / pair[0])
    low, high = interval(ratios)
    median = statistics.median(ratios)
    ours_ms, other_ms = (statistics.median(each) * 1e3 for each in times)
    print(f"ours {ours_ms:.3f} ms, other {other_ms:.3f} ms of CPU time, {rounds} rounds")
    print(f"other / ours: {median:.4f}, 95% interval of the median {low:.4f} to {high:.4f}")
    return median


def compare_apart(make: Callable[..., Callable[[], object]], given: object, rounds: int = 101, warm: int = 3) -> float:
    """`compare`, each in a process of its own, which lasts: `make(given, True)` gives our function and `make(given,
    False)` the other. For what is a matter of the process, as memory is."""
    with ExitStack() as stack:
        runs = [stack.enter_context(_elsewhere(make, given, ours)) for ours in (True, False)]
        return compare(*runs, rounds, warm, seconds=lambda run: cast(float, run()))


@contextmanager
def _elsewhere(make: Callable[..., Callable[[], object]], *given: object) -> Iterator[Callable[[], float]]:
    """Runs what `make` gives in a process of its own, and tells its CPU seconds."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=_serve, args=(there, make, given), daemon=True)
    process.start()

    def run() -> float:
        here.send(True)
        return cast(float, here.recv())

    try:
        yield run
    finally:
        here.send(False)
        process.join()


def _serve(pipe: Connection, make: Callable[..., Callable[[], object]], given: tuple[object, ...]) -> None:
    function = make(*given)
    while pipe.recv():
        pipe.send(cpu_seconds(function))


def interval(values: list[float], draws: int = 2000) -> tuple[float, float]:
    """The bootstrap's 95% interval of the median."""
    chance = random.Random(0)
    medians = sorted(statistics.median(chance.choices(values, k=len(values))) for _ in range(draws))
    return medians[int(0.025 * draws)], medians[int(0.975 * draws)]


def measured(value: float) -> None:
    """What `scripts/accept` reads."""
    print(f"measured: {value:.4f}")


def skip(reason: str) -> NoReturn:
    print(f"SKIPPED: {reason}", file=sys.stderr)
    sys.exit(0)
