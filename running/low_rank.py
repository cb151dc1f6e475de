"""Low-rank updates of weights (LoRA, Hu et al. 2021), as checkpoints hold them: W + s · B A for a matrix W."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from blockgraph.running.weights import WeightsError

if TYPE_CHECKING:
    import torch

DOWN, UP = ".lora_down", ".lora_up"  # what follows a weight's name: A [rank, columns] and B [rows, rank]
SCALE = "lora_scale"  # in the file's metadata


def scale_of(path: Path) -> float | None:
    """The scale s of the updates in a safetensors file; None where it holds whole weights. Raises `WeightsError`."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(path), framework="pt") as file:
            said = (file.metadata() or {}).get(SCALE)
            return None if said is None else float(said)
    except (OSError, SafetensorError, ValueError) as error:
        raise WeightsError(f"{path}: cannot read the weights: {error}") from None


def save_updates(weights: dict[str, torch.Tensor], scale: float, path: Path) -> None:
    from safetensors.torch import save_file

    save_file(weights, str(path), metadata={"format": "pt", SCALE: repr(scale)})


def update(down: torch.Tensor, up: torch.Tensor, scale: float, shape: torch.Size) -> torch.Tensor:
    """s · B A in the shape of the weight: axes behind the first count as one (a convolution's kernel)."""
    return (up @ down).mul_(scale).reshape(shape)


def merged(
    start: Mapping[str, torch.Tensor], small: Mapping[str, torch.Tensor], scale: float
) -> dict[str, torch.Tensor]:
    """All weights: those of `start`, with the updates in `small` added, and its whole weights instead of theirs."""
    weights = {**start, **{name: tensor for name, tensor in small.items() if not name.endswith((DOWN, UP))}}
    for name in (name.removesuffix(DOWN) for name in small if name.endswith(DOWN)):
        change = update(small[name + DOWN], small[name + UP], scale, weights[name].shape)
        weights[name] = weights[name] + change
    return weights
