"""`blockgraph serve FILE`"""

from __future__ import annotations

from pathlib import Path

import click

from blockgraph.cli.options import read, reads_spec
from blockgraph.specs.diagnostics import BlockgraphError, SpecError


@click.command("serve")
@click.argument("file", metavar="FILE")
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="Where the page is.  [default: a free port]")
@click.option("--open/--no-open", "browse", default=False, help="Open the page in the browser.  [default: no-open]")
@reads_spec
def command(file: str, port: int, browse: bool, sets: tuple[str, ...], plugins: tuple[str, ...]) -> None:
    """Show the architecture in the browser while you write: each save is checked and redrawn. Ctrl-C ends it.

    The page says what is wrong over the line where it is written, and keeps the last picture that could be drawn. Only
    this machine can reach it.
    """
    if file == "-":
        raise BlockgraphError("serve watches a file; standard input has none, so save the spec first")
    if not Path(file).exists() and (found := read(file, sets, plugins, analysed=False)).spec is None:
        raise SpecError(list(found.diagnostics))
    from blockgraph.viz.serve import Server, Studio

    server = Server(Studio(file, sets, plugins), port)
    click.echo(f"{file}: {server.url} (Ctrl-C ends)")
    if browse:
        import webbrowser

        webbrowser.open(server.url)
    try:
        server.run()
    except KeyboardInterrupt:
        click.echo()
