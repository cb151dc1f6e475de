"""FSDP2: a model whose tensors are shared out over processes by rows, and the way back to whole ones."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard
from torch.distributed.tensor import DTensor, Replicate, distribute_tensor

from blockgraph.blocks.canonical import Slice, canonical_parameters
from blockgraph.running.weights import WeightsError
from blockgraph.training.checkpoints import Loaded
from blockgraph.training.errors import TrainError
from blockgraph.training.optimizers import Optimizers
from blockgraph.training.parameters import Role, Trained, here
from blockgraph.training.sharded_state import (
    SHARDED,
    Rows,
    State,
    joined_state,
    joined_weights,
    parameter_names,
    read_shards,
)


@dataclass(frozen=True)
class Planned:
    """A parameter that will be shared out, as it lies in memory, how it is trained, and the weights in it."""

    name: str
    role: Role
    holds: tuple[tuple[str, int], ...]

    def placed(self, parameters: dict[str, nn.Parameter]) -> Trained:
        parameter = parameters[self.name]
        return Trained(self.name, parameter, Slice(parameter, 0, len(parameter)), self.role, self.holds)


def sharded_weights(model: nn.Module, weights: list[Trained]) -> list[Planned]:
    """What is trained, by parameter. Raises `TrainError` where only some rows of one are, or one is a single number:
    shares are cut along rows."""
    names, trained = parameter_names(model), {weight.name: weight.role for weight in weights}
    found: list[Planned] = []
    for parts in _by_parameter(model):
        own = names[id(parts[0][1].parameter)]
        if parts[0][1].parameter.dim() == 0:
            raise TrainError(f"train: parallel: fsdp cannot share out {own}, a single number: write parallel: ddp")
        frozen = [name for name, _ in parts if name not in trained]
        if frozen and len(frozen) < len(parts):
            raise TrainError(
                f"train: parallel: fsdp trains {own} whole or not at all, and {frozen[0]} in it is frozen: freeze all "
                f"of it, or write parallel: ddp"
            )
        if not frozen:
            holds = tuple((name, part.stop - part.start) for name, part in parts)
            found.append(Planned(own, trained[parts[-1][0]], holds))
    return found


def shard(model: nn.Module, device: torch.device, size: int, *, bf16: bool) -> None:
    """Shares out the model in place, layer by layer. In bf16 a layer is gathered and computed in bf16; the shares,
    the sums of gradients and the optimizer's states stay fp32."""
    warnings.filterwarnings(
        "ignore", message="FSDP2-wrapped module .* returned a view"
    )  # nothing is done in place here
    mesh = init_device_mesh(device.type, (size,))
    policy = MixedPrecisionPolicy(
        param_dtype=torch.bfloat16 if bf16 else None,
        reduce_dtype=torch.float32 if bf16 else None,
        cast_forward_inputs=False,
    )
    for module in [*layers(model), model]:
        fully_shard(module, mesh=mesh, mp_policy=policy)


def layers(model: nn.Module) -> list[nn.Module]:
    """The copies of every outermost stack: each is gathered alone. Those that share weights with others are left to the
    whole model."""
    users: dict[int, int] = {}
    for module in model.modules():
        for parameter in module.parameters(recurse=False):
            users[id(parameter)] = users.get(id(parameter), 0) + 1
    found = list(dict.fromkeys(_stacked(model)))
    return [module for module in found if _closed(module, users)]


def _stacked(module: nn.Module) -> Iterator[nn.Module]:
    for child in module.children():
        if isinstance(child, nn.ModuleList):
            yield from child
        else:
            yield from _stacked(child)


def _closed(module: nn.Module, users: dict[int, int]) -> bool:
    inside: dict[int, int] = {}
    for child in module.modules():
        for parameter in child.parameters(recurse=False):
            inside[id(parameter)] = inside.get(id(parameter), 0) + 1
    return bool(inside) and all(users[key] == count for key, count in inside.items())


# -- whole tensors -----------------------------------------------------------------------------------------------------


def whole(tensor: torch.Tensor) -> torch.Tensor:
    """All of a tensor, wherever its rows are; every process must ask."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def whole_of(share: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """All of a tensor that is shared out as `like` is, from what each process has; every process must ask."""
    assert isinstance(like, DTensor)
    shape, stride = like.shape, like.stride()
    return whole(
        DTensor.from_local(share, like.device_mesh, like.placements, run_check=False, shape=shape, stride=stride)
    )


def everywhere(tensor: torch.Tensor, like: torch.Tensor) -> DTensor:
    """A tensor that is the same in every process, for the same processes as `like`."""
    assert isinstance(like, DTensor)
    return DTensor.from_local(tensor, like.device_mesh, [Replicate()], run_check=False)


def by_name(weight: Trained, tensor: torch.Tensor) -> dict[str, torch.Tensor]:
    """What a tensor like a trained weight holds, gathered, by canonical name."""
    pieces = torch.split(whole(tensor), [rows for _, rows in weight.holds])
    return {name: piece.clone() for (name, _), piece in zip(weight.holds, pieces, strict=True)}


def joined(weight: Trained, state: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """The reverse of `by_name`: this process's share of it."""
    return _share(torch.cat([state[name] for name in weight.names]), weight.leaf)


class Share(NamedTuple):
    """Rows `start:stop` of what this process has of a parameter."""

    parameter: nn.Parameter
    start: int
    stop: int

    def of(self, tensor: torch.Tensor) -> torch.Tensor:
        """The same rows of a tensor that is shared out as the parameter is: a view."""
        return here(tensor)[self.start : self.stop]

    @property
    def tensor(self) -> torch.Tensor:
        return self.of(self.parameter.detach())


def first_row(tensor: torch.Tensor) -> int:
    """Which row of a tensor is the first of this process's share."""
    assert isinstance(tensor, DTensor)
    if tensor.placements[0].is_replicate():
        return 0
    mesh, rows = tensor.device_mesh, len(tensor)
    return min(mesh.get_local_rank() * -(-rows // mesh.size()), rows)


def share_of(part: Slice) -> tuple[Share, slice]:
    """What this process has of a canonical weight, and which of its rows these are."""
    first = first_row(part.parameter)
    end = first + len(here(part.parameter.detach()))
    start, stop = max(part.start, first), max(min(part.stop, end), part.start, first)
    return Share(part.parameter, start - first, stop - first), slice(start - part.start, stop - part.start)


def whole_weights(model: nn.Module, keep: bool) -> dict[str, torch.Tensor]:
    """The weights as `running.weights.weights_of` gives them, gathered one by one; empty unless `keep`."""
    found: dict[str, torch.Tensor] = {}
    for parts in _by_parameter(model):
        tensor = whole(parts[0][1].parameter.detach())
        if keep:
            found |= {name: part.of(tensor).to("cpu", copy=True).contiguous() for name, part in parts}
    if keep:
        found |= {name: tensor.to("cpu", copy=True).contiguous() for name, tensor in _buffers(model)}
    return found


def _by_parameter(model: nn.Module) -> list[list[tuple[str, Slice]]]:
    found: dict[int, list[tuple[str, Slice]]] = {}
    for name, part in canonical_parameters(model).items():
        found.setdefault(id(part.parameter), []).append((name, part))
    return list(found.values())


def _buffers(model: nn.Module) -> Iterator[tuple[str, torch.Tensor]]:
    """Those that a checkpoint has."""
    for path, module in model.named_modules():
        for name, buffer in module.named_buffers(recurse=False):
            if name not in module._non_persistent_buffers_set:
                yield f"{path}.{name}" if path else name, buffer


def load_sharded(model: nn.Module, weights: dict[str, torch.Tensor], origin: Path) -> None:
    """Puts whole weights into a shared-out model. Raises `WeightsError` where one is missing or has another shape."""
    with torch.no_grad():
        for parts in _by_parameter(model):
            missing = [name for name, _ in parts if name not in weights]
            if missing:
                raise WeightsError(f"{origin}: lacks {missing[0]}")
            parameter, value = parts[0][1].parameter, joined_weights(weights, parts)
            if value.shape != parameter.shape:
                raise WeightsError(f"{origin}: {parts[0][0]} has another shape than the model's")
            parameter.copy_(_share(value, parameter))
        for name, buffer in _buffers(model):
            buffer.copy_(weights[name])


def _share(value: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """A tensor that every process has whole, shared out as `like` is."""
    if not isinstance(like, DTensor):
        return value
    return distribute_tensor(value.to(like.device), like.device_mesh, like.placements, src_data_rank=None)


def load_sharded_state(optimizers: Optimizers, rows: Rows, loaded: Loaded) -> State:
    """The optimizer's state by parameter, each process its share, whoever wrote it."""
    leaves = {weight.name: weight.leaf for weight in optimizers.weights}

    def place(name: str, key: str, shape: tuple[int, ...], dtype: torch.dtype) -> torch.Tensor:
        like = leaves[name]
        return torch.empty_like(like, dtype=dtype) if shape == tuple(like.shape) else torch.empty(shape, dtype=dtype)

    if SHARDED in loaded.state:
        return read_shards(loaded.folder, place)
    state = joined_state(loaded.state["optimizer"], rows)
    return {
        name: {key: _share(value, leaves[name]) if value.dim() else value for key, value in values.items()}
        for name, values in state.items()
        if name in leaves
    }
