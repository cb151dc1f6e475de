"""`blockgraph export FILE|RUN|FOLDER`"""

from __future__ import annotations

from pathlib import Path

import click

from blockgraph.cli.options import read_stdin, reads_spec


@click.command("export")
@click.argument("source", metavar="FILE|RUN|FOLDER")
@click.option(
    "--to",
    "form",
    type=click.Choice(["python", "onnx", "torch", "huggingface"]),
    required=True,
    help="python: source that needs only torch; onnx: a graph for other runtimes; torch: a torch.export program; "
    "huggingface: a folder for the reference library.",
)
@click.option("-o", "--out", type=click.Path(path_type=Path), required=True, metavar="PATH", help="Where to write it.")
@click.option("--dtype", type=click.Choice(["fp32", "bf16", "fp16"]), help="Convert the weights; else as they are.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of the weights, where FILE brings none.")
@click.option("--force", is_flag=True, help="Replace a folder that is not empty.")
@reads_spec
def command(
    source: str,
    form: str,
    out: Path,
    dtype: str | None,
    seed: int,
    force: bool,
    sets: tuple[str, ...],
    plugins: tuple[str, ...],
) -> None:
    """Write a model in another form: FILE is a spec, a preset or a config.json (with fresh weights), RUN a trained run,
    FOLDER a published checkpoint. Batch and lengths stay open; what is written is run and compared with the model."""
    from blockgraph.running.exporting import open_model, write

    opened = open_model(read_stdin() if source == "-" else source, seed=seed, dtype=dtype, sets=sets, plugins=plugins)
    said = write(opened, out, form, force=force)
    click.echo(f"wrote {out}: {said}")
