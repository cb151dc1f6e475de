"""DeBERTa's attention against `transformers`."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from blockgraph.blocks.disentangled_attention import DisentangledAttention, signed_buckets

BATCH, LENGTH, WIDTH, HEADS = 3, 17, 12, 3


def reference(span: int, **options: Any) -> Any:
    hf = pytest.importorskip("transformers")
    from transformers.models.deberta_v2.modeling_deberta_v2 import DisentangledSelfAttention

    sizes = {"hidden_size": WIDTH, "num_attention_heads": HEADS, "max_position_embeddings": span}
    module = DisentangledSelfAttention(hf.DebertaV2Config(**sizes, relative_attention=True, **options)).eval()
    with torch.no_grad():
        for tensor in module.parameters():
            tensor.normal_(0, 0.4)
    return module


def built(module: Any, span: int, **options: Any) -> DisentangledAttention:
    own = DisentangledAttention(WIDTH, HEADS, span, **options).eval()
    names = {"pos_key_proj": "position_key", "pos_query_proj": "position_query"}
    weights = {}
    for name, tensor in module.state_dict().items():
        stem, _, kind = name.rpartition(".")
        weights[f"{names.get(stem, stem.removesuffix('_proj'))}.{kind}"] = tensor
    own.load_state_dict({**weights, "out.weight": torch.eye(WIDTH), "out.bias": torch.zeros(WIDTH)})
    return own


def padded() -> Tensor:
    places = torch.arange(LENGTH)
    return torch.stack((places >= 0, places < LENGTH - 5, places >= 3))


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("terms", [["c2p", "p2c"], ["c2p"], ["p2c"]], ids="+".join)
@pytest.mark.parametrize(("span", "buckets"), [(5, -1), (20, -1), (16, 6), (40, 8)])
@torch.no_grad()
def test_attention_is_that_of_transformers(span: int, buckets: int, terms: list[str], shared: bool) -> None:
    torch.manual_seed(span)
    theirs = reference(span, pos_att_type=terms, share_att_key=shared, position_buckets=buckets)
    half = buckets if buckets > 0 else span
    options = {"to_position": "c2p" in terms, "from_position": "p2c" in terms, "shared": shared}
    ours = built(theirs, half, max_distance=span if buckets > 0 else None, **options)
    x, table, real = torch.randn(BATCH, LENGTH, WIDTH), torch.randn(2 * half, WIDTH), padded()
    both = real[:, None, :, None] & real[:, None, None]
    wanted = theirs(x, both, rel_embeddings=table)[0]
    assert torch.allclose(ours(x, table, mask=real), wanted, atol=1e-5)  # padding too
    assert torch.allclose(ours(x, table), theirs(x, torch.ones_like(both), rel_embeddings=table)[0], atol=1e-5)


@pytest.mark.parametrize(("span", "furthest"), [(8, 64), (16, 24), (256, 512)])
def test_buckets_are_those_of_transformers(span: int, furthest: int) -> None:
    pytest.importorskip("transformers")
    from transformers.models.deberta_v2.modeling_deberta_v2 import make_log_bucket_position

    distance = torch.arange(-furthest - 9, furthest + 10)
    wanted = (make_log_bucket_position(distance, span, furthest).long() + span).clamp(0, 2 * span - 1)
    assert torch.equal(signed_buckets(distance, span, furthest), wanted)


def test_every_distance_has_a_row_without_a_furthest_one() -> None:
    assert signed_buckets(torch.tensor([-9, -3, 0, 2, 9]), 3, None).tolist() == [0, 0, 3, 5, 5]


def test_all_weights_learn_and_it_trains_with_dropout() -> None:
    torch.manual_seed(0)
    module = DisentangledAttention(WIDTH, HEADS, 4, table_width=5, dropout=0.5)
    x, table = torch.randn(2, 6, WIDTH), torch.randn(8, 5)
    first, second = module(x, table), module(x, table)
    assert not torch.equal(first, second) and torch.equal(module.eval()(x, table), module(x, table))
    module(x, table).square().sum().backward()
    assert all(weight.grad is not None and weight.grad.abs().sum() > 0 for weight in module.parameters())
    with pytest.raises(ValueError, match="table of width 12, not 5"):
        DisentangledAttention(WIDTH, HEADS, 4, table_width=5, shared=True)
