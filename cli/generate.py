"""`blockgraph generate FOLDER`"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from blockgraph.cli.options import read_stdin, with_device, with_plugins
from blockgraph.cli.writing import searching, with_writing
from blockgraph.specs.diagnostics import BlockgraphError

if TYPE_CHECKING:
    from blockgraph.running.writing import Writer

FOR_DRAWING = ("temperature", "top_k", "top_p", "seed")  # options that a search for the best text has no use for


@click.command("generate")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--prompt", "given", multiple=True, metavar="TEXT", help="The text; - reads standard input. Repeatable.")
@click.option(
    "--prompts",
    "file",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Prompts from a file, one a line.",
)
@with_writing(most=256)
@click.option(
    "--temperature", type=float, help="Below 1 likelier, above 1 bolder; 0 is greedy.  [default: 1; 0 to translate]"
)
@click.option("--top-k", type=int, help="Choose among the k likeliest tokens.")
@click.option("--top-p", type=float, help="Choose among the likeliest that together reach p.")
@click.option("--seed", type=int, help="Another seed draws another text.  [default: 0]")
@click.option("--greedy", is_flag=True, help="Always the likeliest token: --temperature 0.")
@click.option("--stop", "until", multiple=True, metavar="TEXT", help="End before this text. Repeatable.")
@click.option("--int8", is_flag=True, help="Linear maps in 8 bits: smaller and faster on the CPU, a little less exact.")
@click.option("--dtype", type=click.Choice(["fp32", "bf16", "fp16"]), help="Convert the weights; else as in the file.")
@with_device
@with_plugins
def command(
    folder: Path,
    given: tuple[str, ...],
    file: Path | None,
    max_new: int,
    greedy: bool,
    beams: int,
    length_penalty: float | None,
    until: tuple[str, ...],
    int8: bool,
    dtype: str | None,
    device: str,
    plugins: tuple[str, ...],
    **drawing: Any,
) -> None:
    """Continue a text, or translate it: FOLDER is a trained run, or a published checkpoint with its tokenizer's files.

    One text streams as it is made; several are made at once. The same seed gives the same text. A model with an encoder
    and a decoder reads the prompt and writes its answer.
    """
    prompts = read_prompts(given, file)
    options = choosing(
        greedy, beams, length_penalty, {key: value for key, value in drawing.items() if value is not None}
    )
    if int8 and device == "auto":
        device = "cpu"
    from blockgraph.running.writing import open_writer

    writer = open_writer(folder, device=device, dtype=dtype, plugins=plugins, int8=int8)
    if beams == 1 and "temperature" not in options:
        options["temperature"] = 0.0 if writer.translates else 1.0
    options |= {"max_new": max_new, "until": until}
    if len(prompts) == 1 and beams == 1:
        stream_sample(writer, prompts[0], **options)
    else:
        write_all(writer, prompts, **options)


def read_prompts(given: Sequence[str], file: Path | None) -> list[str]:
    """All prompts, those of the file last. Raises `BlockgraphError` where there is none."""
    prompts = [read_stdin() if prompt == "-" else prompt for prompt in given]
    if file is not None:
        try:
            prompts += file.read_text(encoding="utf-8-sig").splitlines()
        except UnicodeDecodeError as error:
            raise BlockgraphError(f"{file} is not UTF-8: {error.reason} at byte {error.start}") from None
        if "" in prompts:
            raise BlockgraphError(f"line {prompts.index('') - len(given) + 1} of {file} is empty: each is a prompt")
    if not prompts:
        raise BlockgraphError('there is no prompt: give --prompt "…", or --prompts FILE with one a line')
    return prompts


def choosing(greedy: bool, beams: int, length_penalty: float | None, drawing: dict[str, Any]) -> dict[str, Any]:
    """The options that say how tokens are chosen. Raises `BlockgraphError` where they contradict each other."""
    asked = [name for name in FOR_DRAWING if name in drawing and (name, drawing[name]) != ("temperature", 0)]
    flags = [f"--{name.replace('_', '-')}" for name in asked]
    searched = searching(beams, length_penalty)
    if beams > 1 and flags:
        raise BlockgraphError(f"--beams searches for the best text and draws none: leave out {', '.join(flags)}")
    if greedy and drawing.get("temperature"):
        raise BlockgraphError("--greedy is --temperature 0: leave one of them out")
    if searched:
        return searched
    return drawing | ({"temperature": 0.0} if greedy else {})


def stream_sample(writer: Writer, prompt: str, **options: Any) -> None:
    """Prints what the model makes of a prompt, piece by piece; behind the prompt, where it continues that."""
    pieces = writer.stream(prompt, **options)
    first = next(pieces, "")  # a refusal comes before anything is printed
    click.echo("" if writer.translates else prompt, nl=False)
    click.echo(first, nl=False)
    for text in pieces:
        click.echo(text, nl=False)
    click.echo()


def write_all(writer: Writer, prompts: Sequence[str], **options: Any) -> None:
    """Prints a text for each prompt: translations one a line, continuations with an empty line between them."""
    for number, (prompt, text) in enumerate(zip(prompts, writer.batch(prompts, **options), strict=True)):
        if writer.translates:
            click.echo(text)
        else:
            click.echo(("\n" if number else "") + prompt + text)
