"""Weights laid out for one position at a time.

A step of one sequence multiplies every matrix by one vector, and is bound by reading the matrices. CPU kernels read a
matrix [out, in] with many outputs faster when its columns lie together: on an AMD core 18 to 21 GB/s against 9 to 12,
for one or two rows; from four rows on, and for matrices with fewer outputs than inputs, it is no gain. The order of the
sums differs, so logits do in their last digits.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from blockgraph.blocks.canonical import CanonicalWeights
from blockgraph.blocks.embedding import Embedding
from blockgraph.blocks.linear import Linear, TiedLinear
from blockgraph.blocks.model import Model

ROWS = 2  # sequences at most
STEPS = 32  # at least: laying out costs what 7 (width 384) to 20 (GPT-2) steps save
BYTES = 2**20  # smaller matrices stay in the processor's cache
BLOCK = 256  # rows that are turned at a time


def for_steps(model: nn.Module, sequences: int, steps: int) -> nn.Module:
    """The model itself, or where that pays off and memory allows a twin: the same modules, whose large matrices are
    copies with the same values laid out by columns. The model itself never changes."""
    if sequences > ROWS or steps < STEPS or not isinstance(model, Model):
        return model
    chosen = {id(matrix): matrix for matrix in _matrices(model) if _pays(matrix)}
    if not chosen or 2 * sum(matrix.nbytes for matrix in chosen.values()) > _free_memory():
        return model
    with torch.no_grad():
        laid = {key: nn.Parameter(_by_columns(matrix), requires_grad=False) for key, matrix in chosen.items()}
    return _twin(model, laid, {})


def _matrices(model: nn.Module) -> Iterator[Tensor]:
    """What is multiplied by a position's features: projections, and embeddings that are an output's matrix too."""
    tied = {module.rows for module in model.modules() if isinstance(module, TiedLinear)}
    for module in model.modules():
        if isinstance(module, CanonicalWeights):
            own = (module._parameters.get(name) for name in module.parts)
            yield from (weight for weight in own if weight is not None and weight.dim() == 2)
        elif isinstance(module, Linear) or (isinstance(module, Embedding) and module.weight.shape[0] in tied):
            yield module.weight


def _pays(matrix: Tensor) -> bool:
    large = matrix.nbytes >= BYTES and matrix.shape[0] >= matrix.shape[1]
    return large and matrix.device.type == "cpu" and matrix.dtype == torch.float32 and matrix.is_contiguous()


def _free_memory() -> int:
    if not hasattr(os, "sysconf") or "SC_AVPHYS_PAGES" not in os.sysconf_names:
        return 0
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _by_columns(matrix: Tensor) -> Tensor:
    """The same [out, in], with strides (1, out)."""
    turned = matrix.new_empty(matrix.shape[1], matrix.shape[0])
    for first in range(0, matrix.shape[0], BLOCK):  # in blocks: four times as fast as at once
        turned[:, first : first + BLOCK] = matrix[first : first + BLOCK].t()
    return turned.t()


def _twin(module: nn.Module, laid: dict[int, nn.Parameter], done: dict[int, nn.Module]) -> nn.Module:
    """The module with other matrices; below it, what has none of them is not copied."""
    if id(module) in done:
        return done[id(module)]
    below = {name: None if child is None else _twin(child, laid, done) for name, child in module._modules.items()}
    own = {name: None if p is None else laid.get(id(p), p) for name, p in module._parameters.items()}
    same = all(below[name] is child for name, child in module._modules.items())
    found = module
    if not same or any(own[name] is not p for name, p in module._parameters.items()):
        found = object.__new__(type(module))
        found.__dict__.update(module.__dict__)
        found.__dict__["_modules"], found.__dict__["_parameters"] = below, own
    done[id(module)] = found
    return found
