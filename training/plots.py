"""Pictures of a training: what its metrics say, and what its schedule will do. No window, none of pyplot's state."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from blockgraph.training.files import write_whole
from blockgraph.training.metrics import Record

if TYPE_CHECKING:
    from matplotlib.axes import Axes

TRAIN, VALID, RATE, NORM = "#9db4d6", "#c4512d", "#3f7d58", "#7a5aa6"
MEASURES = ("#c4512d", "#1f5c99", "#3f7d58", "#7a5aa6", "#a07400", "#555555")

Points = Sequence[tuple[float, float]]


def draw_run(records: Sequence[Record], path: Path, title: str, unit: str | None = None) -> None:
    """Loss (in `unit`), learning rate, norm of the gradients, and what else was measured, over the steps, as a PNG."""
    groups = measure_groups(records)
    figure, panels = _figure([3.0, 1.0, 1.2, *([1.6] * len(groups))])
    _losses(panels[0], records, unit)
    _line(panels[1], [(r.step, r.lr) for r in records], "learning rate", RATE)
    _line(panels[2], [(r.step, r.grad_norm) for r in records if r.grad_norm is not None], "gradient norm", NORM)
    for axes, names in zip(panels[3:], groups, strict=True):
        _measures(axes, records, names)
    panels[0].set_title(title, parse_math=False)
    panels[-1].set_xlabel("step")
    write_whole(path, _written(figure, "png"))


def draw_schedule(curves: Mapping[str, Points], marks: Points, path: Path, title: str) -> None:
    """Learning rates over the steps, a line for each name; `marks` are told with their numbers. The file's ending says
    its kind: png, svg or pdf."""
    figure, [axes] = _figure([3.0])
    for (name, points), colour in zip(curves.items(), (RATE, NORM), strict=False):
        axes.plot(*zip(*points, strict=True), color=colour, linewidth=1.5, label=name)
    last = max(points[-1][0] for points in curves.values())
    for step, rate in dict(marks).items():
        axes.plot([step], [rate], "o", markersize=4, color=VALID)
        side = "right" if step > 0.9 * last else "center"
        axes.annotate(f"{rate:.3g}", (step, rate), textcoords="offset points", xytext=(0, 7), ha=side, color=VALID)
    axes.margins(y=0.14)
    axes.set_title(title, parse_math=False)
    axes.set_xlabel("step")
    axes.set_ylabel("learning rate")
    if len(curves) > 1:
        axes.legend(frameon=False)
    write_whole(path, _written(figure, path.suffix.lower()[1:]))


def measure_groups(records: Sequence[Record]) -> list[list[str]]:
    """Names of measures, those together that share a panel: shares from 0 to 1 do, any other stands alone."""
    highest: dict[str, float] = {}
    for record in records:
        for name, value in record.measures.items():
            highest[name] = max(highest.get(name, 0.0), value)
    shares = [name for name, most in highest.items() if most <= 1]
    return [*([shares] if shares else []), *([name] for name, most in highest.items() if most > 1)]


def _losses(axes: Axes, records: Sequence[Record], unit: str | None) -> None:
    train = [(r.step, r.train_loss) for r in records if r.train_loss is not None]
    valid = [(r.step, r.val_loss) for r in records if r.val_loss is not None]
    if train:
        axes.plot(*zip(*train, strict=True), _dot(train), color=TRAIN, linewidth=1, label="training")
    if valid:
        axes.plot(*zip(*valid, strict=True), color=VALID, marker="o", markersize=4, label="validation, whole split")
        best = min(valid, key=lambda pair: pair[1])
        axes.annotate(f"{best[1]:.3f}", best, textcoords="offset points", xytext=(0, 8), ha="center", color=VALID)
    axes.set_ylabel(f"loss ({unit})" if unit else "loss")
    if train or valid:
        axes.legend(frameon=False)


def _line(axes: Axes, points: Points, name: str, colour: str) -> None:
    if points:
        axes.plot(*zip(*points, strict=True), _dot(points), color=colour, linewidth=1)
    axes.set_ylabel(name)
    axes.set_ylim(bottom=0)


def _dot(points: Points) -> str:
    """How a line is drawn: one of a single point would not be seen."""
    return "o" if len(points) == 1 else "-"


def _measures(axes: Axes, records: Sequence[Record], names: Sequence[str]) -> None:
    for name, colour in zip(names, MEASURES * len(names), strict=False):
        points = [(r.step, r.measures[name]) for r in records if name in r.measures]
        axes.plot(*zip(*points, strict=True), color=colour, marker="o", markersize=3, linewidth=1, label=name)
    if len(names) > 1:
        axes.legend(frameon=False)
        axes.set_ylabel("validation")
    else:
        axes.set_ylabel(f"validation\n{names[0]}", parse_math=False)


def _figure(heights: list[float]) -> tuple[Any, list[Axes]]:
    """A figure of panels one above the other, which share their steps."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(7, 1.0 + sum(heights)), dpi=120, layout="constrained")
    panels = figure.subplots(len(heights), 1, sharex=True, squeeze=False, height_ratios=heights)[:, 0]
    for axes in panels:
        axes.grid(alpha=0.25)
    panels[-1].xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    figure.align_ylabels(panels)
    return figure, list(panels)


def _written(figure: Any, kind: str) -> bytes:
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    FigureCanvasAgg(figure)
    picture = io.BytesIO()
    figure.savefig(picture, format=kind)
    return picture.getvalue()
