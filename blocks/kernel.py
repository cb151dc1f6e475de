"""Attention by torch's fused kernel, and around it where a CPU's lacks something or is slow (docs/decisions/0012)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from blockgraph.blocks.plain import attend_plain

SHORT = 256  # queries from which the kernel's backward in bfloat16 takes no longer than in float32


def attend_fused(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    *,
    mask: Tensor | None = None,
    causal: bool = False,
    scale: float | None = None,
    dropout: float = 0.0,
    grouped: bool = False,
) -> Tensor:
    """`scaled_dot_product_attention`: query [batch, heads, Q, d], key and value [batch, kv_heads, K, d] → [batch,
    heads, Q, d]. `mask` is bool (what is seen) or a float that is added; `dropout` falls on the probabilities and is 0
    while nothing is learned; `grouped`: there are fewer key heads than query heads.
    """
    if dropout and query.device.type == "cpu":  # its kernel has none, torch's way around takes up to twice the time
        return _written_out(query, key, value, mask, causal, scale, dropout)
    if query.dtype is torch.bfloat16 and _slow_in_bfloat16(query):
        with torch.autocast("cpu", enabled=False):
            query, key, value = query.float(), key.float(), value.float()
            mask = mask.float() if mask is not None and mask.is_floating_point() else mask
            out = attend_fused(query, key, value, mask=mask, causal=causal, scale=scale, grouped=grouped)
            return out.to(torch.bfloat16)
    return F.scaled_dot_product_attention(
        query, key, value, attn_mask=mask, dropout_p=dropout, is_causal=causal, scale=scale, enable_gqa=grouped
    )


def _written_out(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, causal: bool, scale: float | None, dropout: float
) -> Tensor:
    if causal:
        mask = torch.ones(query.shape[2], key.shape[2], dtype=torch.bool, device=query.device).tril()
    added = None
    if mask is not None and mask.dtype != torch.bool:  # a query that sees nothing gives zeros, as the kernel's
        seen = mask > -torch.inf
        mask, added = seen, mask.masked_fill(~seen, 0.0)
    scale = query.shape[-1] ** -0.5 if scale is None else scale
    return attend_plain(query, key, value, scale=scale, visible=mask, bias=added, dropout=dropout)


def _slow_in_bfloat16(query: Tensor) -> bool:
    """Whether the kernel's backward is: on a CPU it takes four times float32's at 16 to 64 positions."""
    short = query.shape[2] < SHORT
    return short and query.requires_grad and query.device.type == "cpu" and not torch.compiler.is_compiling()
