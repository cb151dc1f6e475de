"""A preset's own training on its own data: the figure over the whole test split, mean of several seeds.

Each seed trains by the command's own function on one thread; seconds are the process's CPU seconds of all of it
(reading data, making the tokenizer, training, and the evaluations on the way), without the judging at the end.

`--seconds` trains for so many of them instead of for the preset's steps: how long a step takes is measured first, so
that what is faster sees more batches. `--ablate` undoes one line of the preset after the other and prints a table.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from timing import measured, one_thread, skip

if TYPE_CHECKING:
    from blockgraph.running.runs import Run
    from blockgraph.specs.spec import Spec

Judge: TypeAlias = "Callable[[Run, argparse.Namespace, str], float]"


class Recipe(NamedTuple):
    """`judge` is what the figure is, over `split`; `needs` says whether a data folder has to be given; `without` is
    what undoes a line of the preset, by its name in the table."""

    judge: Judge
    split: str = "test"
    needs: bool = True
    unit: str = ""
    without: Mapping[str, list[str]] = MappingProxyType({})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("recipe", choices=sorted(RECIPES))
    parser.add_argument("--data", type=Path, help="the folder that holds the files that the preset names")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--set", action="append", default=[], metavar="PATH=VALUE", help="change the preset")
    parser.add_argument("--seconds", type=float, help="train for so many CPU seconds")
    parser.add_argument("--beams", type=int, default=1, help="translations: judged by beam search (greedy without)")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="keep the runs there")
    parser.add_argument("--ablate", action="store_true", help="a table of what each line of the preset gives")
    given = parser.parse_args()
    recipe = RECIPES[given.recipe]
    if recipe.needs and given.data is None:
        skip(f"{given.recipe} learns from files that are not here; give --data FOLDER")
    one_thread()
    if given.ablate:
        return ablate(given, recipe)
    measured(mean_of(given, recipe, given.set))


def ablate(given: argparse.Namespace, recipe: Recipe) -> None:
    """The preset as it is, then without one of its lines after the other."""
    whole = mean_of(given, recipe, given.set)
    print(f"\n| {given.recipe} |{recipe.unit} | worse by |\n|---|---:|---:|\n| as it is | {whole:.4f} | |", flush=True)
    for line, sets in recipe.without.items():
        value = mean_of(given, recipe, [*given.set, *sets])
        print(f"| {line} | {value:.4f} | {value - whole:+.4f} |", flush=True)
    measured(whole)


def mean_of(given: argparse.Namespace, recipe: Recipe, sets: list[str]) -> float:
    """The mean of the seeds; each is told of."""
    if given.seconds is not None:
        steps = steps_in(given, sets)
        sets = [*sets, *(f"train.{key}={steps}" for key in ("steps", "evaluate.every", "checkpoint.every"))]
    return statistics.mean(figure(given, recipe, sets, seed) for seed in given.seeds)


def steps_in(given: argparse.Namespace, sets: list[str]) -> int:
    """How many steps fit into `--seconds`, by two short trainings that differ in their steps alone."""
    seconds = {}
    for steps in (20, 20, 80):  # the first one warms up and is not counted
        spec = spec_of(given.recipe, [*sets, f"train.steps={steps}", f"train.evaluate.every={steps}"])
        with tempfile.TemporaryDirectory() as folder:
            seconds[steps] = train_in(spec, given.data, Path(folder))[1]
    step = (seconds[80] - seconds[20]) / 60
    print(f"{1000 * step:.1f} ms of CPU time a step")
    return max(1, int((given.seconds - seconds[20]) / step) + 20)


def figure(given: argparse.Namespace, recipe: Recipe, sets: list[str], seed: int) -> float:
    from blockgraph.running.runs import open_run

    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) if given.keep is None else given.keep / f"{given.recipe}-seed-{seed}"
        path, seconds = train_in(spec_of(given.recipe, [*sets, f"train.seed={seed}"]), given.data, folder)
        run = open_run(path)
        value = recipe.judge(run, given, recipe.split)
        print(f"seed {seed}: {value:.4f}{recipe.unit}, step {run.step:,}, {seconds:.0f} CPU seconds", flush=True)
    return value


def spec_of(name: str, sets: list[str]) -> Spec:
    from blockgraph.specs.diagnostics import Diagnostics
    from blockgraph.specs.load import load_spec

    diagnostics = Diagnostics()
    spec = load_spec(name, diagnostics, sets=sets)
    diagnostics.raise_errors()
    assert spec is not None
    return spec


def train_in(spec: Spec, data: Path | None, folder: Path) -> tuple[Path, float]:
    """Trains into a folder: the run, and the CPU seconds that it took."""
    from blockgraph.training.train import train

    start = time.process_time()
    run = train(spec, out=folder / "run", data=data, device="cpu")
    return run, time.process_time() - start


# -- what is judged ----------------------------------------------------------------------------------------------------


def measures(run: Run, split: str) -> dict[str, float]:
    """Loss and measures of the run's weights over a whole split, as the training's own evaluations make them, but in
    fp32."""
    import torch

    from blockgraph.training.loop import evaluate
    from blockgraph.training.precision import Precision
    from blockgraph.training.run_data import RunData
    from blockgraph.training.trained import open_trained

    trained = open_trained(run.folder, device="cpu")
    rows = RunData(run.folder).split(split, trained.lesson, trained.settings)
    if not len(rows):
        skip(f"{run.spec.name} has no {split} rows")
    return evaluate(trained.run.model, trained.lesson, rows, Precision("fp32", torch.device("cpu")))


def loss(run: Run, _: argparse.Namespace, split: str) -> float:
    return measures(run, split)["loss"]


def accuracy(run: Run, _: argparse.Namespace, split: str) -> float:
    return 100 * measures(run, split)["accuracy"]


def written(measure: str, alternatives: str | None = None, percent: bool = False) -> Judge:
    """A measure of the texts that the model writes for the whole split, by `blockgraph evaluate`; it prints them all.
    `alternatives` is the sign between several right texts of a row."""

    def judge(run: Run, given: argparse.Namespace, split: str) -> float:
        from blockgraph.tasks.asking import Choices
        from blockgraph.training.evaluate import evaluate
        from blockgraph.training.trained import open_trained

        trained, choices = open_trained(run.folder, device="cpu"), Choices(beams=given.beams)
        found = evaluate(trained, split=split, choices=choices, alternatives=alternatives).measures
        print(", ".join(f"{name} {value:.4f}" for name, value in found.items()), flush=True)
        return found[measure] * (100 if percent else 1)

    return judge


NORMS = [f"{path}=layer_norm" for path in ("blocks.Layer.nodes.norm1", "blocks.Layer.nodes.norm2", "nodes.norm")]
MODERN = {
    "layer_norm instead of rms_norm": NORMS,
    "gelu instead of relu2": ["defaults.ffn.activation=gelu"],
    "with biases": ["defaults.attention.bias=true", "defaults.ffn.bias=true"],
    "no rotary positions, and no others": ["blocks.Layer.nodes.attn.rope=null"],
    "head tied to the embedding": [
        "nodes.logits.tie=embed",
        "init={logits.weight: null, embed.weight: {type: normal, std: 0.02}}",
    ],
    "no zeros at the start": ["init=null"],
    "AdamW (lr 4e-3) instead of Muon": ["train.optimizer={type: adamw, lr: 4e-3, weight_decay: 0.1}"],
    "cosine to a tenth instead of linear to 0": ["train.schedule={type: cosine, warmup: 0.05, floor: 0.1}"],
    "fp32 instead of bf16": ["train.precision=fp32"],
}

RECIPES = {
    "reverse-nano": Recipe(written("exact_match", percent=True), needs=False, unit="% exact"),
    "banking77-nano": Recipe(accuracy, unit="% accuracy"),
    "sst2-nano": Recipe(accuracy, unit="% accuracy"),
    "sst2-lstm": Recipe(accuracy, unit="% accuracy"),
    "vit-digits": Recipe(accuracy, unit="% accuracy"),
    "shakespeare-nano": Recipe(loss, "valid", unit=" nats a character", without=MODERN),
    "multi30k-de-en": Recipe(written("bleu"), unit=" BLEU"),
    "multi30k-lstm": Recipe(written("bleu"), unit=" BLEU"),
    "cmudict-nano": Recipe(written("exact_match", "|", percent=True), unit="% exact"),
    "tangpoems-nano": Recipe(loss, "valid", unit=" nats a character"),
    "tatoeba-en-zh": Recipe(written("bleu"), unit=" BLEU"),
}

if __name__ == "__main__":
    main()
