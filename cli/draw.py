"""`blockgraph draw FILE`"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from blockgraph.cli.errors import DIFFERS, saying_warnings
from blockgraph.cli.options import read_model, reads_spec
from blockgraph.cli.views import with_view
from blockgraph.specs.diagnostics import BlockgraphError

if TYPE_CHECKING:
    from blockgraph.viz.view import View

FORMATS = ("svg", "png", "pdf", "dot")
SUFFIXES = {form: form for form in (*FORMATS, "html")} | {"mmd": "mermaid"}


@click.command("draw")
@click.argument("file", metavar="FILE")
@click.option(
    "-o",
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The suffix chooses: svg, png, pdf, dot, mmd (Mermaid) or html (blocks open and close).  [default: NAME.svg]",
)
@click.option("--dpi", type=click.IntRange(20, 1200), default=144, show_default=True, help="Resolution of a PNG.")
@click.option("--check", is_flag=True, help="Write nothing; exit 1 where the picture differs from what is there.")
@click.option("--verbose", is_flag=True, help="Say so where the fine layout was not right and a plainer one is drawn.")
@with_view
@reads_spec
def command(
    file: str,
    out: Path | None,
    dpi: int,
    check: bool,
    verbose: bool,
    view: View,
    sets: tuple[str, ...],
    plugins: tuple[str, ...],
) -> None:
    """Draw the architecture: blocks, frames with N×, shapes and parameters, all from the spec alone."""
    spec, model = read_model(file, sets, plugins)
    out = out or Path(f"{spec.name or Path(file).stem}.svg")
    form = format_of(out)
    from blockgraph.viz.draw import compose, draw

    if verbose and (note := compose(model, view).note):
        click.echo(f"{out}: {note}", err=True)
    if not check:
        out.parent.mkdir(parents=True, exist_ok=True)
        with saying_warnings():
            draw(model, out, format=form, dpi=dpi, view=view)
        click.echo(f"wrote {out}")
    elif not out.exists() or out.read_bytes() != draw(model, format=form, dpi=dpi, view=view):
        click.echo(f"{out} differs from {file}; `blockgraph draw {file} -o {out}` writes it anew")
        raise SystemExit(DIFFERS)


def format_of(out: Path) -> str:
    form = SUFFIXES.get(out.suffix.lower().removeprefix("."))
    if form is None:
        raise BlockgraphError(f"{out}: the suffix says what to draw: .{', .'.join(SUFFIXES)}")
    return form
