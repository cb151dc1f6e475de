"""Decoding step by step, and in chunks of any size, equals one pass over the whole."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from blockgraph.blocks.attention import Attention
from blockgraph.blocks.positions import LearnedPositions, SinusoidalPositions
from blockgraph.blocks.recurrent import GRU, LSTM, RNN
from blockgraph.blocks.relative_bias import RelativeBias
from blockgraph.blocks.state import KeyValueCache, State

BATCH, LENGTH, SOURCE, WIDTH, HEADS = 3, 11, 6, 16, 4
CHUNKS = [[1] * LENGTH, [4, 1, 1, 5], [LENGTH], [1, 7, 3]]
CAUSAL: list[dict[str, Any]] = [
    {},
    {"rope": {}},
    {"rope": {"pairing": "interleaved", "fraction": 0.5}},
    {"alibi": {}},
    {"alibi": {"scaled": True, "rounded": True}},
    {"qk_norm": {"per_head": True}, "kv_heads": 2},
    {"window": 3},
    {"kv_heads": 2, "rope": {}},
    {"kv_heads": 1, "window": 4},
    {"window": 1},
    {"window": 3, "alibi": {}},
    {"window": 4, "rope": {}, "softcap": 2.0},
    {"window": 40},
    {"qk_norm": {"over": "head"}, "rope": {}},
    {"qk_norm": {"type": "layer_norm", "over": "all"}},
    {"softcap": 2.0},
    {"fused": False, "rope": {}},
]


def right_padded() -> Tensor:
    counts = torch.tensor([LENGTH, 4, 7])
    return torch.arange(LENGTH) < counts.unsqueeze(1)


def in_chunks(chunks: list[int]) -> list[slice]:
    starts = [sum(chunks[:n]) for n in range(len(chunks))]
    return [slice(start, start + size) for start, size in zip(starts, chunks, strict=True)]


@pytest.mark.parametrize("chunks", CHUNKS, ids=str)
@pytest.mark.parametrize("o", CAUSAL, ids=str)
@torch.no_grad()
def test_causal_attention(o: dict[str, Any], chunks: list[int]) -> None:
    torch.manual_seed(0)
    module = Attention(WIDTH, HEADS, causal=True, **o).eval()
    x, mask = torch.randn(BATCH, LENGTH, WIDTH), right_padded()
    whole, masked = module(x), module(x, key_mask=mask)
    cache, masked_cache = module.new_cache(BATCH, LENGTH), module.new_cache(BATCH, LENGTH)
    for part in in_chunks(chunks):
        assert torch.allclose(module(x[:, part], cache=cache), whole[:, part], atol=1e-5)
        step = module(x[:, part], key_mask=mask[:, : part.stop], cache=masked_cache)
        assert torch.allclose(step, masked[:, part], atol=1e-5)
    assert cache.length == LENGTH
    assert cache.numbers == 2 * BATCH * min(LENGTH, o.get("window", LENGTH)) * module.kv_heads * module.head_dim


@torch.no_grad()
def test_a_window_reads_its_part_of_every_mask_and_bias() -> None:
    torch.manual_seed(0)
    module = Attention(WIDTH, HEADS, causal=True, window=4).eval()
    x, bias = torch.randn(BATCH, LENGTH, WIDTH), torch.randn(BATCH, HEADS, LENGTH, LENGTH)
    mask = (torch.rand(BATCH, LENGTH, LENGTH) > 0.3) | torch.eye(LENGTH, dtype=torch.bool)
    whole = module(x, mask=mask, bias=bias)
    for chunks in CHUNKS:
        cache = module.new_cache(BATCH, LENGTH)
        for part in in_chunks(chunks):
            given = {"mask": mask[:, part, : part.stop], "bias": bias[:, :, part, : part.stop]}
            assert torch.allclose(module(x[:, part], **given, cache=cache), whole[:, part], atol=1e-5)


@torch.no_grad()
def test_a_window_goes_on_as_long_as_one_likes() -> None:
    torch.manual_seed(0)
    module = Attention(WIDTH, HEADS, causal=True, window=4, rope={}).eval()
    x = torch.randn(BATCH, 50, WIDTH)
    whole, cache = module(x), module.new_cache(BATCH, 50)
    for part in in_chunks([30, 1, 2, 9, 1, 7]):
        assert torch.allclose(module(x[:, part], cache=cache), whole[:, part], atol=1e-5)
    assert cache.numbers == 2 * BATCH * 4 * WIDTH


@pytest.mark.parametrize("chunks", CHUNKS, ids=str)
@pytest.mark.parametrize("o", [{}, {"rope": {}}, {"kv_heads": 2}, {"reads": "query,key,value", "bias": False}], ids=str)
@torch.no_grad()
def test_attention_to_a_source_projects_it_once(o: dict[str, Any], chunks: list[int]) -> None:
    torch.manual_seed(0)
    module = Attention(WIDTH, HEADS, **{"reads": "query,key"} | o).eval()
    x, source = torch.randn(BATCH, LENGTH, WIDTH), torch.randn(BATCH, SOURCE, WIDTH)
    sources = (source, source * 2) if o.get("reads") else (source,)
    mask = torch.rand(BATCH, SOURCE) > 0.3
    whole, cache = module(x, *sources, key_mask=mask), module.new_cache(BATCH, LENGTH)
    with pytest.raises(ValueError, match="first call"):
        module(x, cache=cache)
    for part in in_chunks(chunks):
        step = module(x[:, part], *(sources if part.start == 0 else ()), key_mask=mask, cache=cache)
        assert torch.allclose(step, whole[:, part], atol=1e-5)
    assert cache.numbers == 2 * BATCH * SOURCE * (module.kv_heads * module.head_dim)


@pytest.mark.parametrize("chunks", CHUNKS, ids=str)
@torch.no_grad()
def test_relative_bias_in_causal_attention(chunks: list[int]) -> None:
    torch.manual_seed(0)
    bias = RelativeBias(HEADS, buckets=8, max_distance=9, bidirectional=False)
    module = Attention(WIDTH, HEADS, causal=True, scale=1.0).eval()
    x = torch.randn(BATCH, LENGTH, WIDTH)
    whole = module(x, bias=bias(x))
    caches = bias.new_cache(BATCH, LENGTH), module.new_cache(BATCH, LENGTH)
    for part in in_chunks(chunks):
        step = module(x[:, part], bias=bias(x[:, part], cache=caches[0]), cache=caches[1])
        assert torch.allclose(step, whole[:, part], atol=1e-5)


@torch.no_grad()
def test_relative_bias_towards_a_source_remembers_its_length() -> None:
    bias = RelativeBias(HEADS)
    x, source = torch.randn(1, LENGTH, 2), torch.randn(1, SOURCE, 2)
    cache = bias.new_cache(1, LENGTH)
    first = bias(x[:, :4], source, cache=cache)
    rest = bias(x[:, 4:], cache=cache)
    assert torch.equal(torch.cat((first, rest), 2), bias(x, source))


@pytest.mark.parametrize("chunks", CHUNKS, ids=str)
@pytest.mark.parametrize("skip", [False, True])
@pytest.mark.parametrize("kind", ["learned", "sinusoidal"])
@torch.no_grad()
def test_positions(kind: str, skip: bool, chunks: list[int]) -> None:
    torch.manual_seed(0)
    module: LearnedPositions | SinusoidalPositions = (
        LearnedPositions(LENGTH, WIDTH, offset=2, skip_padding=skip)
        if kind == "learned"
        else SinusoidalPositions(WIDTH, offset=2, skip_padding=skip)
    )
    x, mask = torch.randn(BATCH, LENGTH, WIDTH), torch.rand(BATCH, LENGTH) > 0.3
    whole, cache = module(x, mask=mask), module.new_cache(BATCH, LENGTH)
    for part in in_chunks(chunks):
        step = module(x[:, part], mask=mask[:, : part.stop], cache=cache)
        assert torch.allclose(step, whole[:, part], atol=1e-6)


@pytest.mark.parametrize("chunks", CHUNKS, ids=str)
@pytest.mark.parametrize("kind", ["learned", "sinusoidal"])
@torch.no_grad()
def test_positions_count_from_each_beginning(kind: str, chunks: list[int]) -> None:
    torch.manual_seed(0)
    module: LearnedPositions | SinusoidalPositions = (
        LearnedPositions(LENGTH, WIDTH, offset=2) if kind == "learned" else SinusoidalPositions(WIDTH)
    )
    x, padding = torch.randn(BATCH, LENGTH, WIDTH), torch.tensor([0, 3, 1])
    state = State([module.new_cache(BATCH, LENGTH)], BATCH)
    state.pad_left(padding)
    found = [module(x[:, part], cache=state.caches[0]) for part in in_chunks(chunks)]
    for row, count in enumerate(padding.tolist()):
        alone = module(x[row : row + 1, count:])
        assert torch.allclose(torch.cat(found, 1)[row, count:], alone[0], atol=1e-6)


@pytest.mark.parametrize("chunks", CHUNKS, ids=str)
@pytest.mark.parametrize(
    "make", [lambda: LearnedPositions(LENGTH, WIDTH, 2, pad=1), lambda: SinusoidalPositions(WIDTH, offset=2, pad=1)]
)
@torch.no_grad()
def test_positions_that_count_ids(make: Any, chunks: list[int]) -> None:
    torch.manual_seed(0)
    module, x, ids = make(), torch.randn(BATCH, LENGTH, WIDTH), torch.randint(0, 3, (BATCH, LENGTH))
    whole, cache, order = module(x, ids), module.new_cache(BATCH, LENGTH), torch.tensor([2, 0, 2])
    for part in in_chunks(chunks):
        assert torch.allclose(module(x[:, part], ids[:, part], cache=cache), whole[:, part], atol=1e-6)
    assert cache.counts is not None and cache.numbers == BATCH
    counts = cache.counts.clone()
    cache.select(order)
    assert torch.equal(cache.counts, counts[order])


@pytest.mark.parametrize("chunks", CHUNKS, ids=str)
@pytest.mark.parametrize("kind", [RNN, LSTM, GRU])
@torch.no_grad()
def test_recurrent(kind: type[RNN | LSTM | GRU], chunks: list[int]) -> None:
    torch.manual_seed(0)
    module = kind(WIDTH, 8)
    x, mask = torch.randn(BATCH, LENGTH, WIDTH), right_padded()
    initial = torch.randn(BATCH, 8 * module.states)
    whole, final = module(x, initial, mask=mask)
    cache = module.new_cache(BATCH, LENGTH)
    assert cache.numbers == BATCH * 8 * module.states
    for part in in_chunks(chunks):
        out, last = module(x[:, part], initial, mask=mask[:, : part.stop], cache=cache)
        assert torch.allclose(out, whole[:, part], atol=1e-5)
    assert torch.allclose(last, final, atol=1e-5)


@torch.no_grad()
def test_select_follows_beams() -> None:
    """Rows are dropped, repeated and reordered half-way; what follows is as if they had been so from the start."""
    torch.manual_seed(0)
    blocks: dict[str, nn.Module] = {
        "attn": Attention(WIDTH, HEADS, causal=True, rope={}),
        "lstm": LSTM(WIDTH, WIDTH),
        "positions": LearnedPositions(LENGTH, WIDTH),
        "window": Attention(WIDTH, HEADS, causal=True, window=3),
    }
    cross = Attention(WIDTH, HEADS, reads="query,key")
    x, source = torch.randn(BATCH, LENGTH, WIDTH), torch.randn(BATCH, SOURCE, WIDTH)
    rows = torch.tensor([2, 0, 0, 2, 1])
    state = State({"layers": [{n: b.new_cache(BATCH, LENGTH) for n, b in blocks.items()}], "none": None}, BATCH)  # type: ignore[operator]
    state.caches["cross"] = cross.new_cache(BATCH, LENGTH)
    state.masks["x"] = torch.rand(BATCH, LENGTH) > 0.5
    state.kept = {"encoder": source, "bias": torch.randn(1, HEADS, 2, 2)}
    wanted_mask, bias = state.masks["x"][rows], state.kept["bias"]

    def step(part: slice, x: Tensor, source: Tensor | None) -> list[Tensor]:
        layer = state.caches["layers"][0]
        outs = [block(x[:, part], cache=layer[name]) for name, block in blocks.items()]
        outs[1] = outs[1][0]
        return [*outs, cross(x[:, part], source, cache=state.caches["cross"])]

    step(slice(0, 4), x, source)
    before = state.numbers
    state.select(rows)
    assert state.numbers == before * len(rows) // BATCH and state.batch == len(rows)
    assert torch.equal(state.masks["x"], wanted_mask) and state.kept["bias"] is bias
    assert torch.equal(state.kept["encoder"], source[rows])
    y = x[rows]
    whole = [
        blocks["attn"](y),
        blocks["lstm"](y)[0],
        blocks["positions"](y),
        blocks["window"](y),
        cross(y, source[rows]),
    ]
    for part in (slice(4, 5), slice(5, LENGTH)):
        for got, wanted in zip(step(part, y, None), whole, strict=True):
            assert torch.allclose(got, wanted[:, part], atol=1e-5)


def test_caches_count_their_numbers_and_refuse_what_does_not_fit() -> None:
    cache = KeyValueCache(2, 3, 5, 4, dtype=torch.bfloat16)
    assert cache.numbers == 2 * 2 * 3 * 5 * 4 and cache.nbytes == cache.numbers * 2
    new = torch.ones(2, 3, 4, 4)
    keys, _ = cache.update(new, new)
    assert keys.shape == (2, 3, 4, 4) and keys.data_ptr() == cache.keys.data_ptr()
    with pytest.raises(ValueError, match="holds 5 positions, and 8 are needed"):
        cache.update(new, new)
    with pytest.raises(ValueError, match="for 2 sequences, not for 1"):
        cache.update(new[:1, :, :1], new[:1, :, :1])
    state = State([cache], 2)
    assert not state.started and state.nbytes == cache.nbytes


def test_what_looks_ahead_refuses_a_cache() -> None:
    with pytest.raises(ValueError, match="not causal"):
        Attention(WIDTH, HEADS).new_cache(1, 4)
    with pytest.raises(ValueError, match="bidirectional"):
        LSTM(4, 4, bidirectional=True).new_cache(1, 4)
    with pytest.raises(ValueError, match="learned ones for 4 only"):
        LearnedPositions(4, WIDTH, offset=2)(torch.zeros(1, 5, WIDTH))
