import errno
import json
import os
import random
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from blockgraph.running.manifests import DamagedCheckpoint, FileEntry, manifest_text, step_folders, verify
from blockgraph.running.runs import best_folder
from blockgraph.training import checkpoints as module
from blockgraph.training import files
from blockgraph.training.checkpoints import Checkpoints
from blockgraph.training.errors import DiskFull, is_disk_full

STATE = {"progress": {"step": 1}, "numbers": torch.arange(3)}


def model(value: float = 0.0) -> nn.Module:
    made = nn.Linear(2, 2)
    nn.init.constant_(made.weight, value)
    return made


def test_the_last_few_and_the_best_stay(tmp_path: Path) -> None:
    kept = Checkpoints(tmp_path, keep=3)
    for step in (100, 20, 3, 1000, 50):
        kept.save(step, model(), STATE)
    kept.save_best(20, model())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["best", "step-100", "step-1000", "step-50"]
    assert verify(tmp_path / "best") == 20


def test_what_was_saved_comes_back(tmp_path: Path) -> None:
    Checkpoints(tmp_path).save(7, model(0.25), STATE)
    loaded = Checkpoints(tmp_path).latest()
    assert loaded is not None and (loaded.step, loaded.skipped) == (7, ())
    assert loaded.weights["weight"].tolist() == [[0.25, 0.25], [0.25, 0.25]]
    assert loaded.state["numbers"].tolist() == [0, 1, 2]


def test_nothing_was_saved(tmp_path: Path) -> None:
    kept = Checkpoints(tmp_path / "checkpoints")
    kept.recover()
    assert kept.latest() is None


@pytest.mark.skipif(sys.platform != "linux", reason="asks the system for the name of an open file")
def test_a_save_is_on_the_disk_before_it_has_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every file is flushed before the manifest, the folder before its renaming, the one above after it."""
    events: list[str] = []
    monkeypatch.setattr(os, "fsync", lambda handle: events.append(Path(os.readlink(f"/proc/self/fd/{handle}")).name))
    rename = os.rename
    monkeypatch.setattr(os, "rename", lambda a, b: (events.append(f"{Path(a).name} → {Path(b).name}"), rename(a, b)))
    Checkpoints(tmp_path / "checkpoints").save(1, model(), STATE)
    assert events == [
        "model.safetensors",
        "training.pt",
        "manifest.json",
        ".tmp-step-1",
        ".tmp-step-1 → step-1",
        "checkpoints",
    ]


@pytest.mark.parametrize("name", ["model.safetensors", "training.pt"])
def test_every_flipped_bit_is_found(tmp_path: Path, name: str) -> None:
    kept, generator = Checkpoints(tmp_path), random.Random(0)
    kept.save(1, model(1.0), STATE)
    kept.save(2, model(2.0), STATE)
    path = tmp_path / "step-2" / name
    whole = path.read_bytes()
    for _ in range(30):
        bit = generator.randrange(8 * len(whole))
        flipped = bytearray(whole)
        flipped[bit // 8] ^= 1 << bit % 8
        path.write_bytes(flipped)
        loaded = kept.latest()
        assert loaded is not None and loaded.step == 1
        assert loaded.skipped == (f"{path} has changed since it was written (its SHA-256 differs)",)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


DAMAGE = {
    "a file is cut": (lambda folder: cut(folder / "training.pt"), r"training.pt has [\d,]+ bytes, [\d,]+ were written"),
    "a file is gone": (lambda folder: (folder / "model.safetensors").unlink(), "model.safetensors is missing"),
    "no manifest": (lambda folder: (folder / "manifest.json").unlink(), "manifest.json cannot be read"),
    "a broken manifest": (
        lambda folder: cut(folder / "manifest.json") or cut(folder / "manifest.json"),
        "is not a manifest",
    ),
    "another format": (lambda folder: rewrite(folder, format=99), "has format 99; this version reads 2"),
    "another step": (
        lambda folder: rewrite(folder, step=3),
        r"manifest.json has changed .* \(its own SHA-256 differs\)",
    ),
    "a manifest that lacks its end": (lambda folder: cut(folder / "manifest.json"), "its own SHA-256 differs"),
    "a path that leads out": (
        lambda folder: rewrite(folder, files={"../x": {"size": 1, "sha256": ""}}),
        "names files outside",
    ),
}


def rewrite(folder: Path, **changes: Any) -> None:
    path = folder / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.parametrize("what", DAMAGE)
def test_damage_is_named_and_the_one_before_is_used(tmp_path: Path, what: str) -> None:
    kept = Checkpoints(tmp_path)
    kept.save(1, model(1.0), STATE)
    kept.save(2, model(2.0), STATE)
    damage, message = DAMAGE[what]
    damage(tmp_path / "step-2")
    with pytest.raises(DamagedCheckpoint, match=message):
        verify(tmp_path / "step-2")
    loaded = kept.latest()
    assert loaded is not None and loaded.step == 1 and len(loaded.skipped) == 1


def test_a_manifest_without_a_digest_of_itself_is_read(tmp_path: Path) -> None:
    """As checkpoints had them before."""
    Checkpoints(tmp_path).save(1, model(), STATE)
    manifest = tmp_path / "step-1" / "manifest.json"
    said = json.loads(manifest.read_text())
    files = {name: FileEntry(**entry) for name, entry in said["files"].items()}
    manifest.write_text(manifest_text(1, files, 1))
    assert "sha256" not in json.loads(manifest.read_text())
    assert verify(tmp_path / "step-1") == 1


def test_a_state_of_another_format_is_not_read(tmp_path: Path) -> None:
    Checkpoints(tmp_path).save(1, model(), STATE | {"format": 1})
    assert Checkpoints(tmp_path).latest() is not None
    Checkpoints(tmp_path).save(1, model(), STATE | {"format": 3})
    with pytest.raises(DamagedCheckpoint, match=r"training\.pt has format 3; this version reads 2"):
        Checkpoints(tmp_path).latest()


def test_none_is_whole(tmp_path: Path) -> None:
    kept = Checkpoints(tmp_path)
    kept.save(1, model(), STATE)
    cut(tmp_path / "step-1" / "training.pt")
    with pytest.raises(DamagedCheckpoint, match="no checkpoint is whole"):
        kept.latest()


def test_no_code_in_a_checkpoint_runs(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> Any:
            return (os.mkdir, (str(tmp_path / "evil"),))

    kept = Checkpoints(tmp_path)
    kept.save(1, model(), STATE | {"evil": Evil()})
    with pytest.raises(DamagedCheckpoint, match="cannot be read"):
        kept.latest()
    assert not (tmp_path / "evil").exists()


@pytest.mark.parametrize("part", ["model.safetensors", "training.pt", "manifest.json"])
def test_a_full_disk_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: str) -> None:
    kept = Checkpoints(tmp_path)
    kept.save(1, model(), STATE)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    if part == "model.safetensors":
        monkeypatch.setattr(module, "write_weights", full)
    else:
        plain = files.HashingFile.write
        monkeypatch.setattr(
            files.HashingFile,
            "write",
            lambda self, data: full() if Path(self._file.name).name == part else plain(self, data),
        )
    with pytest.raises(DiskFull, match=r"the disk is full: .* intact: step-1\. Make room") as caught:
        kept.save(2, model(), STATE)
    assert caught.value.exit_code == 4
    assert [path.name for path in tmp_path.iterdir()] == ["step-1"]
    assert verify(tmp_path / "step-1") == 1


def test_how_a_full_disk_looks() -> None:
    assert is_disk_full(OSError(errno.ENOSPC, ""))
    assert is_disk_full(RuntimeError("I/O error: No space left on device (os error 28)"))
    wrapped = RuntimeError("PytorchStreamWriter failed")
    wrapped.__context__ = OSError(errno.ENOSPC, "")
    assert is_disk_full(wrapped)
    assert not is_disk_full(OSError(errno.EACCES, "")) and not is_disk_full(None)


def test_leftovers_are_swept(tmp_path: Path) -> None:
    (tmp_path / ".tmp-step-9").mkdir()
    (tmp_path / ".tmp-step-9" / "training.pt").write_text("half")
    Checkpoints(tmp_path).recover()
    assert not list(tmp_path.iterdir())


def test_a_replacement_cut_short_between_its_renames(tmp_path: Path) -> None:
    kept = Checkpoints(tmp_path)
    kept.save_best(1, model(1.0))
    os.rename(tmp_path / "best", tmp_path / ".best-old")
    found = best_folder(tmp_path)
    assert found is not None and verify(found) == 1
    kept.recover()
    assert [path.name for path in tmp_path.iterdir()] == ["best"]
    kept.save_best(2, model(2.0))
    shutil.copytree(tmp_path / "best", tmp_path / ".best-old")
    kept.recover()
    assert [path.name for path in tmp_path.iterdir()] == ["best"]


def test_a_step_may_be_saved_again(tmp_path: Path) -> None:
    kept = Checkpoints(tmp_path)
    kept.save(4, model(1.0), STATE)
    cut(tmp_path / "step-4" / "training.pt")
    kept.save(4, model(2.0), STATE)
    loaded = kept.latest()
    assert loaded is not None and loaded.weights["weight"][0, 0] == 2.0
    assert step_folders(tmp_path) == [tmp_path / "step-4"]
