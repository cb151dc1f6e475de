"""`blockgraph train FILE`"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from blockgraph.cli.options import console, read_model, reads_spec, with_device

if TYPE_CHECKING:
    from blockgraph.specs.spec import Spec


@click.command("train")
@click.argument("file", metavar="FILE")
@click.option("--out", type=click.Path(path_type=Path), metavar="RUN", help="The run's folder.  [default: runs/NAME-N]")
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    metavar="PATH",
    help="Train on this file or folder instead of the spec's data.",
)
@click.option("--resume", is_flag=True, help="Go on where the run stopped, as if it never had.")
@with_device
@reads_spec
def command(
    file: str,
    out: Path | None,
    data: Path | None,
    resume: bool,
    device: str,
    sets: tuple[str, ...],
    plugins: tuple[str, ...],
) -> None:
    """Train as the spec's `train:` section says. Ctrl-C stops after the step, saves, and exits with 3."""
    from blockgraph.training.launched import end_with_parent, first_speaks, started_by_torchrun

    if started_by_torchrun():
        end_with_parent()
    with first_speaks():
        spec, _ = read_model(file, sets, plugins)
        from blockgraph.training.train import train

        train(spec, out=out, data=data, resume=resume, device=device, console=console(), draw=draw_into)


def draw_into(spec: Spec, path: Path) -> None:
    """The diagram that a run's folder keeps."""
    from blockgraph.builder.analyse import analyse
    from blockgraph.specs.diagnostics import Diagnostics
    from blockgraph.viz.draw import draw

    model = analyse(spec, Diagnostics())
    if model is not None:
        draw(model, path)
