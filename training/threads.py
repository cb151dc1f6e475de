"""How many threads a small model trains fastest with, here and now."""

from __future__ import annotations

import os
import time

import torch
import torch.nn.functional as F

from blockgraph.blocks.model import Model

WARM, TIMED = 1, 3  # steps


def fastest_threads(model: Model, batch: int, length: int) -> int:
    """The number of threads with the shortest forward and backward pass on ids [batch, length].

    More is not always faster: each of a small model's many small products waits for its slowest thread, and where
    another program holds a core that takes twenty times as long. Leaves torch's number of threads as it was.
    """
    before = torch.get_num_threads()
    seconds = {}
    for threads in _candidates():
        torch.set_num_threads(threads)
        seconds[threads] = _seconds(model, batch, length)
    torch.set_num_threads(before)
    model.zero_grad(set_to_none=True)
    return min(seconds, key=lambda threads: seconds[threads])


def _candidates() -> list[int]:
    most = os.cpu_count() or 1
    return [threads for threads in (1, 2, 4, 8, 16) if threads <= most]


def _seconds(model: Model, batch: int, length: int) -> float:
    """Median wall time of a step: what the user waits for."""
    ids = torch.zeros(batch, length, dtype=torch.int64)
    taken = []
    for _ in range(WARM + TIMED):
        start = time.perf_counter()
        logits = model(ids)
        F.cross_entropy(logits.flatten(0, 1), ids.flatten()).backward()  # type: ignore[no-untyped-call]
        taken.append(time.perf_counter() - start)
    return sorted(taken[WARM:])[TIMED // 2]
