"""Which position gets which vector."""

from __future__ import annotations

import math

import pytest
import torch

from blockgraph.blocks.positions import LearnedPositions, SinusoidalPositions, position_rows
from blockgraph.blocks.relative_bias import RelativeBias, distance_buckets

MASK = torch.tensor([[1, 1, 1, 0], [0, 1, 1, 1], [1, 0, 1, 0]], dtype=torch.bool)


@pytest.mark.parametrize("endpoint", [False, True])
@pytest.mark.parametrize("layout", ["interleaved", "halves"])
@pytest.mark.parametrize("width", [6, 8])
def test_sinusoids_follow_the_formula(width: int, layout: str, endpoint: bool) -> None:
    module = SinusoidalPositions(width, layout, endpoint, theta=500.0, offset=3, length=2)
    out = module(torch.zeros(1, 5, width, dtype=torch.float64))[0]
    for t in range(5):
        for n in range(width // 2):
            frequency = 500.0 ** -(n / (width // 2 - 1) if endpoint else 2 * n / width)
            places = (2 * n, 2 * n + 1) if layout == "interleaved" else (n, n + width // 2)
            for place, wanted in zip(places, (math.sin, math.cos), strict=True):
                assert out[t, place].item() == pytest.approx(wanted((t + 3) * frequency), abs=1e-12)


def test_sinusoids_take_the_inputs_dtype_and_grow() -> None:
    module = SinusoidalPositions(8)
    short = module(torch.zeros(1, 3, 8))
    long = module(torch.zeros(1, 300, 8))
    assert torch.equal(long[:, :3], short)
    assert module(torch.zeros(1, 3, 8, dtype=torch.bfloat16)).dtype == torch.bfloat16
    assert module(torch.zeros(1, 3, 8, device="meta")).is_meta
    assert torch.equal(module(torch.zeros(1, 3, 8)), short)
    assert not module.state_dict()


def test_odd_widths_end_with_a_sine() -> None:
    out = SinusoidalPositions(5)(torch.zeros(1, 2, 5, dtype=torch.float64))[0, 1]
    assert out[4].item() == pytest.approx(math.sin(1e4 ** (-4 / 5)))


def test_rows_when_padding_is_not_counted() -> None:
    opt = position_rows(MASK, 2)
    assert opt.tolist() == [[2, 3, 4, 1], [1, 2, 3, 4], [2, 1, 3, 1]]
    ids = torch.where(MASK, 7, 1)  # RoBERTa: cumsum(id != pad) · (id != pad) + pad, with pad = 1 and offset = pad + 1
    roberta = (ids != 1).long().cumsum(1) * (ids != 1) + 1
    assert torch.equal(opt, roberta)
    assert position_rows(MASK, 0)[MASK].tolist() == [0, 1, 2, 0, 1, 2, 0, 1]
    assert position_rows(MASK, 0).min() == 0


def test_learned_positions_add_rows_of_the_table() -> None:
    torch.manual_seed(0)
    plain, skipping = LearnedPositions(4, 3, offset=2), LearnedPositions(4, 3, offset=2, skip_padding=True)
    skipping.load_state_dict(plain.state_dict())
    x = torch.randn(3, 4, 3)
    assert plain.weight.shape == (6, 3)
    assert torch.equal(plain(x, mask=MASK), x + plain.weight[2:6])
    assert torch.equal(skipping(x), plain(x))
    assert torch.equal(skipping(x, mask=MASK), x + skipping.weight[position_rows(MASK, 2)])
    plain(x).sum().backward()
    assert plain.weight.grad is not None and plain.weight.grad[:2].abs().sum() == 0


def test_ids_say_what_is_counted_whatever_the_mask_says() -> None:
    """RoBERTa's rule, and M2M-100's, whose table has zeros for padding."""
    torch.manual_seed(0)
    ids, x = torch.where(MASK, 7, 1), torch.randn(3, 4, 6)
    rows = position_rows(MASK, 2)
    learned, waves = LearnedPositions(4, 6, offset=2, pad=1), SinusoidalPositions(6, offset=2, pad=1)
    assert torch.equal(learned(x, ids, mask=~MASK), x + learned.weight[rows])
    table = waves.compute(8, x)
    assert torch.equal(waves(x, ids), x + table[rows] * MASK.unsqueeze(-1))
    assert torch.equal(learned(x), x + learned.weight[2:6])
    assert "pad=1" in repr(learned) and "pad=1" in repr(waves)


def bucket(distance: int, buckets: int, furthest: int, both: bool) -> int:
    """T5's rule for one pair."""
    first = 0
    if both:
        buckets //= 2
        first, distance = (buckets if distance > 0 else 0), abs(distance)
    else:
        distance = max(-distance, 0)
    exact = buckets // 2
    if distance < exact:
        return first + distance
    far = exact + int(math.log(distance / exact) / math.log(furthest / exact) * (buckets - exact))
    return first + min(far, buckets - 1)


@pytest.mark.parametrize("both", [False, True])
@pytest.mark.parametrize(("buckets", "furthest"), [(32, 128), (8, 20), (4, 3)])
def test_relative_buckets_are_t5s(buckets: int, furthest: int, both: bool) -> None:
    distances = torch.arange(-200, 201)
    got = distance_buckets(distances, buckets, furthest, both).tolist()
    wanted = [bucket(d, buckets, furthest, both) for d in distances.tolist()]
    # a power of the base is a tie that float32 and float64 may round differently
    assert sum(a != b for a, b in zip(got, wanted, strict=True)) <= 4
    assert all(abs(a - b) <= 1 for a, b in zip(got, wanted, strict=True))
    assert min(got) == 0 and max(got) == max(wanted) < buckets


def test_relative_bias_reads_lengths_and_its_table() -> None:
    torch.manual_seed(0)
    module = RelativeBias(3, buckets=8, max_distance=20)
    out = module(torch.zeros(2, 4, dtype=torch.long), torch.zeros(2, 6, 5))
    assert out.shape == (1, 3, 4, 6)
    assert torch.equal(out[0, :, 1, 3], module.weight[bucket(2, 8, 20, True)])
    assert module(torch.zeros(1, 4, 5)).shape == (1, 3, 4, 4)
