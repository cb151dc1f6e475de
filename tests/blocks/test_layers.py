"""Norms, feed-forward, linear, embedding and the small blocks, against formulas written out."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from blockgraph.blocks.activations import ACTIVATION_FUNCTIONS, Activation
from blockgraph.blocks.elementwise import Add, Blank, Dropout, Equal, Multiply, Scale, Softcap, Squeeze, drop
from blockgraph.blocks.embedding import Embedding
from blockgraph.blocks.feed_forward import FeedForward
from blockgraph.blocks.joining import Concat, Split
from blockgraph.blocks.linear import Linear, TiedLinear
from blockgraph.blocks.norms import AddNorm, LayerNorm, RMSNorm
from blockgraph.blocks.parameter import Parameter
from blockgraph.blocks.pool import Pool

X = torch.linspace(-3, 3, 60, dtype=torch.float64).view(3, 4, 5)
FORMULAS: dict[str, Any] = {
    "relu": lambda x: max(x, 0.0),
    "relu2": lambda x: max(x, 0.0) ** 2,
    "gelu": lambda x: x * 0.5 * (1 + math.erf(x / math.sqrt(2))),
    "gelu_tanh": lambda x: 0.5 * x * (1 + math.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))),
    "silu": lambda x: x / (1 + math.exp(-x)),
    "quick_gelu": lambda x: x / (1 + math.exp(-1.702 * x)),
    "tanh": math.tanh,
    "sigmoid": lambda x: 1 / (1 + math.exp(-x)),
    "exp": math.exp,
    "identity": lambda x: x,
    "clipped": lambda x: min(x, 7.0) / (1 + math.exp(-1.702 * min(x, 7.0))),
    "relu6": lambda x: min(max(x, 0.0), 6.0),
    "leaky_relu": lambda x: max(x, 0.01 * x),
    "mish": lambda x: x * math.tanh(math.log1p(math.exp(x))),
}


@pytest.mark.parametrize("kind", FORMULAS)
def test_activations(kind: str) -> None:
    x = X * 4
    wanted = torch.tensor([FORMULAS[kind](v) for v in x.flatten().tolist()], dtype=torch.float64).view_as(x)
    assert torch.allclose(Activation(kind)(x), wanted, rtol=1e-12)


def test_softmax_is_over_features_and_all_kinds_are_tested() -> None:
    assert torch.allclose(Activation("softmax")(X).sum(-1), torch.ones(3, 4, dtype=torch.float64))
    assert set(ACTIVATION_FUNCTIONS) == {*FORMULAS, "softmax"}


def randomised(module: Any) -> Any:
    with torch.no_grad():
        for weight in module.parameters():
            weight.copy_(torch.randn_like(weight))
    return module.double()


@pytest.mark.parametrize(("weight", "bias"), [(True, True), (True, False), (False, False)])
@pytest.mark.parametrize("offset", [0.0, 1.0])
def test_layer_norm(weight: bool, bias: bool, offset: float) -> None:
    fresh = LayerNorm(5, eps=0.1, weight=weight, bias=bias, offset=offset)
    assert torch.allclose(fresh(X.float()), F.layer_norm(X.float(), (5,), eps=0.1))
    module = randomised(fresh)
    wanted = (X - X.mean(-1, keepdim=True)) / torch.sqrt(X.var(-1, correction=0, keepdim=True) + 0.1)
    wanted = wanted * (module.weight + offset) if weight else wanted
    assert torch.allclose(module(X), wanted + module.bias if bias else wanted)
    assert len(list(LayerNorm(5, weight=False).parameters())) == 0


@pytest.mark.parametrize(("weight", "offset"), [(True, 0.0), (True, 1.0), (False, 0.0)])
def test_rms_norm(weight: bool, offset: float) -> None:
    module = randomised(RMSNorm(5, eps=0.1, weight=weight, offset=offset))
    wanted = X * torch.rsqrt(X.square().mean(-1, keepdim=True) + 0.1)
    assert torch.allclose(module(X), wanted * (module.weight + offset) if weight else wanted)


@pytest.mark.parametrize("offset", [0.0, 1.0])
def test_norms_start_as_the_identity_and_work_in_autocast(offset: float) -> None:
    module = RMSNorm(5, offset=offset)
    x = torch.randn(2, 5)
    assert torch.allclose(module(x), F.rms_norm(x, (5,), eps=1e-6))
    with torch.autocast("cpu", torch.bfloat16):
        assert module(x.bfloat16()).dtype == torch.bfloat16
    assert module.bfloat16()(x.bfloat16() * 1e4).isfinite().all()


@pytest.mark.parametrize(
    "make",
    [lambda: LayerNorm(5, offset=1), lambda: RMSNorm(5, offset=1), lambda: AddNorm(5), lambda: AddNorm(5, "rms_norm")],
)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_compiled_norms_equal_the_kernels(make: Any, dtype: torch.dtype) -> None:
    module = randomised(make()).to(dtype)
    x = X.to(dtype)
    compiled = torch.compile(module, fullgraph=True, backend="eager")
    assert compiled(x).dtype == dtype
    assert torch.allclose(compiled(x), module(x), atol=0.1 if dtype == torch.bfloat16 else 1e-5)
    torch._dynamo.reset()


@pytest.mark.parametrize("norm", ["layer_norm", "rms_norm"])
def test_add_norm(norm: str) -> None:
    module = randomised(AddNorm(5, norm, eps=0.1))
    total = X + 2 * X + X[0, 0]
    if norm == "layer_norm":
        wanted = F.layer_norm(total, (5,), module.weight, module.bias, 0.1)
    else:
        wanted = F.rms_norm(total, (5,), module.weight, 0.1)
    assert torch.allclose(module(X, 2 * X, X[0, 0]), wanted)
    assert set(dict(module.named_parameters())) == ({"weight", "bias"} if norm == "layer_norm" else {"weight"})
    with pytest.raises(ValueError, match="norm is layer_norm or rms_norm"):
        AddNorm(5, "batch_norm")


@pytest.mark.parametrize("block", [Add(0.5), AddNorm(1000, dropout=0.5)])
def test_residual_dropout_spares_the_first_input(block: Any) -> None:
    torch.manual_seed(0)
    x, y = torch.zeros(1, 1000), torch.ones(1, 1000)
    block.train()
    assert len(block(y, x).unique()) == 1  # nothing of the residual is dropped
    added = block(x, y)
    assert len(added.unique()) == 2 and 0.4 < (added == added.min()).float().mean() < 0.6
    block.eval()
    assert len(block(x, y).unique()) == 1


def test_add_multiply_broadcast_scale_and_softcap() -> None:
    gain = torch.arange(5.0, dtype=torch.float64)
    assert torch.equal(Add()(X, gain, X[0]), X + gain + X[0])
    assert torch.equal(Multiply()(X, gain, X), X * gain * X)
    assert torch.equal(Scale(0.25)(X), X / 4)
    capped = Softcap(2.0)(X * 100)
    assert capped.abs().max() <= 2 and torch.allclose(Softcap(1e6)(X), X)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_drop_leaves_the_mean_and_treats_each_number_alone(p: float, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    x = torch.ones(1001, 333, dtype=dtype, requires_grad=True)  # a count that is no multiple of four
    y = drop(x, p)
    y.sum().backward()
    y = y.detach()
    assert x.grad is not None and torch.equal(x.grad, y) and y.dtype == dtype
    kept = (y != 0).double()
    assert len(y.unique()) == 2 and abs(float(kept.mean()) - (1 - p)) < 3e-3
    assert abs(float(y.double().mean()) - 1) < 2e-2
    for apart in (1, 2, 3, 4, 333):  # neighbours in memory, and those of one draw, know nothing of each other
        one, other = kept.flatten()[:-apart] - (1 - p), kept.flatten()[apart:] - (1 - p)
        assert abs(float((one * other).mean())) < 5e-3 * p * (1 - p) * 4
    torch.manual_seed(0)
    assert torch.equal(drop(x, p), y) and not torch.equal(drop(x, p), y)


@pytest.mark.parametrize("per", ["element", "sample"])
def test_dropout(per: str) -> None:
    torch.manual_seed(0)
    module, x = Dropout(0.25, per), torch.ones(4000, 3, 2)
    out = module(x)
    assert out.unique().tolist() == pytest.approx([0.0, 4 / 3])
    assert abs(out.mean() - 1) < 0.05
    rows = out.flatten(1)
    assert bool((rows == rows[:, :1]).all()) == (per == "sample")
    assert module.eval()(x) is x
    compiled = torch.compile(module.train(), fullgraph=True, backend="eager")(x)
    assert compiled.unique().tolist() == pytest.approx([0.0, 4 / 3]) and abs(compiled.mean() - 1) < 0.05
    torch._dynamo.reset()
    with pytest.raises(ValueError, match="per is"):
        Dropout(0.1, "batch")


@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("activation", ["gelu", "clipped"])
@pytest.mark.parametrize("gated", [False, True])
def test_feed_forward(gated: bool, activation: str, bias: bool, fused: bool) -> None:
    torch.manual_seed(0)
    module = randomised(FeedForward(5, 7, activation, gated, bias, fused=fused))
    w = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    assert set(w) == {
        f"{part}.{kind}"
        for part in (("gate", "up", "down") if gated else ("up", "down"))
        for kind in (("weight", "bias") if bias else ("weight",))
    }

    def project(x: Tensor, name: str) -> Tensor:
        return x @ w[f"{name}.weight"].T + w.get(f"{name}.bias", 0.0)

    act = ACTIVATION_FUNCTIONS[activation]
    hidden = act(project(X, "up"))
    if gated:
        up = project(X, "up")
        hidden = act(project(X, "gate")) * (up.clamp(-7, 7) + 1 if activation == "clipped" else up)
    assert torch.allclose(module(X), project(hidden, "down"))


def test_feed_forward_drops_after_the_activation() -> None:
    torch.manual_seed(0)
    module = FeedForward(4, 1000, "relu", bias=False, dropout=0.5)
    with torch.no_grad():
        module.up_weight.fill_(1.0)
        module.down_weight.fill_(1.0)
    x = torch.ones(1, 4)
    assert module(x).unique().numel() == 1 and 0.8 < module(x)[0, 0] / 4000 < 1.2 and module(x)[0, 0] % 8 == 0
    assert module.eval()(x)[0, 0] == 4000


def test_linear_and_tied_linear() -> None:
    linear, tied = randomised(Linear(5, 3)), randomised(TiedLinear(3))
    assert torch.allclose(linear(X), X @ linear.weight.T + linear.bias)
    assert torch.allclose(tied(X, linear.weight), X @ linear.weight.T + tied.bias)
    assert list(dict(tied.named_parameters())) == ["bias"] and not list(TiedLinear(3, bias=False).parameters())


def test_embedding_scales_in_the_weights_dtype() -> None:
    ids = torch.tensor([[3, 1]])
    module = Embedding(7, 3072, scale=math.sqrt(3072))
    assert torch.equal(module(ids), module.weight[ids] * math.sqrt(3072))
    assert abs(module.weight.std() - 3072**-0.5) < 1e-3
    low = module.bfloat16()
    assert torch.equal(low(ids), low.weight[ids] * 55.5)
    assert module.float().scale.item() == pytest.approx(math.sqrt(3072))
    plain = Embedding(100, 64, freeze=True)
    assert not plain.weight.requires_grad and abs(plain.weight.std() - 0.02) < 2e-3
    assert list(plain.state_dict()) == list(module.state_dict()) == ["weight"]


def test_equal_makes_a_mask() -> None:
    a = torch.tensor([[1, 1, 2], [3, 3, 3]])
    mask = Equal()(a, a)
    assert mask.dtype == torch.bool and mask.shape == (2, 3, 3)
    assert mask[0].tolist() == [[True, True, False], [True, True, False], [False, False, True]]


def test_blank_zeroes_padding() -> None:
    mask = torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0], [0, 1, 0, 1]], dtype=torch.bool)
    assert torch.equal(Blank()(X, mask=mask), X * mask.unsqueeze(-1)) and Blank()(X) is X
    assert torch.equal(Blank()(X[:, 2:], mask=mask), X[:, 2:] * mask[:, 2:, None])  # the mask covers all so far
    assert torch.equal(Blank()(X[..., 0], mask=mask), X[..., 0] * mask)


def test_squeeze_drops_one_feature() -> None:
    assert torch.equal(Squeeze()(X[..., :1]), X[..., 0]) and Squeeze()(X[:, :1, :1]).shape == (3, 1)


def test_concat_broadcasts_and_joins_masks() -> None:
    prefix = torch.ones(2, 5, dtype=torch.float64)
    along = Concat("positions")
    joined = along(prefix, X)
    assert joined.shape == (3, 6, 5) and torch.equal(joined[1, :2], prefix) and torch.equal(joined[:, 2:], X)
    mask = torch.rand(3, 4) > 0.5
    assert along.masks((prefix, X), (None, None)) is None
    both = along.masks((prefix, X), (None, mask))
    assert both is not None and both[:, :2].all() and torch.equal(both[:, 2:], mask)
    features = Concat()
    assert torch.equal(features(X, X[:, :1])[..., 5:], X[:, :1].expand(3, 4, 5))
    assert features.masks((X, X), (mask, None)) is mask
    with pytest.raises(ValueError, match="along is"):
        Concat("batch")


def test_split_takes_the_rest_and_cuts_masks() -> None:
    split = Split((1, None, 2), "positions")
    parts = split(X)
    assert [p.shape[1] for p in parts] == [1, 1, 2] and torch.equal(torch.cat(parts, 1), X)
    mask = torch.rand(3, 4) > 0.5
    cut = split.masks((X,), (mask,))
    assert torch.equal(torch.cat(cut, 1), mask)  # type: ignore[arg-type]
    assert split.masks((X,), (None,)) == (None, None, None)
    assert Split((2, 3)).masks((X,), (mask,)) == (mask, mask)
    assert [p.shape[-1] for p in Split((2, 3))(X)] == [2, 3]
    for sizes in ((9, None), (1, 1)):
        with pytest.raises(ValueError, match="do not split"):
            Split(sizes)(X)
    with pytest.raises(ValueError, match="only one"):
        Split((None, None))


def test_parameter_starts_as_told() -> None:
    assert torch.equal(Parameter((2, 3), "ones")(), torch.ones(2, 3))
    assert torch.equal(Parameter((2,), "zeros")(), torch.zeros(2))
    assert Parameter([], 2.6592)().item() == pytest.approx(2.6592) and Parameter([], 2)().shape == ()
    assert 0.01 < Parameter((1000,))().std() < 0.03
    with pytest.raises(ValueError, match="init is"):
        Parameter((1,), "uniform")


def test_pool() -> None:
    mask = torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0], [0, 0, 0, 0]], dtype=torch.bool)
    assert torch.equal(Pool("first")(X, mask=mask), X[:, 0])
    assert torch.equal(Pool(2)(X), X[:, 2]) and torch.equal(Pool(-1)(X), X[:, 3])
    assert torch.equal(Pool("last")(X), X[:, 3])
    assert torch.equal(Pool("last")(X, mask=mask), torch.stack([X[0, 3], X[1, 1], X[2, 0]]))
    assert torch.equal(Pool("mean")(X), X.mean(1)) and torch.equal(Pool("max")(X), X.amax(1))
    nothing = torch.zeros(5, dtype=torch.float64)
    assert torch.allclose(Pool("mean")(X, mask=mask), torch.stack([X[0].mean(0), X[1, :2].mean(0), nothing]))
    assert torch.equal(Pool("max")(X, mask=mask), torch.stack([X[0].amax(0), X[1, :2].amax(0), nothing]))
    ids = torch.tensor([[4, 9, 9, 0], [9, 1, 1, 9], [1, 2, 3, 4]])
    assert torch.equal(Pool("highest")(X, ids), torch.stack([row[i] for row, i in zip(X, ids.argmax(1), strict=True)]))
    assert torch.equal(Pool("token", token=9)(X, ids), torch.stack([X[0, 1], X[1, 0], X[2, 0]]))
    for bad in (("token", None), ("mean", 3), ("median", None)):
        with pytest.raises(ValueError, match="take"):
            Pool(*bad)
