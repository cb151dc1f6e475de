"""Attention written out: what the fused kernels are compared with, and the path of what they lack (softcap, sinks)."""

from __future__ import annotations

import torch
from torch import Tensor

from blockgraph.blocks.elementwise import drop


def attend_plain(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    *,
    scale: float,
    visible: Tensor | None = None,
    bias: Tensor | None = None,
    softcap: float | None = None,
    sinks: Tensor | None = None,
    dropout: float = 0.0,
) -> Tensor:
    """softmax(cap(scale · q kᵀ) + bias) v, over the keys that are visible (Vaswani et al. 2017, eq. 1).

    query [batch, heads, Q, d], key and value [batch, kv_heads, K, d] → [batch, heads, Q, d]; each key head serves
    heads / kv_heads consecutive query heads (Ainslie et al. 2023). `visible` is bool, `bias` float, both broadcast to
    [batch, heads, Q, K]. cap(s) = softcap · tanh(s / softcap). The softmax is at least float32. A query that sees no
    key gives zeros. `sinks` [heads] joins each query's scores as one more key, whose value is zero (GPT-OSS, 2025).
    `dropout` falls on the probabilities.
    """
    groups = query.shape[1] // key.shape[1]
    if groups > 1:
        value = value.repeat_interleave(groups, dim=1)
    weights = attention_weights(query, key, scale=scale, visible=visible, bias=bias, softcap=softcap, sinks=sinks)
    if sinks is not None:
        weights = weights[..., :-1]
    return (drop(weights, dropout) if dropout else weights).to(value.dtype) @ value


def attention_weights(
    query: Tensor,
    key: Tensor,
    *,
    scale: float,
    visible: Tensor | None = None,
    bias: Tensor | None = None,
    softcap: float | None = None,
    sinks: Tensor | None = None,
) -> Tensor:
    """The shares that each query's keys have in it, as `attend_plain` mixes values by: [batch, heads, Q, K], at least
    float32; with `sinks` K + 1, the sink's share last. Rows sum to 1, or are zeros where a query sees no key."""
    groups = query.shape[1] // key.shape[1]
    if groups > 1:
        key = key.repeat_interleave(groups, dim=1)
    scores = (query @ key.transpose(-2, -1)).to(torch.promote_types(query.dtype, torch.float32)) * scale
    if softcap is not None:
        scores = softcap * torch.tanh(scores / softcap)
    if bias is not None:
        scores = scores + bias
    if visible is not None:
        scores = scores.masked_fill(~visible, torch.finfo(scores.dtype).min)
    if sinks is not None:
        more = sinks.to(scores.dtype).view(-1, 1, 1).expand(*scores.shape[:-1], 1)
        scores = torch.cat((scores, more), dim=-1)
    weights = torch.softmax(scores, dim=-1)
    if visible is None or sinks is not None:  # beside a sink, what is hidden has nothing
        return weights
    return weights.masked_fill(~visible, 0.0)
