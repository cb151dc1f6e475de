"""Sparse patterns: pair by pair from the papers, and every way of computing them against the mask over all pairs."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.attention.flex_attention import flex_attention

from blockgraph.blocks.attention import Attention
from blockgraph.blocks.banded import attend_in_blocks, attend_strided
from blockgraph.blocks.flex import FlexKernel
from blockgraph.blocks.linear_attention import LinearAttention
from blockgraph.blocks.linformer import LinformerAttention
from blockgraph.blocks.local_global_attention import LocalGlobalAttention
from blockgraph.blocks.plain import attend_plain
from blockgraph.blocks.sparse import BigBirdPattern, SparsePattern, StridedPattern, sparse_pattern

BATCH, HEADS, GROUPS, DIM = 2, 4, 2, 8


def near(o: dict[str, Any], i: int, j: int, causal: bool) -> bool:
    """Whether query i sees key j, as the papers say it."""
    kind, apart = o.get("type"), abs(i - j)
    if kind is None:
        return apart < o["window"] if causal else apart <= o["window"] // 2
    if kind == "dilated":
        reach = o["window"] - 1 if causal else o["window"] // 2
        return apart % o["dilation"] == 0 and apart // o["dilation"] <= reach
    if kind == "strided":
        return apart < o["stride"] or apart % o["stride"] == 0
    if kind == "fixed":
        return i // o["block"] == j // o["block"] or j % o["block"] in range(o["block"])[-o["summary"] :]
    return abs(i // o["block"] - j // o["block"]) <= o["reach"]


PATTERNS: list[dict[str, Any]] = [
    {"window": 5},
    {"window": 1},
    {"type": "dilated", "window": 5, "dilation": 3},
    {"type": "strided", "stride": 7},
    {"type": "fixed", "block": 6, "summary": 2},
    {"type": "blocks", "block": 5, "reach": 1},
    {"type": "blocks", "block": 4, "reach": 0},
]


def pattern_of(o: dict[str, Any], **shared: Any) -> SparsePattern:
    found = sparse_pattern(o if "type" in o else None, window=None if "type" in o else o["window"], **shared)
    assert found is not None
    return found


def whole(pattern: SparsePattern, length: int) -> Tensor:
    i = torch.arange(length)
    return pattern.sees(i.unsqueeze(1), i, length)


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("o", PATTERNS, ids=str)
def test_every_pair_is_seen_as_the_paper_says(o: dict[str, Any], causal: bool) -> None:
    for first in (0, 3):
        found = whole(pattern_of(o, causal=causal, global_tokens=first), 23)
        for i in range(23):
            for j in range(23):
                wanted = (near(o, i, j, causal) or i < first or j < first) and (j <= i or not causal)
                assert found[i, j] == wanted, (i, j)


def drawn(length: int, heads: int = HEADS, groups: int = GROUPS) -> tuple[Tensor, Tensor, Tensor]:
    q = torch.randn(BATCH, length, heads, DIM, dtype=torch.float64).transpose(1, 2)
    k, v = (torch.randn(BATCH, length, groups, DIM, dtype=torch.float64).transpose(1, 2) for _ in "kv")
    return q.requires_grad_(), k.requires_grad_(), v.requires_grad_()


def plain(q: Tensor, k: Tensor, v: Tensor, visible: Tensor | None, bias: Tensor | None) -> Tensor:
    return attend_plain(q, k, v, scale=0.3, visible=visible, bias=bias)


def padding(length: int) -> Tensor:
    """One text padded on the left, one on the right."""
    i = torch.arange(length)
    return torch.stack((i >= 11, i < length - 9))


@pytest.mark.parametrize("padded", [True, False])
@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("o", [*PATTERNS, {"window": 70}, {"type": "dilated", "window": 40, "dilation": 2}], ids=str)
def test_blocks_equal_the_mask_over_all_pairs(o: dict[str, Any], causal: bool, padded: bool) -> None:
    torch.manual_seed(0)
    for length, first in ((64, 0), (101, 0), (101, 5)):
        pattern = pattern_of(o, causal=causal, global_tokens=first)
        if isinstance(pattern, StridedPattern) and first:
            continue
        given, real = drawn(length), padding(length) if padded else None
        visible = whole(pattern, length)
        wanted = plain(*given, visible if real is None else visible & real[:, None, None], None)
        if isinstance(pattern, StridedPattern):
            found = attend_strided(*given, pattern, scale=0.3, real=real)
        else:
            found = attend_in_blocks(*given, pattern, plain, real=real)
        check(found, wanted, given)


def check(found: Tensor, wanted: Tensor, given: tuple[Tensor, ...]) -> None:
    """Outputs and gradients agree."""
    torch.testing.assert_close(found, wanted, atol=1e-9, rtol=0)
    target = torch.randn_like(wanted)
    for one, other in zip(
        torch.autograd.grad((found * target).sum(), given),
        torch.autograd.grad((wanted * target).sum(), given),
        strict=True,
    ):
        torch.testing.assert_close(one, other, atol=1e-9, rtol=0)


@pytest.mark.parametrize("padded", [True, False])
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(("block", "random"), [(4, 1), (3, 2), (4, 0)])
def test_bigbird_in_blocks_equals_the_mask(block: int, random: int, training: bool, padded: bool) -> None:
    torch.manual_seed(0)
    pattern = BigBirdPattern(block, random)
    length = pattern.block * (5 + 2 * random) + 2
    assert pattern.active(length) and not pattern.active(length - 2)
    given, real = drawn(length), padding(length) if padded else None
    chosen = pattern.draw(length, torch.device("cpu")) if training else None
    i = torch.arange(length)
    visible, bias = whole(pattern, length), pattern.bias(i.unsqueeze(1), i, length)
    if chosen is not None:
        bias = None
        for own, others in enumerate(chosen.tolist()):
            assert len(set(others)) == random and (own in (0, len(chosen) - 1) or not {0, len(chosen) - 1} & {*others})
            for other in others:
                assert own in (0, len(chosen) - 1) or abs(own - other) > 1
                visible[own * block : (own + 1) * block, other * block : (other + 1) * block] = True
    wanted = plain(*given, visible if real is None else visible & real[:, None, None], bias)
    check(attend_in_blocks(*given, pattern, plain, real=real, chosen=chosen), wanted, given)


MODULES: list[dict[str, Any]] = [
    {"window": 20},
    {"window": 20, "softcap": 2.0, "sinks": True, "kv_heads": 2, "rope": {}},
    {"window": 20, "global_tokens": 3},
    {"sparse": {"type": "dilated", "window": 9, "dilation": 2}, "global_tokens": 2},
    {"sparse": {"type": "strided", "stride": 16}},
    {"sparse": {"type": "fixed", "block": 16, "summary": 2}},
    {"sparse": {"type": "blocks", "block": 16, "reach": 1}, "kv_heads": 2},
    {"sparse": {"type": "bigbird", "block": 8, "random": 2}, "causal": False},
]


@pytest.mark.parametrize("o", MODULES, ids=str)
def test_modules_choose_blocks_for_long_texts_and_give_the_same(o: dict[str, Any], monkeypatch: Any) -> None:
    torch.manual_seed(0)
    module = Attention(32, 4, **({"causal": True} | o))
    sparse = module.sparse
    assert sparse is not None
    x, real = torch.randn(2, 300, 32, requires_grad=True), torch.ones(2, 300, dtype=torch.bool)
    real[0, 280:] = False
    q = module.project(x, None, None)[0]
    assert sparse.pays(q, q) and not sparse.pays(q[:, :, :255], q[:, :, :255])
    for key_mask in (None, real):
        found = []
        for pays in (True, False):
            monkeypatch.setattr(type(sparse), "pays", lambda *_, pays=pays: pays)
            torch.manual_seed(1)  # for the blocks that BigBird draws
            out = module(x, key_mask=key_mask)
            found.append((out, *torch.autograd.grad(out.square().sum(), [x, module.out_weight])))
        for one, other in zip(*found, strict=True):
            torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("o", [o for o in MODULES if o.get("causal", True)], ids=str)
@torch.no_grad()
def test_decoding_step_by_step_equals_one_pass(o: dict[str, Any]) -> None:
    torch.manual_seed(0)
    module = Attention(32, 4, causal=True, **o).eval()
    x = torch.randn(2, 300, 32)
    cache = module.new_cache(2, 300)
    parts = [x[:, :260], x[:, 260:263], *x[:, 263:].split(1, dim=1)]
    found = torch.cat([module(part, cache=cache) for part in parts], dim=1)
    torch.testing.assert_close(found, module(x), atol=1e-5, rtol=1e-5)


@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")
@pytest.mark.parametrize("o", [*PATTERNS[::2], {"type": "bigbird", "block": 8, "random": 2}], ids=str)
@torch.no_grad()
def test_the_gpu_kernel_is_given_the_same_rule(o: dict[str, Any]) -> None:
    """FlexAttention, uncompiled: what is compiled for a GPU, written out by its library."""
    torch.manual_seed(0)
    shared: dict[str, Any] = {} if o.get("type") == "bigbird" else {"causal": True, "global_tokens": 2}
    pattern, length = pattern_of(o, **shared), 128
    q, k, v = (x.detach().float() for x in drawn(length))
    kernel, i = pickle.loads(pickle.dumps(copy.deepcopy(FlexKernel(pattern)))), torch.arange(length)
    for real in (None, padding(length)):
        visible, bias = whole(pattern, length), pattern.bias(i.unsqueeze(1), i, length)
        wanted = plain(q, k, v, visible if real is None else visible & real[:, None, None], bias)
        torch.testing.assert_close(kernel(q, k, v, scale=0.3, real=real), wanted, atol=1e-5, rtol=1e-5)
    assert len(kernel.masks) == 1
    assert kernel._kernel(torch.device("cpu")) is flex_attention


def test_padding_before_a_text_shifts_patterns_that_count_from_its_first_position() -> None:
    def pads(**o: Any) -> bool:
        return bool(Attention(32, 4, causal=True, **o).new_cache(1, 300).pads_left)

    assert pads(window=20) and pads(sparse=PATTERNS[2]) and pads(sparse=PATTERNS[3])
    assert not (pads(sparse=PATTERNS[4]) or pads(sparse=PATTERNS[5]) or pads(window=20, global_tokens=1))


def test_unknown_types_are_refused() -> None:
    with pytest.raises(ValueError, match="not 'diagonal'"):
        Attention(16, 4, sparse={"type": "diagonal"})


def test_patterns_print_what_they_are() -> None:
    assert "window=5 dilation=2" in repr(Attention(16, 4, sparse={"type": "dilated", "window": 5, "dilation": 2}))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("o", MODULES, ids=str)
def test_on_a_gpu_the_kernel_equals_the_mask(o: dict[str, Any]) -> None:
    torch.manual_seed(0)
    module = Attention(64, 4, **({"causal": True} | o)).cuda().eval()
    x, real = torch.randn(2, 384, 64, device="cuda", requires_grad=True), torch.ones(2, 384, dtype=torch.bool).cuda()
    real[0, 300:] = False
    for key_mask in (None, real):
        fast = module(x, key_mask=key_mask)
        slow = copy.deepcopy(module).cpu()(x.cpu(), key_mask=None if key_mask is None else key_mask.cpu())
        torch.testing.assert_close(fast.cpu(), slow, atol=1e-3, rtol=1e-3)
        assert torch.isfinite(torch.autograd.grad(fast.sum(), x)[0]).all()


@pytest.mark.parametrize(
    "make",
    [
        lambda: Attention(16, 2, window=20, causal=True),
        lambda: Attention(16, 2, sparse={"type": "strided", "stride": 8}, causal=True, global_tokens=2),
        lambda: Attention(16, 2, sparse={"type": "bigbird", "block": 8, "random": 1}),
        lambda: LinearAttention(16, 2, causal=True),
        lambda: LinformerAttention(16, 2, 512, 8),
        lambda: LocalGlobalAttention(16, 2, 8),
    ],
    ids=["window", "strided", "bigbird", "linear", "linformer", "local_global"],
)
@torch.no_grad()
def test_one_exported_graph_serves_short_and_long_texts(make: Any) -> None:
    torch.manual_seed(0)
    module = make().eval()
    lengths = torch.export.Dim("T", min=2, max=511)
    graph = torch.export.export(module, (torch.randn(2, 70, 16),), dynamic_shapes=({1: lengths},)).module()
    for length in (5, 300):
        x = torch.randn(2, length, 16)
        torch.testing.assert_close(graph(x), module(x), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("o", [MODULES[4], MODULES[7]], ids=str)
def test_blocks_compile_whole(o: dict[str, Any]) -> None:
    torch._dynamo.reset()
    module = Attention(32, 4, **({"causal": True} | o)).eval()
    x = torch.randn(2, 300, 32)
    compiled = torch.compile(module, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(x), module(x), atol=1e-5, rtol=1e-5)
    torch._dynamo.reset()
