"""Two models side by side: equal ones are equal, differences are found, each once, and nothing else."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from blockgraph.api import load
from blockgraph.builder.analyse import analyse
from blockgraph.builder.compare import Comparison, compare
from blockgraph.builder.graph import Model
from blockgraph.specs import presets
from blockgraph.specs.diagnostics import Diagnostics
from tests.graphs import specs

BASE = """\
blockgraph: 1
name: base
vars: {width: 16, layers: 4}
blocks:
  Layer:
    nodes:
      norm: layer_norm
      attn: {type: attention, heads: 2, causal: true}
      add: {type: add, in: [x, attn]}
inputs: {tokens: {tokens: 32, axis: T}}
nodes:
  embed: {type: embedding, width: =width}
  decoder: {type: Layer, repeat: =layers}
  ffn: {type: ffn, hidden: 32}
  logits: {type: linear, tie: embed, bias: false}
"""


def model(source: str, *sets: str) -> Model:
    diagnostics = Diagnostics()
    found = analyse(load(source, sets=sets), diagnostics)
    diagnostics.raise_errors()
    assert found is not None
    return found


def became(old: str, new: str) -> Comparison:
    assert BASE.count(old) == 1
    return compare(model(BASE), model(BASE.replace(old, new)))


def told(found: Comparison) -> dict[str, Any]:
    """Node to its kind, or to its changes."""
    return {
        node.name: {c.name: (c.was, c.now) for c in node.changes} if node.kind == "changed" else node.kind
        for node in found.nodes
    }


def mirrored(found: Comparison) -> object:
    """The same, told the other way round."""
    kinds = {"added": "removed", "removed": "added", "changed": "changed"}
    nodes = {
        node.path: (
            kinds[node.kind],
            sorted((c.name, repr(c.now), repr(c.was), c.copies) for c in node.changes),
            tuple(-number for number in figures(node.delta)),
            node.renamed,
        )
        for node in found.nodes
    }
    outside = sorted((s.section, s.name, repr(s.now), repr(s.was)) for s in found.settings if s.section != "init")
    return nodes, outside, found.totals[::-1]


def plainly(found: Comparison) -> object:
    nodes = {
        node.path: (
            node.kind,
            sorted((c.name, repr(c.was), repr(c.now), c.copies) for c in node.changes),
            figures(node.delta),
            node.renamed,
        )
        for node in found.nodes
    }
    outside = sorted((s.section, s.name, repr(s.was), repr(s.now)) for s in found.settings if s.section != "init")
    return nodes, outside, found.totals


def figures(delta: Any) -> tuple[int, ...]:
    return (delta.parameters, delta.flops_per_token, delta.activation_bytes, delta.state_bytes)


# -- laws -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", presets.names())
def test_a_preset_equals_itself(name: str) -> None:
    found = compare(model(name), model(name))
    assert found.equal and not found.nodes and not found.settings


@pytest.mark.parametrize(
    ("one", "other"),
    [("gpt2", "llama3-8b"), ("gpt2", "transformer-base"), ("bert-base", "bert-base-mlm"), ("lstm-nano", "gpt-nano")],
)
def test_the_other_way_round_says_the_same(one: str, other: str) -> None:
    a, b = model(one), model(other)
    assert not compare(a, b).equal
    assert mirrored(compare(a, b)) == plainly(compare(b, a))


MUTATIONS = {
    "attention": ("dropout", 0.25),
    "ffn": ("activation", "tanh"),
    "layer_norm": ("eps", 0.125),
    "rms_norm": ("eps", 0.125),
    "scale": ("by", 0.125),
    "softcap": ("cap", 7.5),
    "lstm": ("dropout", 0.25),
}


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_one_option_is_found_and_nothing_else(data: st.DataObject) -> None:
    spec = data.draw(specs())
    nodes = spec["blocks"]["Layer"]["nodes"]
    names = [name for name, node in nodes.items() if node.get("type") in MUTATIONS]
    before = model(text(spec))
    if not names:
        return
    name = data.draw(st.sampled_from(names))
    option, value = MUTATIONS[nodes[name]["type"]]
    nodes[name][option] = value
    after = model(text(spec))
    found = compare(before, after)
    there = name in before.root.calls["stack"].body.calls  # type: ignore[union-attr]
    assert [node.name for node in found.nodes] == ([f"stack.{name}"] if there else [])
    assert {c.name for node in found.nodes for c in node.changes} == ({option} if there else set())
    assert mirrored(found) == plainly(compare(after, before))


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_a_new_name_is_found_and_nothing_else(data: st.DataObject) -> None:
    spec = data.draw(specs())
    before = model(text(spec))
    there = [name for name in before.root.calls["stack"].body.calls if name != "sum"]  # type: ignore[union-attr]
    if not there:
        return
    name = data.draw(st.sampled_from(there))
    layer = json.dumps(spec["blocks"]["Layer"]).replace(f'"{name}"', '"fresh"')
    after = model(text(spec | {"blocks": spec["blocks"] | {"Layer": json.loads(layer)}}))
    found = compare(before, after)
    assert {node.name: (node.kind, node.renamed) for node in found.nodes} == {
        f"stack.{name}": ("removed", "fresh"),
        "stack.fresh": ("added", name),
    }
    assert mirrored(found) == plainly(compare(after, before))


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_a_new_node_is_found_and_nothing_else(data: st.DataObject) -> None:
    spec = data.draw(specs())
    before = model(text(spec))
    nodes = spec["blocks"]["Layer"]["nodes"]
    last = nodes.pop("sum")
    source = data.draw(st.sampled_from(last["in"]))
    nodes |= {"fresh": {"type": "scale", "by": 0.125, "in": source}, "sum": last | {"in": [*last["in"], "fresh"]}}
    found = compare(before, model(text(spec)))
    assert {node.name: node.kind for node in found.nodes} == {"stack.fresh": "added"}


def text(spec: dict[str, Any]) -> str:
    return json.dumps(spec, indent=1)


# -- what makes no difference -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("name: base", "name: other\nabout: said otherwise"),
        ("vars: {width: 16, layers: 4}", "vars: {layers: 2*2, width: 16, }".replace("2*2", "=2*2")),
        ("{type: attention, heads: 2, causal: true}", "{causal: true, label: Look back, type: attention, heads: 2}"),
        ("{type: add, in: [x, attn]}", "{type: add, in: {x: [x, attn]}}"),
        ("norm: layer_norm", "norm: {type: layer_norm, in: x, eps: 1e-5}"),
        ("{type: ffn, hidden: 32}", "{type: ffn, hidden: =2*width}"),
    ],
)
def test_writing_it_otherwise_makes_no_difference(old: str, new: str) -> None:
    assert became(old, new).equal


def test_the_name_of_a_definition_makes_no_difference() -> None:
    found = compare(model(BASE), model(BASE.replace("Layer", "Decoder")))
    assert found.equal and not found.nodes


# -- what makes one ---------------------------------------------------------------------------------------------------


def test_inside_a_repeated_block_once_and_counted_for_all() -> None:
    found = became("norm: layer_norm", "norm: rms_norm")
    assert told(found) == {"decoder.norm": {"type": ("layer_norm", "rms_norm"), "eps": (1e-5, 1e-6)}}
    assert found.nodes[0].delta.parameters == -4 * 16


def test_repeats() -> None:
    found = compare(model(BASE), model(BASE, "vars.layers=6"))
    assert told(found) == {"decoder": {"repeat": (4, 6)}}
    assert found.nodes[0].delta == found.totals[1] - found.totals[0]
    assert [(s.section, s.name, s.was, s.now) for s in found.settings] == [("vars", "layers", 4, 6)]


def test_some_copies() -> None:
    found = became("heads: 2, causal", "heads: '=4 if layer % 2 else 2', causal")
    (node,) = found.nodes
    assert [(c.name, c.was, c.now, c.where) for c in node.changes] == [("heads", 2, 4, "copies 1, 3 of 4")]


def test_a_node_that_only_some_copies_have() -> None:
    found = became("norm: layer_norm", "norm: {type: layer_norm, if: =layer > 0}")
    (node,) = found.nodes
    assert (node.name, node.kind, node.changes[0].name, node.changes[0].where) == (
        "decoder.norm",
        "changed",
        "present",
        "copy 0 of 4",
    )


def test_what_is_put_in_between_is_no_change_of_what_reads_it() -> None:
    found = became("  ffn: {type", "  norm: layer_norm\n  ffn: {type")
    assert told(found) == {"norm": "added"}
    assert (found.nodes[0].reads, found.nodes[0].read_by) == (("decoder",), ("ffn",))


def test_wiring() -> None:
    assert told(became("in: [x, attn]", "in: [norm, attn]")) == {"decoder.add": {"in.x": ("x, attn", "norm, attn")}}


def test_tie_and_parameters() -> None:
    found = became("tie: embed, bias", "width: 32, bias")
    assert told(found) == {"logits": {"tie": ("embed", None)}}
    assert found.nodes[0].delta.parameters == 32 * 16


def test_a_block_in_place_of_a_block_type() -> None:
    found = compare(model(BASE), model(BASE.replace("ffn: {type: ffn, hidden: 32}", "ffn: Layer")))
    assert told(found)["ffn"]["type"] == ("ffn", "Layer")


def test_shapes_go_through() -> None:
    found = compare(model(BASE), model(BASE, "vars.width=32"))
    assert set(told(found)) == {"embed", "decoder", "decoder.norm", "decoder.attn", "decoder.add", "ffn"}
    assert told(found)["decoder.norm"] == {"shape": ("[B, T, 16]", "[B, T, 32]")}


def test_weights_that_follow_from_what_is_read() -> None:
    found = became("tokens: 32, axis", "tokens: 64, axis")
    assert told(found)["embed"] == {"weights": ("weight [32, 16]", "weight [64, 16]")}
    assert [s.name for s in found.settings] == ["tokens.vocabulary"]


def test_costs_are_stated_at_lengths_that_both_can_take() -> None:
    short = BASE.replace("  decoder: {", "  positions: {type: positions, kind: learned, length: 64}\n  decoder: {")
    found = compare(model(BASE), model(short))
    assert found.sizes["T"] == 64 and told(found) == {"positions": "added"}
    assert found.nodes[0].delta == found.totals[1] - found.totals[0]


def test_outside_the_nodes() -> None:
    before = BASE + "init: {'*.bias': zeros, '*': {type: normal, std: 0.02}}\ntrain: {task: causal_lm, steps: 10}\n"
    after = BASE + "init: {'*.bias': zeros, '*': {type: normal, std: 0.01}}\ntrain: {task: causal_lm, steps: 20}\n"
    found = compare(model(before), model(after.replace("tokens: 32, axis", "tokens: 32, pad: 0, axis")))
    assert [(s.section, s.name, s.was, s.now) for s in found.settings] == [
        ("inputs", "tokens.pad", None, 0),
        ("init", "*", {"type": "normal", "mean": 0.0, "std": 0.02}, {"type": "normal", "mean": 0.0, "std": 0.01}),
        ("train", "steps", 10, 20),
    ]
    assert not found.equal


def test_rules_for_weights_that_are_not_there_make_no_difference() -> None:
    before = BASE + "init: {'*': {type: normal, std: 0.02}}\n"
    after = BASE + "init: {'*.nothing': zeros, '*': {type: normal, std: 0.02}}\n"
    assert compare(model(before), model(after)).equal
