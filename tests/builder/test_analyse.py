"""What the analyser says of a spec: the meaning of the rules, and one error for one mistake."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

import blockgraph
from blockgraph.builder import counts
from blockgraph.builder.analyse import analyse
from blockgraph.builder.graph import Model
from blockgraph.specs.diagnostics import Diagnostics
from blockgraph.specs.load import load_spec, load_text

HEAD = """
blockgraph: 1
name: t
vars: {width: 64, vocab: 100, layers: 3}
inputs: {tokens: {tokens: =vocab, axis: T}}
"""
EMBED = "nodes:\n  embed: {type: embedding, width: =width}\n"
LAYER = """
blocks:
  Layer:
    nodes:
      norm: layer_norm
      ffn: {type: ffn, hidden: 32}
      add: {type: add, in: [x, ffn]}
"""


def analysed(text: str) -> Model:
    diagnostics = Diagnostics()
    spec = load_text(text, diagnostics)
    assert spec is not None
    model = analyse(spec, diagnostics)
    diagnostics.raise_errors()
    assert model is not None
    return model


def problems(text: str) -> list[tuple[str, str]]:
    """(code, the words that are pointed at) of every error."""
    found = []
    for diagnostic in blockgraph.check(text):
        span = diagnostic.span
        if diagnostic.severity == "error":
            assert span is not None
            end = span.end_column if span.end_line == span.line else None
            found.append((diagnostic.code, span.source.line(span.line)[span.column - 1 : end and end - 1]))
    return found


def nodes(*lines: str) -> str:
    return HEAD + LAYER + EMBED + "".join(f"  {line}\n" for line in lines)


# --- what the rules mean ----------------------------------------------------------------------------------------------


def test_an_unbound_first_port_takes_the_node_before() -> None:
    model = analysed(nodes("a: layer_norm", "b: {type: attention, heads: 4, in: {key: embed}}"))
    edges = {(u, v, d["port"]) for u, v, d in model.root.graph.edges(data=True)}
    assert edges == {
        ("tokens", "embed", "ids"),
        ("embed", "a", "x"),
        ("a", "b", "query"),
        ("embed", "b", "key"),
        ("b", "->b", ""),
    }


def test_a_node_whose_if_is_false_passes_its_first_input_on() -> None:
    model = analysed(nodes("a: {type: linear, width: 9, if: =width > 64}", "b: {type: linear, width: 7, in: a}"))
    assert list(model.root.calls) == ["embed", "b"]
    assert str(model.root.calls["b"].first.inputs["x"][0]) == "embed"
    assert model.parameters == 6400 + 7 * 64 + 7


def test_an_input_that_may_be_left_out_can_wait_for_a_node_that_is_not_there() -> None:
    head = HEAD.replace("=vocab, axis: T}", "=vocab, axis: T}, kinds: {tokens: 3, axis: T, default: 0}")
    extra = "  more: {type: embedding, in: kinds, width: =width, if: =layers > 3}\n  sum: {type: add, in: [embed, kinds], if: =layers > 3}\n"
    embed = EMBED.replace("embedding, ", "embedding, in: tokens, ")
    model = analysed(head + embed + extra)
    assert list(model.root.inputs) == ["tokens", "kinds"] and list(model.root.calls) == ["embed"]
    needed = head.replace(", default: 0", "")
    assert problems(needed + embed + extra) == [("dead-input", "kinds")]


def test_repeat_chains_and_zero_passes_on() -> None:
    model = analysed(
        nodes("stack: {type: Layer, repeat: =layers}", "none: {type: Layer, repeat: 0}", "end: {type: scale, by: 2}")
    )
    call = model.root.calls["stack"]
    assert [str(step.inputs["x"][0]) for step in call.steps] == ["embed", "stack[0].add", "stack[1].add"]
    assert call.uniform and "none" not in model.root.calls
    assert str(model.root.calls["end"].first.inputs["x"][0]) == "stack"


def test_copies_keep_that_many_sets_of_weights() -> None:
    one = analysed(nodes("stack: {type: Layer, repeat: 6, copies: 2}"))
    each = counts.call_parameters(analysed(nodes("stack: Layer")).root.calls["stack"])
    assert counts.call_parameters(one.root.calls["stack"]) == 2 * each


def test_layer_is_known_inside_and_copies_that_come_out_alike_are_one_block() -> None:
    blocks = "blocks:\n  L:\n    nodes:\n      f: {type: ffn, hidden: =16 if layer % 2 else 32}\n"
    model = analysed(HEAD + blocks + EMBED + "  stack: {type: L, repeat: 6}\n")
    bodies = [step.body for step in model.root.calls["stack"].steps]
    assert bodies[0] is bodies[2] is bodies[4] and bodies[1] is bodies[3] and bodies[0] is not bodies[1]
    assert len(model.definitions) == 3


def test_a_type_can_be_chosen_by_layer() -> None:
    text = nodes("stack: {type: =lstm if layer == 1 else Layer, repeat: 3, in: embed}").replace("=lstm", '="Rec"')
    text = text.replace("  Layer:", "  Rec:\n    nodes:\n      r: {type: gru, width: =width}\n  Layer:")
    model = analysed(text)
    assert [step.body.name for step in model.root.calls["stack"].steps] == ["Layer", "Rec", "Layer"]  # type: ignore[union-attr]


@pytest.mark.parametrize("wide", [True, False])
def test_a_port_of_another_choice_may_be_named_where_it_is_left_open(wide: bool) -> None:
    text = nodes('s: {type: =Two if wide else Layer, in: {x: embed, y: "=embed if wide else null"}}')
    text = text.replace(
        "  Layer:", "  Two:\n    inputs: [x, y]\n    nodes:\n      a: {type: add, in: [x, y]}\n  Layer:"
    )
    model = analysed(text.replace("vars: {", f"vars: {{wide: {str(wide).lower()}, ", 1))
    assert list(model.root.calls["s"].steps[0].inputs) == (["x", "y"] if wide else ["x"])


def test_outputs_named_like_inputs_feed_them() -> None:
    blocks = """
blocks:
  Two:
    inputs: [x, y]
    nodes:
      a: {type: add, in: [x, y]}
      b: {type: ffn, hidden: 8, in: y}
    outputs: {y: b, x: a}
"""
    model = analysed(
        HEAD + blocks + EMBED + "  s: {type: Two, repeat: 2, in: [embed, embed]}\n  e: {type: add, in: [s.x, s.y]}\n"
    )
    second = model.root.calls["s"].steps[1].inputs
    assert {port: str(refs[0]) for port, refs in second.items()} == {"x": "s[0].x", "y": "s[0].y"}


def test_params_shadow_vars_and_are_evaluated_in_order_at_the_call() -> None:
    blocks = "blocks:\n  P:\n    params: {width: =width // 2, hidden: =2*width}\n    nodes:\n      f: {type: ffn, hidden: =hidden}\n"
    model = analysed(HEAD + blocks + EMBED + "  p: P\n  q: {type: P, width: =width // 4}\n")
    hidden = [model.root.calls[name].body.calls["f"].body.options.hidden for name in "pq"]  # type: ignore[union-attr]
    assert hidden == [64, 32]


def test_defaults_are_evaluated_at_the_node_and_null_means_the_types_own() -> None:
    text = nodes("stack: {type: Layer, repeat: 2}", "last: {type: layer_norm, eps: null}")
    model = analysed(text.replace("inputs:", "defaults: {layer_norm: {eps: '=0.5 if width > 1 else 1'}}\ninputs:", 1))
    assert model.root.calls["last"].body.options.eps == 1e-5  # type: ignore[union-attr]
    assert model.root.calls["stack"].body.calls["norm"].body.options.eps == 0.5  # type: ignore[union-attr]


def test_negative_references_count_from_the_end() -> None:
    model = analysed(nodes("stack: {type: Layer, repeat: 3}", 'a: {type: add, in: ["=stack[-3]", stack]}'))
    assert [str(ref) for ref in model.root.calls["a"].first.inputs["x"]] == ["stack[0]", "stack"]


def test_masks_follow_axes_through_blocks_and_joins() -> None:
    model = analysed(
        nodes(
            "m: {type: parameter, shape: [4, =width]}",
            "j: {type: concat, in: [m, embed], along: positions}",
            "f: Layer",
        )
    )
    values = {name: next(iter(call.outputs.values())) for name, call in model.root.calls.items()}
    assert (values["embed"].mask, values["j"].mask, values["f"].mask) == ("tokens", "j.out", "j.out")
    assert str(values["f"]) == "[B, T+4, 64]"


def test_gpt3_analyses_as_many_definitions_as_gpt2() -> None:
    def definitions(name: str) -> int:
        diagnostics = Diagnostics()
        spec = load_spec(name, diagnostics)
        assert spec is not None
        model = analyse(spec, diagnostics)
        assert model is not None
        return len(model.definitions)

    assert definitions("gpt3") == definitions("gpt2") == definitions("llama3-405b") == 2


# --- one error for one mistake ----------------------------------------------------------------------------------------

MISTAKES: list[tuple[str, list[tuple[str, str]]]] = [
    (nodes("a: {type: add, in: [embed, embd]}"), [("unknown-node", "embd")]),
    (nodes("a: {type: add, in: [embed, b]}", "b: layer_norm", "c: {type: add, in: [a, b]}"), [("later-node", "b")]),
    (
        nodes("a: {type: split, into: {l: 32, r: rest}}", "b: {type: ffn, hidden: 4, in: a.m}"),
        [("unknown-output", "a.m")],
    ),
    (nodes("a: {type: attention, heads: 4, in: {qury: embed}}"), [("unknown-port", "qury")]),
    (nodes("a: {type: layer_norm, in: [embed, embed]}"), [("too-many-inputs", "embed")]),
    (nodes("a: {type: ffn, hidden: 4}", "b: {type: ffn, hidden: 4, in: embed}"), [("dead-node", "a")]),
    (nodes("a: {type: fnn, hidden: 4}"), [("unknown-type", "fnn")]),
    (nodes("a: {type: Layr, repeat: 2}"), [("unknown-type", "Layr")]),
    (nodes("a: {type: ffn, hiden: 4}"), [("unknown-option", "hiden")]),
    (nodes("a: {type: Layer, depth: 4}"), [("unknown-option", "depth")]),
    (nodes("a: ffn"), [("missing-option", "a")]),
    (nodes("a: linear"), [("missing-option", "a")]),
    (nodes("a: {type: ffn, hidden: =widht}"), [("unknown-name", "widht")]),
    (nodes("a: {type: ffn, hidden: =width/5}"), [("float-size", "=width/5")]),
    (nodes("a: {type: ffn, hidden: 4, activation: rellu}"), [("bad-choice", "rellu")]),
    (nodes("a: {type: attention, heads: 7}"), [("heads", "7")]),
    (nodes("a: {type: linear, width: 32}", "b: {type: add, in: [embed, a]}"), [("shape", "[embed, a]")]),
    (nodes("a: {type: attention, heads: 4, in: tokens}"), [("dtype", "tokens")]),
    (nodes("a: {type: Layer, repeat: 2.5}"), [("float-size", "2.5")]),
    (nodes("a: {type: Layer, repeat: -1}"), [("bad-option", "-1")]),
    (nodes("a: {type: Layer, repeat: 100000000}"), [("too-big", "100000000")]),
    (nodes("a: {type: Layer, repeat: 4, copies: 3}"), [("copies", "3")]),
    (nodes("a: {share: nothing}"), [("unknown-node", "nothing")]),
    (nodes("a: {type: linear, width: 32}", "b: {share: a}"), [("share", "a")]),
    (nodes("a: layer_norm", "b: {type: linear, tie: a}"), [("tie", "a")]),
    (nodes("a: {type: linear, width: 32}", "b: {type: linear, tie: embed}"), [("tie", "embed")]),
    (nodes("a: {type: linear, width: 32, tie: embed}"), [("tie", "embed")]),
    (
        nodes("a: {type: ffn, hidden: 1e9}", "b: {type: linear, width: 1e9}", "c: {type: linear, width: 1e9}"),
        [("too-big", "c")],
    ),
    (nodes("a: {type: positions, kind: learned}"), [("missing-option", "a")]),
    (HEAD + "blocks:\n  A:\n    nodes:\n      a: A\n" + EMBED + "  a: A\n", [("recursive-block", "A")]),
    (
        HEAD
        + "blocks:\n  A:\n    inputs: [x, y]\n    nodes:\n      a: {type: scale, by: 1, in: x}\n"
        + EMBED
        + "  a: A\n",
        [("missing-port", "a")],
    ),
    (
        HEAD
        + "blocks:\n  A:\n    inputs: [x, y]\n    nodes:\n      a: {type: scale, by: 1, in: x}\n"
        + EMBED
        + "  a: {type: A, in: [embed, embed]}\n",
        [("dead-input", "y")],
    ),
    (
        HEAD.replace("axis: T}", "axis: T}, kinds: {tokens: 3, axis: T, default: 0}") + EMBED,
        [("dead-input", "kinds")],
    ),
    (
        HEAD
        + "blocks:\n  Lonely:\n    nodes:\n      a: {type: ffnn}\n      b: {type: ffn, hidden: 4, in: c}\n"
        + EMBED,
        [("unknown-type", "ffnn"), ("unknown-node", "c")],
    ),
    (HEAD + EMBED + "  a: {type: ffn, hidden: 4}\noutputs: {y: b}\n", [("unknown-node", "b")]),
]


@pytest.mark.parametrize(
    ("text", "expected"), MISTAKES, ids=[f"{number}-{found[0][0]}" for number, (_, found) in enumerate(MISTAKES)]
)
def test_one_error_for_one_mistake(text: str, expected: list[tuple[str, str]]) -> None:
    assert problems(text) == expected


def test_all_root_errors_come_at_once_and_no_cascades() -> None:
    text = nodes(
        "a: {type: attention, heads: 7}",
        "b: {type: ffn, hiden: 3}",
        "c: {type: add, in: [a, b]}",
        "d: {type: ffn, hidden: =nme}",
    )
    assert [code for code, _ in problems(text)] == ["heads", "unknown-option", "unknown-name"]


def test_the_message_of_the_language_page() -> None:
    text = (
        "blockgraph: 1\nname: gpt\nvars: {width: 768, vocab: 100}\nblocks:\n  Layer:\n    nodes:\n      attn:  {type: attention, heads: 7, causal: true}\n"
        "inputs: {tokens: {tokens: =vocab, axis: T}}\nnodes:\n  embed: {type: embedding, width: =width}\n  decoder: {type: Layer, repeat: 12}\n"
    )
    with pytest.raises(blockgraph.SpecError) as caught:
        blockgraph.load(text)
    assert str(caught.value).rstrip() == (
        "<text>:7:39: error[heads]: 7 heads do not divide the width 768\n"
        "    7 |       attn:  {type: attention, heads: 7, causal: true}\n"
        "      |                                       ^ try 6, 8 or 12, or set head_dim\n"
        "      = in decoder (Layer × 12) → attn; the width comes from <text>:3:15\n"
        "\n"
        "1 error; nothing was built."
    )


def test_unfolding_into_too_much_is_refused_fast() -> None:
    blocks = "".join(f"  B{n}:\n    nodes:\n      a: {{type: B{n + 1}, repeat: 9000}}\n" for n in range(5))
    text = (
        HEAD
        + "blocks:\n"
        + blocks
        + "  B5:\n    nodes:\n      a: {type: ffn, hidden: =8 + layer}\n"
        + EMBED
        + "  a: B0\n"
    )
    assert [code for code, _ in problems(text)] == ["too-big"]


def options_of(model: Model, *path: str) -> Any:
    body: Any = model.root
    for name in path:
        body = body.calls[name].body
    return body.options


def test_yaml_and_a_dump_of_it_mean_the_same() -> None:
    text = nodes("stack: {type: Layer, repeat: 2}")
    again = yaml.safe_dump(yaml.safe_load(text), sort_keys=False)
    assert counts.weight_shapes(analysed(text).root) == counts.weight_shapes(analysed(again).root)
