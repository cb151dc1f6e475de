"""`start:` begins from weights that are there already: those of a run, or a safetensors file with our names."""

from __future__ import annotations

from pathlib import Path

from torch import nn

from blockgraph.running.runs import TOKENIZER, find_checkpoint, is_run
from blockgraph.running.weights import WEIGHTS, check_shapes, read_weights, weights_of
from blockgraph.training.errors import TrainError


def start_folder(start: str | None, folder: Path | None) -> Path | None:
    """Where a spec's `start` lies, relative to the spec's folder. Raises `TrainError` where nothing does."""
    if start is None:
        return None
    path = Path(start) if folder is None else folder / start
    if not path.exists():
        raise TrainError(f"train: start: {path} does not exist")
    if path.is_dir() and not is_run(path) and not (path / WEIGHTS).is_file():
        raise TrainError(f"train: start: {path} is neither a run nor a folder with {WEIGHTS}")
    if (path / "config.json").is_file():
        raise TrainError(f"train: start: {path} is a published checkpoint; beginning from one is not there yet")
    return path


def start_tokenizer(path: Path | None) -> Path | None:
    """The tokenizer that lies beside the weights."""
    if path is None or not path.is_dir() or not (path / TOKENIZER).is_file():
        return None
    return path / TOKENIZER


def load_start(model: nn.Module, path: Path) -> list[str]:
    """Loads what the model and the weights have in common; the model keeps its own draw of the rest.

    Returns what to tell: which weights were drawn afresh, which were not used. Raises `WeightsError` where a shape
    differs.
    """
    file = path if path.is_file() else (find_checkpoint(path)[0] if is_run(path) else path) / WEIGHTS
    weights, expected = read_weights(file), weights_of(model)
    common = {name: tensor for name, tensor in weights.items() if name in expected}
    if not common:
        raise TrainError(f"train: start: {file} has no weight that this model has")
    check_shapes(expected, common, file)
    model.load_state_dict(common, strict=False)
    notes = [f"starts from {file}: {len(common)} of {len(expected)} weights"]
    if fresh := [name for name in expected if name not in common]:
        notes.append(f"drawn afresh: {', '.join(fresh)}")
    if unused := [name for name in weights if name not in expected]:
        notes.append(f"not used: {', '.join(unused)}")
    return notes
