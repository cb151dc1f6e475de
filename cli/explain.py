"""`blockgraph explain [CODE]`"""

from __future__ import annotations

import textwrap

import click

from blockgraph.specs.diagnostics import BlockgraphError


@click.command("explain")
@click.argument("code", required=False)
def command(code: str | None) -> None:
    """Explain an error code: what it means, an example that has it, and the same mended. Without CODE: all of them."""
    from blockgraph.specs.codes import CODES

    if code is None:
        width = max(map(len, CODES))
        for name in sorted(CODES):
            click.echo(f"{name:<{width}}  {CODES[name].summary}")
    elif code in CODES:
        click.echo(explained(code))
    else:
        from blockgraph.specs.suggest import did_you_mean

        hint = did_you_mean(code, list(CODES))
        raise BlockgraphError(
            f"there is no code {code!r}" + (f", {hint}" if hint else "") + "; `blockgraph explain` lists all"
        )


def explained(name: str) -> str:
    """A code as text for a terminal."""
    from blockgraph.specs.codes import CODES

    code = CODES[name]
    parts = [f"{name}: {code.summary}", "", textwrap.fill(" ".join(code.explanation.split()), 100)]
    for title, example in (("refused:", code.bad), ("mended:", code.good)):
        if example:
            parts += ["", title, textwrap.indent(textwrap.dedent(example).strip("\n"), "    ")]
    return "\n".join(parts)
