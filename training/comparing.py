"""Several runs beside each other: what each cost and how well it did; their losses over steps, seconds and tokens."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from blockgraph.running.runs import read_spec
from blockgraph.training.errors import TrainError
from blockgraph.training.metrics import Record, read_metrics
from blockgraph.training.run_folder import METRICS
from blockgraph.training.settings import Settings, from_spec

if TYPE_CHECKING:
    from matplotlib.axes import Axes

AXES = {"step": "step", "seconds": "seconds of training", "tokens": "tokens learned from"}


@dataclass(frozen=True)
class Course:
    """A run as its folder tells it. `seconds` and `tokens` are those of its steps; `best` is the record with the best
    value of the measure that decides, None where nothing was validated."""

    name: str
    parameters: int
    records: tuple[Record, ...]
    settings: Settings

    @property
    def last(self) -> Record:
        return self.records[-1]

    @property
    def judged(self) -> list[Record]:
        return [record for record in self.records if record.val_loss is not None]

    @property
    def best(self) -> Record | None:
        return min(self.judged, key=lambda record: self.settings.score(measures_of(record)), default=None)

    def facts(self) -> dict[str, Any]:
        """What a table or a program is told."""
        last, best = self.last, self.best
        found = {"run": self.name, "parameters": self.parameters, "steps": last.step}
        found |= {"seconds": last.seconds, "tokens": last.tokens, "train_loss": last.train_loss}
        return found | {"best_step": best.step if best else None, "best": measures_of(best) if best else {}}


def measures_of(record: Record) -> dict[str, float]:
    """The validation's, by name."""
    found = asdict(record)
    return {"loss": found["val_loss"], **found["measures"]}


def course_of(folder: Path, plugins: tuple[str, ...] = ()) -> Course:
    """Raises `RunError` where the folder is no run, `TrainError` where nothing was recorded yet."""
    from blockgraph.builder.analyse import analyse
    from blockgraph.specs.diagnostics import Diagnostics

    spec = read_spec(folder, plugins)
    model = analyse(spec, Diagnostics())
    path = folder / METRICS
    records = tuple(read_metrics(path)) if path.is_file() else ()
    if model is None or spec.train is None or not records:
        raise TrainError(f"{folder} has nothing to compare: {METRICS} holds no record yet")
    return Course(folder.as_posix(), model.parameters, records, from_spec(spec.train))


def draw_courses(courses: Sequence[Course]) -> bytes:
    """The losses over steps, seconds and tokens, as a PNG: validation where there is one, else training."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import EngFormatter

    figure = Figure(figsize=(13, 4), dpi=120, layout="constrained")
    for axes, (field, title) in zip(figure.subplots(1, len(AXES), sharey=True), AXES.items(), strict=True):
        for number, course in enumerate(courses):
            _plot(axes, course, field, f"C{number}")
        axes.set_xlabel(title)
        axes.locator_params(axis="x", nbins=6)
        axes.xaxis.set_major_formatter(EngFormatter(sep=""))
        axes.grid(alpha=0.25)
    figure.axes[0].set_ylabel("loss; thin: training, dots: validation")
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=min(3, len(courses)), frameon=False)
    picture = io.BytesIO()
    FigureCanvasAgg(figure).print_png(picture)  # type: ignore[no-untyped-call]
    return picture.getvalue()


def _plot(axes: Axes, course: Course, field: str, color: str) -> None:
    train = [(getattr(r, field), r.train_loss) for r in course.records if r.train_loss is not None]
    valid = [(getattr(r, field), r.val_loss) for r in course.judged]
    name = course.name.replace("$", r"\$")
    for points, style in ((train, {"linewidth": 0.6, "alpha": 0.6}), (valid, {"marker": "o", "markersize": 3})):
        if points:
            last = points is valid or not valid
            axes.plot(*zip(*points, strict=True), color=color, label=name if last else None, **style)
