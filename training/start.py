"""`start:` begins from weights that are there already: those of a run, of a published checkpoint's folder, or of a
safetensors file with our names."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import nn

from blockgraph.running.checkpoint_tokenizer import read_checkpoint_tokenizer
from blockgraph.running.published import read_published
from blockgraph.running.runs import TOKENIZER, find_checkpoint, is_run, read_checkpoint
from blockgraph.running.tokenizers import Pieces, Tokenizer, read_tokenizer
from blockgraph.running.weights import WEIGHTS, read_weights, weights_of
from blockgraph.training.errors import TrainError

if TYPE_CHECKING:
    from collections.abc import Mapping

TOKENIZERS = ("tokenizer.json", "vocab.json", "vocab.txt", "*.model", "*.spm")  # a published tokenizer's files


def start_folder(start: str | None, folder: Path | None) -> Path | None:
    """Where a spec's `start` lies, relative to the spec's folder. Raises `TrainError` where nothing does."""
    if start is None:
        return None
    path = Path(start) if folder is None else folder / start
    if not path.exists():
        raise TrainError(f"train: start: {path} does not exist")
    if path.is_dir() and not is_run(path) and not is_published(path) and not (path / WEIGHTS).is_file():
        raise TrainError(
            f"train: start: {path} is neither a run, nor a published checkpoint (config.json), nor a folder "
            f"with {WEIGHTS}"
        )
    return path


def is_published(path: Path) -> bool:
    return not is_run(path) and (path / "config.json").is_file()


def start_tokenizer(path: Path | None) -> Tokenizer | None:
    """The tokenizer that lies beside the weights. A published one puts no special ids around a text here: the task
    does that. Raises `TokenizerError`, and `TrainError` for one that a run cannot keep."""
    if path is None or not path.is_dir():
        return None
    if not is_published(path):
        return read_tokenizer(path / TOKENIZER) if (path / TOKENIZER).is_file() else None
    if not any(found for pattern in TOKENIZERS for found in path.glob(pattern)):
        return None
    found = read_checkpoint_tokenizer(path)
    if isinstance(found, Pieces):
        return Pieces(found.library)
    raise TrainError(
        f"train: start: the tokenizer in {path} is more than one file, which a run cannot keep; "
        "name one with `tokenizer: {type: file, path: tokenizer.json}`"
    )


@dataclass(frozen=True)
class Started:
    """What to tell, and which weights were drawn afresh."""

    notes: list[str]
    fresh: list[str]


def load_start(model: nn.Module, path: Path) -> Started:
    """Loads the weights that fit the model by name and shape; the model keeps its own draw of the rest.

    The notes name the weights that were drawn afresh, and those that lie there and have no place. Raises
    `TrainError` where none fits, `WeightsError` where they cannot be read.
    """
    origin, weights = _weights(path)
    expected = weights_of(model)
    fitting = {n: t for n, t in weights.items() if n in expected and expected[n].shape == t.shape}
    if not fitting:
        here = "; ".join(_both(name, expected, weights) for name in expected if name in weights)
        raise TrainError(
            f"train: start: {origin} has no weight that fits this model" + (f": {here}" if here else " by name")
        )
    with torch.no_grad():
        model.load_state_dict(fitting, strict=False)
    notes = [f"starts from {origin}: {len(fitting)} of {len(expected)} weights"]
    if fresh := [name for name in expected if name not in fitting]:
        notes.append(f"drawn afresh: {', '.join(_both(name, expected, weights) for name in fresh)}")
    if unused := [name for name in weights if name not in expected]:
        notes.append(f"not used: {', '.join(unused)}")
    return Started(notes, fresh)


def _weights(path: Path) -> tuple[Path, dict[str, torch.Tensor]]:
    """The weights by our names, and where they lie."""
    if is_published(path):
        return path, weights_of(read_published(path, dtype=torch.float32).model)
    if is_run(path):
        checkpoint = find_checkpoint(path)[0]
        return checkpoint / WEIGHTS, read_checkpoint(checkpoint)
    file = path if path.is_file() else path / WEIGHTS
    return file, read_weights(file)


def _both(name: str, here: Mapping[str, torch.Tensor], there: Mapping[str, torch.Tensor]) -> str:
    """The weight's name, with both shapes where they differ."""
    if name not in there:
        return name
    return f"{name} ({list(there[name].shape)} there, {list(here[name].shape)} here)"
