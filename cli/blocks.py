"""`blockgraph blocks [TYPE]`"""

from __future__ import annotations

import textwrap
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

import click

from blockgraph.cli.options import with_plugins
from blockgraph.specs.diagnostics import BlockgraphError, Diagnostics

if TYPE_CHECKING:
    from collections.abc import Mapping

    from blockgraph.specs.registry import BlockType, Port


@click.command("blocks")
@click.argument("name", metavar="[TYPE]", required=False)
@with_plugins
def command(name: str | None, plugins: tuple[str, ...]) -> None:
    """Explain the block types. With TYPE: its ports, options with defaults, outputs, formula and paper."""
    types = known_types(plugins)
    if name is None:
        width = max(map(len, types))
        for block in types.values():
            click.echo(f"{block.name:<{width}}  {block.summary}")
    elif name in types:
        click.echo(described(types[name]))
    else:
        from blockgraph.specs.suggest import did_you_mean

        hint = did_you_mean(name, list(types))
        raise BlockgraphError(
            f"there is no block type {name!r}" + (f", {hint}" if hint else "") + "; `blockgraph blocks` lists them"
        )


def known_types(plugins: tuple[str, ...]) -> Mapping[str, BlockType]:
    """The built-in types and those of the plugins that were asked for."""
    from blockgraph.specs.builtin import BUILTIN

    if not plugins:
        return BUILTIN
    from blockgraph.specs.plugins import load_plugins

    diagnostics = Diagnostics()
    types = {**BUILTIN, **load_plugins(plugins, diagnostics)}
    diagnostics.raise_errors()
    return types


def described(block: BlockType) -> str:
    """A block type as text for a terminal."""
    from blockgraph.cli.reference import option_rows

    parts = [f"{block.name}: {block.summary}"]
    parts += ["", "ports    " + (", ".join(map(port_text, block.ports)) or "none")]
    parts += ["outputs  " + (", ".join(block.outputs) or "as `into` names them")]
    rows = [(row.name, row.kind, row.default, row.about) for row in option_rows(block)]
    if rows:
        parts += ["", "options", *table(rows)]
    for title, text in (("formula", block.formula), ("paper", block.paper)):
        if text:
            parts += ["", title, textwrap.indent(text, "  ")]
    return "\n".join(parts)


def port_text(port: Port) -> str:
    """`key? (query)`: optional, and what it follows when left open."""
    mark = "…" if port.many else "?" if port.optional else ""
    return port.name + mark + (f" ({port.follows})" if port.follows else "")


WIDEST = 34  # characters of a column; longer cells go on below


def table(rows: list[tuple[Any, ...]]) -> list[str]:
    """Rows of text in aligned columns, two spaces in. The last column may be as long as it is."""
    cells = [[textwrap.wrap(str(cell), WIDEST) or [""] for cell in row[:-1]] + [[str(row[-1])]] for row in rows]
    widths = [max(len(line) for row in cells for line in row[i]) for i in range(len(rows[0]))]
    lines = []
    for row in cells:
        for parts in zip_longest(*row, fillvalue=""):
            padded = (f"{part:<{width}}" for part, width in zip(parts, widths, strict=True))
            lines.append("  " + "  ".join(padded).rstrip())
    return lines
