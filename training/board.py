"""What TensorBoard shows of a training: event files with the numbers of the metrics."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from blockgraph.training.errors import TrainError

FOLDER = "tensorboard"
FLUSH_EVERY = 10  # seconds


def check_tensorboard() -> None:
    """Raises `TrainError` where TensorBoard is not installed: before anything has begun."""
    _writer_class()


def _writer_class() -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise TrainError(
            f"train: tensorboard: true needs TensorBoard ({error}): pip install 'blockgraph[tensorboard]', "
            "or leave the word out"
        ) from None
    return SummaryWriter


class Board:
    """Writes event files into `folder`. Older ones stay, since a TensorBoard may have them open; their steps beyond
    `after` are declared void, so that none is shown twice. `empty`: there were none."""

    def __init__(self, folder: Path, after: int) -> None:
        writer = _writer_class()
        folder.mkdir(exist_ok=True)
        self.empty = not any(folder.glob("events.out.tfevents.*"))
        self._writer = writer(str(folder), purge_step=after + 1, flush_secs=FLUSH_EVERY)

    def add(self, step: int, scalars: Mapping[str, float]) -> None:
        for name, value in scalars.items():
            self._writer.add_scalar(name, value, step)

    def flush(self) -> None:
        self._writer.flush()

    def close(self) -> None:
        self._writer.close()
