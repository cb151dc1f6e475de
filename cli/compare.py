"""`blockgraph compare RUN RUN …`"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from blockgraph.cli.options import console, with_plugins, write_new

if TYPE_CHECKING:
    from blockgraph.training.comparing import Course


@click.command("compare")
@click.argument("runs", metavar="RUN RUN...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE.png",
    help="Draw the losses over steps, seconds and tokens.",
)
@click.option("--json", "as_json", is_flag=True, help="A line of JSON for each run.")
@with_plugins
def command(runs: tuple[Path, ...], out: Path | None, as_json: bool, plugins: tuple[str, ...]) -> None:
    """Compare runs: steps, seconds, tokens, parameters, and the measures where each was best."""
    from blockgraph.training.comparing import course_of, draw_courses

    courses = [course_of(run, plugins) for run in runs]
    if as_json:
        for course in courses:
            click.echo(json.dumps(course.facts(), ensure_ascii=False))
    else:
        print_courses(courses)
    if out is not None:
        write_new(out, draw_courses(courses))
        click.echo(f"wrote {out}", err=as_json)


def print_courses(courses: Sequence[Course]) -> None:
    from rich.table import Table
    from rich.text import Text

    facts = [course.facts() for course in courses]
    measures = list(dict.fromkeys(name for fact in facts for name in fact["best"]))
    table = Table()
    table.add_column("run")
    for name in ("parameters", "steps", "seconds", "tokens", "best at step", *measures):
        table.add_column(name, justify="right")
    for fact in facts:
        cells = (fact["parameters"], fact["steps"], round(fact["seconds"]), fact["tokens"], fact["best_step"])
        values = (fact["best"].get(name) for name in measures)
        table.add_row(Text(fact["run"]), *map(_whole, cells), *map(_decimal, values))
    console().print(table)


def _whole(value: Any) -> str:
    return "-" if value is None else f"{value:,}"


def _decimal(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"
