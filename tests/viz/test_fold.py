"""Repetitions: found, and exactly the same when unrolled."""

from __future__ import annotations

import time

from hypothesis import given
from hypothesis import strategies as st

from blockgraph.viz.fold import Run, fold


def unrolled(runs: tuple[Run, ...]) -> list[int]:
    """The places of the elements that stand for all of them, in order."""
    return [
        place for run in runs for _ in range(run.times) for place in (unrolled(run.parts) if run.parts else [run.start])
    ]


@given(st.lists(st.integers(0, 2), max_size=40))
def test_unrolling_gives_the_same_sequence(keys: list[int]) -> None:
    assert [keys[place] for place in unrolled(fold(keys))] == keys


def test_a_pattern_is_two_times_three_and_one() -> None:
    assert fold("aaabaaab") == (Run(0, 2, (Run(0, 3), Run(3, 1))),)


def test_consecutive_runs_and_a_rest() -> None:
    assert fold("aaabbbbb") == (Run(0, 3), Run(3, 5))
    assert fold("ababa") == (Run(0, 2, (Run(0, 1), Run(1, 1))), Run(4, 1))


def test_thousands_of_layers_take_no_time() -> None:
    start = time.process_time()
    assert len(fold([0, 1] * 5000)) == 1
    fold(list(range(10_000)))
    assert time.process_time() - start < 2
