"""Weights as safetensors, under the model's canonical names. Tensors that share memory are written once."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from blockgraph.specs.diagnostics import BlockgraphError

if TYPE_CHECKING:
    import torch

WEIGHTS = "model.safetensors"


class WeightsError(BlockgraphError):
    """A weights file cannot be read, or does not fit the model."""


def weights_of(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    """The model's state dict on the CPU, each memory once (a tied weight stands under its first name)."""
    seen: set[tuple[object, ...]] = set()
    weights = {}
    for name, tensor in model.state_dict().items():
        place = (tensor.device, tensor.data_ptr(), tensor.shape, tensor.stride())
        if tensor.numel() and place in seen:
            continue
        seen.add(place)
        weights[name] = _own_memory(tensor.detach())
    return weights


def _own_memory(tensor: torch.Tensor) -> torch.Tensor:
    """`tensor` on the CPU, contiguous and alone in its memory (query is a view of a fused matrix)."""
    whole = tensor.untyped_storage().nbytes() == tensor.numel() * tensor.element_size()
    moved = tensor.to("cpu").contiguous()
    return moved if whole or moved.data_ptr() != tensor.data_ptr() else moved.clone()


def save_weights(model: torch.nn.Module, path: Path) -> None:
    write_weights(weights_of(model), path)


def write_weights(weights: dict[str, torch.Tensor], path: Path) -> None:
    from safetensors.torch import save_file

    save_file(weights, str(path), metadata={"format": "pt"})


def read_weights(path: Path) -> dict[str, torch.Tensor]:
    """All tensors of a safetensors file, on the CPU. Raises `WeightsError`."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        weights: dict[str, torch.Tensor] = load_file(str(path))
    except (OSError, SafetensorError) as error:
        raise WeightsError(f"{path}: cannot read the weights: {error}") from None
    return weights


def load_weights(model: torch.nn.Module, weights: dict[str, torch.Tensor], origin: Path) -> None:
    """Puts `weights` into `model`, all of them, exactly. Raises `WeightsError` naming what differs."""
    expected = weights_of(model)
    missing, unknown = sorted(expected.keys() - weights.keys()), sorted(weights.keys() - expected.keys())
    if missing or unknown:
        parts = [f"lacks {_few(missing)}"] * bool(missing) + [f"has {_few(unknown)}, which the model has not"] * bool(
            unknown
        )
        raise WeightsError(f"{origin}: {' and '.join(parts)}")
    check_shapes(expected, weights, origin)
    model.load_state_dict(weights, strict=False)


def check_shapes(expected: dict[str, torch.Tensor], weights: dict[str, torch.Tensor], origin: Path) -> None:
    """Raises `WeightsError` at the first tensor of both that differs in shape."""
    for name in (name for name in expected if name in weights):
        ours, theirs = tuple(expected[name].shape), tuple(weights[name].shape)
        if ours != theirs:
            raise WeightsError(f"{origin}: {name} has the shape {list(theirs)}, the model's is {list(ours)}")


def _few(names: list[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
