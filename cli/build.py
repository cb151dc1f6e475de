"""`blockgraph build FILE`"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from blockgraph.cli.options import console, read_model, reads_spec, save_to, with_save, write_new
from blockgraph.specs.diagnostics import BlockgraphError

if TYPE_CHECKING:
    import torch

    from blockgraph.blocks.model import Model as Module
    from blockgraph.builder.graph import Model
    from blockgraph.specs.spec import Spec


@click.command("build")
@click.argument("file", metavar="FILE")
@click.option("--json", "as_json", is_flag=True, help="Print the numbers as JSON instead of the table.")
@click.option(
    "--export",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE.py",
    help="Write the model as Python that needs only torch.",
)
@with_save("Write the first weights.")
@click.option(
    "--device",
    type=click.Choice(["auto", "cpu", "cuda", "mps", "meta"]),
    default="auto",
    show_default=True,
    help="meta: shapes without memory.",
)
@click.option("--dtype", type=click.Choice(["fp32", "bf16"]), default="fp32", show_default=True)
@click.option("--seed", type=int, default=0, show_default=True, help="Of the first weights.")
@click.option(
    "--tokenizer",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    metavar="tokenizer.json",
    help="Its words are the rows of `pretrained` vectors.",
)
@click.option(
    "--depth", type=click.IntRange(0, 16), default=1, show_default=True, help="Blocks inside blocks in the table."
)
@reads_spec
def command(
    file: str,
    as_json: bool,
    export: Path | None,
    save: Path | None,
    device: str,
    dtype: str,
    seed: int,
    tokenizer: Path | None,
    depth: int,
    sets: tuple[str, ...],
    plugins: tuple[str, ...],
) -> None:
    """Build the model: a table of its nodes, then one real forward pass on random input as a check."""
    if save and device == "meta":
        raise BlockgraphError("--device meta has no weights to save; use --device cpu")
    spec, model = read_model(file, sets, plugins)
    facts = numbers(model)
    if not as_json:
        print_table(model, facts, depth)
    module, notes = built(spec, device, dtype, seed, tokenizer)
    for note in notes:
        click.echo(note, err=as_json)
    facts["check"] = forward_pass(module, model, seed)
    click.echo(json.dumps({**facts, "nodes": nodes(model, depth)}, indent=2) if as_json else check_text(facts["check"]))
    if export:
        from blockgraph.builder.export import export_source

        write_new(export, export_source(module).encode())
        click.echo(f"wrote {export}: the same model, importing only torch", err=as_json)
    if save:
        save_to(save, module, err=as_json)


def numbers(model: Model) -> dict[str, Any]:
    """What the spec alone tells: parameters, and the costs of one pass at the lengths in `sizes`."""
    from blockgraph.builder import counts

    cost = counts.costs(model)
    return {
        "name": model.name,
        "parameters": model.parameters,
        "flops_per_token": cost.flops // max(1, counts.tokens(model)),
        "activation_bytes": cost.activation_bytes,
        "state_bytes": cost.state_bytes,
        "sizes": dict(model.sizes),
    }


def nodes(model: Model, depth: int) -> list[dict[str, Any]]:
    from blockgraph.builder import counts

    return [
        {"path": row.path, "type": row.type, "shape": row.shape, "parameters": row.parameters, "flops": row.flops}
        for row in counts.rows(model, depth)
    ]


def print_table(model: Model, facts: dict[str, Any], depth: int) -> None:
    """Nodes with shapes, parameters and their share of the FLOPs, then the totals."""
    from rich.table import Table

    from blockgraph.builder import counts

    rows = counts.rows(model, depth)
    flops = sum(row.flops for row in rows if row.depth == 0) or 1
    table = Table("node", "type", "output", box=None, pad_edge=False, header_style="bold")
    table.add_column("parameters", justify="right")
    table.add_column("FLOPs", justify="right")
    for row in rows:
        name = "  " * row.depth + row.path.rpartition(".")[2]
        kind = f"{row.type} {row.note}".strip()
        style = "dim" if row.depth else None
        table.add_row(
            name,
            kind,
            row.shape,
            f"{row.parameters:,}" if row.parameters else "",
            share(row.flops / flops),
            style=style,
        )
    out = console()
    out.print(table)
    out.print()
    lengths = ", ".join(f"{name} = {size}" for name, size in facts["sizes"].items())
    out.print(f"[bold]{facts['parameters']:,}[/] parameters · {facts['flops_per_token']:,} FLOPs per token")
    kept = [megabytes(facts[name]) for name in ("activation_bytes", "state_bytes")]
    out.print(f"{kept[0]} of activations · {kept[1]} of decoding state ({lengths}; fp32)")


def share(part: float) -> str:
    return f"{part:.1%}" if part else ""


def megabytes(count: int) -> str:
    return f"{count / 1e9:,.1f} GB" if count >= 1e9 else f"{count / 1e6:,.1f} MB"


def built(spec: Spec, device: str, dtype: str, seed: int, tokenizer: Path | None = None) -> tuple[Module, list[str]]:
    """The model, and how many of the tokenizer's words have a vector. On `meta` there are no numbers to read."""
    from blockgraph.builder.build import build

    given = tokenizer is not None and device != "meta"
    module = build(spec, device=device, dtype=dtype, seed=seed, weights_follow=given or device == "meta")
    if tokenizer is None or not given:
        return module, []
    from blockgraph.running.tokenizers import read_tokenizer
    from blockgraph.running.vectors import load_vectors

    return module, load_vectors(module, spec, read_tokenizer(tokenizer), spec.folder_of)


def forward_pass(module: Module, model: Model, seed: int) -> dict[str, Any]:
    """Runs the model once on random input. Positions are few: the check is of the wiring, not of the machine."""
    import time

    import torch

    sizes = {name: 1 if size == 1 else min(size, 16) for name, size in model.sizes.items()}
    inputs = {name: random_input(entry.value, sizes, module, seed) for name, entry in model.root.inputs.items()}
    start = time.perf_counter()
    with torch.no_grad():
        result = module.eval()(**inputs)
    outputs = result if isinstance(result, dict) else {next(iter(model.root.outputs)): result}
    return {
        "inputs": {name: list(tensor.shape) for name, tensor in inputs.items()},
        "outputs": {name: list(tensor.shape) for name, tensor in outputs.items()},
        "finite": None if device_of(module) == "meta" else all(bool(t.isfinite().all()) for t in outputs.values()),
        "device": device_of(module),
        "seconds": round(time.perf_counter() - start, 4),
    }


def device_of(module: Module) -> str:
    return next((p.device.type for p in module.parameters()), "cpu")


def random_input(value: Any, sizes: dict[str, int], module: Module, seed: int) -> torch.Tensor:
    """Random ids, or numbers from a normal distribution, of the shape that an input has at `sizes`."""
    import torch

    shape = [int(size) for size in value.at(sizes).shape]
    weight = next(module.parameters(), torch.empty(0))
    random = torch.Generator().manual_seed(seed)
    if value.dtype == "bool":
        return torch.ones(shape, dtype=torch.bool, device=weight.device)
    if value.dtype == "int":
        return torch.randint(value.vocabulary or 2, shape, generator=random).to(weight.device)
    return torch.randn(shape, generator=random).to(weight)


def check_text(check: dict[str, Any]) -> str:
    def shapes(named: dict[str, list[int]]) -> str:
        return ", ".join(f"{name} {shape}" for name, shape in named.items())

    found = {True: "all finite", False: "NOT finite", None: "shapes only"}[check["finite"]]
    text = f"one forward pass on random input: {shapes(check['inputs'])} → {shapes(check['outputs'])}"
    return f"{text}; {found} ({check['device']}, {check['seconds']:.3f} s)"
