"""`metrics.jsonl`: one line per record, in the order of the steps, whatever was killed and resumed in between."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from blockgraph.training.files import write_whole

if TYPE_CHECKING:
    from matplotlib.axes import Axes


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
    """The file, open for appending. Every line is complete before the next begins."""

    def __init__(self, path: Path, after: int) -> None:
        """Lines beyond step `after` (and a line that a kill cut short) are removed first."""
        self.path, self.seconds = path, 0.0
        if path.exists():
            kept = [record for record in read_metrics(path) if record.step <= after]
            write_whole(path, "".join(map(_line, kept)))
            self.seconds = kept[-1].seconds if kept else 0.0
        self._file: TextIO = path.open("a", encoding="utf-8")

    def add(self, record: Record) -> None:
        self.seconds = record.seconds
        self._file.write(_line(record))
        self._file.flush()

    def sync(self) -> None:
        self._file.flush()
        os.fsync(self._file.fileno())

    def close(self) -> None:
        self._file.close()


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


def draw_losses(records: list[Record], path: Path, title: str) -> None:
    """The losses over the steps, as a PNG. No window and none of pyplot's global state."""
    import io

    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), dpi=120, layout="constrained")
    axes = figure.add_subplot()
    _plot(axes, records)
    axes.set_title(title, parse_math=False)
    picture = io.BytesIO()
    FigureCanvasAgg(figure).print_png(picture)  # type: ignore[no-untyped-call]
    write_whole(path, picture.getvalue())


def _plot(axes: Axes, records: list[Record]) -> None:
    train = [(r.step, r.train_loss) for r in records if r.train_loss is not None]
    valid = [(r.step, r.val_loss) for r in records if r.val_loss is not None]
    if train:
        axes.plot(*zip(*train, strict=True), color="#9db4d6", linewidth=1, label="training")
    if valid:
        axes.plot(*zip(*valid, strict=True), color="#c4512d", marker="o", markersize=4, label="validation, whole split")
        best = min(valid, key=lambda pair: pair[1])
        axes.annotate(f"{best[1]:.3f}", best, textcoords="offset points", xytext=(0, 8), ha="center", color="#c4512d")
    axes.set_xlabel("step")
    axes.set_ylabel("loss (nats per id)")
    axes.grid(alpha=0.25)
    if train or valid:
        axes.legend(frameon=False)
