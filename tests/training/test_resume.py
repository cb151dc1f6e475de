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

import pytest
import torch

from blockgraph.training import random_state
from blockgraph.training.errors import Stopped
from blockgraph.training.loop import Progress, Trainer
from blockgraph.training.progress import Silent
from tests.training.tiny import SETTINGS, VOCABULARY, same_weights, trainer, weights

ROOT = Path(__file__).parents[2]
FIRM = dataclasses.replace(SETTINGS, patience=3)


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


FORGETTING: dict[str, Any] = {
    "weights": lambda trainer, loaded: loaded.weights.update(weights(trainer.model)),
    "optimizer": lambda trainer, loaded: loaded.state.update(optimizer={}),
    "random states": lambda trainer, loaded: loaded.state.update(random=random_state.capture()),
    "step": lambda trainer, loaded: loaded.state["progress"].update(step=loaded.step - 1),
    "best loss": lambda trainer, loaded: loaded.state["progress"].update(best_score=Progress().best_score),
    "patience": lambda trainer, loaded: loaded.state["progress"].update(worse=0),
    "best step": lambda trainer, loaded: loaded.state["progress"].update(best_step=0),
    "norms since the last record": lambda trainer, loaded: loaded.state["progress"].update(norm_sum=0.0),
    "losses since the last record": lambda trainer, loaded: loaded.state["progress"].update(loss_sum=0.0),
    "steps since the last record": lambda trainer, loaded: loaded.state["progress"].update(loss_count=0),
}


def trace(folder: Path, forget: Any = None, until: int = 14) -> tuple[Any, ...]:
    """All that can be seen of a training that was stopped at `until`, resumed, and made to forget something."""
    settings = dataclasses.replace(
        FIRM, patience=4, evaluate_every=3, optimizer=dataclasses.replace(FIRM.optimizer, lr=0.2)
    )
    first = trainer(folder, settings)
    first.record_every, first.reporter = 4, SignalAt(until)
    with pytest.raises(Stopped):
        first.run()
    second = trainer(folder, settings)
    second.record_every = 4
    loaded = second.checkpoints.latest()
    assert loaded is not None
    if forget is not None:
        forget(second, loaded)
    second.restore(loaded)
    outcome = second.run()
    return outcome, lines(folder), {name: value.tolist() for name, value in weights(second.model).items()}


@pytest.fixture(scope="module")
def remembered(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, ...]:
    return trace(tmp_path_factory.mktemp("remembered"), until=14)


@pytest.mark.parametrize("what", FORGETTING)
def test_everything_in_a_checkpoint_is_needed(tmp_path: Path, what: str, remembered: tuple[Any, ...]) -> None:
    assert trace(tmp_path / "again") == remembered
    assert trace(tmp_path / "forgetful", FORGETTING[what]) != remembered


def test_random_states_are_restored_whole() -> None:
    import numpy as np

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
