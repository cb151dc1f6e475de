"""`blockgraph schedule FILE`"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from blockgraph.cli.options import read_model, reads_spec
from blockgraph.specs.diagnostics import BlockgraphError

if TYPE_CHECKING:
    from blockgraph.training.forecast import Forecast

KINDS = (".png", ".svg", ".pdf")


@click.command("schedule")
@click.argument("file", metavar="FILE")
@click.option("--steps", type=click.IntRange(1), metavar="N", help="As many steps, whatever the spec says.")
@click.option(
    "-o", "--out", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help="Plot it: .png, .svg, .pdf."
)
@click.option("--json", "as_json", is_flag=True, help="Print it with its curve as JSON instead.")
@reads_spec
def command(
    file: str, steps: int | None, out: Path | None, as_json: bool, sets: tuple[str, ...], plugins: tuple[str, ...]
) -> None:
    """Show the learning rate over the steps of the spec's `train:` section. No data is read, nothing is trained."""
    if out is not None and out.suffix.lower() not in KINDS:
        raise BlockgraphError(f"-o {out}: write one of {', '.join(KINDS)}")
    spec, _ = read_model(file, sets, plugins)
    from blockgraph.training.forecast import forecast

    found = forecast(spec, steps)
    click.echo(json.dumps(data(spec.name, found), indent=2) if as_json else told(found))
    if out is not None:
        from blockgraph.training.plots import draw_schedule

        title = f"{spec.name}: {found.kind} over {found.steps:,} steps"
        draw_schedule(found.curves, [found.peak, found.final], out, title)
        click.echo(f"wrote {out}", err=as_json)


def told(found: Forecast) -> str:
    lines = [("steps", f"{found.steps:,}"), ("schedule", found.kind)]
    end = f"step {found.warmup:,}" if found.warmup else "none"
    lines += [("warm-up ends", end), ("peak", _point(found.peak)), ("final", _point(found.final))]
    more = list(found.curves.items())[1:]
    lines += [(f"peak of {name}", _point(max(points, key=lambda point: point[1]))) for name, points in more]
    width = max(len(name) for name, _ in lines)
    return "\n".join(f"{name:<{width}}  {value}" for name, value in lines)


def _point(point: tuple[int, float]) -> str:
    return f"{point[1]:.4g} at step {point[0]:,}"


def data(name: str, found: Forecast) -> dict[str, object]:
    """Everything as plain data; points are step and learning rate."""
    return {
        "name": name,
        "schedule": found.kind,
        "steps": found.steps,
        "warmup_end": found.warmup,
        "peak": {"step": found.peak[0], "lr": found.peak[1]},
        "final": {"step": found.final[0], "lr": found.final[1]},
        "curves": {name: [list(point) for point in points] for name, points in found.curves.items()},
    }
