"""`blockgraph show FILE`"""

from __future__ import annotations

import click

from blockgraph.cli.options import read_spec, reads_spec


@click.command("show")
@click.argument("file", metavar="FILE")
@click.option("--flat", is_flag=True, help="One sorted line per value: made for diffs.")
@reads_spec
def command(file: str, flat: bool, sets: tuple[str, ...], plugins: tuple[str, ...]) -> None:
    """Print the resolved spec, `extends` and --set applied, as YAML that builds the same model."""
    from blockgraph.specs.show import flat as flat_text
    from blockgraph.specs.show import show

    spec = read_spec(file, sets, plugins).spec
    assert spec is not None  # otherwise errors ended the command
    click.echo((flat_text if flat else show)(spec).rstrip("\n"))
