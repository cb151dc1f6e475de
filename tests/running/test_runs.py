from pathlib import Path

import pytest
import torch
from torch import nn

from blockgraph.running.manifests import MANIFEST, DamagedCheckpoint, digest, manifest_text, step_folders
from blockgraph.running.runs import RunError, find_checkpoint, open_run
from blockgraph.running.weights import WEIGHTS, WeightsError, load_weights, read_weights, save_weights, weights_of


def checkpoint(folder: Path, step: int) -> Path:
    folder.mkdir(parents=True)
    save_weights(nn.Linear(2, 3), folder / WEIGHTS)
    (folder / MANIFEST).write_text(manifest_text(step, {WEIGHTS: digest(folder / WEIGHTS)}))
    return folder


def test_best_then_last(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="has no checkpoint yet"):
        find_checkpoint(tmp_path)
    for step in (9, 10, 2):
        checkpoint(tmp_path / "checkpoints" / f"step-{step}", step)
    assert find_checkpoint(tmp_path)[1] == 10
    best = checkpoint(tmp_path / "checkpoints" / "best", 2)
    assert find_checkpoint(tmp_path) == (best, 2)
    assert find_checkpoint(tmp_path, "last")[1] == 10
    assert [path.name for path in step_folders(tmp_path / "checkpoints")] == ["step-10", "step-9", "step-2"]
    (best / WEIGHTS).write_bytes(b"")
    with pytest.raises(
        DamagedCheckpoint, match=r"best/model\.safetensors has 0 bytes.* still there: step-10, step-9, step-2"
    ):
        find_checkpoint(tmp_path)


def test_a_folder_that_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="is not a run"):
        open_run(tmp_path)


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(4, 3)
        self.head = nn.Linear(3, 4, bias=False)
        self.head.weight = self.embed.weight
        self.register_buffer("part", torch.arange(12.0)[3:7])


def test_shared_weights_are_written_once(tmp_path: Path) -> None:
    model, other = Tied(), Tied()
    assert set(weights_of(model)) == {"embed.weight", "part"}
    save_weights(model, tmp_path / WEIGHTS)
    load_weights(other, read_weights(tmp_path / WEIGHTS), tmp_path)
    assert torch.equal(other.head.weight, model.embed.weight)


def test_weights_must_fit_exactly(tmp_path: Path) -> None:
    model = nn.Linear(2, 3)
    with pytest.raises(WeightsError, match="lacks bias and has more, which the model has not"):
        load_weights(model, {"weight": torch.zeros(3, 2), "more": torch.zeros(1)}, tmp_path)
    with pytest.raises(WeightsError, match=r"weight has the shape \[2, 3\], the model's is \[3, 2\]"):
        load_weights(model, {"weight": torch.zeros(2, 3), "bias": torch.zeros(3)}, tmp_path)
    (tmp_path / "x.safetensors").write_bytes(b"nothing")
    with pytest.raises(WeightsError, match="cannot read the weights"):
        read_weights(tmp_path / "x.safetensors")
