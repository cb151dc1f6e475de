"""`blockgraph new PRESET`"""

from __future__ import annotations

from pathlib import Path

import click

from blockgraph.cli.options import write_new
from blockgraph.specs.diagnostics import BlockgraphError


@click.command("new")
@click.argument("preset")
@click.option("-o", "--out", metavar="FILE", help="Where to write; - is standard output.  [default: PRESET.yaml]")
@click.option("--force", is_flag=True, help="Replace a file that is there.")
def command(preset: str, out: str | None, force: bool) -> None:
    """Start a spec of your own: writes a preset's file to change as you like. `blockgraph presets` lists them."""
    text = preset_text(preset)
    if out == "-":
        click.echo(text, nl=False)
        return
    path = Path(out or f"{preset}.yaml")
    if path.exists() and not force:
        raise BlockgraphError(f"{path} is there already; --force replaces it, -o FILE writes elsewhere")
    write_new(path, text.encode())
    click.echo(f"wrote {path}; next: blockgraph draw {path}")


def preset_text(name: str) -> str:
    from blockgraph.specs.presets import names, text
    from blockgraph.specs.suggest import did_you_mean

    if name not in names():
        hint = did_you_mean(name, names())
        raise BlockgraphError(
            f"there is no preset {name!r}" + (f", {hint}" if hint else "") + "; `blockgraph presets` lists them"
        )
    return text(name)
