"""`blockgraph presets`"""

from __future__ import annotations

import click


@click.command("presets")
def command() -> None:
    """List the shipped specs; every command takes their names in place of a file."""
    from blockgraph.specs.presets import names

    rows = [(name, about_of(name)) for name in names()]
    width = max(len(name) for name, _ in rows)
    for name, about in rows:
        click.echo(f"{name:<{width}}  {about}".rstrip())


def about_of(name: str) -> str:
    """The preset's `about`, its first sentence."""
    from blockgraph.specs.diagnostics import Diagnostics
    from blockgraph.specs.load import load_spec

    spec = load_spec(name, Diagnostics())
    return (spec.about or "").split("\n")[0] if spec else ""
