"""`blockgraph validate FILE…`"""

from __future__ import annotations

import sys

import click

from blockgraph.cli.errors import REFUSED, colored
from blockgraph.cli.options import Found, read, reads_spec
from blockgraph.specs.diagnostics import Diagnostic


@click.command("validate")
@click.argument("files", metavar="FILE...", nargs=-1, required=True)
@click.option("--format", "form", type=click.Choice(["text", "json", "github"]), default="text", show_default=True)
@click.option("--strict", is_flag=True, help="Warnings refuse too.")
@reads_spec
def command(files: tuple[str, ...], form: str, strict: bool, sets: tuple[str, ...], plugins: tuple[str, ...]) -> None:
    """Check specs: every root error at once, each with its place and how to mend it. Nothing is built."""
    found = {file: read(file, sets, plugins) for file in files}
    diagnostics = [d for one in found.values() for d in one.diagnostics]
    if form == "text":
        for file, one in found.items():
            if not one.diagnostics.has_errors:
                click.echo(verdict(file, one))
    print_diagnostics(diagnostics, form)
    if any(strict or d.severity == "error" for d in diagnostics):
        raise SystemExit(REFUSED)


def verdict(file: str, found: Found) -> str:
    if found.model is None:
        return f"{file}: valid, a library of {len(found.spec.blocks) if found.spec else 0} blocks"
    return f"{file}: valid, {found.model.parameters:,} parameters"


def print_diagnostics(diagnostics: list[Diagnostic], form: str) -> None:
    """As text or annotations (nothing where nothing is wrong), or as a JSON list."""
    from blockgraph.specs import render

    if form == "json":
        click.echo(render.render_json(diagnostics).rstrip("\n"))
    elif diagnostics and form == "github":
        click.echo(render.render_github(diagnostics).rstrip("\n"))
    elif diagnostics:
        click.echo(render.render_text(diagnostics, color=colored(sys.stdout)).rstrip("\n"))
