"""Weight-only int8: a model's linear maps as 8-bit matrices (`running/int8.py`)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeVar

import torch
from torch import nn

from blockgraph.blocks.canonical import CanonicalWeights
from blockgraph.blocks.linear import Linear
from blockgraph.running.int8 import Int8Weight
from blockgraph.running.published import ties
from blockgraph.specs.diagnostics import BlockgraphError

# Left as they are: a router's choice is a comparison of scores; latent attention multiplies by parts of `kv_up`.
KEPT = ("router_weight", "kv_up_weight")

M = TypeVar("M", bound=nn.Module)


class QuantizeError(BlockgraphError):
    """The model's weights cannot become int8 here."""


def quantize(model: M) -> M:
    """Rounds the weights of the linear maps to int8, in place, and returns the model in evaluation mode.

    Attention's projections, feed-forward networks, experts, `linear` and the tied head: one scale per row, symmetric.
    Biases, norms, embeddings and positions stay as they are; a tied embedding keeps its floats for lookups beside the
    head's int8. The model then decodes on the CPU; it can be neither trained nor moved. Raises `QuantizeError`.
    """
    found = list(_matrices(model))
    if not found:
        raise QuantizeError("the model has no linear map whose weights could be int8")
    device = next(parameter.device for parameter in model.parameters())
    if device.type != "cpu":
        raise QuantizeError(f"int8 weights multiply on the CPU only; the model is on {device}")
    done: dict[int, Int8Weight] = {}
    for module, name, looked_up in found:
        weight = module._parameters[name]
        assert weight is not None
        if not isinstance(weight, Int8Weight):
            if id(weight) not in done:
                done[id(weight)] = _int8(weight.detach(), looked_up)
            module._parameters[name] = done[id(weight)]  # type: ignore[assignment]
    return model.eval()


def _int8(weight: torch.Tensor, looked_up: bool) -> Int8Weight:
    try:
        return Int8Weight(weight, looked_up=weight if looked_up else None)
    except RuntimeError as error:
        raise QuantizeError(f"this build of torch has no int8 product for its CPU: {error}") from None


def _matrices(model: nn.Module) -> Iterator[tuple[nn.Module, str, bool]]:
    """The modules that hold a linear map's matrix, its name there, and whether ids are looked up in it too."""
    for module in model.modules():
        if isinstance(module, Linear):
            yield module, "weight", False
        elif isinstance(module, CanonicalWeights):
            for name, weight in module._parameters.items():
                if name.endswith("_weight") and name not in KEPT and weight is not None and weight.dim() >= 2:
                    yield module, name, False
    definition = getattr(model, "definition", None)
    if definition is not None:
        for owner in dict.fromkeys(owner for _, owner in ties(definition.root, "")):
            path, _, name = owner.rpartition(".")
            yield model.get_submodule(path), name, True
