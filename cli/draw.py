"""`blockgraph draw FILE`"""

from __future__ import annotations

from pathlib import Path

import click

from blockgraph.cli.errors import DIFFERS
from blockgraph.cli.options import read_model, reads_spec
from blockgraph.specs.diagnostics import BlockgraphError

FORMATS = ("svg", "png", "pdf", "dot")


@click.command("draw")
@click.argument("file", metavar="FILE")
@click.option(
    "-o",
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The suffix chooses svg, png, pdf or dot.  [default: NAME.svg]",
)
@click.option("--dpi", type=click.IntRange(20, 1200), default=144, show_default=True, help="Resolution of a PNG.")
@click.option("--check", is_flag=True, help="Write nothing; exit 1 where the picture differs from what is there.")
@reads_spec
def command(
    file: str, out: Path | None, dpi: int, check: bool, sets: tuple[str, ...], plugins: tuple[str, ...]
) -> None:
    """Draw the architecture: blocks, frames with N×, shapes and parameters, all from the spec alone."""
    spec, model = read_model(file, sets, plugins)
    out = out or Path(f"{spec.name or Path(file).stem}.svg")
    form = format_of(out, check)
    from blockgraph.viz.draw import draw

    if not check:
        out.parent.mkdir(parents=True, exist_ok=True)
        draw(model, out, format=form, dpi=dpi)
        click.echo(f"wrote {out}")
    elif not out.exists() or out.read_bytes() != draw(model, format=form, dpi=dpi):
        click.echo(f"{out} differs from {file}; `blockgraph draw {file} -o {out}` writes it anew")
        raise SystemExit(DIFFERS)


def format_of(out: Path, check: bool) -> str:
    form = out.suffix.lower().removeprefix(".")
    if form not in FORMATS:
        raise BlockgraphError(f"{out}: the suffix says what to draw: .svg, .png, .pdf or .dot")
    if check and form == "pdf":
        raise BlockgraphError(
            "a PDF holds the time it was written, so it always differs; --check an .svg, .png or .dot"
        )
    return form
