"""Longformer's attention against `transformers`."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from blockgraph.blocks.local_global_attention import LocalGlobalAttention

BATCH, WIDTH, HEADS = 3, 12, 3


def reference(window: int) -> Any:
    hf = pytest.importorskip("transformers")
    from transformers.models.longformer.modeling_longformer import LongformerSelfAttention

    config = hf.LongformerConfig(hidden_size=WIDTH, num_attention_heads=HEADS, attention_window=[window])
    module = LongformerSelfAttention(config, 0).eval()
    with torch.no_grad():
        for tensor in module.parameters():
            tensor.normal_(0, 0.4)
    return module


def built(module: Any, window: int) -> LocalGlobalAttention:
    own = LocalGlobalAttention(WIDTH, HEADS, window).eval()
    own.load_state_dict(
        {
            **module.state_dict(),
            "out.weight": torch.eye(WIDTH),
            "out.bias": torch.zeros(WIDTH),
        }  # the reference has none
    )
    return own


def padded(length: int) -> Tensor:
    places = torch.arange(length)
    return torch.stack((places >= 0, places < length - 5, places >= 3))


@pytest.mark.parametrize("window", [4, 6, 8])
@pytest.mark.parametrize("places", [[], [0], [0, 4, 11]], ids=str)
@torch.no_grad()
def test_attention_is_that_of_transformers(window: int, places: list[int]) -> None:
    torch.manual_seed(window)
    module, length = reference(window), 4 * window
    x, real = torch.randn(BATCH, length, WIDTH), padded(length)
    flags = torch.zeros(BATCH, length, dtype=torch.bool)
    for row, first in enumerate((0, 0, 3)):  # each sequence has other global positions, all real
        flags[row, [place + first for place in places if place + first < length - 5]] = True
    scores = torch.where(real, 10000.0 * flags, -10000.0)
    wanted = module(
        x,
        attention_mask=scores,
        is_index_masked=scores < 0,
        is_index_global_attn=scores > 0,
        is_global_attn=bool(flags.any()),
    )[0]
    found = built(module, window)(x, flags if places else None, mask=real)
    assert (found - wanted)[real].abs().max() <= 1e-4 * wanted[real].std()


@pytest.mark.parametrize("counts", [None, (0, 0), (3, 1)], ids=str)
@pytest.mark.parametrize("padded", [True, False])
def test_long_texts_in_blocks_equal_the_mask_over_all_pairs(counts: tuple[int, int] | None, padded: bool) -> None:
    torch.manual_seed(0)
    module, length = LocalGlobalAttention(WIDTH, HEADS, 30).double(), 301
    x = torch.randn(2, length, WIDTH, dtype=torch.float64, requires_grad=True)
    real = torch.arange(length) < torch.tensor([[length], [200]]) if padded else None
    flags = None if counts is None else torch.stack([torch.arange(length) * 97 % 200 < count for count in counts])
    assert module._pays(x, flags) and not module._pays(x[:, :90], flags)
    found, wanted = module._near(x, flags, real), module._all(x, flags, real)
    target = torch.randn_like(wanted)
    if real is not None:
        found, wanted, target = found[real], wanted[real], target[real]
    torch.testing.assert_close(found, wanted, atol=1e-9, rtol=0)
    weights = [x, module.qkv_weight] + ([module.qkv_global_weight] if counts == (3, 1) else [])
    for one, other in zip(
        torch.autograd.grad((found * target).sum(), weights),
        torch.autograd.grad((wanted * target).sum(), weights),
        strict=True,
    ):
        torch.testing.assert_close(one, other, atol=1e-9, rtol=0)


@torch.no_grad()
def test_without_masks_a_window_hides_what_is_far() -> None:
    torch.manual_seed(0)
    module = LocalGlobalAttention(WIDTH, HEADS, 4).eval()
    x = torch.randn(1, 9, WIDTH)
    other = x.clone()
    other[0, 8] += 1
    same = torch.isclose(module(x), module(other), atol=1e-6).all(-1)[0]
    assert same.tolist() == [True] * 6 + [False] * 3
    flags = torch.zeros(1, 9, dtype=torch.bool)
    flags[0, 8] = True
    assert not torch.isclose(module(x, flags), module(other, flags), atol=1e-6).all(-1).any()


def test_odd_windows_and_odd_heads_are_refused() -> None:
    with pytest.raises(ValueError, match="3 is odd"):
        LocalGlobalAttention(WIDTH, HEADS, 3)
    with pytest.raises(ValueError, match="5 heads do not divide the width 12"):
        LocalGlobalAttention(WIDTH, 5, 2)
