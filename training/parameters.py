"""What is trained, by canonical name: which optimizer takes it, whether it decays, what is frozen.

Query, key and value may lie in one fused matrix; here each is a tensor of its own (a leaf over the same memory), so
that Muon orthogonalises each, a frozen one stays as it is, and optimizer states follow the names of checkpoints.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Literal

import torch
from torch import nn

from blockgraph.blocks.canonical import Slice, canonical_parameters
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
    """One canonical weight. `leaf` is what an optimizer updates: the parameter itself, or a leaf over its rows."""

    name: str
    leaf: torch.Tensor
    part: Slice
    role: Role

    @property
    def decays(self) -> bool:
        """Biases, norms and embeddings never decay."""
        return self.role in ("matrix", "head")

    def take_gradient(self) -> None:
        """Gives a leaf over rows its rows of the parameter's gradient (a view)."""
        if not self.part.whole:
            gradient = self.part.parameter.grad
            self.leaf.grad = None if gradient is None else self.part.of(gradient)


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


def covers(pattern: str, name: str) -> bool:
    """Whether a glob matches the weight's path or that of a module around it."""
    parts = name.split(".")
    return any(fnmatchcase(".".join(parts[: end + 1]), pattern) for end in range(len(parts)))


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
        return _head_in(root, output)
    linears = [path for path, module in model.named_modules() if isinstance(module, nn.Linear)]
    return linears[-1] if linears else None


def _head_in(definition: Any, output: str | None) -> str | None:
    """Walks back from an output through what is no weight matrix (softcap, scale, …) to a linear."""
    result = definition.outputs.get(output) if output is not None else next(iter(definition.outputs.values()), None)
    ref = result.ref if result is not None else None
    while ref is not None and ref.node in definition.calls:
        call = definition.calls[ref.node]
        number = (-1 if ref.index is None else ref.index) % len(call.steps)
        step = call.steps[number]
        path = call.name if call.repeat is None else f"{call.name}.{number}"
        if not hasattr(step.body, "weights"):  # a block of the spec: its own graph goes on
            inner = _head_in(step.body, ref.output)
            return None if inner is None else f"{path}.{inner}"
        if step.body.type.name == "linear":
            return path
        first = next(iter(step.inputs.values()), ())
        ref = first[0] if first and not step.body.weights else None
    return None


def width_of(model: nn.Module) -> int | None:
    """The model's width: that of its first table of embeddings."""
    for module in model.modules():
        if type(module).__name__ == "Embedding" and isinstance(weight := getattr(module, "weight", None), torch.Tensor):
            return int(weight.shape[1])
    return None
