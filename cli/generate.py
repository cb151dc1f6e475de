"""`blockgraph generate RUN`"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from blockgraph.cli.options import read_stdin, with_device, with_plugins

if TYPE_CHECKING:
    from blockgraph.running.runs import Run


@click.command("generate")
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--prompt", required=True, help="The text to continue; - reads it from standard input.")
@click.option("--max-new", type=click.IntRange(0), default=256, show_default=True, help="New tokens at most.")
@click.option(
    "--temperature", type=float, default=1.0, show_default=True, help="Below 1 likelier, above 1 bolder; 0 is greedy."
)
@click.option("--top-k", type=int, help="Choose among the k likeliest tokens.")
@click.option("--top-p", type=float, help="Choose among the likeliest that together reach p.")
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--greedy", is_flag=True, help="Always the likeliest token: --temperature 0.")
@with_device
@with_plugins
def command(
    run: Path,
    prompt: str,
    max_new: int,
    temperature: float,
    top_k: int | None,
    top_p: float | None,
    seed: int,
    greedy: bool,
    device: str,
    plugins: tuple[str, ...],
) -> None:
    """Continue a text with a trained model. The text streams as it is made; the same seed gives the same text."""
    from blockgraph.running.runs import open_run

    if prompt == "-":
        prompt = read_stdin()
    trained = open_run(run, device=device, plugins=plugins)
    stream_sample(
        trained,
        prompt,
        max_new=max_new,
        temperature=0.0 if greedy else temperature,
        top_k=top_k,
        top_p=top_p,
        seed=seed,
    )


def stream_sample(
    run: Run,
    prompt: str,
    *,
    max_new: int,
    temperature: float,
    top_k: int | None = None,
    top_p: float | None = None,
    seed: int = 0,
) -> None:
    """Prints the prompt and what the model makes of it, piece by piece."""
    from blockgraph.running.generate import continue_text

    options = {"max_new": max_new, "temperature": temperature, "top_k": top_k, "top_p": top_p, "seed": seed}
    click.echo(prompt, nl=False)
    for text in continue_text(run, prompt, stop=end_of(run), **options):
        click.echo(text, nl=False)
    click.echo()


def end_of(run: Run) -> tuple[int, ...]:
    """The id that ends a text, where the spec's first input names one."""
    first = next(iter(run.model.definition.root.inputs.values()))
    return () if first.end is None else (first.end,)
