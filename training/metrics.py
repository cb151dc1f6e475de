"""`metrics.jsonl`: one line per record, in the order of the steps, whatever was killed and resumed in between."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TextIO

from blockgraph.training.board import Board
from blockgraph.training.files import write_whole


@dataclass(frozen=True, slots=True)
class Record:
    """Losses in nats per target. `train_loss` is the mean over the steps since the record before, `val_loss` that of
    the whole validation split where it was computed at this step, with its other `measures`. `grad_norm` is the mean
    norm of the gradients before clipping. `tokens` and `seconds` are those of all steps so far, evaluations apart."""

    step: int
    train_loss: float | None
    val_loss: float | None
    lr: float
    tokens_per_s: float | None
    grad_norm: float | None = None
    measures: dict[str, float] = field(default_factory=dict)
    tokens: int = 0
    seconds: float = 0.0


class Metrics:
    """The file, open for appending. Every line is complete before the next begins. `tensorboard`: a folder for
    TensorBoard, which is told the same."""

    def __init__(self, path: Path, after: int, tensorboard: Path | None = None) -> None:
        """Lines beyond step `after` (and a line that a kill cut short) are removed first."""
        self.path, self.seconds = path, 0.0
        kept = []
        if path.exists():
            kept = [record for record in read_metrics(path) if record.step <= after]
            write_whole(path, "".join(map(_line, kept)))
            self.seconds = kept[-1].seconds if kept else 0.0
        self._board = None if tensorboard is None else Board(tensorboard, after)
        for record in kept if self._board is not None and self._board.empty else []:
            self._show(record)
        self._file: TextIO = path.open("a", encoding="utf-8")

    def add(self, record: Record) -> None:
        self.seconds = record.seconds
        self._file.write(_line(record))
        self._file.flush()
        self._show(record)

    def _show(self, record: Record) -> None:
        if self._board is not None:
            self._board.add(record.step, scalars(record))

    def sync(self) -> None:
        self._file.flush()
        os.fsync(self._file.fileno())
        if self._board is not None:
            self._board.flush()

    def close(self) -> None:
        self._file.close()
        if self._board is not None:
            self._board.close()


def scalars(record: Record) -> dict[str, float]:
    """A record's numbers by the names under which TensorBoard groups them."""
    found = {
        "loss/training": record.train_loss,
        "loss/validation": record.val_loss,
        "learning_rate": record.lr,
        "gradient_norm": record.grad_norm,
        "tokens_per_second": record.tokens_per_s,
        **{f"validation/{name}": value for name, value in record.measures.items()},
    }
    return {name: value for name, value in found.items() if value is not None}


class NoMetrics(Metrics):
    """Where another process writes them."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def add(self, record: Record) -> None: ...

    def sync(self) -> None: ...

    def close(self) -> None: ...


def _line(record: Record) -> str:
    return json.dumps(asdict(record)) + "\n"


def read_metrics(path: Path) -> list[Record]:
    """The complete records of a file; a broken line and what follows it are left out."""
    records = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            records.append(Record(**json.loads(line)))
        except (ValueError, TypeError):
            break
    return records
