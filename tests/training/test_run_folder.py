import errno
from pathlib import Path

import pytest

from blockgraph.training.errors import NotFinite, TrainError
from blockgraph.training.metrics import Metrics, Record, read_metrics
from blockgraph.training.run_folder import RunFolder, new_folder, old_folder


def record(step: int) -> Record:
    return Record(step, 1.0 / step, 0.5 if step % 2 == 0 else None, 1e-3, None)


def test_numbers_go_up(tmp_path: Path) -> None:
    (tmp_path / "gpt-9").mkdir()
    (tmp_path / "gpt-x").mkdir()
    (tmp_path / "gpt-2-77").mkdir()
    assert [new_folder(None, "gpt", tmp_path).name for _ in range(2)] == ["gpt-10", "gpt-11"]
    (tmp_path / "gpt-10" / "spec.yaml").touch()
    with pytest.raises(TrainError, match="gpt-11 holds no run"):
        old_folder(None, "gpt", tmp_path)
    (tmp_path / "gpt-11" / "spec.yaml").touch()
    assert old_folder(None, "gpt", tmp_path) == tmp_path / "gpt-11"
    with pytest.raises(TrainError, match="there is no"):
        old_folder(None, "bert", tmp_path)


def test_two_writers(tmp_path: Path) -> None:
    with RunFolder(tmp_path), pytest.raises(TrainError, match="is being trained by another process"):
        RunFolder(tmp_path)
    RunFolder(tmp_path).close()


def test_a_refused_start_leaves_nothing_but_takes_nothing(tmp_path: Path) -> None:
    refused, gone, stopped = TrainError("no"), FileNotFoundError(2, "no such file", "a.txt"), KeyboardInterrupt()
    full = OSError(errno.ENOSPC, "No space left on device")
    errors = {"fresh": refused, "begun": refused, "exploded": NotFinite("nan"), "gone": gone, "stopped": stopped}
    for name, error in (*errors.items(), ("full", full)):
        (tmp_path / name).mkdir()
        if name == "begun":
            (tmp_path / name / "spec.yaml").touch()
        with pytest.raises(type(error)), RunFolder(tmp_path / name):
            raise error
    assert sorted(path.name for path in tmp_path.iterdir()) == ["begun", "exploded", "full"]


def test_a_run_that_another_process_began_first(tmp_path: Path) -> None:
    (tmp_path / "spec.yaml").write_text("theirs")
    with pytest.raises(TrainError, match="holds a run"), RunFolder(tmp_path) as run:
        run.begin("ours")
    assert (tmp_path / "spec.yaml").read_text() == "theirs"


def test_metrics_are_cut_to_the_step_and_mended(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    metrics = Metrics(path, after=0)
    for step in range(1, 8):
        metrics.add(record(step))
    metrics.close()
    with path.open("a") as file:
        file.write('{"step": 8, "train_lo')  # a kill came here
    assert read_metrics(path) == [record(step) for step in range(1, 8)]
    again = Metrics(path, after=5)
    again.add(record(6))
    again.sync()
    again.close()
    assert read_metrics(path) == [record(step) for step in range(1, 7)]
