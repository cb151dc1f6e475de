"""`blockgraph demo`: everything once, in about three minutes."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from blockgraph.cli.options import console, read_model, write_new

if TYPE_CHECKING:
    from rich.console import Console

    from blockgraph.builder.graph import Model

PRESET = "gpt-nano"
PROMPT = "The "
SECONDS = 120.0
SAMPLE = 400  # characters
TIMED_STEPS = 12
SPEC = f"""\
# The shipped preset {PRESET}, on a text that lies beside this file. Change what you like and train it again:
#   blockgraph show demo.yaml         the whole spec
#   blockgraph train demo.yaml
blockgraph: 1
extends: {PRESET}
name: demo
train:
  data: {{train: train.txt, valid: valid.txt}}
"""


@click.command("demo")
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("blockgraph-demo"),
    show_default=True,
    help="The folder it makes.",
)
@click.option(
    "--seconds", type=click.FloatRange(min=1), default=SECONDS, show_default=True, help="About how long it trains."
)
@click.option("--steps", type=click.IntRange(1), help="Train this many steps instead.")
@click.option("--prompt", default=PROMPT, show_default=True)
def command(out: Path, seconds: float, steps: int | None, prompt: str) -> None:
    """Draw, train and sample a small GPT: everything that blockgraph does, on text that every Python carries."""
    screen = console()
    screen.print(f"blockgraph demo in {out}/", style="bold", markup=False)
    file = prepare(out, screen)
    _, model = read_model(str(file), (), ())
    say(screen, "1", f"{file} is valid: the preset {PRESET}, {model.parameters:,} parameters")
    pictures = draw_pictures(model, out)
    say(screen, "2", "drew " + " and ".join(map(str, pictures)))
    use_fastest_threads(file)
    steps = steps or affordable_steps(file, seconds)
    say(screen, "3", f"training {steps:,} steps; Ctrl-C stops and saves")
    run = train_run(file, next_run(out), steps, screen)
    say(screen, "4", f"what it writes after {prompt!r} at temperature 0.5:\n")
    sample(run, prompt)
    screen.print(closing(file, run, pictures), markup=False)


def say(screen: Console, number: str, text: str) -> None:
    from rich.text import Text

    screen.print(Text.assemble("\n", (f"{number}  ", "bold cyan"), text))


def prepare(out: Path, screen: Console) -> Path:
    """Writes the texts and the spec into the folder; returns the spec's path."""
    from blockgraph.data.demo import ORIGIN, demo_text

    learned, judged = demo_text()
    write_new(out / "train.txt", learned.encode())
    write_new(out / "valid.txt", judged.encode())
    file = out / "demo.yaml"
    if not file.exists():  # what the user changed there stays
        write_new(file, SPEC.encode())
    screen.print(f"the text: {ORIGIN}; {len(learned) + len(judged):,} characters once repeats and tables are left out")
    screen.print(f"{len(judged):,} of them, whole topics, are kept for validation")
    return file


def draw_pictures(model: Model, out: Path) -> list[Path]:
    from blockgraph.viz.draw import draw

    paths = [out / "diagram.svg", out / "diagram.png"]
    for path in paths:
        draw(model, path)
    return paths


def use_fastest_threads(file: Path) -> None:
    """Sets torch's number of threads for this process."""
    import torch

    from blockgraph.builder.build import build
    from blockgraph.training.settings import from_spec
    from blockgraph.training.threads import fastest_threads

    spec, _ = read_model(str(file), (), ())
    batch = from_spec(spec.train).batch
    torch.set_num_threads(fastest_threads(build(spec), batch.windows, batch.length))


def affordable_steps(file: Path, seconds: float) -> int:
    """How many steps this machine takes in `seconds`, from a few timed ones: the schedule has to know its end."""
    import json
    import statistics
    from tempfile import TemporaryDirectory

    from blockgraph.training.settings import from_spec

    with TemporaryDirectory() as folder:
        run = train_run(file, Path(folder) / "run", TIMED_STEPS, None, evaluations=1)
        lines = (run / "metrics.jsonl").read_text("utf-8").splitlines()
    rates = [record["tokens_per_s"] for record in map(json.loads, lines) if record.get("tokens_per_s")]
    batch = from_spec(read_model(str(file), (), ())[0].train).batch
    tokens = batch.windows * batch.length * batch.accumulate
    return max(TIMED_STEPS, int(seconds * statistics.median(rates[len(rates) // 2 :]) / tokens))


def train_run(file: Path, out: Path, steps: int, screen: Console | None, evaluations: int = 5) -> Path:
    from blockgraph.training.train import train

    every = max(1, steps // evaluations)
    sets = (f"train.steps={steps}", f"train.evaluate.every={every}", f"train.checkpoint.every={every}")
    spec, _ = read_model(str(file), sets, ())
    return train(spec, out=out, console=screen)


def next_run(out: Path) -> Path:
    """`run`, or `run-2` where there is one: a demo never overwrites what was trained."""
    number = 1
    while (path := out / ("run" if number == 1 else f"run-{number}")).exists():
        number += 1
    return path


def sample(run: Path, prompt: str) -> None:
    from blockgraph.cli.generate import stream_sample
    from blockgraph.running.writing import open_writer

    stream_sample(open_writer(run), prompt, max_new=SAMPLE, temperature=0.5)


def closing(file: Path, run: Path, pictures: list[Path]) -> str:
    """What to expect, where everything lies, what to try."""
    from blockgraph.training.run_folder import PLOT

    return f"""
So small a model, trained for minutes on one text, learns spelling, layout and turns of phrase; it knows nothing and
means nothing. More steps, more text and more layers make it better, in that order of cheapness.

    diagram      {pictures[0]}
                 {pictures[1]}
    loss curve   {run / PLOT}
    checkpoints  {run / "checkpoints"}

Try next:{activation()}
    blockgraph generate {run} --prompt "A function" --temperature 0.5
    blockgraph train {file} --data your_text.txt
    blockgraph validate {file}          (change something in it first)
    blockgraph draw gpt2 -o gpt2.svg"""


def activation() -> str:
    """How this environment's commands come onto the PATH, where `scripts/demo` made it and no shell has entered it."""
    if sys.prefix == sys.base_prefix or os.environ.get("VIRTUAL_ENV"):
        return ""
    prefix = Path(sys.prefix)
    prefix = prefix.relative_to(Path.cwd()) if prefix.is_relative_to(Path.cwd()) else prefix
    line = f"{prefix}\\Scripts\\activate" if os.name == "nt" else f'. "{prefix}/bin/activate"'
    return f"\n    {line}          (once in each terminal)"
