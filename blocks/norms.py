"""Normalisation over the features (the last axis). Statistics are in float32 whatever the input's dtype."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from blockgraph.blocks.elementwise import drop


def normalise_rms(x: Tensor, weight: Tensor | None, eps: float, offset: float = 0.0) -> Tensor:
    """x · rsqrt(mean(x²) + eps) · (offset + weight), over the last axis; the result has x's dtype.

    One fused kernel where weight and input agree; else (a Gemma offset, autocast) the product is in float32 too.
    Under `torch.compile` it is written out, as the compiler would do: so eps is not a constant of the graph.
    """
    if torch.compiler.is_compiling():
        y = x.to(torch.promote_types(torch.float32, x.dtype))
        y = y * torch.rsqrt(y.square().mean(-1, keepdim=True) + eps)
        return (y if weight is None else y * (weight.to(y.dtype) + offset)).to(x.dtype)
    if weight is None or (offset == 0.0 and weight.dtype == x.dtype):
        return F.rms_norm(x, x.shape[-1:], weight, eps)
    wide = torch.promote_types(torch.float32, x.dtype)
    return F.rms_norm(x.to(wide), x.shape[-1:], weight.to(wide) + offset, eps).to(x.dtype)


def normalise_layer(x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float) -> Tensor:
    """(x - mean) / sqrt(var + eps) · weight + bias, over the last axis; the result has x's dtype.

    Under `torch.compile` it is written out, as the compiler would do: so eps is not a constant of the graph.
    """
    if not torch.compiler.is_compiling():
        return F.layer_norm(x, x.shape[-1:], weight, bias, eps)
    y = x.to(torch.promote_types(torch.float32, x.dtype))
    variance, mean = torch.var_mean(y, -1, correction=0, keepdim=True)
    y = (y - mean) * torch.rsqrt(variance + eps)
    y = y if weight is None else y * weight
    return (y if bias is None else y + bias).to(x.dtype)


class LayerNorm(nn.Module):
    """y = (x - mean) / sqrt(var + eps) · (offset + weight) + bias (Ba et al. 2016). [..., width] → [..., width].

    Starts as the identity after normalising: weight = 1 - offset (Nemotron stores weight - 1), bias zero.
    """

    weight: nn.Parameter | None
    bias: nn.Parameter | None

    def __init__(
        self, width: int, eps: float = 1e-5, weight: bool = True, bias: bool = True, offset: float = 0.0
    ) -> None:
        super().__init__()
        self.width = width
        self.eps = eps
        self.offset = float(offset)
        self.register_parameter("weight", nn.Parameter(torch.empty(width)) if weight else None)
        self.register_parameter("bias", nn.Parameter(torch.empty(width)) if bias and weight else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        if self.weight is not None:
            nn.init.constant_(self.weight, 1.0 - self.offset)
        if self.bias is not None:
            nn.init.zeros_(self.bias)

    def forward(self, x: Tensor) -> Tensor:
        weight = self.weight if self.weight is None or not self.offset else self.weight + self.offset
        return normalise_layer(x, weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        offset = f", offset={self.offset}" if self.offset else ""
        said = f"{self.width}, eps={self.eps}, weight={self.weight is not None}, bias={self.bias is not None}"
        return said + offset


class RMSNorm(nn.Module):
    """y = x · rsqrt(mean(x²) + eps) · (offset + weight) (Zhang & Sennrich 2019). [..., width] → [..., width].

    Starts as the identity after normalising: weight = 1 - offset (Gemma stores weight - 1, hence `offset: 1`).
    """

    weight: nn.Parameter | None

    def __init__(self, width: int, eps: float = 1e-6, weight: bool = True, offset: float = 0.0) -> None:
        super().__init__()
        self.width = width
        self.eps = eps
        self.offset = float(offset)
        self.register_parameter("weight", nn.Parameter(torch.empty(width)) if weight else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        if self.weight is not None:
            nn.init.constant_(self.weight, 1.0 - self.offset)

    def forward(self, x: Tensor) -> Tensor:
        return normalise_rms(x, self.weight, self.eps, self.offset)

    def extra_repr(self) -> str:
        offset = f", offset={self.offset}" if self.offset else ""
        return f"{self.width}, eps={self.eps}, weight={self.weight is not None}{offset}"


class HeadNorm(nn.Module):
    """A norm over the features of each head, with weights of each head's own (StableLM, Cohere).

    [..., heads, width] → [..., heads, width]. `type`: `layer_norm` {eps, bias} or `rms_norm` {eps, offset}, as in
    `LayerNorm` and `RMSNorm`; weight and bias are [heads, width]. Starts as the identity after normalising.
    """

    bias: nn.Parameter | None

    def __init__(
        self,
        heads: int,
        width: int,
        type: str = "rms_norm",
        eps: float = 1e-6,
        bias: bool = False,
        offset: float = 0.0,
    ) -> None:
        super().__init__()
        self.heads, self.width, self.kind, self.eps, self.offset = heads, width, type, eps, float(offset)
        self.centred = type == "layer_norm"
        self.weight = nn.Parameter(torch.empty(heads, width))
        self.register_parameter("bias", nn.Parameter(torch.empty(heads, width)) if bias and self.centred else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        nn.init.constant_(self.weight, 1.0 - self.offset)
        if self.bias is not None:
            nn.init.zeros_(self.bias)

    def forward(self, x: Tensor) -> Tensor:
        y = x.to(torch.promote_types(torch.float32, x.dtype))
        if not self.centred:
            y = normalise_rms(y, None, self.eps) * (self.weight.to(y.dtype) + self.offset)
            return y.to(x.dtype)
        y = normalise_layer(y, None, None, self.eps) * self.weight.to(y.dtype)
        return (y if self.bias is None else y + self.bias.to(y.dtype)).to(x.dtype)

    def extra_repr(self) -> str:
        offset = f", offset={self.offset}" if self.offset else ""
        return f"{self.heads} × {self.width}, {self.kind}, eps={self.eps}, bias={self.bias is not None}{offset}"


class AddNorm(nn.Module):
    """norm(x₀ + dropout(x₁) + …): the residual connection of Vaswani et al. 2017, §3.1 and §5.4.

    Shapes broadcast from the right. `norm` is `layer_norm` or `rms_norm` (which has no bias). Starts as the identity.
    """

    bias: nn.Parameter | None

    def __init__(
        self, width: int, norm: str = "layer_norm", eps: float = 1e-5, bias: bool = True, dropout: float = 0.0
    ) -> None:
        super().__init__()
        if norm not in ("layer_norm", "rms_norm"):
            raise ValueError(f"norm is layer_norm or rms_norm, not {norm!r}")
        self.width = width
        self.norm = norm
        self.centred = norm == "layer_norm"
        self.eps = eps
        self.dropout = float(dropout)
        self.weight = nn.Parameter(torch.empty(width))
        self.register_parameter("bias", nn.Parameter(torch.empty(width)) if bias and self.centred else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        nn.init.ones_(self.weight)
        if self.bias is not None:
            nn.init.zeros_(self.bias)

    def forward(self, x: Tensor, *others: Tensor) -> Tensor:
        total = x
        for term in others:
            total = total + (drop(term, self.dropout) if self.training and self.dropout else term)
        if self.centred:
            return normalise_layer(total, self.weight, self.bias, self.eps)
        return normalise_rms(total, self.weight, self.eps)

    def extra_repr(self) -> str:
        return f"{self.width}, {self.norm}, eps={self.eps}, bias={self.bias is not None}, dropout={self.dropout}"
