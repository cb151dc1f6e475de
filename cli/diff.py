"""`blockgraph diff A B`"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from blockgraph.cli.draw import FORMATS
from blockgraph.cli.errors import DIFFERS, colored, saying_warnings
from blockgraph.cli.options import read_model, reads_spec
from blockgraph.cli.views import with_view
from blockgraph.specs.diagnostics import BlockgraphError

if TYPE_CHECKING:
    from blockgraph.builder.compare import Change, Comparison, NodeChange, Setting
    from blockgraph.viz.view import View

SIGNS = {"added": "+", "removed": "-", "changed": "~"}
COLORS = {"added": "green", "removed": "red", "changed": "yellow"}
COLUMNS = {
    "parameters": "parameters",
    "flops_per_token": "FLOPs/token",
    "activation_bytes": "activations",
    "state_bytes": "state",
}


@click.command("diff")
@click.argument("before", metavar="A")
@click.argument("after", metavar="B")
@click.option(
    "-o",
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Draw both in one picture too; the suffix chooses svg, png, pdf or dot.",
)
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
@click.option("--dpi", type=click.IntRange(20, 1200), default=144, show_default=True, help="Resolution of a PNG.")
@click.option("--set-a", "sets_a", multiple=True, metavar="PATH=VALUE", help="Like --set, for A only. Repeatable.")
@click.option("--set-b", "sets_b", multiple=True, metavar="PATH=VALUE", help="Like --set, for B only. Repeatable.")
@with_view
@reads_spec
def command(
    before: str,
    after: str,
    out: Path | None,
    form: str,
    view: View,
    dpi: int,
    sets_a: tuple[str, ...],
    sets_b: tuple[str, ...],
    sets: tuple[str, ...],
    plugins: tuple[str, ...],
) -> None:
    """Compare two specs: nodes added, removed and changed, and what that costs. Exit 1 when they differ.

    How a file is laid out, its name, labels and unused parts make no difference; what the model computes, how its
    weights start and how it is trained do.
    """
    if before == after == "-":
        raise BlockgraphError("standard input can be read once: only one of A and B may be -")
    if out is not None and out.suffix[1:].lower() not in FORMATS:
        raise BlockgraphError(f"{out}: the suffix says what to draw: .{', .'.join(FORMATS)}")
    from blockgraph.builder.compare import compare

    models = tuple(read_model(f, (*sets, *own), plugins)[1] for f, own in ((before, sets_a), (after, sets_b)))
    before_name, after_name = _names(before, after)
    found = replace(compare(*models), before=before_name, after=after_name)
    click.echo(as_json(found) if form == "json" else "\n".join(report(found, color=colored(sys.stdout))))
    if out is not None:
        from blockgraph.viz.diff import draw_diff

        out.parent.mkdir(parents=True, exist_ok=True)
        with saying_warnings():
            draw_diff((models[0], models[1]), found, out, dpi=dpi, view=view)
        click.echo(f"wrote {out}", err=form == "json")
    if not found.equal:
        raise SystemExit(DIFFERS)


def _names(before: str, after: str) -> list[str]:
    """The files as they were named, without their folders where that tells them apart."""
    short = [Path(file).name for file in (before, after)]
    return short if short[0] != short[1] else [before, after]


# -- text -------------------------------------------------------------------------------------------------------------


def report(found: Comparison, *, color: bool = False) -> Iterator[str]:
    """Lines for people: each node with what it costs and what became of it, settings, and the sums."""
    if found.equal:
        yield f"{found.before} and {found.after} are the same model"
        return
    yield f"{found.before} → {found.after}: {summary(found)}"
    if found.nodes:
        yield ""
        yield from _table(found.nodes, color)
    for section in dict.fromkeys(setting.section for setting in found.settings):
        yield ""
        yield section
        yield from (f"  {_setting(setting)}" for setting in found.settings if setting.section == section)
    yield ""
    yield from _totals(found)


def summary(found: Comparison) -> str:
    """`1 node removed, 4 changed`."""
    counts = {kind: sum(node.kind == kind for node in found.nodes) for kind in SIGNS}
    told = [f"{count} {kind}" for kind, count in counts.items() if count]
    return ("nodes: " + ", ".join(told)) if told else "the same nodes, other settings"


def _table(nodes: Sequence[NodeChange], color: bool) -> Iterator[str]:
    shown = [name for name in COLUMNS if any(asdict(node.delta)[name] for node in nodes)]
    rows = [["", "", *(COLUMNS[name] for name in shown)]]
    rows += [[SIGNS[n.kind], n.name, *(_amount(name, asdict(n.delta)[name]) for name in shown)] for n in nodes]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    starts = [_aligned(row, widths) for row in rows]
    yield starts[0].rstrip()
    for node, start in zip(nodes, starts[1:], strict=True):
        lines = list(_became(node))
        first = f"{start}  {lines[0]}"
        yield click.style(first, fg=COLORS[node.kind]) if color else first
        yield from (f"{' ' * len(start)}  {line}" for line in lines[1:])


def _aligned(row: list[str], widths: list[int]) -> str:
    """The sign and the name to the left, numbers to the right."""
    cells = [text.ljust(width) for text, width in zip(row[:2], widths, strict=False)]
    cells += [text.rjust(width) for text, width in zip(row[2:], widths[2:], strict=True)]
    return f"{cells[0]} {'  '.join(cells[1:])}"


def _became(node: NodeChange) -> Iterator[str]:
    """What became of a node, line by line."""
    if node.kind == "changed":
        yield from map(_change, node.changes)
        return
    wires = " → ".join(side for side in (", ".join(node.reads), "this", ", ".join(node.read_by)) if side)
    yield f"{node.now or node.was}: {wires}"
    if node.renamed:
        yield f"renamed? {node.renamed} {'was' if node.kind == 'added' else 'is'} the same"


def _change(change: Change) -> str:
    from blockgraph.builder.compare import plain

    where = f" ({change.where})" if change.where else ""
    return f"{change.name}: {plain(change.was)} → {plain(change.now)}{where}"


def _setting(setting: Setting) -> str:
    from blockgraph.builder.compare import plain

    name = f"{setting.name}: " if setting.name else ""
    return f"{name}{plain(setting.was)} → {plain(setting.now)}"


def _totals(found: Comparison) -> Iterator[str]:
    old, new = (asdict(figures) for figures in found.totals)
    lengths = ", ".join(f"{name} = {size}" for name, size in found.sizes.items())
    rows = [
        [title, _total(name, old[name]), _total(name, new[name]), _percent(old[name], new[name])]
        for name, title in COLUMNS.items()
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    yield f"in all, at {lengths} (fp32)"
    for row in rows:
        yield f"  {row[0].ljust(widths[0])}  {row[1].rjust(widths[1])} → {row[2].rjust(widths[2])}  {row[3]}".rstrip()


def _percent(was: int, now: int) -> str:
    return "" if was == now else f"{(now - was) / was:+.1%}" if was else "new"


def _amount(name: str, number: int) -> str:
    """A difference: exact for parameters, three figures for the rest."""
    if not number:
        return ""
    return f"{number:+,}" if name == "parameters" else f"{'+' if number > 0 else '-'}{_short(name, abs(number))}"


def _total(name: str, number: int) -> str:
    return f"{number:,}" if name == "parameters" else _short(name, number)


def _short(name: str, number: int) -> str:
    unit = "B" if name.endswith("bytes") else ""
    for limit, letter in ((10**12, "T"), (10**9, "G"), (10**6, "M"), (10**3, "k")):
        if number >= limit:
            return (
                f"{number / limit:.3g} {letter}{unit}"
                if number < 999.5 * limit
                else f"{number / limit:,.0f} {letter}{unit}"
            )
    return f"{number} {unit}".rstrip()


# -- JSON -------------------------------------------------------------------------------------------------------------


def as_json(found: Comparison) -> str:
    """All of it for programs: nodes by path, raw values, deltas and totals as numbers."""
    old, new = (asdict(figures) for figures in found.totals)
    data: dict[str, Any] = {
        "before": found.before,
        "after": found.after,
        "equal": found.equal,
        "nodes": [_node(node) for node in found.nodes],
        "settings": [asdict(setting) for setting in found.settings],
        "totals": {name: {"was": old[name], "now": new[name], "delta": new[name] - old[name]} for name in old},
        "sizes": dict(found.sizes),
    }
    return json.dumps(data, indent=2, ensure_ascii=False)


def _node(node: NodeChange) -> dict[str, Any]:
    changes = [
        {"name": c.name, "was": c.was, "now": c.now}
        | ({"copies": [{"numbers": list(numbers), "of": of} for numbers, of in c.copies]} if c.copies else {})
        for c in node.changes
    ]
    wires = {"reads": list(node.reads), "read_by": list(node.read_by)} if node.kind != "changed" else {}
    told = {"node": node.name, "kind": node.kind, "was": node.was, "now": node.now, "changes": changes, **wires}
    return {**told, "renamed": node.renamed, "delta": asdict(node.delta)}
