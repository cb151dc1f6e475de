"""Checkpoints that survive a kill at any moment, and say so when a disk has changed them.

    checkpoints/step-N/{model.safetensors, training.pt, manifest.json}      the last few
    checkpoints/start/{model.safetensors, manifest.json}                    what low-rank updates (LoRA) are added to
    checkpoints/best/{model.safetensors, manifest.json}                     the lowest validation loss

Each is written aside; every file is hashed and flushed; the manifest comes last; the folder is flushed, renamed, and
the folder above flushed. `training.pt` is read with `weights_only=True` only: no code in it runs.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch

from blockgraph.running.low_rank import save_updates
from blockgraph.running.manifests import (
    MANIFEST,
    DamagedCheckpoint,
    FileEntry,
    digest,
    manifest_text,
    step_folders,
    step_of,
    verify,
)
from blockgraph.running.runs import BEST, START
from blockgraph.running.weights import WEIGHTS, read_weights, weights_of, write_weights
from blockgraph.training.errors import DiskFull, disk_full, is_disk_full
from blockgraph.training.files import (
    HashingFile,
    folder_aside,
    remove_folder,
    restore_replaced,
    sweep,
    sync_file,
    write_synced,
)

if TYPE_CHECKING:
    from blockgraph.training.low_rank import LowRank

STATE = "training.pt"
FORMAT = 2
FORMATS = (1, FORMAT)  # 1: always between two steps


@dataclass(frozen=True)
class Loaded:
    """A verified checkpoint. `skipped` says which newer ones were damaged, and why."""

    folder: Path
    step: int
    weights: dict[str, torch.Tensor]
    state: dict[str, Any]
    skipped: tuple[str, ...] = ()


class Checkpoints:
    """The `checkpoints` folder of a run; `keep` is how many of the last ones stay."""

    def __init__(self, folder: Path, keep: int = 3) -> None:
        self.folder = folder
        self.keep = keep
        self.low_rank: LowRank | None = None  # where it is set, `step-N` holds the small weights only

    def recover(self) -> None:
        """Ends or undoes what a killed process left half-done."""
        self.folder.mkdir(parents=True, exist_ok=True)
        sweep(self.folder)
        restore_replaced(self.folder / BEST)
        for old in self.folder.glob(".step-*-old"):
            restore_replaced(old.with_name(old.name.removeprefix(".").removesuffix("-old")))

    def save(self, step: int, model: torch.nn.Module, state: dict[str, Any]) -> Path:
        """Writes `step-N` and removes those beyond `keep`. Raises `DiskFull` with the earlier ones intact."""

        weights, target = self.kept(model), self.folder / f"step-{step}"

        def write(folder: Path) -> dict[str, FileEntry]:
            files = self.more_files(folder)
            written = self._write_kept(folder / WEIGHTS, weights)
            return files | {WEIGHTS: written, STATE: _write_state(folder / STATE, state)}

        self._write(target, step, write)
        for old in step_folders(self.folder)[max(1, self.keep) :]:
            remove_folder(old)
        return target

    def kept(self, model: torch.nn.Module) -> dict[str, torch.Tensor]:
        """What `step-N` holds: low-rank updates instead of the weights that they are added to."""
        return self.weights(model) if self.low_rank is None else self.low_rank.weights()

    def _write_kept(self, path: Path, weights: dict[str, torch.Tensor]) -> FileEntry:
        if self.low_rank is None:
            return _write_weights(path, weights)
        save_updates(weights, self.low_rank.scale, path)
        sync_file(path)
        return digest(path)

    def save_start(self, model: torch.nn.Module) -> None:
        """Keeps what low-rank updates are added to."""
        weights = self.weights(model)
        self._write(self.folder / START, 0, lambda folder: {WEIGHTS: _write_weights(folder / WEIGHTS, weights)})

    def start(self) -> dict[str, torch.Tensor]:
        """What `save_start` kept. Raises `DamagedCheckpoint`."""
        verify(self.folder / START)
        return read_weights(self.folder / START / WEIGHTS)

    def save_best(self, step: int, model: torch.nn.Module) -> Path:
        target, weights = self.folder / BEST, self.weights(model)
        self._write(target, step, lambda folder: {WEIGHTS: _write_weights(folder / WEIGHTS, weights)})
        return target

    # what several processes do in another way (see `distributed.py`)

    def weights(self, model: torch.nn.Module) -> dict[str, torch.Tensor]:
        return weights_of(model)

    def more_files(self, folder: Path) -> dict[str, FileEntry]:
        """Writes what else belongs to a checkpoint."""
        return {}

    def _write(self, target: Path, step: int, write: Callable[[Path], dict[str, FileEntry]]) -> None:
        try:
            with folder_aside(target) as folder:
                files = write(folder)
                write_synced(folder / MANIFEST, manifest_text(step, files).encode())
        except Exception as error:
            if is_disk_full(error):
                raise self._disk_full() from error
            raise

    def _disk_full(self) -> DiskFull:
        kept = [path.name for path in step_folders(self.folder)]
        return disk_full(
            self.folder,
            f"the checkpoints before are intact: {', '.join(kept)}" if kept else "no checkpoint was written yet",
        )

    def latest(self) -> Loaded | None:
        """The newest checkpoint that is what was written; None where there is none at all.

        Raises `DamagedCheckpoint` where there are some and none is whole.
        """
        skipped: list[str] = []
        for folder in step_folders(self.folder):
            try:
                verify(folder)
                return read_checkpoint(folder, tuple(skipped))
            except DamagedCheckpoint as error:
                skipped.append(str(error))
        if skipped:
            raise DamagedCheckpoint("no checkpoint is whole: " + "; ".join(skipped) + "; start anew with another --out")
        return None


def _write_weights(path: Path, weights: dict[str, torch.Tensor]) -> FileEntry:
    write_weights(weights, path)
    sync_file(path)
    return digest(path)


def _write_state(path: Path, state: dict[str, Any]) -> FileEntry:
    with HashingFile(path) as file:
        torch.save({"format": FORMAT, **state}, cast(Any, file))
    return file.entry


def read_checkpoint(folder: Path, skipped: tuple[str, ...]) -> Loaded:
    """A checkpoint that was verified. Raises `DamagedCheckpoint`."""
    try:
        state = torch.load(folder / STATE, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, ValueError, EOFError, pickle.UnpicklingError) as error:
        raise DamagedCheckpoint(f"{folder / STATE} cannot be read: {error}") from None
    if state.get("format") not in FORMATS:
        raise DamagedCheckpoint(f"{folder / STATE} has format {state.get('format')!r}; this version reads {FORMAT}")
    return Loaded(folder, step_of(folder), read_weights(folder / WEIGHTS), state, skipped)
