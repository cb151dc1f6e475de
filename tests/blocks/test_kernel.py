"""What stands around the fused kernel gives the kernel's numbers."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from blockgraph.blocks.kernel import attend_fused
from blockgraph.running.trace import Kernels

Q, K = 5, 6


def heads(grouped: bool, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    shapes = ((2, 4, Q, 8), (2, 2 if grouped else 4, K, 8), (2, 2 if grouped else 4, K, 8))
    query, key, value = (torch.randn(shape, generator=generator).to(dtype).requires_grad_() for shape in shapes)
    return query, key, value


def mask_of(kind: str) -> Tensor | None:
    seen = torch.rand(2, 1, Q, K, generator=torch.Generator().manual_seed(1)) < 0.6
    seen[0, 0, 2] = False  # a query that sees nothing
    return {"none": None, "bool": seen, "float": torch.where(seen, torch.randn(Q, K), -torch.inf)}[kind]


@pytest.mark.parametrize("grouped", [False, True])
@pytest.mark.parametrize("kind", ["none", "causal", "bool", "float"])
def test_dropout_on_a_cpu_has_the_kernels_mean_and_hides_what_it_hides(kind: str, grouped: bool) -> None:
    torch.manual_seed(0)
    query, key, value = heads(grouped)
    given: dict[str, Any] = {"causal": True} if kind == "causal" else {"mask": mask_of(kind)}
    wanted = F.scaled_dot_product_attention(
        query, key, value, attn_mask=given.get("mask"), is_causal=kind == "causal", enable_gqa=grouped
    )
    assert torch.equal(attend_fused(query, key, value, **given, grouped=grouped), wanted)
    with torch.no_grad():
        drawn = torch.stack([attend_fused(query, key, value, **given, dropout=0.3) for _ in range(3000)])
    assert (drawn[0] != drawn[1]).any() and (drawn.mean(0) - wanted).abs().max() < 0.1
    attend_fused(query, key, value, **given, dropout=0.3).sum().backward()
    assert query.grad is not None and query.grad.isfinite().all()
    if kind in ("bool", "float"):
        assert bool((drawn[:, 0, :, 2] == 0).all())


@pytest.mark.parametrize("kind", ["none", "bool", "float"])
def test_short_bfloat16_on_a_cpu_is_computed_in_float32(kind: str) -> None:
    """The kernel's backward is several times slower in bfloat16 there; what comes out is bfloat16 all the same."""
    query, key, value = heads(False, torch.bfloat16)
    seen: list[torch.dtype] = []

    def kernel(query: Tensor, *_: Any, **__: Any) -> None:
        seen.append(query.dtype)

    mask = mask_of(kind)
    mask = mask.bfloat16() if kind == "float" and mask is not None else mask
    with torch.autocast("cpu", torch.bfloat16), Kernels(kernel, lambda *_: None):
        out = attend_fused(query, key, value, mask=mask)
        attend_fused(query.detach(), key, value, mask=mask)
    assert seen == [torch.float32, torch.bfloat16] and out.dtype == torch.bfloat16
    exact = attend_fused(query.float(), key.float(), value.float(), mask=mask.float() if kind == "float" else mask)
    assert (out - exact).abs().max() < 0.05
    out.float().sum().backward()
    assert query.grad is not None and query.grad.dtype == torch.bfloat16
