"""A training that was cut short anywhere and resumed is, bit for bit, the one that was not."""

import dataclasses
import json
import os
import random
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from blockgraph.training import random_state
from blockgraph.training.checkpoints import Loaded
from blockgraph.training.errors import Stopped
from blockgraph.training.loop import Progress, Trainer
from blockgraph.training.progress import Silent
from tests.training.tiny import SETTINGS, VOCABULARY, same_weights, trainer, weights

ROOT = Path(__file__).parents[2]
FIRM = dataclasses.replace(SETTINGS, patience=3, ema=0.8)


def lines(folder: Path) -> list[dict[str, Any]]:
    """The metrics without what depends on the clock."""
    found = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [{key: value for key, value in line.items() if key not in ("tokens_per_s", "seconds")} for line in found]


class SignalAt(Silent):
    """Sends this process a signal right after a step."""

    def __init__(self, step: int, number: signal.Signals = signal.SIGINT) -> None:
        super().__init__()
        self.at, self.number = step, number

    def step(self, step: int, loss: float, lr: float, tokens: int) -> None:
        if step == self.at:
            os.kill(os.getpid(), self.number)


def made(folder: Path, **options: Any) -> Trainer:
    found = trainer(folder, FIRM, **options)
    found.record_every = 4  # so that a sum of losses is open at most steps
    return found


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, torch.Tensor], list[dict[str, Any]]]:
    folder = tmp_path_factory.mktemp("whole")
    whole = made(folder)
    whole.run()
    return weights(whole.model), lines(folder)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_save_and_stop(tmp_path: Path, uninterrupted: Any, number: signal.Signals) -> None:
    first = made(tmp_path)
    first.reporter = SignalAt(9, number)
    with pytest.raises(Stopped, match=f"{number.name} at step 9 of 24, and saved") as caught:
        first.run()
    assert caught.value.exit_code == 3
    second = made(tmp_path, resume=True)
    assert second.progress.step == 9
    second.run()
    assert same_weights(weights(second.model), uninterrupted[0])
    assert lines(tmp_path) == uninterrupted[1]


def test_handlers_are_put_back(tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGTERM)
    made(tmp_path).run()
    assert signal.getsignal(signal.SIGTERM) is before


def test_interrupted_again_and_again(tmp_path: Path, uninterrupted: Any) -> None:
    steps = random.Random(4).sample(range(1, 24), 5)
    for step in sorted(steps):
        part = made(tmp_path, resume=True)
        part.reporter = SignalAt(step)
        with pytest.raises(Stopped):
            part.run()
    last = made(tmp_path, resume=True)
    last.run()
    assert same_weights(weights(last.model), uninterrupted[0])
    assert lines(tmp_path) == uninterrupted[1]


@pytest.mark.parametrize("forgotten", [False, True])
def test_interrupted_inside_an_evaluation(tmp_path: Path, uninterrupted: Any, forgotten: bool) -> None:
    """The step is saved, its evaluation is done after resuming, unless the checkpoint's `closed` is lost."""
    first = made(tmp_path)
    model = first.model

    def interrupt(*_: Any) -> None:
        if not model.training and first.progress.step == 12:
            os.kill(os.getpid(), signal.SIGINT)

    model.register_forward_pre_hook(interrupt)
    with pytest.raises(Stopped, match="at step 12"):
        first.run()
    second = made(tmp_path, resume=True)
    assert not second.progress.closed
    second.progress.closed = forgotten
    second.run()
    assert same_weights(weights(second.model), uninterrupted[0])
    assert (lines(tmp_path) == uninterrupted[1]) is not forgotten


@pytest.mark.parametrize("forgotten", [False, True])
def test_interrupted_between_two_parts_of_a_step(tmp_path: Path, uninterrupted: Any, forgotten: bool) -> None:
    """The gradients so far are saved, and the step goes on with its next part, unless they are lost."""
    first, calls = made(tmp_path), [0]

    def interrupt(*_: Any) -> None:
        calls[0] += first.model.training
        if calls[0] == 2 * 8 + 1:  # of two parts each
            os.kill(os.getpid(), signal.SIGINT)

    first.model.register_forward_pre_hook(interrupt)
    with pytest.raises(Stopped, match="at step 8 of 24, and saved"):
        first.run()
    assert calls == [17]
    second = made(tmp_path)
    loaded = second.checkpoints.latest()
    assert loaded is not None and loaded.state["pending"]["parts"] == 1
    if forgotten:
        loaded.state["pending"] = {}
    second.restore(loaded)
    second.run()
    assert same_weights(weights(second.model), uninterrupted[0]) is not forgotten
    assert (lines(tmp_path) == uninterrupted[1]) is not forgotten


def test_a_second_interrupt_stops_at_once(tmp_path: Path) -> None:
    first = made(tmp_path)

    class Impatient(Silent):
        def step(self, step: int, loss: float, lr: float, tokens: int) -> None:
            if step == 7:
                os.kill(os.getpid(), signal.SIGINT)
                os.kill(os.getpid(), signal.SIGINT)

    first.reporter = Impatient()
    with pytest.raises(KeyboardInterrupt):
        first.run()
    latest = first.checkpoints.latest()
    assert latest is not None and latest.step == 5


PROGRESS = tuple(f"progress.{each.name}" for each in dataclasses.fields(Progress))
RANDOM = tuple(f"random.{name}" for name in ("torch", "numpy", "python"))
NEEDED = ("weights", "optimizer", "scaler", "average", *RANDOM, *PROGRESS)
ELSEWHERE = {  # what one process on a CPU, which goes on as it began, does not need
    "random.cuda",
    "random.mps",
    "pending",  # above, interrupted between two parts of a step
    "others",  # the other processes' random states: test_distributed, going on exactly with dropout
    "parts",  # test_distributed, going on with another number of processes
    "identity",  # test_train, resuming refuses what has changed
    "threads",  # told below
}


def forget(what: str, fresh: Trainer, loaded: Loaded) -> None:
    """Puts what a training has that begins into a checkpoint, instead of what was saved."""
    if what == "weights":
        loaded.weights.update(weights(fresh.model))
        return
    item, _, part = what.partition(".")
    state = fresh.state()
    if part:
        loaded.state[item][part] = state[item][part]
    else:
        loaded.state[item] = state[item]


def restless(folder: Path) -> Trainer:
    """A training that needs all that a checkpoint may hold: it draws from each source of random numbers, its losses are
    scaled, it is judged by its average and will end early."""
    settings = dataclasses.replace(
        FIRM, patience=4, evaluate_every=3, optimizer=dataclasses.replace(FIRM.optimizer, lr=0.4)
    )
    found = trainer(folder, settings)
    found.record_every = 4
    found.precision.scaler = torch.amp.GradScaler("cpu", init_scale=2.0**126, growth_interval=2)

    def disturb(module: torch.nn.Module, _: Any, output: torch.Tensor) -> torch.Tensor:
        if not module.training:
            return output
        output.register_hook(lambda gradient: gradient * 128)  # as large as numbers get with that scale, or too large
        return output * (1 + 0.1 * np.random.rand() + 0.1 * random.random())

    found.model.get_submodule("hidden").register_forward_hook(disturb)
    return found


def trace(folder: Path, what: str | None = None) -> tuple[Any, ...]:
    """All that can be seen of a training that was stopped inside the evaluation of step 15, resumed, and made to forget
    something."""
    first = restless(folder)

    def interrupt(*_: Any) -> None:
        if not first.model.training and first.progress.step == 15:
            os.kill(os.getpid(), signal.SIGINT)

    first.model.register_forward_pre_hook(interrupt)
    with pytest.raises(Stopped, match="at step 15"):
        first.run()
    second = restless(folder)
    loaded = second.checkpoints.latest()
    assert loaded is not None
    if what is not None:
        forget(what, second, loaded)
    second.restore(loaded)
    outcome = second.run()
    return outcome, lines(folder), {name: value.tolist() for name, value in weights(second.model).items()}


@pytest.fixture(scope="module")
def remembered(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, ...]:
    found = trace(tmp_path_factory.mktemp("remembered"))
    assert found[0].early and 15 < found[0].step < 24
    return found


def test_remembering_all_is_exact(tmp_path: Path, remembered: tuple[Any, ...]) -> None:
    assert trace(tmp_path) == remembered
    whole = restless(tmp_path / "whole")
    assert whole.run() == remembered[0]
    assert lines(tmp_path / "whole") == remembered[1]


@pytest.mark.parametrize("what", NEEDED)
def test_everything_in_a_checkpoint_is_needed(tmp_path: Path, what: str, remembered: tuple[Any, ...]) -> None:
    assert trace(tmp_path, what) != remembered


def test_a_checkpoint_holds_nothing_else(tmp_path: Path) -> None:
    state = restless(tmp_path).state()
    inside = {f"{item}.{part}" for item in ("progress", "random") for part in state[item]}
    assert {"weights", *state, *inside} - {"progress", "random"} == {*NEEDED, *ELSEWHERE}


def test_another_number_of_threads_is_told(tmp_path: Path) -> None:
    made(tmp_path).run()
    told = made(tmp_path)
    loaded = told.checkpoints.latest()
    assert loaded is not None
    loaded.state["threads"] += 1
    said: list[str] = []
    told.reporter.message = said.append  # type: ignore[method-assign]
    told.restore(loaded)
    assert said == ["1 threads now, 2 before: sums are rounded in another order, losses may differ"]


def test_random_states_are_restored_whole() -> None:
    random_state.seed_all(3)
    torch.rand(5), np.random.rand(3), np.random.randn(), random.random()
    state = random_state.capture()
    expected = torch.rand(3).tolist(), np.random.randn(3).tolist(), random.random()
    random_state.restore(state)
    assert (torch.rand(3).tolist(), np.random.randn(3).tolist(), random.random()) == expected


KILLED = """
import os, sys, torch
from pathlib import Path
sys.path.insert(0, {root!r})
from tests.training.test_resume import made
from blockgraph.training import files

folder, kill_at, writes = Path({folder!r}), {kill_at!r}, {writes!r}
os.fsync = lambda handle: None
trainer = made(folder, resume=True)
if writes is not None:  # die inside the n-th write of the checkpoint of step `kill_at`
    plain, left = files.HashingFile.write, [writes]
    def write(self, data):
        left[0] -= f"tmp-step-{{kill_at}}/" in self._file.name
        if left[0] < 0:
            plain(self, data[: len(data) // 2])
            os.kill(os.getpid(), 9)
        return plain(self, data)
    files.HashingFile.write = write
else:
    step = type(trainer)._step
    def one(self):
        if self.progress.step == kill_at:
            os.kill(os.getpid(), 9)
        step(self)
    type(trainer)._step = one
torch.set_num_threads(1)
trainer.run()
"""


def killed(folder: Path, kill_at: int, writes: int | None) -> None:
    """Trains in a process of its own that is killed before a step, or in the `writes`-th write of its checkpoint."""
    script = KILLED.format(root=str(ROOT), folder=str(folder), kill_at=kill_at, writes=writes)
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, check=False, timeout=120)
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()


def test_kill_9_inside_a_save(tmp_path: Path, uninterrupted: Any) -> None:
    killed(tmp_path, kill_at=10, writes=20)
    assert list((tmp_path / "checkpoints").glob(".tmp-*"))
    last = made(tmp_path, resume=True)
    assert last.progress.step == 5 and not list((tmp_path / "checkpoints").glob(".tmp-*"))
    last.run()
    assert same_weights(weights(last.model), uninterrupted[0])
    assert lines(tmp_path) == uninterrupted[1]


@pytest.mark.slow
def test_many_kills(tmp_path: Path, uninterrupted: Any) -> None:
    generator = random.Random(0)
    for number in range(12):
        folder = tmp_path / str(number)
        folder.mkdir()
        killed(folder, kill_at=generator.randrange(1, 15), writes=None)
        killed(folder, kill_at=generator.choice([15, 20]), writes=generator.randrange(130))
        last = made(folder, resume=True)
        last.run()
        assert same_weights(weights(last.model), uninterrupted[0]), number
        assert lines(folder) == uninterrupted[1]


def test_the_model_of_these_tests_drops_out() -> None:
    from tests.training.tiny import Tiny

    tokens = torch.arange(VOCABULARY)[None]
    model = Tiny()
    assert not torch.equal(model(tokens), model(tokens))
