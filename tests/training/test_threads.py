"""The number of threads that a small model trains fastest with."""

from __future__ import annotations

import pytest
import torch

import blockgraph
from blockgraph.training import threads


def test_the_fastest_wins_and_nothing_is_left_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    model = blockgraph.build("gpt-nano", sets=["vars.layers=1", "vars.width=16"])
    before = torch.get_num_threads()
    assert threads.fastest_threads(model, 1, 4) in threads._candidates()
    taken = {1: 3.0, 2: 1.0, 4: 2.0}
    monkeypatch.setattr(threads, "_candidates", lambda: list(taken))
    monkeypatch.setattr(threads, "_seconds", lambda *_: taken[torch.get_num_threads()])
    assert threads.fastest_threads(model, 1, 4) == 2
    assert torch.get_num_threads() == before
    assert all(weight.grad is None for weight in model.parameters())
