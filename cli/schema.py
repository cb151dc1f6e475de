"""`blockgraph schema [FILE]`"""

from __future__ import annotations

import json

import click

from blockgraph.cli.options import read_spec, reads_spec


@click.command("schema")
@click.argument("file", metavar="[FILE]", required=False)
@reads_spec
def command(file: str | None, sets: tuple[str, ...], plugins: tuple[str, ...]) -> None:
    """Print the JSON Schema of a spec. With FILE, its own blocks and your plugins' types complete too."""
    from blockgraph.specs.schema import schema

    spec = read_spec(file, sets, plugins, analysed=False).spec if file else None
    click.echo(json.dumps(schema(spec), indent=2, ensure_ascii=False))
