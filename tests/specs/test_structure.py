"""Rules 1, 3, 8 and 12: names, nodes, blocks, inputs and outputs as far as one file tells."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from blockgraph.specs.names import MODULE_NAMES, snake_case
from blockgraph.specs.spec import Broken, Node
from tests.texts import helps, loaded, problems

NODE = "nodes: {a: layer_norm}\n"


def test_a_node_is_read_whole() -> None:
    spec = loaded(
        "blocks: {Layer: {params: {heads: 2}, nodes: {n: layer_norm}}}\n"
        "nodes:\n"
        "  a: {type: Layer, in: {x: tokens}, if: null, repeat: 1e1, copies: =2, heads: =3,\n"
        "      label: =x, about: b, recompute: true}\n"
        "  b: {share: a}\n"
    )
    assert spec.root.nodes == {
        "a": Node(
            name="a",
            path=("nodes", "a"),
            type="Layer",
            wiring={"x": "tokens"},
            has_condition=True,
            repeat=10,
            copies="=2",
            label="=x",
            about="b",
            recompute=True,
            options={"heads": "=3"},
        ),
        "b": Node(name="b", path=("nodes", "b"), share="a"),
    }
    assert spec.blocks["Layer"].inputs == {"x": None}


@pytest.mark.parametrize(
    ("node", "code", "place", "message"),
    [
        ("{type: fnn}", "unknown-type", "1:19", "there is no block type 'fnn'"),
        ("{eps: 1}", "missing-key", "1:9", "node 'a' needs a 'type'"),
        ("{tpye: ffn}", "unknown-key", "1:13", "node 'a' has no key 'tpye'"),
        ("[1]", "wrong-type", "1:12", "node 'a' is a type, or a mapping with one"),
        ("5", "wrong-type", "1:12", "type: 5 is not text"),
        ("null", "unknown-node", "1:9", "node 'a' is null, and there is none to remove"),
        ("{type: ffn, share: b}", "share", "1:24", "node 'a' has a type and shares another node"),
        ("{share: b, eps: 1}", "share", "1:23", "a node that shares another has its options too: 'eps' cannot differ"),
        ("{type: ffn, repeat: 1.5}", "float-size", "1:32", "repeat: 1.5 is not a whole number"),
        ("{type: ffn, repeat: -1}", "bad-option", "1:32", "repeat: -1 must be at least 0"),
        (
            "{type: ffn, copies: 2}",
            "copies",
            "1:24",
            "copies says how many sets of weights a repeated node has: it needs 'repeat'",
        ),
        ("{type: ffn, recompute: 1}", "wrong-type", "1:35", "recompute: 1 is not true or false"),
        ("{type: ffn, layer: 1}", "reserved-name", "1:24", "'layer' is the number of the repetition, not an option"),
        (
            "{type: ffn, in: 3}",
            "wrong-type",
            "1:28",
            "in: a reference is a node's name, node.output, or an expression that yields one",
        ),
        ("{type: ffn, hidden: =2*}", "expression", "1:33", None),
    ],
)
def test_a_node_that_is_wrong(node: str, code: str, place: str, message: str | None) -> None:
    found = problems(f"nodes: {{a: {node}}}\n")
    assert [(c, p) for c, p, _ in found] == [(code, place)]
    assert message is None or found[0][2] == message


def test_readers_of_a_wrong_node_find_it_broken() -> None:
    from blockgraph.specs.diagnostics import Diagnostics
    from blockgraph.specs.load import load_text

    spec = load_text("blockgraph: 1\ninputs: {t: {tokens: 3, axis: T}}\nnodes: {a: {type: 3}, b: ffn}", Diagnostics())
    assert spec is not None
    assert spec.root.nodes["a"] == Broken("a", ("nodes", "a"))
    assert isinstance(spec.root.nodes["b"], Node)


@pytest.mark.parametrize(
    ("text", "code", "place"),
    [
        ("nodes: {Norm: layer_norm}", "bad-name", "1:9"),
        ("nodes: {a-b: layer_norm}", "bad-name", "1:9"),
        ("nodes: {forward: layer_norm}", "reserved-name", "1:9"),
        ("nodes: {tokens: layer_norm}", "duplicate-name", "1:9"),
        (NODE + "blocks: {layer: {nodes: {b: ffn}}}", "bad-name", "2:10"),
        (NODE + "blocks: {Layer: {inputs: [x, x], nodes: {b: ffn}}}", "duplicate-name", "2:30"),
        (NODE + "blocks: {Layer: {inputs: [b], nodes: {b: ffn}}}", "duplicate-name", "2:39"),
        (NODE + "blocks: {Layer: {inputs: x, nodes: {b: ffn}}}", "wrong-type", "2:26"),
        (NODE + "blocks: {Layer: {node: {b: ffn}, nodes: {b: ffn}}}", "unknown-key", "2:18"),
        (NODE + "blocks: {Layer: {}}", "missing-key", "2:10"),
        (NODE + "blocks: {Layer: {params: {repeat: 1}, nodes: {b: ffn}}}", "reserved-name", "2:27"),
        (NODE + "vars: {layer: null}", "reserved-name", "2:8"),
        (NODE + "vars: {min: null}", "reserved-name", "2:8"),
        (NODE + "vars: {Width: null}", "bad-name", "2:8"),
        (NODE + "trian: {}", "unknown-key", "2:1"),
        (NODE + "outputs: []", "wrong-type", "2:10"),
        (NODE + "outputs: {A: a}", "bad-name", "2:11"),
        (NODE + "outputs: {b: {label: x}}", "missing-key", "2:11"),
        (NODE + "name: [a]", "wrong-type", "2:7"),
    ],
)
def test_names_and_keys(text: str, code: str, place: str) -> None:
    assert [(c, p) for c, p, _ in problems(text)] == [(code, place)]


@pytest.mark.parametrize(
    ("name", "value", "code", "message"),
    [
        ("state", "{tokens: 3, axis: T}", "reserved-name", None),
        ("src_mask", "{tokens: 3, axis: T}", "reserved-name", None),
        ("a", "{tokens: 3}", "missing-key", "input 'a' needs 'axis'"),
        (
            "a",
            "{tokens: 3, axis: t}",
            "bad-option",
            "axis: 't' cannot name an axis: write an upper-case name, such as T",
        ),
        ("a", "{tokens: 0, axis: T}", "bad-option", "tokens: 0 must be at least 1"),
        ("a", "{tokens: 3, shape: [T]}", "bad-option", "input 'a' has both tokens and shape"),
        ("a", "{axis: T}", "missing-key", "input 'a' needs 'tokens' or 'shape'"),
        ("a", "{shape: [T, 2.5]}", "float-size", "shape[1]: 2.5 is not a whole number"),
        (
            "a",
            "{shape: [B, 3]}",
            "bad-option",
            "shape[0]: B is the batch axis, which is implied: leave it out, or choose another name",
        ),
        ("a", "{shape: [3], dtype: flaot}", "bad-choice", "dtype: 'flaot' is not one of float, bool, int"),
        ("a", "{shape: [3], axis: T}", "unknown-key", "input 'a' has no key 'axis'"),
        ("a", "3", "wrong-type", "input 'a' is a mapping with tokens or shape"),
    ],
)
def test_inputs_that_are_wrong(name: str, value: str, code: str, message: str | None) -> None:
    found = problems(f"blockgraph: 1\ninputs: {{{name}: {value}}}\nnodes: {{n: layer_norm}}\n", head=False)
    assert [c for c, _, _ in found] == [code]
    assert message is None or found[0][2] == message


def test_inputs_are_evaluated() -> None:
    spec = loaded(
        "blockgraph: 1\nvars: {v: 5, s: [2, 3]}\nnodes: {n: layer_norm}\n"
        'inputs: {t: {tokens: =v+1, axis: T, pad: 0, label: =v}, a: {shape: [F, "=s[1]", 1e2], dtype: bool}}',
        head=False,
    )
    tokens, audio = spec.root.inputs.values()
    assert tokens is not None and (tokens.tokens, tokens.pad, tokens.label, tokens.shape) == (6, 0, "=v", None)
    assert audio is not None and (audio.shape, audio.dtype, audio.tokens) == (("F", 3, 100), "bool", None)


def test_all_errors_come_at_once_and_bring_no_others() -> None:
    text = "vars: {a: =b, c: =a+1, d: =c*a}\nnodes: {n: {type: fnn, hidden: =d}, m: {type: layr_norm}}\ninit: {x: =d}\n"
    assert [(c, p) for c, p, _ in problems(text)] == [
        ("unknown-name", "1:12"),
        ("unknown-type", "2:19"),
        ("unknown-type", "2:47"),
    ]


def test_did_you_mean() -> None:
    assert helps("nodes: {n: layr_norm}") == ["did you mean 'layer_norm'?"]
    assert helps("nodes: {n: layer_norm}\ndefaults: {attention: {hedas: 2}}") == ["did you mean 'heads'?"]
    assert helps("nods: {n: layer_norm}")[-1] == "did you mean 'nodes'?"


def test_reserved_names_are_those_of_torch() -> None:
    pytest.importorskip("torch")
    # A process of its own: transformers gives `nn.Module` methods that are not torch's.
    names = subprocess.check_output([sys.executable, "-c", "import torch; print(*dir(torch.nn.Module()))"], text=True)
    owned = {name for name in names.split() if re.fullmatch("[a-z][a-z0-9_]*", name)}
    assert owned <= MODULE_NAMES
    always = {"forward", "train", "training", "type", "half", "float", "parameters", "modules", "to", "eval", "apply"}
    assert always <= owned


@pytest.mark.parametrize(
    ("name", "better"),
    [("FeedForward-1", "feed_forward_1"), ("a b", "a_b"), ("9x", "x"), ("_", "")],
)
def test_snake_case(name: str, better: str) -> None:
    assert snake_case(name) == better
