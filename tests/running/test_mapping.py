"""The rules of `huggingface: tensors:`: which matches, what it names, how tensors are cut."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from blockgraph.running.fitting import fit, why_not
from blockgraph.running.mapping import Mapper, Rule
from blockgraph.specs.huggingface import HuggingFace


def mapper(tensors: dict[str, Any], weights: tuple[str, ...] = (), **rest: Any) -> Mapper:
    return Mapper(HuggingFace(tensors=tensors, **rest), {"heads": 2}, weights, {"head.weight": "embed.weight"})


def rule(groups: int | None = None, transpose: bool = False) -> Rule:
    return Rule(("a",), (("b",),), transpose, groups, ())


@pytest.mark.parametrize(
    ("name", "weights"),
    [
        ("wte.weight", ("embed.weight",)),
        ("model.wte.weight", ("embed.weight",)),
        ("h.3.ln.weight", ("layers.3.norm.weight",)),
        ("h.3.ln.deep.bias", ("layers.3.norm.deep.bias",)),
        ("h.0.ln.weight", ("first.weight",)),
        ("h.3.c.bias", ("layers.3.q.bias", "layers.3.k.bias")),
        ("h.3.other.weight", ("layers.3.other.weight",)),
        ("h.12.ln.long.name.weight", ("layers.12.far.weight",)),
        ("token", ("token.weight",)),
        ("lm.weight", ("embed.weight",)),
    ],
)
def test_the_longest_match_wins_and_literals_beat_capitals(name: str, weights: tuple[str, ...]) -> None:
    found = mapper(
        {
            "wte": "embed",
            "token": "token",
            "lm": "head",
            "h.N": {"to": "layers.N", "tensors": {"ln": "norm", "c": ["q", "k"], "ln.long.name": "far"}},
            "h.0.ln": "first",
        },
        ("token.weight", "embed.weight"),
        prefix="model.",
    ).move(name)
    assert found is not None and found.weights == weights


@pytest.mark.parametrize("name", ["other.weight", "h.x.ln.weight", "h", "hh.1.ln.weight"])
def test_what_no_rule_is_for(name: str) -> None:
    assert mapper({"h.N": "layers.N", "wte": "embed"}).move(name) is None


def test_a_capital_of_the_source_alone_stacks() -> None:
    found = mapper({"l.N.experts.E.w1": "layers.N.moe.gate"}, ("layers.4.moe.gate",)).move("l.4.experts.7.w1.weight")
    assert found is not None and found.weights == ("layers.4.moe.gate",) and found.index == (7,)


def test_the_same_capital_is_the_same_number() -> None:
    both = mapper({"g.N.h.N": "x.N"})
    assert both.move("g.1.h.2.weight") is None and both.move("g.2.h.2.weight") is not None


def test_ignored_names_with_and_without_the_prefix() -> None:
    found = mapper({}, prefix="model.", ignore=["*.attn.bias", "rest"])
    assert found.ignores("model.h.0.attn.bias") and found.ignores("model.rest") and not found.ignores("h.attn.weight")


def test_where_a_weight_would_come_from() -> None:
    source = mapper({"h.N": {"to": "layers.N", "tensors": {"c": ["q", "k"]}}}).sources("layers.2.k.weight")
    assert source is not None and source[0] == "h.2.c.weight"
    assert source[1].path == ("huggingface", "tensors", "h.N", "tensors", "c")


def test_a_list_is_cut_along_the_axis_that_differs() -> None:
    source = torch.arange(24.0).view(6, 4)
    parts = [torch.empty(2, 4), torch.empty(3, 4), torch.empty(1, 4)]
    found = [fit(source, parts, rule(), number)[0].reshape(-1, 4) for number in range(3)]
    torch.testing.assert_close(torch.cat(found), source)
    assert why_not((6, 4), [(2, 4), (3, 4), (2, 4)], rule()) is not None
    assert why_not((4, 6), [(2, 4), (4, 4)], rule(transpose=True)) is None


def test_groups_take_turns() -> None:
    source = torch.arange(12.0)
    parts = [torch.empty(8), torch.empty(4)]
    first, second = (fit(source, parts, rule(groups=2), number)[0].flatten().tolist() for number in (0, 1))
    assert (first, second) == ([0, 1, 2, 3, 6, 7, 8, 9], [4, 5, 10, 11])
    assert why_not((12,), [(8,), (4,)], rule(groups=3)) is not None


def test_axes_of_size_one_come_and_go() -> None:
    source, target = fit(torch.ones(1, 7, 1), [torch.empty(7)], rule(), 0)
    assert source.shape == target.shape == (7,)
    assert why_not((1, 7), [(7, 1, 1)], rule()) is None and why_not((1, 7), [(1, 8)], rule()) is not None
    assert why_not((1, 6), [(2,), (4,)], rule()) is None


def test_only_what_has_two_axes_is_transposed() -> None:
    source = torch.arange(6.0).view(2, 3)
    swapped, _ = fit(source, [torch.empty(3, 2)], rule(transpose=True), 0)
    assert swapped.tolist() == source.T.tolist()
    assert why_not((3,), [(3,)], rule(transpose=True)) is None


def test_an_expression_says_where_a_tensor_goes_and_null_that_it_is_not_needed() -> None:
    rules = {
        "a": "='b' if heads == 2 else 'c'",
        "d": "=['e', 'f']",
        "g": "=null",
        "h.N": {"to": "='x.N' if heads == 2 else 'y.N'", "tensors": {"i": "j"}},
    }
    found = mapper(rules)
    moves = {name: found.move(name) for name in ("a.weight", "d.weight", "g.weight", "h.3.i.weight")}
    assert {name: move.weights for name, move in moves.items() if move is not None} == {
        "a.weight": ("b.weight",),
        "d.weight": ("e.weight", "f.weight"),
        "g.weight": (),
        "h.3.i.weight": ("x.3.j.weight",),
    }
