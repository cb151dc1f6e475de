"""`blockgraph import FOLDER`"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from blockgraph.cli.options import reads_spec, save_to, with_save, write_new

if TYPE_CHECKING:
    from blockgraph.running.published import Imported


@click.command("import")
@click.argument("folder", type=click.Path(path_type=Path), metavar="FOLDER")
@click.option(
    "-o",
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE.yaml",
    help="Write the model's spec.",
)
@with_save("Write the weights under the spec's names.")
@click.option(
    "--spec",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE.yaml",
    help="Read it by this file's `huggingface:` section, for a model that no preset draws.",
)
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda", "mps"]), default="cpu", show_default=True)
@click.option("--dtype", type=click.Choice(["fp32", "bf16", "fp16"]), help="Convert the weights; else as in the file.")
@reads_spec
def command(
    folder: Path,
    out: Path | None,
    save: Path | None,
    spec: Path | None,
    device: str,
    dtype: str | None,
    sets: tuple[str, ...],
    plugins: tuple[str, ...],
) -> None:
    """Read a published checkpoint: FOLDER holds its config.json and *.safetensors. Every tensor must have its place in
    the model, and every weight its tensor; what does not fit is listed with the rule that says so."""
    from blockgraph.running.published import read_published

    found = read_published(folder, device=device, dtype=dtype, sets=sets, plugins=plugins, spec=spec)
    click.echo(summary(found))
    if out:
        from blockgraph.specs.show import show

        write_new(out, show(found.model.spec).encode())
        click.echo(f"wrote {out}")
    if save:
        save_to(save, found.model)


def summary(found: Imported) -> str:
    """What was read, in a line: `gpt2: 148 tensors of 1 file (548.1 MB, float32) are its 124,439,808 parameters`."""
    files = f"{found.files} file{'s' * (found.files > 1)}"
    kind = str(found.dtype).removeprefix("torch.")
    left = f"; {len(found.ignored)} ignored" if found.ignored else ""
    count = f"{found.model.definition.parameters:,}"
    size = f"{found.bytes / 1e6:,.1f} MB"
    name = found.model.spec.name
    return f"{name}: {found.tensors} tensors of {files} ({size}) are its {count} parameters ({kind}){left}"
