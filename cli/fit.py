"""`blockgraph fit FILE`"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from blockgraph.cli.options import console, read_model, reads_spec

if TYPE_CHECKING:
    from blockgraph.builder.fit import Fit

GB = 10**9


@click.command("fit")
@click.argument("file", metavar="FILE")
@click.option("--gpus", type=click.IntRange(1, 100_000), default=1, show_default=True, help="How many there are.")
@click.option(
    "--memory", type=click.FloatRange(0.1, 10_000), default=80.0, show_default=True, help="Of each one, in GB (10^9)."
)
@click.option("--json", "as_json", is_flag=True, help="Print bytes as JSON instead of the table.")
@reads_spec
def command(
    file: str, gpus: int, memory: float, as_json: bool, sets: tuple[str, ...], plugins: tuple[str, ...]
) -> None:
    """Compute what training takes of each GPU's memory, by how it is shared out, and the largest batch that fits.

    Batch, length, optimizer and precision are those of the spec's `train:` section; without one, AdamW in bf16 on one
    row. Weights, gradients and optimizer states are exact, activations an estimate.
    """
    spec, model = read_model(file, sets, plugins)
    from blockgraph.builder.fit import OF_WHOLE_MATRICES, fit, plan_of

    plan = plan_of(spec.train)
    found = fit(model, plan, gpus, int(memory * GB))
    lengths = {name: size for name, size in model.sizes.items() if size != 1}
    if as_json:
        facts = {"name": model.name, "parameters": model.parameters, "memory": int(memory * GB), "rows": plan.rows}
        facts |= {"lengths": lengths, "optimizer": plan.optimizer, "precision": "bf16" if plan.half else "fp32"}
        click.echo(json.dumps({**facts, "strategies": [each.facts() for each in found]}, indent=2))
        return
    print_table(found)
    if plan.optimizer in OF_WHOLE_MATRICES:
        console().print(f"\n{plan.optimizer} needs whole matrices, which fsdp cuts: single and ddp only")
    where = ", ".join(f"{name} = {size}" for name, size in lengths.items())
    rows = f"{plan.rows} row{'s' if plan.rows > 1 else ''}"
    console().print(
        f"\n{model.parameters:,} parameters · {rows} on each GPU, {where} · {plan.optimizer} · "
        f"{'bf16' if plan.half else 'fp32'} · {memory:g} GB on each GPU"
    )


def print_table(found: list[Fit]) -> None:
    from rich.table import Table

    table = Table("strategy", box=None, pad_edge=False, header_style="bold")
    for name in (
        "GPUs",
        "weights",
        "gradients",
        "optimizer",
        "working",
        "activations",
        "total",
        "fits",
        "largest batch",
    ):
        table.add_column(name, justify="right")
    for each in found:
        sizes = (each.weights, each.gradients, each.optimizer, each.working, each.activations, each.total)
        fits = "yes" if each.fits else "no"
        table.add_row(
            each.strategy, str(each.gpus), *map(gigabytes, sizes), fits, f"{each.largest:,}" if each.largest else "none"
        )
    console().print(table)


def gigabytes(count: int) -> str:
    return f"{count / GB:,.2f} GB" if count >= 10**8 else f"{count / 10**6:,.2f} MB"
