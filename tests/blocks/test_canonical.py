"""Canonical names on disk, fused rows in memory: both ways, and training does not notice."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from blockgraph.blocks.attention import Attention
from blockgraph.blocks.canonical import canonical_parameters, split_rows
from blockgraph.blocks.feed_forward import FeedForward
from blockgraph.blocks.linear import Linear
from blockgraph.blocks.norms import LayerNorm

NORM = {"type": "layer_norm", "over": "head", "bias": True}


class Layer(nn.Module):
    def __init__(self, fused: bool = True, **o: Any) -> None:
        super().__init__()
        self.norm = LayerNorm(8)
        self.attn = Attention(8, 2, causal=True, fused=fused, **o)
        self.ffn = FeedForward(8, 20, "silu", gated=True, fused=fused)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.norm(x))
        return x + self.ffn(x)


class Pair(nn.Module):
    """Two layers and a head; the second layer's ffn is the first's (shared)."""

    def __init__(self, fused: bool = True, **o: Any) -> None:
        super().__init__()
        self.layers = nn.ModuleList([Layer(fused, **o), Layer(fused, **o)])
        self.layers[1].ffn = self.layers[0].ffn
        self.head = Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = layer(x)
        return self.head(x)


ATTENTION = [
    "query.weight",
    "query.bias",
    "key.weight",
    "key.bias",
    "value.weight",
    "value.bias",
    "out.weight",
    "out.bias",
]


@pytest.mark.parametrize(
    "o",
    [
        {},
        {"fused": False},
        {"reads": "query,key"},
        {"reads": "query,key,value", "key_width": 6, "value_width": 4},
        {"kv_heads": 1, "head_dim": 6},
        {"bias": {"key": False}},
        {"bias": False},
        {"qk_norm": NORM},
        {"rope": {}, "alibi": {}, "window": 3},
    ],
    ids=str,
)
def test_names_and_shapes_are_canonical_however_it_lies_in_memory(o: dict[str, Any]) -> None:
    module = Attention(8, 2, **o)
    bias = o.get("bias", True)
    kept = {
        n
        for n in ATTENTION
        if not n.endswith("bias") or (bias if isinstance(bias, bool) else bias.get(n.split(".")[0], True))
    }
    if "qk_norm" in o:
        kept |= {f"{side}_norm.{kind}" for side in ("query", "key") for kind in ("weight", "bias")}
    state = module.state_dict()
    assert set(state) == kept
    assert list(state) == list(canonical_parameters(module))
    inner, kv = 2 * module.head_dim, module.kv_heads * module.head_dim
    assert state["query.weight"].shape == (inner, 8) and state["out.weight"].shape == (8, inner)
    assert state["key.weight"].shape == (kv, o.get("key_width", 8))
    assert state["value.weight"].shape == (kv, o.get("value_width", o.get("key_width", 8)))


@pytest.mark.parametrize(
    "o", [{}, {"kv_heads": 1, "bias": False}, {"qk_norm": NORM}, {"bias": {"key": False}}], ids=str
)
def test_state_dict_equals_canonical_parameters_and_keeps_no_copies(o: dict[str, Any]) -> None:
    model = nn.Sequential(Layer(**o), Layer(**o))
    state, canonical = model.state_dict(), canonical_parameters(model)
    assert list(state) == list(canonical)
    assert sum(part.tensor.numel() for part in canonical.values()) == sum(p.numel() for p in model.parameters())
    storages = {p.untyped_storage().data_ptr() for p in model.parameters()}
    for name, tensor in state.items():
        assert torch.equal(tensor, canonical[name].tensor) and not tensor.requires_grad
        assert tensor.untyped_storage().data_ptr() in storages
    assert all(t.requires_grad for t in model.state_dict(keep_vars=True).values())


def test_shared_weights_stand_once() -> None:
    names = list(canonical_parameters(Pair()))
    assert "layers.0.ffn.gate.weight" in names and not any(n.startswith("layers.1.ffn") for n in names)
    assert len(names) == len(set(names))


def test_slices_write_through() -> None:
    model = Pair()
    canonical_parameters(model)["layers.1.attn.key.weight"].tensor.fill_(7.0)
    assert (model.layers[1].attn.qkv_weight[8:16] == 7).all()  # type: ignore[union-attr, index]
    assert (model.state_dict()["layers.1.attn.query.weight"] != 7).all()


@pytest.mark.parametrize("assign", [False, True])
@pytest.mark.parametrize("pair", [(True, True), (True, False), (False, True)], ids=str)
def test_checkpoints_fit_either_layout(pair: tuple[bool, bool], assign: bool) -> None:
    torch.manual_seed(0)
    one, other = Pair(pair[0], qk_norm=NORM), Pair(pair[1], qk_norm=NORM)
    x = torch.randn(2, 5, 8)
    assert not torch.allclose(one(x), other(x))
    other.load_state_dict(copy.deepcopy(one.state_dict()), strict=True, assign=assign)
    assert torch.allclose(one(x), other(x), atol=1e-6)
    assert all(p.requires_grad for p in other.parameters())


def test_a_meta_model_takes_its_weights_by_assignment() -> None:
    torch.manual_seed(0)
    full = Layer(rope={}, window=3)
    with torch.device("meta"):
        hollow = Layer(rope={}, window=3)
    hollow.load_state_dict(full.state_dict(), assign=True)
    x = torch.randn(1, 6, 8)
    assert torch.equal(hollow(x), full(x))


def test_what_is_missing_unexpected_or_misshapen_is_said_by_canonical_name() -> None:
    model = Layer()
    state = model.state_dict()
    before = model.attn.qkv_weight.detach().clone()
    del state["attn.key.weight"]
    state["attn.query.weight"] = torch.ones(8, 8)
    state["attn.extra.weight"] = torch.ones(1)
    found = model.load_state_dict(state, strict=False)
    assert found.missing_keys == ["attn.key.weight"] and found.unexpected_keys == ["attn.extra.weight"]
    assert (model.attn.qkv_weight[:8] == 1).all() and torch.equal(model.attn.qkv_weight[8:], before[8:])
    with pytest.raises(RuntimeError, match=r'Missing key\(s\) in state_dict: "attn.key.weight"'):
        model.load_state_dict(state)
    state = model.state_dict() | {"ffn.gate.weight": torch.ones(3, 8)}
    with pytest.raises(RuntimeError, match=r"size mismatch for ffn.gate.weight: .*\(3, 8\).*\(20, 8\)"):
        model.load_state_dict(state)
    with pytest.raises(RuntimeError, match=r"Unexpected key.*ffn\.gate_up_weight"):
        model.load_state_dict(model.state_dict() | {"ffn.gate_up_weight": torch.ones(40, 8)})


def test_partly_missing_rows_are_kept_when_assigning() -> None:
    model = Layer()
    state = model.state_dict()
    key = state.pop("attn.key.weight").clone()
    state["attn.query.weight"] = torch.ones(8, 8)
    model.load_state_dict(state, strict=False, assign=True)
    assert torch.equal(model.attn.qkv_weight[8:16], key) and (model.attn.qkv_weight[:8] == 1).all()


@pytest.mark.parametrize("kind", [torch.optim.AdamW, torch.optim.SGD])
def test_an_optimizer_step_is_the_same_in_either_layout(kind: Any) -> None:
    torch.manual_seed(0)
    fused, plain = Pair(True), Pair(False)
    plain.load_state_dict(fused.state_dict())
    x = torch.randn(2, 5, 8)
    optimizers = [kind(model.parameters(), lr=0.001, weight_decay=0.1) for model in (fused, plain)]
    for _ in range(3):
        for model, optimizer in zip((fused, plain), optimizers, strict=True):
            optimizer.zero_grad()
            model(x).square().mean().backward()
            optimizer.step()
    for (name, one), other in zip(fused.state_dict().items(), plain.state_dict().values(), strict=True):
        if not name.endswith("key.bias"):  # its gradient is zero but for rounding, which AdamW scales up
            assert torch.allclose(one, other, atol=1e-5), name


def test_moments_are_cut_like_the_weights() -> None:
    layer = Layer()
    parts = {n: s for n, s in canonical_parameters(layer).items() if s.parameter is layer.attn.qkv_weight}
    moment = torch.arange(24.0).unsqueeze(1).expand(24, 8)
    cut = split_rows(moment, parts)
    assert list(cut) == ["attn.query.weight", "attn.key.weight", "attn.value.weight"]
    assert cut["attn.value.weight"][0, 0] == 16 and cut["attn.key.weight"].shape == (8, 8)
