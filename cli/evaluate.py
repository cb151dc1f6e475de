"""`blockgraph evaluate RUN`"""

from __future__ import annotations

import json
import math
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from blockgraph.cli.options import console, with_device, with_plugins
from blockgraph.cli.writing import searching, with_writing

if TYPE_CHECKING:
    from blockgraph.training.evaluate import Measured

TOLD_EVERY = 10.0  # seconds between two lines of progress
SHOWN = 5  # rows that were left out and are told of


@click.command("evaluate")
@click.argument("run", type=click.Path(path_type=Path))
@click.option(
    "--split", type=click.Choice(["train", "valid", "test"]), help="Of the run's data.  [default: test, else valid]"
)
@click.option(
    "--data", type=click.Path(path_type=Path), metavar="PATH", help="Other data: a file, or a folder as for training."
)
@click.option("--last", is_flag=True, help="The last checkpoint instead of the best.")
@with_writing(most=128)
@click.option("--alternatives", metavar="SIGN", help="What stands between several right texts of a row, such as |.")
@click.option("--json", "as_json", is_flag=True, help="Print the numbers as JSON.")
@with_device
@with_plugins
def command(
    run: Path,
    split: str | None,
    data: Path | None,
    last: bool,
    beams: int,
    length_penalty: float | None,
    max_new: int,
    alternatives: str | None,
    as_json: bool,
    device: str,
    plugins: tuple[str, ...],
) -> None:
    """Measure a run: loss, perplexity, accuracy, F1, exact match, BLEU and chrF, as its task has them.

    Texts are written greedily, or with --beams, and compared as whole texts.
    """
    searched = searching(beams, length_penalty)
    from blockgraph.tasks.asking import Choices
    from blockgraph.training.evaluate import evaluate
    from blockgraph.training.trained import open_trained

    trained = open_trained(run, which="last" if last else "best", device=device, plugins=plugins)
    choices = Choices(max_new=max_new, **searched)
    progress = Counting()
    found = evaluate(trained, split=split, data=data, choices=choices, alternatives=alternatives, progress=progress)
    for line in (*map(str, found.bad[:SHOWN]), *found.notes):
        click.echo(line, err=True)
    if as_json:
        click.echo(json.dumps(facts(run, found), ensure_ascii=False))
    else:
        print_measured(found)


class Counting:
    """A line on stderr every few seconds: a quick evaluation says nothing."""

    def __init__(self) -> None:
        self._last = time.monotonic()

    def __call__(self, what: str, done: int, total: int) -> None:
        if time.monotonic() - self._last >= TOLD_EVERY:
            self._last = time.monotonic()
            click.echo(f"{what} {done:,} of {total:,}", err=True)
            sys.stderr.flush()


def facts(run: Path, found: Measured) -> dict[str, Any]:
    """What `--json` prints; a measure that is not finite is null."""
    measures = {name: value if math.isfinite(value) else None for name, value in found.measures.items()}
    counted = {"rows": found.rows, "targets": found.targets, "answered": found.answered, "left_out": len(found.bad)}
    return {"run": str(run), "step": found.step, "split": found.split, **counted, "measures": measures}


def print_measured(found: Measured) -> None:
    from rich.table import Table

    left_out = f", {len(found.bad):,} left out" if found.bad else ""
    out = console()
    rows = "1 row" if found.rows == 1 else f"{found.rows:,} rows"
    answered = f", {found.answered:,} answers compared" if found.answered else ""
    out.print(f"{found.split}: {rows}{left_out}{answered}; step {found.step:,}")
    table = Table("measure", box=None, pad_edge=False, header_style="bold")
    table.add_column("value", justify="right")
    for name, value in found.measures.items():
        table.add_row(name, f"{value:.4f}")
    out.print(table)
