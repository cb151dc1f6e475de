"""A preset's own training on its own data: the figure over the whole test split, mean of several seeds.

Each seed trains by the command's own function on one thread; seconds are the process's CPU seconds of all of it (reading
data, making the tokenizer, training, and the evaluations on the way), without the judging at the end.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from timing import measured, one_thread, skip

if TYPE_CHECKING:
    from blockgraph.running.runs import Run
    from blockgraph.specs.spec import Spec


class Recipe(NamedTuple):
    """`judge` is what the figure is, over `split`; `needs` says whether a data folder has to be given."""

    judge: Callable[[Run, Any, str], float]
    split: str = "test"
    needs: bool = True
    unit: str = ""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("recipe", choices=sorted(RECIPES))
    parser.add_argument("--data", type=Path, help="the folder that holds the files that the preset names")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--set", action="append", default=[], metavar="PATH=VALUE", help="change the preset")
    parser.add_argument("--split", help="judge by another split")
    given = parser.parse_args()
    recipe = RECIPES[given.recipe]
    if recipe.needs and given.data is None:
        skip(f"{given.recipe} learns from files that are not here; give --data FOLDER")
    one_thread()
    figures = [figure(given, recipe, seed) for seed in given.seeds]
    measured(statistics.mean(figures))


def figure(given: argparse.Namespace, recipe: Recipe, seed: int) -> float:
    with tempfile.TemporaryDirectory() as folder:
        return trained(spec_of(given.recipe, [*given.set, f"train.seed={seed}"]), given, recipe, Path(folder), seed)


def spec_of(name: str, sets: list[str]) -> Spec:
    from blockgraph.specs.diagnostics import Diagnostics
    from blockgraph.specs.load import load_spec

    diagnostics = Diagnostics()
    spec = load_spec(name, diagnostics, sets=sets)
    diagnostics.raise_errors()
    assert spec is not None
    return spec


def trained(spec: Spec, given: argparse.Namespace, recipe: Recipe, folder: Path, seed: int) -> float:
    from blockgraph.running.runs import open_run
    from blockgraph.training.train import train

    start = time.process_time()
    run = open_run(train(spec, out=folder / "run", data=given.data, device="cpu"))
    seconds = time.process_time() - start
    value = recipe.judge(run, given.data, given.split or recipe.split)
    print(f"seed {seed}: {value:.4f}{recipe.unit}, step {run.step:,}, {seconds:.0f} CPU seconds", flush=True)
    return value


# -- what is judged ----------------------------------------------------------------------------------------------------


def measures(run: Run, split: str) -> dict[str, float]:
    """Loss and measures of the run's weights over a whole split, as the training's own evaluations make them."""
    import torch
    from blockgraph.data.specials import specials_of
    from blockgraph.tasks.plan import lesson_for
    from blockgraph.training.loop import evaluate
    from blockgraph.training.precision import Precision
    from blockgraph.training.run_data import RunData
    from blockgraph.training.settings import from_spec

    data = RunData(run.folder)
    lesson = lesson_for(run.model.definition, run.spec.train)
    lesson.tools.tokenizer = run.tokenizer
    lesson.tools.specials = lesson.fixed.over(specials_of(run.tokenizer))
    lesson.tools.labels.update(data.labels())
    rows = data.split(split, lesson, from_spec(run.spec.train))
    if not len(rows):
        skip(f"{run.spec.name} has no {split} rows")
    return evaluate(run.model, lesson, rows, Precision("fp32", torch.device("cpu")))


def loss(run: Run, _: Any, split: str) -> float:
    return measures(run, split)["loss"]


def accuracy(run: Run, _: Any, split: str) -> float:
    return 100 * measures(run, split)["accuracy"]


def translations(run: Run, data: Any, split: str) -> tuple[list[str], list[str]]:
    """Greedy outputs for every row of a split, and what they should be."""
    from blockgraph.data.records import Record
    from blockgraph.data.sources import source_of
    from blockgraph.data.specials import specials_of
    from blockgraph.running.batch import generate_batch

    assert run.spec.train is not None
    source = source_of(run.spec.train.data, None, data)
    rows = [row.values for row in source.rows(split) if isinstance(row, Record)]
    specials, length = specials_of(run.tokenizer), run.spec.train.batch.length
    assert specials.start is not None and specials.end is not None
    order = sorted(range(len(rows)), key=lambda number: len(rows[number]["source"]))
    outputs = [""] * len(rows)
    for first in range(0, len(order), 100):
        numbers = order[first : first + 100]
        sources = [[*run.tokenizer.encode(rows[n]["source"])[: length - 1].tolist(), specials.end] for n in numbers]
        ids = generate_batch(
            run.model, sources, start=[specials.start], stop=[specials.end], max_new=length, pad=specials.pad or 0
        )
        for number, found in zip(numbers, ids, strict=True):
            outputs[number] = run.tokenizer.decode(found)
    return outputs, [row["target"] for row in rows]


def exact(run: Run, data: Any, split: str) -> float:
    """Percent of the rows that are spelled without a mistake."""
    outputs, wanted = translations(run, data, split)
    return 100 * statistics.mean(output == target for output, target in zip(outputs, wanted, strict=True))


def bleu(run: Run, data: Any, split: str) -> float:
    """sacrebleu's default (13a, mixed case) over raw text."""
    import sacrebleu

    outputs, wanted = translations(run, data, split)
    return float(sacrebleu.corpus_bleu(outputs, [wanted]).score)


RECIPES = {
    "reverse-nano": Recipe(exact, needs=False, unit="% exact"),
    "banking77-nano": Recipe(accuracy, unit="% accuracy"),
    "shakespeare-nano": Recipe(loss, "valid", unit=" nats a character"),
    "multi30k-de-en": Recipe(bleu, unit=" BLEU"),
}

if __name__ == "__main__":
    main()
