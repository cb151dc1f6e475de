"""Attention against a reference that is written from the papers, pair by pair, in float64."""

from __future__ import annotations

import copy
import math
import pickle
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from blockgraph.blocks.alibi import LinearBiases, alibi_slopes
from blockgraph.blocks.attention import Attention
from blockgraph.blocks.rope import RotaryPositions

BATCH, QUERIES, KEYS, WIDTH, HEADS = 2, 6, 5, 16, 4


def rotated(x: Tensor, rope: dict[str, Any], start: int = 0) -> Tensor:
    """[B, H, T, D] turned pair by pair as complex numbers."""
    d = int(x.shape[-1] * rope.get("fraction", 1.0))
    x = x.clone()
    for n in range(d // 2):
        a, b = (n, n + d // 2) if rope.get("pairing", "halves") == "halves" else (2 * n, 2 * n + 1)
        angles = torch.arange(start, start + x.shape[2], dtype=torch.float64) / rope.get("factor", 1.0)
        angles = angles * rope.get("theta", 1e4) ** (-2 * n / d)
        pair = torch.complex(x[..., a], x[..., b]) * torch.polar(torch.ones_like(angles), angles)
        x[..., a], x[..., b] = pair.real, pair.imag
    return x


def normed(x: Tensor, weights: dict[str, Tensor], name: str, options: dict[str, Any]) -> Tensor:
    if options["type"] == "layer_norm":
        x = x - x.mean(-1, keepdim=True)
    x = x / torch.sqrt((x * x).mean(-1, keepdim=True) + options["eps"])
    weight, bias = weights[f"{name}.weight"], weights.get(f"{name}.bias", torch.zeros(()))
    if options.get("per_head"):  # x is [B, H, T, D]
        weight, bias = weight.unsqueeze(1), bias.unsqueeze(1) if bias.dim() else bias
    return x * (weight + options.get("offset", 0.0)) + bias


def slope(head: int, heads: int) -> float:
    """BLOOM's code, in its own words."""
    closest = 2 ** math.floor(math.log2(heads))
    if head < closest:
        return (2 ** -(2 ** -(math.log2(closest) - 3))) ** (head + 1)
    return (2 ** -(2 ** -(math.log2(2 * closest) - 3))) ** (1 + 2 * (head - closest))


def mpt_slopes(heads: int) -> list[float]:
    """MPT's code, in its own words."""
    power = 2 ** math.ceil(math.log2(heads))
    slopes = 1.0 / torch.pow(2, torch.arange(1, power + 1, dtype=torch.float64) * (8 / power))
    return (slopes if power == heads else torch.cat([slopes[1::2], slopes[::2]]))[:heads].tolist()


def linear_bias(o: dict[str, Any], head: int, i: int, j: int, real: Tensor | None) -> float:
    """ALiBi's term for query i and key j; `real` [K] are the real tokens."""
    if not o.get("rounded"):
        return slope(head, HEADS) * (j - i)
    place = j if real is None else int((real.cumsum(0)[j] - 1) * real[j])
    return float(torch.tensor(slope(head, HEADS)).bfloat16() * place)


def reference(
    weights: dict[str, Tensor],
    o: dict[str, Any],
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None = None,
    bias: Tensor | None = None,
    key_mask: Tensor | None = None,
) -> Tensor:
    heads, groups = HEADS, o.get("kv_heads") or HEADS
    d = o.get("head_dim") or WIDTH // HEADS
    parts = {}
    for name, x, count in (("query", query, heads), ("key", key, groups), ("value", value, groups)):
        flat = x @ weights[f"{name}.weight"].T + weights.get(f"{name}.bias", 0.0)
        norm = o.get("qk_norm") if name != "value" else None
        if norm and norm["over"] == "all":
            flat = normed(flat, weights, f"{name}_norm", norm)
        clip = o.get("clip") or math.inf
        split = flat.unflatten(-1, (count, d)).transpose(1, 2)
        if norm and norm["over"] == "head":
            split = normed(split, weights, f"{name}_norm", norm)
        split = split.clamp(-clip, clip)
        parts[name] = rotated(split, o["rope"]) if o.get("rope") is not None and name != "value" else split
    scale = o["scale"] if o.get("scale") is not None else d**-0.5
    out = []
    for b in range(query.shape[0]):
        for i in range(query.shape[1]):
            for h in range(heads):
                g = h // (heads // groups)
                scores = []
                for j in range(key.shape[1]):
                    s = scale * (parts["query"][b, h, i] @ parts["key"][b, g, j])
                    if o.get("softcap"):
                        s = o["softcap"] * torch.tanh(s / o["softcap"])
                    if o.get("alibi") is not None:
                        real = None if key_mask is None else key_mask[b]
                        s = s + linear_bias(o["alibi"], h, i, j, real) * (scale if o["alibi"].get("scaled") else 1)
                    if bias is not None:
                        s = s + (bias[b, i, j] if bias.dim() == 3 else bias[b % len(bias), h, i, j])
                    shown = not o.get("causal") or j <= i
                    if o.get("window"):
                        near = j > i - o["window"] if o.get("causal") else abs(i - j) <= o["window"] // 2
                        shown = shown and near
                    shown = shown and (key_mask is None or bool(key_mask[b, j]))
                    if mask is not None:
                        shown = shown and bool(mask[b, i, j] if mask.dim() == 3 else mask[b % len(mask), h, i, j])
                    if shown:
                        scores.append((j, s))
                mixed = torch.zeros(d, dtype=torch.float64)
                if scores:
                    sink = [weights["sinks"][h]] if o.get("sinks") else []
                    share = torch.softmax(torch.stack([s for _, s in scores] + sink), 0)[: len(scores)]
                    mixed = sum((p * parts["value"][b, g, j] for p, (j, _) in zip(share, scores, strict=True)), mixed)
                out.append(mixed)
    joined = torch.stack(out).view(query.shape[0], query.shape[1], heads * d)
    return joined @ weights["out.weight"].T + weights.get("out.bias", 0.0)


rope_options = st.fixed_dictionaries(
    {},
    optional={
        "theta": st.sampled_from([100.0, 1e4]),
        "fraction": st.sampled_from([0.5, 1.0]),
        "pairing": st.sampled_from(["halves", "interleaved"]),
    },
) | st.just({"type": "linear", "factor": 2.5})
norm_options = (
    st.fixed_dictionaries(
        {"type": st.just("rms_norm"), "over": st.sampled_from(["head", "all"]), "eps": st.just(1e-2)},
        optional={"offset": st.sampled_from([0.0, 1.0])},
    )
    | st.fixed_dictionaries(
        {"type": st.sampled_from(["rms_norm", "layer_norm"]), "over": st.just("head"), "eps": st.just(1e-2)},
        optional={"per_head": st.just(True)},
    )
    | st.fixed_dictionaries(
        {
            "type": st.just("layer_norm"),
            "over": st.sampled_from(["head", "all"]),
            "eps": st.just(1e-2),
            "bias": st.booleans(),
        },
    )
)
bias_options = st.booleans() | st.fixed_dictionaries({n: st.booleans() for n in ("query", "key", "value", "out")})
options = st.fixed_dictionaries(
    {"reads": st.sampled_from(["query", "query,key", "query,key,value"]), "causal": st.booleans()},
    optional={
        "kv_heads": st.sampled_from([1, 2, 4]),
        "head_dim": st.sampled_from([4, 8]),
        "bias": bias_options,
        "window": st.sampled_from([1, 2, 3, 20]),
        "scale": st.sampled_from([1.0, 0.3]),
        "softcap": st.just(0.7),
        "sinks": st.just(True),
        "clip": st.just(0.4),
        "rope": rope_options,
        "alibi": st.sampled_from([{}, {"scaled": True}, {"scaled": True, "rounded": True}]),
        "qk_norm": norm_options,
        "fused": st.booleans(),
    },
)
given_masks = st.tuples(st.sampled_from([None, 3, 4]), st.sampled_from([None, 3, 4]), st.booleans())


def make(o: dict[str, Any], seed: int) -> tuple[Attention, dict[str, Tensor]]:
    """A double module whose every weight is random, and its weights by canonical name."""
    torch.manual_seed(seed)
    widths = {"query": {}, "query,key": {"key_width": 12}, "query,key,value": {"key_width": 12, "value_width": 10}}
    module = Attention(WIDTH, HEADS, **widths[o["reads"]], **o).double().eval()
    with torch.no_grad():
        for weight in module.parameters():
            weight.copy_(torch.randn_like(weight) * 0.5)
    return module, {name: tensor.detach().clone() for name, tensor in module.state_dict().items()}


def inputs(o: dict[str, Any], rank_mask: int | None, rank_bias: int | None, padded: bool) -> dict[str, Any]:
    query = torch.randn(BATCH, QUERIES, WIDTH, dtype=torch.float64)
    keys = QUERIES if o["reads"] == "query" else KEYS
    found: dict[str, Any] = {"query": query}
    if o["reads"] != "query":
        found["key"] = torch.randn(BATCH, KEYS, 12, dtype=torch.float64)
    if o["reads"] == "query,key,value":
        found["value"] = torch.randn(BATCH, KEYS, 10, dtype=torch.float64)
    shapes = {3: (BATCH, QUERIES, keys), 4: (1, HEADS, QUERIES, keys)}
    if rank_mask:
        found["mask"] = torch.rand(shapes[rank_mask]) > 0.4
    if rank_bias:
        found["bias"] = torch.randn(shapes[rank_bias], dtype=torch.float64)
    if padded:
        found["key_mask"] = torch.rand(BATCH, keys) > 0.3
    return found


@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(o=options, masks=given_masks, seed=st.integers(0, 999))
def test_every_combination_equals_the_reference(o: dict[str, Any], masks: Any, seed: int) -> None:
    module, weights = make(o, seed)
    given = inputs(o, *masks)
    full = {"key": given["query"]} | given
    full = {"value": full["key"]} | full
    wanted = reference(weights, o, **full)
    assert torch.allclose(module(**given), wanted, atol=2e-6, rtol=0)  # rope's angles are float32
    module.written_out = True
    assert torch.allclose(module(**given), wanted, atol=2e-6, rtol=0)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(o=options, masks=given_masks, seed=st.integers(0, 999))
def test_gradients_of_the_kernel_are_those_of_the_plain_path(o: dict[str, Any], masks: Any, seed: int) -> None:
    module, _ = make(o, seed)
    given = inputs(o, *masks)
    learned = [t.requires_grad_() for t in given.values() if t.dtype == torch.float64]
    learned += list(module.parameters())
    target = torch.randn(BATCH, QUERIES, WIDTH, dtype=torch.float64)
    found = []
    for module.written_out in ("softcap" in o or "sinks" in o, True):
        found.append(torch.autograd.grad((module(**given) * target).sum(), learned))
    for fast, plain in zip(*found, strict=True):
        assert torch.isfinite(fast).all()
        assert torch.allclose(fast, plain, atol=1e-10, rtol=1e-8)


@pytest.mark.parametrize("o", [{}, {"causal": True}, {"causal": True, "kv_heads": 2, "rope": {}}, {"window": 3}])
def test_float32_and_bfloat16_stay_near_float64(o: dict[str, Any]) -> None:
    module, _ = make({"reads": "query", **o}, 1)
    x = torch.randn(BATCH, QUERIES, WIDTH, dtype=torch.float64)
    exact = module(x)
    assert (module.float()(x.float()) - exact).abs().max() < 1e-4
    low = module.bfloat16()(x.bfloat16())
    assert low.dtype == torch.bfloat16 and (low - exact).abs().max() < 0.05 * exact.abs().max()


def test_a_query_that_sees_nothing_gives_only_the_output_bias() -> None:
    module, weights = make({"reads": "query"}, 0)
    nothing = torch.zeros(BATCH, QUERIES, dtype=torch.bool)
    for module.written_out in (False, True):
        out = module(torch.randn(BATCH, QUERIES, WIDTH, dtype=torch.float64), key_mask=nothing)
        assert torch.equal(out, weights["out.bias"].expand_as(out))


def test_slopes_are_the_published_ones() -> None:
    assert alibi_slopes(8) == [2.0**-h for h in range(1, 9)]
    for heads in (1, 2, 3, 6, 12, 71):
        assert alibi_slopes(heads) == pytest.approx([slope(h, heads) for h in range(heads)])
        assert alibi_slopes(heads) == pytest.approx(mpt_slopes(heads))


def test_rounded_biases_are_falcons() -> None:
    """slope · j in bfloat16: with 12 heads neither slopes nor products have so few digits."""
    mask = torch.tensor([[False, True, True, True], [True, True, False, True]])
    biases = LinearBiases(12, rounded=True)(0, 4, torch.arange(4), mask)
    slopes = torch.tensor([slope(h, 12) for h in range(12)]).bfloat16()
    places = torch.tensor([[0, 0, 1, 2], [0, 1, 0, 2]])
    assert torch.equal(biases[:, :, 0], (slopes[None, :, None] * places[:, None]).float())


def test_dropout_falls_on_probabilities_while_training_only() -> None:
    torch.manual_seed(0)
    module = Attention(WIDTH, HEADS, dropout=0.5)
    x = torch.randn(1, 64, WIDTH)
    assert not torch.equal(module(x), module(x))
    with torch.no_grad():
        mean = torch.stack([module(x) for _ in range(800)]).mean(0)
        module.eval()
        assert torch.equal(module(x), module(x))
        assert (mean - module(x)).std() < 0.05 * module(x).std()


def test_bad_arguments_say_what_is_wrong() -> None:
    with pytest.raises(ValueError, match="3 key heads do not divide 4 heads"):
        Attention(16, 4, kv_heads=3)
    with pytest.raises(ValueError, match="reads is query"):
        Attention(16, 4, reads="key")
    with pytest.raises(ValueError, match="not 'axial'"):
        Attention(16, 4, rope={"type": "axial"})
    with pytest.raises(ValueError, match="an even number"):
        Attention(12, 4, rope={})
    with pytest.raises(ValueError, match="qk_norm is"):
        Attention(16, 4, qk_norm={"type": "batch_norm"})


def test_derived_buffers_survive_meta_bfloat16_copies_and_pickles() -> None:
    o: dict[str, Any] = {"causal": True, "rope": {"theta": 500.0}, "alibi": {}, "window": 3}
    torch.manual_seed(0)
    module = Attention(WIDTH, HEADS, **o)
    x = torch.randn(1, 9, WIDTH)
    wanted = module(x)
    with torch.device("meta"):
        hollow = Attention(WIDTH, HEADS, **o)
    assert hollow(x.to("meta")).shape == x.shape
    emptied = copy.deepcopy(hollow).to_empty(device="cpu")
    emptied.load_state_dict(module.state_dict())
    hollow.load_state_dict(module.state_dict(), assign=True)
    there_and_back = copy.deepcopy(module).bfloat16().float()
    there_and_back.load_state_dict(module.state_dict())
    for same in (emptied, hollow, there_and_back, copy.deepcopy(module), pickle.loads(pickle.dumps(module))):
        assert torch.equal(same(x), wanted)


def test_rope_depends_on_distance_only_and_grows_its_table() -> None:
    rope = RotaryPositions(8, pairing="interleaved")
    q, k = torch.randn(1, 1, 1, 8), torch.randn(1, 1, 1, 8)
    near = (rope(q, 3) * rope(k, 1)).sum()
    far = (rope(q, 1003) * rope(k, 1001)).sum()
    assert torch.allclose(near, far, atol=1e-3)
    with torch.inference_mode():
        rope(q, 5000)
    q.requires_grad_()
    rope(q, 4000).sum().backward()  # a table made in inference mode would refuse this
    assert q.grad is not None


VARIANTS = [
    [{"causal": True, "window": 2 + layer} for layer in range(12)],
    [{"causal": True, "rope": {"theta": 1e4 + layer}} for layer in range(12)],
    [{"causal": True, "scale": 0.1 + layer} for layer in range(12)],
    [{"causal": True, "dropout": 0.01 * (layer + 1)} for layer in range(12)],
    [{"causal": True, "rope": {"type": "linear", "factor": 1.0 + layer}} for layer in range(12)],
    [{"causal": True, "clip": 0.5 + layer} for layer in range(12)],
    [{"causal": True, "rope": {"type": "dynamic", "factor": 2.0 + layer, "original_length": 3}} for layer in range(12)],
    [
        {
            "causal": True,
            "rope": {
                "type": "longrope",
                "short_factor": [1.0, 2.0],
                "long_factor": [3.0, 4.0 + layer],
                "original_length": 3 + layer,
                "attention_factor": 1.0 + layer,
            },
        }
        for layer in range(12)
    ],
]


@pytest.mark.parametrize("layers", VARIANTS, ids=lambda layers: "-".join(layers[1]))
def test_twelve_layers_that_differ_in_a_number_compile_without_recompiling_twelve_times(layers: Any) -> None:
    torch._dynamo.reset()
    modules = [Attention(WIDTH, HEADS, **o).train() for o in layers]
    x = torch.randn(1, 7, WIDTH)
    with torch._dynamo.config.patch(fail_on_recompile_limit_hit=True):
        compiled = torch.compile(lambda m, x: m(x), fullgraph=True, backend="aot_eager")
        for module in modules:
            fast = compiled(module, x)
            assert module.dropout or torch.allclose(fast, module(x), atol=1e-5)
    torch._dynamo.reset()
