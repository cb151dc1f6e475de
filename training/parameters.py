"""What is trained, by canonical name: which optimizer takes it, whether it decays, what is frozen.

Query, key and value may lie in one fused matrix; here each is a tensor of its own (a leaf over the same memory), so
that Muon orthogonalises each, a frozen one stays as it is, and optimizer states follow the names of checkpoints.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import nn

from blockgraph.blocks.canonical import Slice, canonical_parameters
from blockgraph.builder.chosen import covers, head_in
from blockgraph.training.errors import TrainError

Role = Literal["matrix", "head", "embedding", "vector"]

EMBEDDINGS = (
    "Embedding",
    "LearnedPositions",
    "RelativeBias",
    "GridBias",
    "Parameter",
)  # tables, whose rows are vectors on their own


@dataclass(frozen=True, eq=False, slots=True)
class Trained:
    """One canonical weight. `leaf` is what an optimizer updates: the parameter itself, or a leaf over its rows.

    Where a parameter is shared out over processes, the leaf is all of it, and `holds` names the canonical weights in
    it, with their rows, one below the other.
    """

    name: str
    leaf: torch.Tensor
    part: Slice
    role: Role
    holds: tuple[tuple[str, int], ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(name for name, _ in self.holds) or (self.name,)

    @property
    def decays(self) -> bool:
        """Biases, norms and embeddings never decay."""
        return self.role in ("matrix", "head")

    def take_gradient(self) -> None:
        """Gives a leaf over rows its rows of the parameter's gradient (a view)."""
        if not self.part.whole:
            gradient = self.part.parameter.grad
            self.leaf.grad = None if gradient is None else self.part.of(gradient)


def here(tensor: torch.Tensor) -> torch.Tensor:
    """What this process has of a tensor: its share of one that is shared out (a view), else all."""
    share: torch.Tensor = tensor.to_local() if hasattr(tensor, "to_local") else tensor
    return share


def trained_weights(
    model: nn.Module, *, freeze: Sequence[str] = (), train_only: Sequence[str] = (), head: str | None = None
) -> list[Trained]:
    """The weights that are trained, in canonical order; the others are set to need no gradient.

    `freeze` and `train_only` are globs over module paths (or weight paths); one that matches nothing is an error, and
    so is having nothing left. `head` is the path of the module that makes the logits. Raises `TrainError`.
    """
    weights = {name: part for name, part in canonical_parameters(model).items() if part.parameter.requires_grad}
    chosen = set(_chosen(weights, freeze, train_only))
    roles = _roles(model, head)
    needed = {id(weights[name].parameter) for name in chosen}
    for part in weights.values():
        part.parameter.requires_grad_(id(part.parameter) in needed)
    return [Trained(name, _leaf(part), part, roles(name, part)) for name, part in weights.items() if name in chosen]


def _chosen(names: Iterable[str], freeze: Sequence[str], train_only: Sequence[str]) -> list[str]:
    names = list(names)
    for pattern in (*freeze, *train_only):
        if not any(covers(pattern, name) for name in names):
            key = "freeze" if pattern in freeze else "train_only"
            raise TrainError(
                f"train: {key}: {pattern} matches no module that is trained; `blockgraph build` lists them"
            )
    kept = [name for name in names if not train_only or any(covers(pattern, name) for pattern in train_only)]
    kept = [name for name in kept if not any(covers(pattern, name) for pattern in freeze)]
    if not kept:
        raise TrainError(
            "train: nothing is left to train: every weight is frozen" if names else "the model has no weights"
        )
    return kept


def _leaf(part: Slice) -> torch.Tensor:
    return part.parameter if part.whole else part.tensor.requires_grad_()


def _roles(model: nn.Module, head: str | None) -> Any:
    modules = dict(model.named_modules())
    tables = {id(p) for m in modules.values() if type(m).__name__ in EMBEDDINGS for p in m.parameters(recurse=False)}
    head = head if head is not None else head_of(model)

    def role(name: str, part: Slice) -> Role:
        if id(part.parameter) in tables:
            return "embedding"
        if part.parameter.dim() < 2:
            return "vector"
        return "head" if head is not None and name.startswith(f"{head}.") else "matrix"

    return role


def head_of(model: nn.Module, output: str | None = None) -> str | None:
    """The path of the linear that makes the output (None: the first), by the graph; else the last `nn.Linear`."""
    definition = getattr(model, "definition", None)
    root = getattr(definition, "root", definition)
    if root is not None:
        return head_in(root, output)
    linears = [path for path, module in model.named_modules() if isinstance(module, nn.Linear)]
    return linears[-1] if linears else None


def width_of(model: nn.Module) -> int | None:
    """The model's width: that of its first table of embeddings."""
    for module in model.modules():
        if type(module).__name__ == "Embedding" and isinstance(weight := getattr(module, "weight", None), torch.Tensor):
            return int(weight.shape[1])
    return None
