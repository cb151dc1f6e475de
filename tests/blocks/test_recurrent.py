"""RNN, LSTM and GRU against torch's own modules and against one row at a time."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from blockgraph.blocks.recurrent import GRU, LSTM, RNN, Recurrent

KINDS = [(RNN, nn.RNN), (LSTM, nn.LSTM), (GRU, nn.GRU)]
COUNTS = [6, 2, 4, 0]


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize(("ours", "theirs"), KINDS)
def test_equals_torchs_module(ours: Any, theirs: Any, bidirectional: bool) -> None:
    torch.manual_seed(0)
    mine, other = ours(5, 3, bidirectional), theirs(5, 3, batch_first=True, bidirectional=bidirectional)
    other.load_state_dict(
        {
            n.replace("_reverse", "") + "_l0" + ("_reverse" * n.endswith("_reverse")): w
            for n, w in mine.state_dict().items()
        }
    )
    x = torch.randn(2, 6, 5)
    out, final = mine(x)
    wanted, state = other(x)
    states = state if isinstance(state, tuple) else (state,)
    assert torch.allclose(out, wanted, atol=1e-6)
    assert torch.allclose(final, torch.cat([s.transpose(0, 1).flatten(1) for s in states], 1), atol=1e-6)


@pytest.mark.parametrize("given", [False, True])
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("kind", [RNN, LSTM, GRU])
def test_padding_is_as_if_each_row_ran_alone(kind: Any, bidirectional: bool, given: bool) -> None:
    torch.manual_seed(0)
    module = kind(5, 3, bidirectional).double()
    x = torch.randn(4, 6, 5, dtype=torch.float64)
    mask = torch.arange(6) < torch.tensor(COUNTS).unsqueeze(1)
    size = 3 * module.directions * module.states
    initial = torch.randn(4, size, dtype=torch.float64) if given else None
    out, final = module(x, initial, mask=mask)
    for row, count in enumerate(COUNTS):
        start = torch.zeros(1, size, dtype=torch.float64) if initial is None else initial[row : row + 1]
        assert (out[row, count:] == 0).all()
        if not count:
            assert torch.equal(final[row], start[0])
            continue
        alone, last = module(x[row : row + 1, :count], start)
        assert torch.allclose(out[row, :count], alone[0]) and torch.allclose(final[row], last[0])


def test_final_continues_as_initial() -> None:
    torch.manual_seed(0)
    module = LSTM(4, 3)
    x = torch.randn(2, 7, 4)
    whole, final = module(x)
    _, middle = module(x[:, :3])
    rest, last = module(x[:, 3:], middle)
    assert torch.allclose(rest, whole[:, 3:], atol=1e-6) and torch.allclose(last, final, atol=1e-6)


@pytest.mark.parametrize("kind", [RNN, LSTM, GRU])
def test_gradients_reach_every_weight_and_meta_works(kind: Any) -> None:
    module = kind(4, 3, True, dropout=0.2)
    out, final = module(torch.randn(2, 5, 4), mask=torch.ones(2, 5, dtype=torch.bool))
    (out.sum() + final.sum()).backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in module.parameters())
    hollow = kind(4, 3, True).to("meta")
    shapes = [t.shape for t in hollow(torch.empty(2, 5, 4, device="meta"))]
    assert shapes == [out.shape, final.shape]


def test_forget_gates_start_open() -> None:
    module = LSTM(4, 100)
    weights = module.state_dict()
    assert list(weights) == ["weight_ih", "weight_hh", "bias_ih", "bias_hh"]
    assert torch.equal((weights["bias_ih"] + weights["bias_hh"])[100:200], torch.ones(100))
    assert (
        weights["weight_hh"].abs().max() <= 0.1 and (weights["bias_ih"][:100] + weights["bias_hh"][:100]).std() > 0.01
    )


@pytest.mark.slow
@pytest.mark.parametrize("kind", [RNN, LSTM, GRU])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_an_exported_graph_keeps_batch_and_length_open(kind: type[Recurrent], bidirectional: bool) -> None:
    module = kind(5, 4, bidirectional)
    either = {0: torch.export.Dim.DYNAMIC, 1: torch.export.Dim.DYNAMIC}

    def given(batch: int, length: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        mask = torch.ones(batch, length, dtype=torch.bool)
        mask[0, length - 3 :] = False
        mask[1] = False
        return torch.randn(batch, length, 5), torch.randn(batch, 4 * module.directions * module.states), mask

    with torch.no_grad():
        x, initial, mask = given(3, 7)
        shapes = {"x": either, "initial": {0: torch.export.Dim.DYNAMIC}, "mask": either}
        program = torch.export.export(module, (x, initial), {"mask": mask}, dynamic_shapes=shapes).module()
        x, initial, mask = given(5, 11)
        for found, expected in zip(program(x, initial, mask=mask), module(x, initial, mask=mask), strict=True):
            torch.testing.assert_close(found, expected)
