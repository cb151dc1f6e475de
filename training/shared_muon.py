"""Muon over matrices that several processes share by rows (FSDP2): it is of whole matrices, each by itself."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from blockgraph.training import muon
from blockgraph.training.muon import BatchedMuon, orthogonal
from blockgraph.training.parameters import here
from blockgraph.training.sharding import first_row, whole_of


class SharedMuon(BatchedMuon):
    """The numbers of `BatchedMuon`. Momenta are shared out as the matrices are. A step gathers one matrix's momentum
    after the other, in the dtype that it is orthogonalised in; every process does all of that, and keeps its own rows.

    `heights` tells by a matrix's id how many rows its canonical matrices have, one below the other (query, key, value).
    """

    def __init__(self, params: Iterable[Any], heights: Mapping[int, Sequence[int]], **options: float) -> None:
        super().__init__(params, **options)
        self._heights = heights

    def _update(self, matrices: list[Tensor], lr: float, momentum: float, weight_decay: float) -> None:
        for matrix in matrices:
            assert matrix.grad is not None
            state, gradient, ours = self.state[matrix], here(matrix.grad), here(matrix)
            if "momentum_buffer" not in state:
                state["momentum_buffer"] = torch.zeros_like(matrix)
            moment = here(state["momentum_buffer"]).lerp_(gradient, 1 - momentum)
            update = whole_of(gradient.lerp(moment, momentum).to(muon.DTYPE), matrix)
            change = torch.cat([_step(each) for each in torch.split(update, list(self._heights[id(matrix)]))])
            first = first_row(matrix)
            ours.mul_(1 - lr * weight_decay).add_(change[first : first + len(ours)].to(ours.dtype), alpha=-lr)


def _step(matrix: Tensor) -> Tensor:
    rows, columns = matrix.shape
    return orthogonal(matrix[None])[0].float() * math.sqrt(max(1, rows / columns))
