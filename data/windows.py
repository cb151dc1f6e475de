"""Ids in a memory-mapped file, and the windows of them that a step learns from.

Nothing about the place in the data is kept: a batch is a function of (seed, step, part of the step).
Legend: B batch size, T window length.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from blockgraph.data.errors import TrainError

if TYPE_CHECKING:
    from blockgraph.running.tokenizers import Tokenizer

Ids = NDArray[np.integer[Any]]
Pair = tuple[torch.Tensor, torch.Tensor]  # what is read and what is to be said, int64 [B, T] each
READ_AHEAD = 1 << 22  # ids converted at once when a file is written


def write_ids(path: Path, ids: Ids, vocabulary: int) -> None:
    """`ids` as a flat little-endian file: two bytes each where `vocabulary` allows, else four."""
    dtype = _dtype(vocabulary)
    with path.open("wb") as file:
        for start in range(0, len(ids), READ_AHEAD):
            file.write(ids[start : start + READ_AHEAD].astype(dtype).tobytes())


def map_ids(path: Path, vocabulary: int) -> Ids:
    """The file's ids [N], read from the disk as they are used."""
    dtype = _dtype(vocabulary)
    if path.stat().st_size == 0:  # nothing cannot be mapped
        return np.zeros(0, dtype)
    return np.memmap(path, dtype=dtype, mode="r")


def _dtype(vocabulary: int) -> np.dtype[Any]:
    return np.dtype("<u2" if vocabulary <= 1 << 16 else "<u4")


def encode_to(path: Path, text: str, tokenizer: Tokenizer) -> Ids:
    """Encodes `text` into the file at `path`, and maps it."""
    write_ids(path, tokenizer.encode(text), tokenizer.size)
    return map_ids(path, tokenizer.size)


@dataclass(frozen=True)
class Windows:
    """Training windows of `length` ids and the ids one further on.

    Without `epochs` each window starts anywhere, drawn from (seed, step, part). With `epochs` the text is cut into
    windows that do not overlap, and every epoch sees each once, in an order drawn from (seed, epoch).
    """

    ids: Ids
    size: int
    length: int
    accumulate: int
    seed: int
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

    def batch(self, step: int, part: int) -> Pair:
        """Part `part` of step `step`, both from 0."""
        return _pair(self.ids, self._starts(step, part), self.length)

    def _starts(self, step: int, part: int) -> Ids:
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
def epoch_order(seed: int, epoch: int, count: int) -> Ids:
    """The order in which an epoch sees its `count` windows."""
    return np.random.default_rng((seed, epoch)).permutation(count)


def whole(ids: Ids, size: int, length: int) -> Iterator[Pair]:
    """All of `ids` but the first as targets, each once: windows that do not overlap, the last one short."""
    count = (len(ids) - 1) // length
    for first in range(0, count, size):
        yield _pair(ids, np.arange(first, min(first + size, count)) * length, length)
    if rest := (len(ids) - 1) % length:
        yield _pair(ids, np.array([count * length]), rest)


def _pair(ids: Ids, starts: Ids, length: int) -> Pair:
    windows = torch.from_numpy(ids[starts[:, None] + np.arange(length + 1)].astype(np.int64))  # [B, T+1]
    return windows[:, :-1].contiguous(), windows[:, 1:].contiguous()
