"""Activation functions. Names are the papers'; transformers' names are aliases that the options resolve."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def relu2(x: Tensor) -> Tensor:
    """relu(x)² (So et al. 2021, Primer)."""
    return F.relu(x).square()


def gelu_tanh(x: Tensor) -> Tensor:
    """The tanh approximation of GELU (Hendrycks & Gimpel 2016), GPT-2's "gelu_new"."""
    return F.gelu(x, approximate="tanh")


def quick_gelu(x: Tensor) -> Tensor:
    """x · sigmoid(1.702 x) (Hendrycks & Gimpel 2016), used by CLIP."""
    return x * torch.sigmoid(1.702 * x)


def feature_softmax(x: Tensor) -> Tensor:
    """Softmax over the features, the last axis."""
    return torch.softmax(x, dim=-1)


def identity(x: Tensor) -> Tensor:
    return x


def clipped(x: Tensor) -> Tensor:
    """x · sigmoid(1.702 x) with x at most 7 (GPT-OSS)."""
    return quick_gelu(x.clamp(max=7.0))


def clipped_gate(gate: Tensor, up: Tensor) -> Tensor:
    """GPT-OSS's gated unit: `clipped(gate) · (up + 1)` with up clamped to ±7."""
    return clipped(gate) * (up.clamp(-7.0, 7.0) + 1.0)


ACTIVATION_FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": F.relu,
    "relu2": relu2,
    "gelu": F.gelu,
    "gelu_tanh": gelu_tanh,
    "silu": F.silu,
    "quick_gelu": quick_gelu,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "exp": torch.exp,
    "softmax": feature_softmax,
    "identity": identity,
    "clipped": clipped,
    "relu6": F.relu6,  # relu, at most 6
    "leaky_relu": F.leaky_relu,  # 0.01 x below zero (Maas et al. 2013)
    "mish": F.mish,  # x · tanh(softplus(x)) (Misra 2019)
}


class Activation(nn.Module):
    """One function of every element (`softmax`: of every feature vector); shape and dtype stay."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind
        self.function = ACTIVATION_FUNCTIONS[kind]

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)

    def reset_parameters(self) -> None:
        """Nothing to set: it has no weights."""

    def extra_repr(self) -> str:
        return self.kind
