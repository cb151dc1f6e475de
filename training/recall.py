"""Recall over a whole split: of all its rows, not only of those in a batch, which is the most similar."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import torch

from blockgraph.tasks.contrastive import Contrastive
from blockgraph.tasks.losses import hits

if TYPE_CHECKING:
    from blockgraph.blocks.model import Model
    from blockgraph.builder.graph import Definition

SCALING = {"multiply", "add"}  # what stands behind a similarity as its temperature and bias: the order stays
ROWS = 1024  # rows that are compared with all others at once


class Vectors:
    """The vectors that a two-tower model compares for `task`, kept while a split is judged inside the `with`."""

    def __init__(self, model: Model, task: Contrastive) -> None:
        name = similarity_of(model.definition.root, task.output)
        self.task = task
        self._module = None if name is None else model.get_submodule(name)
        self._hook: Any = None
        self._kept: list[tuple[torch.Tensor, torch.Tensor]] = []

    @property
    def known(self) -> bool:
        """Whether the output is made of one similarity, so that its vectors can be seen."""
        return self._module is not None

    def __enter__(self) -> Self:
        if self._module is not None:
            self._hook = self._module.register_forward_pre_hook(self._keep)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._hook is not None:
            self._hook.remove()

    def _keep(self, module: torch.nn.Module, vectors: tuple[torch.Tensor, torch.Tensor]) -> None:
        one, other = vectors
        self._kept.append((one.detach().float(), other.detach().float()))

    def recalls(self) -> dict[str, float]:
        """Of each row how often its own one is the most similar of the whole split, in both directions."""
        if self._module is None or not self._kept:
            return {}
        one, other = (torch.cat(side) for side in zip(*self._kept, strict=True))
        found = {"recall_at_1": (one, other, False), "recall_at_1_back": (other, one, True)}
        return {name: self._recall(*given) for name, given in found.items()}

    def _recall(self, asking: torch.Tensor, asked: torch.Tensor, back: bool) -> float:
        """Vectors [N, width] of both sides; `back`: those that ask are the similarity's second."""
        assert self._module is not None
        own = torch.arange(len(asking), device=asking.device)
        total = 0.0
        for part, right in zip(torch.split(asking, ROWS), torch.split(own, ROWS), strict=True):
            scores = self._module(asked, part).t() if back else self._module(part, asked)
            total += hits(scores, right)[0]
        return total / len(asking)


def similarity_of(root: Definition, output: str) -> str | None:
    """The node that compares the vectors of an output [B, B]; None where there is none, or several."""
    waiting, found = [root.outputs[output].ref.node], set()
    while waiting:
        call = root.calls.get(waiting.pop())
        if call is None:
            continue
        if call.type == "similarity":
            found.add(call.weights_of or call.name)
        elif call.type in SCALING:
            waiting += [ref.node for refs in call.first.inputs.values() for ref in refs]
    return found.pop() if len(found) == 1 else None
