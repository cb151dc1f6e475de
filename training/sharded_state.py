"""Optimizer states that several processes wrote together (torch.distributed.checkpoint), read by any number of them.

A checkpoint of such a training has, beside its `training.pt`, `__R_0.distcp` files (process R's share) and `.metadata`.
Tensors stand under `PARAMETER/KEY`, where a parameter is as it lies in memory: `qkv_weight` holds query, key and value
one below the other. `training.pt` says which rows are which (`sharded`). torch pickles `.metadata`: read it from runs
of your own only.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from blockgraph.blocks.canonical import Slice, canonical_parameters
from blockgraph.running.manifests import DamagedCheckpoint, FileEntry, digest

if TYPE_CHECKING:
    from torch import nn

State = dict[str, dict[str, Any]]  # by weight: the optimizer's tensors
Rows = dict[str, list[tuple[str, int, int]]]  # parameter in memory: its canonical weights and their rows

METADATA = ".metadata"
SHARDED = "sharded"  # in training.pt: the rows, where the optimizer's state lies beside it


def parameter_names(model: nn.Module) -> dict[int, str]:
    """Every parameter's own path, by id; one that several modules share under its first."""
    return {id(parameter): name for name, parameter in model.named_parameters()}


def rows_of(model: nn.Module) -> Rows:
    """Which canonical weights each parameter holds."""
    names, found = parameter_names(model), Rows()
    for name, part in canonical_parameters(model).items():
        found.setdefault(names[id(part.parameter)], []).append((name, part.start, part.stop))
    return found


def write_shards(folder: Path, state: State, rank: int) -> dict[str, FileEntry]:
    """This process's share of the state, on the disk; called by all of them. What it wrote, with its hashes."""
    from torch.distributed.checkpoint.api import CheckpointException
    from torch.distributed.checkpoint.filesystem import FileSystemWriter
    from torch.distributed.checkpoint.state_dict_saver import save

    flat = {f"{name}/{key}": value for name, values in state.items() for key, value in values.items()}
    try:
        save(flat, storage_writer=FileSystemWriter(folder, sync_files=True, thread_count=1))
    except CheckpointException as error:  # torch's own is no Exception; what it carries is what went wrong
        raise next(iter(error.failures.values()))[0] from None
    own = sorted(folder.glob(f"__{rank}_*.distcp"))
    return {path.name: digest(path) for path in [*own, *([folder / METADATA] if rank == 0 else [])]}


def read_shards(folder: Path, place: Any) -> State:
    """Reads the state into what `place(parameter, key, shape, dtype)` gives for each tensor (whole, or this process's
    share of it). Raises `DamagedCheckpoint`."""
    from torch.distributed.checkpoint.filesystem import FileSystemReader
    from torch.distributed.checkpoint.metadata import TensorStorageMetadata
    from torch.distributed.checkpoint.state_dict_loader import load

    reader = FileSystemReader(folder)
    try:
        entries = reader.read_metadata().state_dict_metadata
    except Exception as error:  # noqa: BLE001 - a pickle that is none can raise anything
        raise DamagedCheckpoint(f"{folder / METADATA} cannot be read: {error}") from None
    flat: dict[str, Any] = {}
    for name, entry in entries.items():
        assert isinstance(entry, TensorStorageMetadata)
        parameter, _, key = name.rpartition("/")
        flat[name] = place(parameter, key, tuple(entry.size), entry.properties.dtype)
    with warnings.catch_warnings():  # one process alone may read it too, and torch would remark on that
        warnings.filterwarnings("ignore", message="torch.distributed is disabled")
        load(flat, storage_reader=reader, no_dist=True)
    state: State = {}
    for name, tensor in flat.items():
        parameter, _, key = name.rpartition("/")
        state.setdefault(parameter, {})[key] = tensor
    return state


def whole_state(folder: Path, state: dict[str, Any]) -> State:
    """A checkpoint's optimizer state by canonical weight, every tensor whole, however it was written."""
    if SHARDED not in state:
        found: State = state["optimizer"]
        return found
    stored = read_shards(folder, lambda _, __, shape, dtype: torch.empty(shape, dtype=dtype))
    rows: Rows = state[SHARDED]
    return {
        name: {key: _cut(value, start, stop) for key, value in values.items()}
        for parameter, values in stored.items()
        for name, start, stop in rows[parameter]
    }


def _cut(value: torch.Tensor, start: int, stop: int) -> torch.Tensor:
    return value[start:stop].clone() if value.dim() else value.clone()


def joined_state(state: State, rows: Rows) -> State:
    """The reverse of `whole_state`: by parameter in memory, from canonical weights."""
    found: State = {}
    for parameter, parts in rows.items():
        known = [state[name] for name, _, _ in parts if name in state]
        if len(known) == len(parts):
            found[parameter] = {
                key: torch.cat([part[key] for part in known]) if known[0][key].dim() else known[0][key]
                for key in known[0]
            }
    return found


def joined_weights(weights: dict[str, torch.Tensor], parts: list[tuple[str, Slice]]) -> torch.Tensor:
    """One parameter's numbers, from the canonical weights that it holds."""
    return torch.cat([weights[name] for name, _ in parts]) if len(parts) > 1 else weights[parts[0][0]]
