"""`blockgraph trace FILE|RUN TEXT`"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from blockgraph.cli.options import console, read_spec, read_stdin, reads_spec, with_device, write_new
from blockgraph.specs.diagnostics import BlockgraphError, SpecError

if TYPE_CHECKING:
    from blockgraph.blocks.model import Model
    from blockgraph.running.tokenizers import Tokenizer
    from blockgraph.running.trace import Trace
    from blockgraph.running.trace_inputs import Fed


@click.command("trace")
@click.argument("file", metavar="FILE|RUN")
@click.argument("text", metavar="TEXT", default="I have a cat")
@click.option("--target", help="The text for the second input, of an encoder-decoder.")
@click.option("--pad", type=click.IntRange(0, 4096), default=0, metavar="N", help="Padding behind the texts.")
@click.option("--input", "values", multiple=True, metavar="NAME=JSON", help="Another input's values. Repeatable.")
@click.option("--all", "all_copies", is_flag=True, help="Every copy of a repeated block, not only first and last.")
@click.option(
    "-o",
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Write trace.html, and each mask as a PNG.",
)
@click.option("--json", "as_json", is_flag=True, help="Print it all as JSON instead.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of a FILE's weights, and of made-up inputs.")
@with_device
@reads_spec
def command(
    file: str,
    text: str,
    target: str | None,
    pad: int,
    values: tuple[str, ...],
    all_copies: bool,
    out: Path | None,
    as_json: bool,
    seed: int,
    device: str,
    sets: tuple[str, ...],
    plugins: tuple[str, ...],
) -> None:
    """Run a text through the model and show what every node puts out, and what attention may look at.

    A FILE has fresh weights and takes characters for tokens; a RUN has its trained weights and its tokenizer.
    """
    from blockgraph.running.trace_inputs import Asked, feed, values_of

    model, tokenizer = opened(file, seed, device, sets, plugins)
    asked = Asked(read_stdin() if text == "-" else text, target, values_of(values), pad, seed)
    fed = feed(model, asked, tokenizer)
    if tokenizer is None:
        fed.notes.insert(0, "the weights are not trained: shapes and masks are right, the numbers say little")
    found = followed(model, fed, all_copies)
    if as_json:
        from blockgraph.running.trace_report import data

        click.echo(json.dumps({"name": model.definition.name, **data(found, fed.pieces, fed.notes)}, indent=2))
    else:
        print_trace(found, fed)
    if out is not None:
        write_report(out, found, fed, model.definition.name, quiet=as_json)


def opened(
    file: str, seed: int, device: str, sets: tuple[str, ...], plugins: tuple[str, ...]
) -> tuple[Model, Tokenizer | None]:
    """The model of a run with its tokenizer, or of a spec with fresh weights and none."""
    if Path(file).is_dir():
        from blockgraph.running.runs import open_run

        if sets:
            raise BlockgraphError("--set is for a spec: a run's weights fit the spec it was trained with only")
        run = open_run(file, device=device, plugins=plugins)
        return run.model, run.encodes
    from blockgraph.builder.build import build

    found = read_spec(file, sets, plugins)
    if found.spec is None:
        raise SpecError(list(found.diagnostics))
    return build(found.spec, device=device, seed=seed), None


def followed(model: Model, fed: Fed, all_copies: bool) -> Trace:
    """The trace; what the model says of inputs that it cannot take is the user's to mend."""
    from blockgraph.running.trace import trace

    try:
        return trace(model, fed.tensors, all_copies=all_copies)
    except (ValueError, IndexError) as error:
        raise BlockgraphError(f"the model cannot take this: {error}") from error


def print_trace(found: Trace, fed: Fed) -> None:
    """Notes, the table of nodes, the masks."""
    from rich.table import Table

    from blockgraph.running.trace_report import faulty, heading, number, rows, shape, text_picture

    out = console()
    for note in fed.notes:
        out.print(f"note: {note}", style="dim", markup=False)
    table = Table("node", "type", "shape", box=None, pad_edge=False, header_style="bold")
    for name in ("mean", "std", "min", "max", "norm", "not finite"):
        table.add_column(name, justify="right")
    for visit in found.visits:
        for name, stats, _ in rows(visit):
            label = "  " * visit.depth + visit.path + (f" → {name}" if name else "")
            kind = f"{visit.type} ({visit.note})" if visit.note else visit.type
            numbers = [number(value) for value in (stats.mean, stats.std, stats.min, stats.max, stats.norm)]
            cells = (label, kind, shape(stats).replace("[", r"\["), *numbers, faulty(stats))
            table.add_row(*cells, style="dim" if visit.depth else None)
    out.print(table)
    for mask, nodes in found.masks:
        out.print(f"\n{heading(mask, nodes)}", style="bold", markup=False)
        click.echo(text_picture(mask, fed.labels))


def write_report(folder: Path, found: Trace, fed: Fed, name: str, quiet: bool) -> None:
    from blockgraph.running.trace_report import file_name, html, png

    page = html(found, fed.labels, title=f"A trace of {name}", pieces=fed.pieces, notes=fed.notes)
    write_new(folder / "trace.html", page.encode())
    for number, (mask, _) in enumerate(found.masks, 1):
        write_new(folder / file_name(number, mask), png(mask))
    click.echo(f"\nwrote {folder / 'trace.html'} and {len(found.masks)} masks as PNG", err=quiet)
