"""Batches to learn from and to be judged by.

Nothing about the place in the data is kept: a batch is a function of (seed, step, part of the step), so a training that
was killed goes on with the batch that would have come. Several processes share a step as if they were more parts of it.
Legend: B rows in a batch, T window length.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from blockgraph.data.batch import Batch, Collate
from blockgraph.data.errors import TrainError
from blockgraph.data.examples import Array, Examples
from blockgraph.data.ids import Ids

POOL = 100  # batches whose rows are sorted by length together: mixed enough, and little padding
COLLATING = 1  # what is drawn for a batch's rows does not depend on how the rows were drawn


@dataclass(frozen=True)
class Windows:
    """Training windows of `length` ids of one long text, each with the id behind it.

    Without `epochs` each window starts anywhere, drawn from (seed, step, part). With `epochs` the text is cut into
    windows that do not overlap, and every epoch sees each once, in an order drawn from (seed, epoch).
    """

    ids: Ids
    size: int
    length: int
    accumulate: int
    seed: int
    collate: Collate
    epochs: bool = False

    def __post_init__(self) -> None:
        if len(self.ids) < self.length + 1:
            raise TrainError(
                f"the training text has {len(self.ids):,} ids, and a window needs {self.length + 1:,}: "
                f"give more text, or write a smaller batch.length"
            )

    @property
    def count(self) -> int:
        """How many windows do not overlap."""
        return (len(self.ids) - 1) // self.length

    def steps(self, epochs: float) -> int:
        return max(1, math.ceil(epochs * self.count / (self.size * self.accumulate)))

    def batch(self, step: int, part: int) -> Batch:
        """Part `part` of step `step`, both from 0."""
        random = np.random.default_rng((self.seed, step, part, COLLATING))
        return self.collate({"text": list(self.rows(step, part))}, random, True)

    def rows(self, step: int, part: int) -> Array:
        """The windows themselves [B, T+1]."""
        return _windows(self.ids, self._starts(step, part), self.length)

    def _starts(self, step: int, part: int) -> Array:
        if not self.epochs:
            generator = np.random.default_rng((self.seed, step, part))
            return generator.integers(0, len(self.ids) - self.length, self.size)
        first = (step * self.accumulate + part) * self.size
        places = np.arange(first, first + self.size)
        epochs, places = places // self.count, places % self.count
        orders = {epoch: epoch_order(self.seed, epoch, self.count) for epoch in set(epochs.tolist())}
        return (
            np.array([orders[epoch][place] for epoch, place in zip(epochs.tolist(), places.tolist(), strict=True)])
            * self.length
        )


@lru_cache(maxsize=2)
def epoch_order(seed: int, epoch: int, count: int) -> Array:
    """The order in which an epoch sees its `count` rows."""
    return np.random.default_rng((seed, epoch)).permutation(count)


def _windows(ids: Ids, starts: Array, length: int) -> Array:
    return ids[starts[:, None] + np.arange(length + 1)].astype(np.int64)


@dataclass(frozen=True)
class WholeText:
    """All of a text but the first id as targets, each once: windows that do not overlap, the last one short."""

    ids: Ids
    size: int
    length: int
    collate: Collate

    def __len__(self) -> int:
        return max(0, len(self.ids) - 1)

    def batches(self) -> Iterator[Batch]:
        for number, rows in enumerate(self._rows()):
            yield self.collate({"text": list(rows)}, np.random.default_rng((number, COLLATING)), False)

    def _rows(self) -> Iterator[Array]:
        count = (len(self.ids) - 1) // self.length
        for first in range(0, count, self.size):
            yield _windows(self.ids, np.arange(first, min(first + self.size, count)) * self.length, self.length)
        if rest := (len(self.ids) - 1) % self.length:
            yield _windows(self.ids, np.array([count * self.length]), rest)


@dataclass(frozen=True)
class Measure:
    """How large a batch is: `size` rows, or as many as have `tokens` positions, padding included."""

    size: int | None
    tokens: int | None

    def cut(self, lengths: Array) -> list[int]:
        """Where batches end among rows of these lengths [rows, texts], in their order."""
        if self.size is not None:
            return [*range(self.size, len(lengths), self.size), len(lengths)]
        assert self.tokens is not None
        ends, count = [], 0
        longest: list[int] = []  # of each text, in the batch so far
        for place, row in enumerate(lengths.tolist()):
            longest = list(map(max, longest, row)) if count else row
            if count and sum(longest) * (count + 1) > self.tokens:
                ends.append(place)
                longest, count = row, 0
            count += 1
        return [*ends, len(lengths)]


def by_length(lengths: Array) -> Array:
    """The order of rows with lengths [rows, texts] by their longest text, then by all: of a pair, both sides are near
    their neighbours', which leaves less padding than the order by the sum."""
    return np.lexsort((lengths.sum(axis=1), lengths.max(axis=1)))


class Rows:
    """Rows of examples in batches of like length: every epoch sees each row once, in an order drawn from (seed, epoch).

    Of a shuffled epoch, pools of rows are sorted by length and cut into batches, and the batches are shuffled.
    `lengths` is [rows, texts]: a row may have several texts, each padded for itself.
    """

    def __init__(
        self, examples: Examples, lengths: Array, measure: Measure, accumulate: int, seed: int, collate: Collate
    ) -> None:
        if not len(examples):
            raise TrainError("there is no row to learn from")
        self.examples, self.lengths, self.measure = examples, lengths, measure
        self.accumulate, self.seed, self.collate = accumulate, seed, collate
        self._before = [0]  # batches before each epoch
        self._plan = lru_cache(maxsize=2)(self._planned)

    def steps(self, epochs: float) -> int:
        whole, rest = divmod(epochs, 1)
        batches: float = self._batches_before(int(whole))
        if rest:
            batches += rest * (self._batches_before(int(whole) + 1) - batches)
        return max(1, math.ceil(batches / self.accumulate))

    def batch(self, step: int, part: int) -> Batch:
        """Part `part` of step `step`, both from 0."""
        random = np.random.default_rng((self.seed, step, part, COLLATING))
        return self._collated(self.numbers(step, part), random)

    def numbers(self, step: int, part: int) -> Array:
        """Which rows a part of a step has."""
        number = step * self.accumulate + part
        epoch = 0
        while number >= self._batches_before(epoch + 1):
            epoch += 1
        return self._plan(epoch)[number - self._before[epoch]]

    def _collated(self, numbers: Array, random: np.random.Generator) -> Batch:
        return self.collate(gathered(self.examples, numbers), random, True)

    def _batches_before(self, epoch: int) -> int:
        while len(self._before) <= epoch:
            self._before.append(self._before[-1] + len(self._plan(len(self._before) - 1)))
        return self._before[epoch]

    def _planned(self, epoch: int) -> list[Array]:
        order = epoch_order(self.seed, epoch, len(self.examples))
        pool = self._pool()
        batches: list[Array] = []
        for first in range(0, len(order), pool):
            rows = order[first : first + pool]
            rows = rows[by_length(self.lengths[rows])]
            batches += np.split(rows, self.measure.cut(self.lengths[rows])[:-1])
        shuffled = np.random.default_rng((self.seed, epoch, POOL)).permutation(len(batches))
        return [batches[place] for place in shuffled.tolist()]

    def _pool(self) -> int:
        if self.measure.size is not None:
            return POOL * self.measure.size
        assert self.measure.tokens is not None
        return max(1, int(POOL * self.measure.tokens / max(1.0, float(self.lengths.sum(axis=1).mean()))))


@dataclass(frozen=True)
class AllRows:
    """Every row once, like lengths together."""

    examples: Examples
    lengths: Array
    measure: Measure
    collate: Collate

    def __len__(self) -> int:
        return len(self.examples)

    def numbers(self) -> list[Array]:
        """Which rows each batch has."""
        order = by_length(self.lengths)
        return list(np.split(order, self.measure.cut(self.lengths[order])[:-1])) if len(order) else []

    def batches(self) -> Iterator[Batch]:
        for number, rows in enumerate(self.numbers()):
            random = np.random.default_rng((number, COLLATING))
            yield self.collate(gathered(self.examples, rows), random, False)


def gathered(examples: Examples, numbers: Array) -> dict[str, list[Array]]:
    """The columns of some rows."""
    rows = [examples.row(number) for number in numbers.tolist()]
    return {name: [row[name] for row in rows] for name in rows[0]} if rows else {}
