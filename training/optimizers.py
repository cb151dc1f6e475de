"""torch's optimizers over canonical weights, seen as one; their states are kept by the weights' names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from blockgraph.training.errors import TrainError
from blockgraph.training.parameters import Trained
from blockgraph.training.settings import Optimizer

FUSED = ("cpu", "cuda", "mps", "xpu")  # 3 to 4 times the speed of torch's loop on a CPU


class Optimizers:
    """One or two of torch's optimizers. A group's `base_lr` times the schedule's factor is its learning rate."""

    def __init__(self, weights: Sequence[Trained], settings: Optimizer) -> None:
        self.weights = list(weights)
        self._names = {id(weight.leaf): weight.name for weight in weights}
        self._sliced = [weight for weight in weights if not weight.part.whole]
        self._owners = list({id(weight.part.parameter): weight.part.parameter for weight in weights}.values())
        self.leaves = [weight.leaf for weight in weights]
        self.all = _make(self.weights, settings)
        for group in self._groups():
            group["base_lr"] = group["lr"]

    def _groups(self) -> list[dict[str, Any]]:
        return [group for optimizer in self.all for group in optimizer.param_groups]

    def set_factor(self, factor: float) -> None:
        for group in self._groups():
            group["lr"] = group["base_lr"] * factor

    @property
    def lr(self) -> float:
        """The learning rate of the first group, the one that a spec's `lr` names."""
        return float(self.all[0].param_groups[0]["lr"])

    def take_gradients(self) -> None:
        for weight in self._sliced:
            weight.take_gradient()

    def step(self) -> None:
        for optimizer in self.all:
            optimizer.step()

    def zero(self) -> None:
        for tensor in (*self._owners, *self.leaves):
            tensor.grad = None

    def state(self) -> dict[str, dict[str, Any]]:
        """By canonical name: the moments, as they are in memory."""
        found = {}
        for optimizer in self.all:
            for leaf, values in optimizer.state.items():
                found[self._names[id(leaf)]] = dict(values)
        return found

    def load(self, state: dict[str, dict[str, Any]]) -> None:
        """Puts back what `state` gave. Raises `TrainError` where the names are not this model's."""
        unknown = state.keys() - set(self._names.values())
        if unknown:
            raise TrainError(
                f"the checkpoint's optimizer knows weights that are not trained here: {', '.join(sorted(unknown)[:5])}"
            )
        for optimizer in self.all:
            now = optimizer.state_dict()
            leaves = [leaf for group in optimizer.param_groups for leaf in group["params"]]
            names = [self._names[id(leaf)] for leaf in leaves]
            values = {number: state[name] for number, name in enumerate(names) if name in state}
            optimizer.load_state_dict({"state": values, "param_groups": now["param_groups"]})


def _make(weights: list[Trained], settings: Optimizer) -> list[torch.optim.Optimizer]:
    if settings.type != "muon":
        return [_elementwise(weights, settings)]
    hidden = [weight for weight in weights if weight.role == "matrix" and weight.leaf.dim() == 2]
    others = [weight for weight in weights if weight not in hidden]
    made: list[torch.optim.Optimizer] = [_muon(hidden, settings)] if hidden else []
    if others:
        made.append(_elementwise(others, settings.others or Optimizer()))
    return made


def _muon(weights: list[Trained], settings: Optimizer) -> torch.optim.Optimizer:
    """Jordan et al. 2024, as torch has it: Newton-Schulz steps orthogonalise each hidden matrix's momentum."""
    leaves = [weight.leaf for weight in weights]
    return torch.optim.Muon(leaves, lr=settings.lr, momentum=settings.momentum, weight_decay=settings.weight_decay)


def _elementwise(weights: list[Trained], settings: Optimizer) -> torch.optim.Optimizer:
    groups = decay_groups(weights, settings.weight_decay)
    if settings.type == "sgd":
        return torch.optim.SGD(groups, lr=settings.lr, momentum=settings.momentum)
    kind = torch.optim.Adam if settings.type == "adam" else torch.optim.AdamW
    fused = all(weight.leaf.device.type in FUSED and weight.leaf.is_floating_point() for weight in weights)
    return kind(groups, lr=settings.lr, betas=settings.betas, eps=settings.eps, fused=fused)


def decay_groups(weights: Sequence[Trained], weight_decay: float) -> list[dict[str, Any]]:
    """Matrices decay; biases, norms and embeddings do not."""
    groups = [
        {"params": [weight.leaf for weight in weights if weight.decays], "weight_decay": weight_decay},
        {"params": [weight.leaf for weight in weights if not weight.decays], "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]
