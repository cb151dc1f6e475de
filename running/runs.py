"""A run folder, as training leaves it: the spec, the tokenizer, and the weights of its best or last checkpoint."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from blockgraph.running.low_rank import merged, scale_of
from blockgraph.running.manifests import DamagedCheckpoint, step_folders, verify
from blockgraph.running.tokenizers import Tokenizer, read_tokenizer
from blockgraph.running.weights import WEIGHTS, load_weights, read_weights
from blockgraph.specs.diagnostics import BlockgraphError, Diagnostics

if TYPE_CHECKING:
    import torch

    from blockgraph.blocks.model import Model
    from blockgraph.specs.spec import Spec

SPEC = "spec.yaml"
TOKENIZER = "tokenizer.json"
CHECKPOINTS = "checkpoints"
BEST = "best"
START = "start"  # what low-rank updates are added to

Which = Literal["best", "last"]


class RunError(BlockgraphError):
    """A folder is no run, or holds no checkpoint that can be used."""


@dataclass(frozen=True)
class Run:
    """A trained model with what it takes to use it. `checkpoint` is the folder that the weights came from; `encodes` is
    the tokenizer, None where nothing that the model reads is text."""

    folder: Path
    spec: Spec
    model: Model
    encodes: Tokenizer | None
    checkpoint: Path
    step: int

    @property
    def tokenizer(self) -> Tokenizer:
        """Raises `RunError` where there is none."""
        if self.encodes is None:
            raise RunError(f"{self.folder} has no {TOKENIZER}: its model reads numbers, no text")
        return self.encodes

    @property
    def window(self) -> int | None:
        """How many positions the model saw at once when it was trained: beyond them it is not to be trusted."""
        return self.spec.train.batch.length if self.spec.train is not None else None


def is_run(path: Path) -> bool:
    return (path / SPEC).is_file() and (path / CHECKPOINTS).is_dir()


def open_run(
    path: str | Path,
    *,
    which: Which = "best",
    device: str | torch.device = "cpu",
    dtype: torch.dtype | None = None,
    plugins: tuple[str, ...] = (),
) -> Run:
    """The run at `path`, its weights verified and loaded; the model is in evaluation mode.

    `which`: the checkpoint with the lowest validation loss (the last one, where nothing was validated), or the last.
    Raises `RunError`, `DamagedCheckpoint`, `WeightsError`, `SpecError`.
    """
    from blockgraph.builder.build import build

    folder = Path(path)
    spec = read_spec(folder, plugins)
    checkpoint, step = find_checkpoint(folder, which)
    model = build(spec, device=device, dtype=dtype, weights_follow=True)
    load_weights(model, read_checkpoint(checkpoint), checkpoint / WEIGHTS)
    tokenizer = read_tokenizer(folder / TOKENIZER) if (folder / TOKENIZER).is_file() else None
    return Run(folder, spec, model.eval(), tokenizer, checkpoint, step)


def read_spec(folder: Path, plugins: tuple[str, ...] = ()) -> Spec:
    """The resolved spec of a run. Raises `RunError` where `folder` is none."""
    from blockgraph.specs.load import load_spec

    if not is_run(folder):
        raise RunError(f"{folder} is not a run: it needs {SPEC} and {CHECKPOINTS}/, as `blockgraph train` leaves them")
    diagnostics = Diagnostics()
    spec = load_spec(folder / SPEC, diagnostics, plugins=plugins)
    diagnostics.raise_errors()
    assert spec is not None
    return spec


def find_checkpoint(folder: Path, which: Which = "best") -> tuple[Path, int]:
    """The checkpoint folder to use and its step, verified by its manifest.

    Raises `DamagedCheckpoint` where it is not what was written: what to fall back to is for the user to say.
    """
    candidates = step_folders(folder / CHECKPOINTS)
    best = best_folder(folder / CHECKPOINTS)
    if which == "best" and best is not None:
        candidates.insert(0, best)
    if not candidates:
        raise RunError(f"{folder} has no checkpoint yet")
    try:
        return candidates[0], verify(candidates[0])
    except DamagedCheckpoint as error:
        others = ", ".join(path.name for path in candidates[1:])
        raise DamagedCheckpoint(
            f"{error}; {f'still there: {others}' if others else 'there is no other checkpoint'}"
        ) from None


def read_checkpoint(checkpoint: Path) -> dict[str, torch.Tensor]:
    """All weights of a run's checkpoint; low-rank updates are added to what they started from."""
    weights = read_weights(checkpoint / WEIGHTS)
    scale = scale_of(checkpoint / WEIGHTS)
    if scale is None:
        return weights
    base = checkpoint.parent / START
    verify(base)
    return merged(read_weights(base / WEIGHTS), weights, scale)


def best_folder(checkpoints: Path) -> Path | None:
    """The best checkpoint, also in the moment in which a better one takes its place (see `training/checkpoints.py`)."""
    for name in (BEST, f".{BEST}-old"):
        if (checkpoints / name).is_dir():
            return checkpoints / name
    return None
