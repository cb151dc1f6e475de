"""What the loop adds to a training step of the demo's model: data, losses read and recorded, progress, checkpoints.

The loop's step and a bare one (the same model's forward, loss, backward, clipping and optimizers on a batch that lies
ready) take turns. To it comes a checkpoint's cost, spread over the steps between two of them. Evaluations are not
counted: they are work that was asked for. Prints the loop's share beyond the bare step.
"""

from __future__ import annotations

import argparse
import copy
import io
import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch.nn.functional as F
from rich.console import Console
from timing import compare, cpu_seconds, measured, one_thread
from torch import nn

from blockgraph.cli.demo import prepare
from blockgraph.cli.options import read_model
from blockgraph.training import session
from blockgraph.training.loop import Trainer
from blockgraph.training.metrics import Metrics
from blockgraph.training.optimizers import Optimizers
from blockgraph.training.parameters import head_of, trained_weights
from blockgraph.training.train import train


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=151)
    rounds = parser.parse_args().rounds
    one_thread()
    with tempfile.TemporaryDirectory() as folder:
        screen = Console(file=io.StringIO())
        file = prepare(Path(folder), screen)
        made = trainer_of(file, screen)
        faster = compare(ours := loop_step(made), bare := bare_step(made), rounds)
        saving = statistics.median(cpu_seconds(made._save) for _ in range(5))
        step = statistics.median(cpu_seconds(bare) for _ in range(5))
        spread = saving / made.settings.checkpoint_every / step
        print(f"a checkpoint {saving * 1e3:.1f} ms, {100 * spread:.3f}% of the steps between two")
        ours()
        made._metrics.close()
    measured(1 / faster - 1 + spread)


def trainer_of(file: Path, screen: Console) -> Trainer:
    """The trainer as `blockgraph train` makes it, before its first step."""
    found: list[Trainer] = []

    class EnoughError(Exception):
        pass

    def keep(self: Trainer) -> Any:
        found.append(self)
        raise EnoughError

    plain, session.Trainer.run = session.Trainer.run, keep  # type: ignore[method-assign]
    try:
        train(read_model(str(file), ("train.evaluate.every=1000000",), ())[0], out=file.parent / "run", console=screen)
    except EnoughError:
        pass
    finally:
        session.Trainer.run = plain  # type: ignore[method-assign]
    return found[0]


def loop_step(made: Trainer) -> Callable[[], None]:
    """One turn of the loop as `Trainer` runs it."""
    made._metrics = Metrics(made.metrics_path, 0)
    made.reporter.start(0, made.steps)
    made.model.train()

    def run() -> None:
        made._step()
        made._close_step()

    return run


def bare_step(made: Trainer) -> Callable[[], None]:
    """What nobody can leave out, on a copy of the model and a batch that lies ready."""
    model = copy.deepcopy(made.model).train()
    optimizers = Optimizers(trained_weights(model, head=head_of(model)), made.settings.optimizer)
    batch = made.train.batch(0, 0)
    tokens, targets = batch.inputs["tokens"], batch.targets[next(iter(batch.targets))].flatten().long()

    def run() -> None:
        logits = model(tokens)
        F.cross_entropy(logits.flatten(0, 1), targets).backward()  # type: ignore[no-untyped-call]
        optimizers.take_gradients()
        nn.utils.clip_grad_norm_(optimizers.leaves, 1.0)
        optimizers.step()
        optimizers.zero()

    return run


if __name__ == "__main__":
    main()
