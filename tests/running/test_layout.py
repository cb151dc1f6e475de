"""Matrices laid out for steps: the same values, the same texts, and a model that stays as it was."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from blockgraph.blocks.model import Model
from blockgraph.builder.build import build
from blockgraph.running import layout
from blockgraph.running.generate import generate
from blockgraph.specs.diagnostics import Diagnostics
from blockgraph.specs.load import load_text

SPEC = """\
blockgraph: 1
name: tied
inputs: {tokens: {tokens: 300, axis: T}}
nodes:
  embed:     {type: embedding, width: 24}
  positions: {type: positions, kind: learned, length: 90}
  attn:      {type: attention, heads: 2, kv_heads: 1, causal: true, rope: {}}
  ffn:       {type: ffn, hidden: 64, gated: true}
  again:     {share: ffn}
  logits:    {type: linear, width: 300, tie: embed}
"""


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> Model:
    monkeypatch.setattr(layout, "BYTES", 1)
    diagnostics = Diagnostics()
    spec = load_text(SPEC, diagnostics)
    diagnostics.raise_errors()
    assert spec is not None
    return build(spec)


def by_columns(model: nn.Module) -> set[str]:
    return {name for name, weight in model.named_parameters() if weight.dim() == 2 and not weight.is_contiguous()}


def test_wide_matrices_lie_by_columns_in_a_twin(model: Model) -> None:
    before = {name: (id(weight), weight.stride()) for name, weight in model.named_parameters()}
    twin = layout.for_steps(model, 1, layout.STEPS)
    assert twin is not model and type(twin) is type(model)
    assert by_columns(twin) == {
        "embed.weight",
        "attn.out_weight",
        "attn.qkv_weight",
        "ffn.gate_up_weight",
    }  # the others are tall or tables
    assert {name: (id(weight), weight.stride()) for name, weight in model.named_parameters()} == before
    for name, weight in twin.named_parameters():
        assert torch.equal(weight, model.get_parameter(name))
    assert twin.positions is model.positions  # what has no such matrix is not copied
    tokens = torch.randint(300, (2, 9))
    torch.testing.assert_close(twin(tokens), model(tokens))


def test_texts_are_the_same(model: Model) -> None:
    slow = list(generate(model, [3, 1, 4], max_new=layout.STEPS - 1, temperature=0))
    fast = list(generate(model, [3, 1, 4], max_new=layout.STEPS, temperature=0))
    assert fast[:-1] == slow and by_columns(model) == set()


def test_where_it_does_not_pay_the_model_is_its_own_twin(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    assert layout.for_steps(model, layout.ROWS + 1, 1000) is model
    assert layout.for_steps(model, 1, layout.STEPS - 1) is model
    other = nn.Linear(2, 3)
    assert layout.for_steps(other, 1, 1000) is other
    assert layout.for_steps(model.double(), 1, 1000) is model
    monkeypatch.setattr(layout, "_free_memory", lambda: 10_000)
    assert layout.for_steps(model.float(), 1, 1000) is model
    monkeypatch.undo()
    assert layout.for_steps(model, 1, 1000) is model  # too small
