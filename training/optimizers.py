"""torch's optimizers over canonical weights, seen as one; their states are kept by the weights' names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import torch

from blockgraph.builder.chosen import covers
from blockgraph.training.errors import TrainError
from blockgraph.training.muon import BatchedMuon
from blockgraph.training.parameters import Trained
from blockgraph.training.settings import Optimizer

Rates: TypeAlias = Mapping[str, float]  # learning rates of weights by name

FUSED = ("cpu", "cuda", "mps", "xpu")  # 3 to 4 times the speed of torch's loop on a CPU


class Optimizers:
    """One or two of torch's optimizers. A group's `base_lr` times the schedule's factor is its learning rate; `lr` is
    that of the weights that no glob of `lrs` names."""

    def __init__(self, weights: Sequence[Trained], settings: Optimizer) -> None:
        self.weights = list(weights)
        self._names = {id(weight.leaf): weight.name for weight in weights}
        self._sliced = [weight for weight in weights if not weight.part.whole]
        self._owners = list({id(weight.part.parameter): weight.part.parameter for weight in weights}.values())
        self.leaves = [weight.leaf for weight in weights]
        self.all = _make(self.weights, settings)
        self.lr = self._lr = settings.lr
        for group in self._groups():
            group["base_lr"] = group["lr"]

    def _groups(self) -> list[dict[str, Any]]:
        return [group for optimizer in self.all for group in optimizer.param_groups]

    def set_factor(self, factor: float) -> None:
        self.lr = self._lr * factor
        for group in self._groups():
            group["lr"] = group["base_lr"] * factor

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
    rates = _rates(weights, settings.lrs)
    if settings.type != "muon":
        return [_elementwise(weights, settings, rates)]
    hidden = [weight for weight in weights if weight.role == "matrix" and weight.leaf.dim() == 2]
    others = [weight for weight in weights if weight not in hidden]
    made: list[torch.optim.Optimizer] = [_muon(hidden, settings, rates)] if hidden else []
    if others:
        made.append(_elementwise(others, settings.others or Optimizer(), rates))
    return made


def _muon(weights: list[Trained], settings: Optimizer, rates: Rates) -> torch.optim.Optimizer:
    """Newton-Schulz steps orthogonalise each hidden matrix's momentum."""
    groups = _with_rates(weights, settings, rates)
    options = {"lr": settings.lr, "momentum": settings.momentum, "weight_decay": settings.weight_decay}
    if not any(weight.holds for weight in weights):
        return BatchedMuon(groups, **options)
    from blockgraph.training.shared_muon import SharedMuon

    return SharedMuon(groups, {id(weight.leaf): [rows for _, rows in weight.holds] for weight in weights}, **options)


def _elementwise(weights: list[Trained], settings: Optimizer, rates: Rates) -> torch.optim.Optimizer:
    groups = _with_rates(weights, settings, rates)
    if settings.type == "sgd":
        return torch.optim.SGD(groups, lr=settings.lr, momentum=settings.momentum)
    if settings.type == "adafactor":
        return torch.optim.Adafactor(groups, lr=settings.lr)
    kind = torch.optim.Adam if settings.type == "adam" else torch.optim.AdamW
    fused = all(weight.leaf.device.type in FUSED and weight.leaf.is_floating_point() for weight in weights)
    return kind(groups, lr=settings.lr, betas=settings.betas, eps=settings.eps, fused=fused)


def _rates(weights: list[Trained], lrs: Mapping[str, float]) -> Rates:
    """The learning rates that globs give to weights, by name; of two that fit, the later one counts."""
    for pattern in lrs:
        if not any(covers(pattern, name) for weight in weights for name in weight.names):
            raise TrainError(
                f"train: optimizer: lrs: {pattern} matches no module that is trained; `blockgraph build` lists them"
            )
    found: dict[str, float] = {}
    for weight in weights:
        rates = [
            next((lr for glob, lr in reversed(list(lrs.items())) if covers(glob, name)), None) for name in weight.names
        ]
        if len(set(rates)) > 1:
            raise TrainError(
                f"train: parallel: fsdp trains {weight.name} in one piece, and lrs gives {', '.join(weight.names)} "
                f"different rates: give them one, or write parallel: ddp"
            )
        if rates[0] is not None:
            found[weight.name] = rates[0]
    return found


def _with_rates(weights: list[Trained], settings: Optimizer, rates: Rates) -> list[dict[str, Any]]:
    """The groups of `decay_groups`, apart for each learning rate; the spec's `lr` comes first."""
    found = []
    for lr in dict.fromkeys([settings.lr, *rates.values()]):
        here = [weight for weight in weights if rates.get(weight.name, settings.lr) == lr]
        found += [{**group, "lr": lr} for group in decay_groups(here, settings.weight_decay)]
    return found


def decay_groups(weights: Sequence[Trained], weight_decay: float) -> list[dict[str, Any]]:
    """Matrices decay; biases, norms and embeddings do not."""
    groups = [
        {"params": [weight.leaf for weight in weights if weight.decays], "weight_decay": weight_decay},
        {"params": [weight.leaf for weight in weights if not weight.decays], "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]
