"""LoRA (Hu et al. 2021): beside a matrix W that stays, a small update s · B A is trained.

The model itself is not touched: its memory holds W + s · B A, made anew after each step, and the gradients of A and B
follow from W's by the chain rule (eq. 3: dA = s · Bᵀ dW, dB = s · dW Aᵀ). So it works for every weight that has a
canonical name, also for rows of a fused matrix and for tied weights, and costs a step nothing in the forward.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor, nn

from blockgraph.blocks.canonical import Slice, canonical_parameters
from blockgraph.builder.chosen import covers
from blockgraph.running.low_rank import DOWN, UP, update
from blockgraph.running.weights import WeightsError
from blockgraph.training.errors import TrainError
from blockgraph.training.parameters import Trained, here, trained_weights
from blockgraph.training.settings import Lora, Settings


class Part(Protocol):
    """Rows of a parameter, as `Slice` has them."""

    @property
    def parameter(self) -> nn.Parameter: ...
    @property
    def tensor(self) -> Tensor: ...
    def of(self, tensor: Tensor) -> Tensor: ...


@dataclass(frozen=True, eq=False, slots=True)
class Update:
    """One weight's: `start` is W; `down` A [rank, columns] and `up` B [rows, rank], with a leading axis for experts.

    Where W is shared out over processes, `part` and `start` are what this one has of it: `rows` of its first axis.
    """

    name: str
    part: Part
    start: Tensor
    down: nn.Parameter
    up: nn.Parameter
    rows: slice = field(default_factory=lambda: slice(None))

    @property
    def factors(self) -> tuple[Tensor, Tensor]:
        """A and B of the rows that are here: every expert has an A of its own."""
        down, up = here(self.down.detach()), here(self.up.detach())
        return (down[self.rows] if down.dim() > 2 else down), up[self.rows]


class LowRank:
    """The updates of all weights that `lora: on` names, and the weights that are trained whole beside them.

    `trained` is what the optimizers take. All other weights are set to need no gradient. Raises `TrainError` where a
    glob names no matrix.
    """

    def __init__(self, model: nn.Module, settings: Settings, head: str | None = None) -> None:
        assert settings.lora is not None
        lora = settings.lora
        self.scale = lora.alpha / lora.rank
        weights = canonical_parameters(model)
        names = _named(weights, lora)
        for part in weights.values():
            part.parameter.requires_grad_(part.parameter.requires_grad and bool(settings.train_only))
        self.whole = trained_weights(model, train_only=settings.train_only, head=head) if settings.train_only else []
        for name in names:
            weights[name].parameter.requires_grad_()
        if both := [weight.name for weight in self.whole if weight.name in names]:
            raise TrainError(f"train: {', '.join(both)} is both in lora: on and in train_only: write it in one of them")
        random = torch.Generator().manual_seed(settings.seed)
        kernels = _kernels(model)
        self.updates = [_update(n, weights[n], lora.rank, id(weights[n].parameter) in kernels, random) for n in names]
        self.trained = [*self.small(), *self.whole]

    def small(self) -> list[Trained]:
        """The factors of all updates."""
        named = [(each.name + ending, leaf) for each in self.updates for ending, leaf in leaves_of(each)]
        return [Trained(name, leaf, Slice(leaf, 0, len(leaf)), "matrix") for name, leaf in named]

    def take_gradients(self) -> None:
        """Turns the gradients of the weights, which are let go, into those of their updates."""
        for each in self.updates:
            gradient = each.part.parameter.grad
            if gradient is None:
                continue
            down, up = each.factors
            rows = each.part.of(gradient).reshape(*up.shape[:-1], down.shape[-1])
            self._give(each, (up.mT @ rows).mul_(self.scale), (rows @ down.mT).mul_(self.scale))
        for each in self.updates:
            each.part.parameter.grad = None

    def _give(self, each: Update, down: Tensor, up: Tensor) -> None:
        """The gradients of the factors, as the rows that are here tell them."""
        each.down.grad, each.up.grad = down, up

    @torch.no_grad()
    def merge(self) -> None:
        """Puts what the weights now are into the model's memory."""
        for each in self.updates:
            change = update(*each.factors, self.scale, each.start.shape)
            each.part.tensor.copy_(each.start + change)

    def weights(self) -> dict[str, Tensor]:
        """What a checkpoint holds: the updates, and the weights that are trained whole."""
        return {each.name: each.part.tensor.detach().cpu().clone() for each in self.trained}

    def load(self, weights: Mapping[str, Tensor], origin: Path) -> None:
        """Puts back what `weights` gave. Raises `WeightsError` where it is of other weights."""
        if weights.keys() != {name for each in self.trained for name in each.names}:
            raise WeightsError(f"{origin}: its low-rank updates are of other weights than those of this spec")
        with torch.no_grad():
            for each in self.trained:
                self._put(each, weights)
        self.merge()

    def _put(self, each: Trained, weights: Mapping[str, Tensor]) -> None:
        each.part.tensor.copy_(weights[each.name])

    def said(self, model: nn.Module) -> str:
        """How much is trained, for the person who waits."""
        small = sum(leaf.numel() for each in self.updates for _, leaf in leaves_of(each))
        whole, total = sum(weight.leaf.numel() for weight in self.whole), sum(p.numel() for p in model.parameters())
        beside = f" and {whole:,} parameters beside them" if whole else ""
        share = 100 * (small + whole) / total
        return (
            f"trains {small:,} parameters of low-rank updates of {len(self.updates)} weights{beside}: "
            f"{share:.2f}% of the model's {total:,}"
        )


def _named(weights: Mapping[str, Slice], lora: Lora) -> list[str]:
    matrices = [name for name, part in weights.items() if part.parameter.dim() > 1]
    for pattern in lora.on:
        if not any(covers(pattern, name) for name in matrices):
            raise TrainError(
                f"train: lora: on: {pattern} matches no matrix of the model; `blockgraph build` lists them"
            )
    return [name for name in matrices if any(covers(pattern, name) for pattern in lora.on)]


def _kernels(model: nn.Module) -> set[int]:
    """Convolutions' weights: what lies behind their first axis is one."""
    return {id(p) for m in model.modules() if "Conv" in type(m).__name__ for p in m.parameters(recurse=False)}


def _update(name: str, part: Slice, rank: int, kernel: bool, random: torch.Generator) -> Update:
    """B begins at zero, so that the model begins as it was; A is drawn so that A x is about as large as x (§4.1)."""
    start = part.tensor.clone()
    matrix = start.flatten(1) if kernel or start.dim() == 2 else start
    *experts, rows, columns = matrix.shape
    drawn = torch.randn(*experts, rank, columns, generator=random) / columns**0.5
    down = nn.Parameter(drawn.to(start))
    return Update(name, part, start, down, nn.Parameter(start.new_zeros(*experts, rows, rank)))


def leaves_of(each: Update) -> tuple[tuple[str, nn.Parameter], ...]:
    return (DOWN, each.down), (UP, each.up)
