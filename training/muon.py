"""Muon with matrices of one shape orthogonalised together: torch's own goes from one small matrix to the next."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

STEPS = 5
COEFFICIENTS = (3.4445, -4.7750, 2.0315)  # Jordan et al. 2024: the steepest slope at zero
EPS = 1e-7
DTYPE = torch.bfloat16  # of the orthogonalisation
LARGEST = 2**19  # numbers that are orthogonalised at a time: more gain nothing, they leave the processor's cache


class BatchedMuon(torch.optim.Optimizer):
    """Jordan et al. 2024 with Nesterov momentum, as `torch.optim.Muon` computes it, up to the rounding of bfloat16.

    Takes matrices only. A matrix with r rows and c columns learns at lr · sqrt(max(1, r / c)); weight decay is
    decoupled. The state of a matrix is its `momentum_buffer`.
    """

    def __init__(self, params: Iterable[Any], lr: float, momentum: float = 0.95, weight_decay: float = 0.0) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for matrices in _alike([matrix for matrix in group["params"] if matrix.grad is not None]):
                self._update(matrices, group["lr"], group["momentum"], group["weight_decay"])

    def _update(self, matrices: list[Tensor], lr: float, momentum: float, weight_decay: float) -> None:
        gradients = [matrix.grad for matrix in matrices if matrix.grad is not None]
        for matrix in matrices:
            if "momentum_buffer" not in self.state[matrix]:
                self.state[matrix]["momentum_buffer"] = torch.zeros_like(matrix, memory_format=torch.preserve_format)
        moments = [self.state[matrix]["momentum_buffer"] for matrix in matrices]
        torch._foreach_lerp_(moments, gradients, 1 - momentum)
        rows, columns = matrices[0].shape
        updates = orthogonal(torch.stack(torch._foreach_lerp(gradients, moments, momentum)))
        torch._foreach_mul_(matrices, 1 - lr * weight_decay)
        torch._foreach_add_(
            matrices, list(updates.to(matrices[0].dtype)), alpha=-lr * math.sqrt(max(1, rows / columns))
        )


def orthogonal(matrices: Tensor) -> Tensor:
    """About the nearest orthogonal matrix of each in `matrices` [N, rows, columns], in `DTYPE`: a quintic
    Newton-Schulz iteration, which leaves singular values between about 0.7 and 1.2."""
    a, b, c = COEFFICIENTS
    upright = matrices.shape[1] > matrices.shape[2]
    found = matrices.to(DTYPE)
    if upright:
        found = found.mT.contiguous()  # transposed operands are a third slower
    found = found / torch.linalg.vector_norm(found, dim=(1, 2), keepdim=True).clamp(min=EPS)
    for _ in range(STEPS):
        gram = torch.bmm(found, found.mT)
        found = torch.baddbmm(found, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), found, beta=a)
    return found.mT if upright else found


def _alike(matrices: list[Tensor]) -> list[list[Tensor]]:
    """Lists of matrices of one shape, type and device, none of more than `LARGEST` numbers in all (or one matrix)."""
    found: dict[tuple[Any, ...], list[list[Tensor]]] = {}
    for matrix in matrices:
        lists = found.setdefault((matrix.shape, matrix.dtype, matrix.device), [[]])
        if lists[-1] and (len(lists[-1]) + 1) * matrix.numel() > LARGEST:
            lists.append([])
        lists[-1].append(matrix)
    return [each for lists in found.values() for each in lists]
