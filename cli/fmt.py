"""`blockgraph fmt FILE…`"""

from __future__ import annotations

from pathlib import Path

import click

from blockgraph.cli.errors import DIFFERS
from blockgraph.cli.options import read_stdin, write_new
from blockgraph.specs.diagnostics import Diagnostics


@click.command("fmt")
@click.argument("files", metavar="FILE...", nargs=-1, required=True)
@click.option("--check", is_flag=True, help="Write nothing; exit 1 where a file would change.")
def command(files: tuple[str, ...], check: bool) -> None:
    """Write specs in the canonical layout. Comments stay; the data never changes. - formats stdin to stdout."""
    changed = [file for file in files if not formatted(file, check)]
    for file in changed:
        click.echo(f"{'would change' if check else 'changed'}: {file}")
    if check and changed:
        raise SystemExit(DIFFERS)


def formatted(file: str, check: bool) -> bool:
    """Formats one file (with `check` only compares); whether it was canonical already."""
    from blockgraph.specs.layout import format_text
    from blockgraph.specs.places import Source
    from blockgraph.specs.reader import read_file

    diagnostics = Diagnostics()
    if file == "-":
        source: Source | None = Source("<stdin>", read_stdin())
    else:
        source = read_file(Path(file), diagnostics)
    diagnostics.raise_errors()
    assert source is not None  # otherwise there was an error
    text = format_text(source)
    if file == "-" and not check:
        click.echo(text, nl=False)
    elif text != source.text and not check:
        write_new(Path(file), text.encode())
    return text == source.text or (file == "-" and not check)
