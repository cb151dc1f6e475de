"""`blockgraph predict RUN`"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from blockgraph.cli.options import read_stdin, with_device, with_plugins
from blockgraph.cli.writing import searching, with_writing
from blockgraph.specs.diagnostics import BlockgraphError

if TYPE_CHECKING:
    from blockgraph.data.records import BadRow, Record
    from blockgraph.training.predict import Told
    from blockgraph.training.trained import Trained


@click.command("predict")
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("texts", metavar="[TEXT]...", nargs=-1)
@click.option("--second", metavar="TEXT", help="The other text of a pair; or write a tab between the two.")
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="A csv, tsv or jsonl file with the columns that the model reads, or lines.",
)
@click.option("--top", type=click.IntRange(1), help="How many classes, or words for a mask.  [default: 1; 5 for masks]")
@with_writing(most=128)
@click.option("--json", "as_json", is_flag=True, help="A line of JSON for each row.")
@with_device
@with_plugins
def command(
    run: Path,
    texts: tuple[str, ...],
    second: str | None,
    data: Path | None,
    top: int | None,
    beams: int,
    length_penalty: float | None,
    max_new: int,
    as_json: bool,
    device: str,
    plugins: tuple[str, ...],
) -> None:
    """Ask a run: go on with a text, fill <mask>, answer, classify, or tell a number, as it has learned.

    A TEXT of - is standard input, a text a line. Rows that cannot be read are told on stderr; their lines stay empty.
    """
    given, searched = read_texts(texts, second, data), searching(beams, length_penalty)
    from blockgraph.tasks.asking import Choices
    from blockgraph.training.predict import predict, rows_of_file, rows_of_texts
    from blockgraph.training.trained import open_trained

    trained = open_trained(run, device=device, plugins=plugins)
    choices = Choices(top or usual_top(trained), max_new, **searched)
    rows: Iterable[Record | BadRow] = rows_of_texts(trained, given) if data is None else rows_of_file(trained, data)
    tell(predict(trained, rows, choices), as_json, fatal=data is None)


def read_texts(texts: Sequence[str], second: str | None, data: Path | None) -> list[str]:
    """Raises `BlockgraphError` where there is nothing to ask, or two things at once."""
    if bool(texts) == (data is not None):
        raise BlockgraphError("give a TEXT or more, or --data FILE" + ("; not both" if texts else ""))
    if second is not None:
        if len(texts) != 1:
            raise BlockgraphError("--second is the other text of one TEXT; for several, write a tab between the two")
        return [f"{texts[0]}\t{second}"]
    return [line for text in texts for line in (read_stdin().splitlines() if text == "-" else [text])]


def usual_top(trained: Trained) -> int:
    return 5 if trained.lesson.tasks[0].kind == "masked_lm" else 1


def tell(found: Iterable[Told], as_json: bool, fatal: bool) -> None:
    """A line for each row. `fatal`: a row that cannot be read ends the command."""
    from blockgraph.data.records import BadRow

    for told in found:
        if isinstance(told, BadRow):
            if fatal:
                raise BlockgraphError(str(told))
            click.echo(str(told), err=True)
            click.echo(json.dumps({"place": told.place, "error": told.reason}, ensure_ascii=False) if as_json else "")
        else:
            click.echo(json.dumps(told.values, ensure_ascii=False) if as_json else told.text)
