"""TensorBoard's event files: what metrics say, once, however often a run was resumed."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from blockgraph.api import load
from blockgraph.training.board import check_tensorboard
from blockgraph.training.errors import TrainError
from blockgraph.training.metrics import Metrics, Record, read_metrics
from blockgraph.training.train import train
from tests.training.tiny import SETTINGS, trainer

board = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")

SPEC = """
blockgraph: 1
name: small
inputs: {tokens: {tokens: 256, axis: T}}
nodes: {embed: {type: embedding, width: 8}, logits: {type: linear, width: 256}}
train: {steps: 4, tensorboard: true, batch: {size: 2, length: 8}, evaluate: {every: 2}}
"""


@pytest.fixture(autouse=True)
def names_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files of one second are read in the order of their numbers as text: 10 must not come before 9."""
    from tensorboard.summary.writer import event_file_writer

    monkeypatch.setattr(event_file_writer, "_global_uid", type(event_file_writer._global_uid)(0))


def shown(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """What TensorBoard reads: by name, steps and values."""
    found = board.EventAccumulator(str(folder), {board.SCALARS: 0})
    found.Reload()
    return {tag: [(e.step, e.value) for e in found.Scalars(tag)] for tag in found.Tags()["scalars"]}


def record(step: int) -> Record:
    return Record(
        step, 1.0 / step, 2.0 if step % 2 == 0 else None, 0.5, None, 3.0, {"accuracy": 0.25} if step % 2 == 0 else {}
    )


def test_scalars_are_the_metrics(tmp_path: Path) -> None:
    metrics = Metrics(tmp_path / "metrics.jsonl", 0, tmp_path / "board")
    for step in (1, 2):
        metrics.add(record(step))
    metrics.sync()
    during = shown(tmp_path / "board")
    metrics.close()
    assert during == shown(tmp_path / "board") == {
        "loss/training": [(1, 1.0), (2, 0.5)],
        "loss/validation": [(2, 2.0)],
        "learning_rate": [(1, 0.5), (2, 0.5)],
        "gradient_norm": [(1, 3.0), (2, 3.0)],
        "validation/accuracy": [(2, 0.25)],
    }  # fmt: skip


def test_resumed_runs_have_no_step_twice(tmp_path: Path) -> None:
    path, folder = tmp_path / "metrics.jsonl", tmp_path / "board"
    for after, last in ((0, 6), (4, 5), (5, 8)):  # each ends beyond the checkpoint that the next begins from
        metrics = Metrics(path, after, folder)
        for step in range(after + 1, last + 1):
            metrics.add(record(step))
        metrics.close()
    assert [step for step, _ in shown(folder)["loss/training"]] == list(range(1, 9))


def test_files_that_were_deleted_are_written_anew(tmp_path: Path) -> None:
    for after, last in ((0, 3), (3, 4)):
        for old in (tmp_path / "board").glob("*"):
            old.unlink()
        metrics = Metrics(tmp_path / "metrics.jsonl", after, tmp_path / "board")
        for step in range(after + 1, last + 1):
            metrics.add(record(step))
        metrics.close()
    assert [step for step, _ in shown(tmp_path / "board")["loss/training"]] == [1, 2, 3, 4]


def test_an_open_tensorboard_forgets_the_steps_that_come_again(tmp_path: Path) -> None:
    path, folder = tmp_path / "metrics.jsonl", tmp_path / "board"
    first = Metrics(path, 0, folder)
    for step in range(1, 7):
        first.add(record(step))
    first.close()
    viewer = board.EventAccumulator(str(folder), {board.SCALARS: 0})
    viewer.Reload()
    assert len(viewer.Scalars("loss/training")) == 6
    again = Metrics(path, 4, folder)
    again.add(record(5))
    again.close()
    viewer.Reload()
    assert [event.step for event in viewer.Scalars("loss/training")] == [1, 2, 3, 4, 5]


def test_the_loop_writes_them_only_where_asked(tmp_path: Path) -> None:
    for word in (True, False):
        (tmp_path / str(word)).mkdir()
        made = trainer(tmp_path / str(word))
        made.settings = SETTINGS.__class__(
            **{f: getattr(SETTINGS, f) for f in SETTINGS.__slots__} | {"tensorboard": word}
        )
        made.run()
    losses = [(r.step, r.train_loss) for r in read_metrics(tmp_path / "True/metrics.jsonl")]
    found = shown(tmp_path / "True/tensorboard")["loss/training"]
    assert found == [(step, pytest.approx(loss)) for step, loss in losses] and len(found) == 24
    assert not (tmp_path / "False/tensorboard").exists()


def test_a_missing_extra_is_said_before_anything_begins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    check_tensorboard()
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(TrainError, match=r"pip install 'blockgraph\[tensorboard\]'"):
        train(load(SPEC), out=tmp_path / "run")
    assert not (tmp_path / "run").exists()
