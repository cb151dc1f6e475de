"""Every preset loads, shows itself as YAML that says the same, and equals its golden file.

`BLOCKGRAPH_GOLDEN=1` writes the golden files anew. `BLOCKGRAPH_SPECS` names a folder of more specs to try.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from blockgraph.specs import presets
from blockgraph.specs.diagnostics import Diagnostics
from blockgraph.specs.load import load_spec, load_text
from blockgraph.specs.show import flat, show
from blockgraph.specs.spec import Spec
from blockgraph.specs.tree import plain
from tests.texts import HEAD

GOLDEN = Path(__file__).parent.parent / "golden" / "presets"
NAMES = (
    "albert-base albert-base-classify albert-base-encoder albert-base-pretraining albert-base-spans "
    "albert-base-tokens bart-base bert-base bert-base-classify bert-base-mlm bert-base-next bert-base-pretraining "
    "bert-base-spans bert-base-tokens blenderbot-3b blenderbot-90m bloom-560m deberta-base deberta-v3-base "
    "deberta-v3-base-classify deberta-v3-base-spans deberta-v3-base-tokens distilbert-base "
    "distilbert-base-classify distilbert-base-spans distilbert-base-tokens electra-small electra-small-classify "
    "electra-small-generator electra-small-spans electra-small-tokens falcon-7b gemma-2b gemma2-9b gemma3-1b "
    "gpt-j-6b gpt-nano gpt-neo-125m gpt2 gpt2-large gpt2-medium gpt2-xl gpt3 granite-2b llama-nano llama3-405b "
    "llama3-8b lstm-nano m2m100-418m marian-en-de mbart-large-cc25 modernbert-base olmo2-7b opt-350m "
    "pegasus-large phi-2 phi3-mini pythia-160m qwen3-8b roberta-base roberta-base-classify roberta-base-encoder "
    "roberta-base-spans roberta-base-tokens t5-small transformer-base transformer-nano umt5-small"
)
MORE = sorted(Path(os.environ["BLOCKGRAPH_SPECS"]).glob("*.yaml")) if "BLOCKGRAPH_SPECS" in os.environ else []


def load(source: str | Path) -> Spec:
    diagnostics = Diagnostics()
    spec = load_spec(source, diagnostics)
    assert [(str(d.span), d.message) for d in diagnostics] == []
    assert spec is not None
    return spec


def test_these_are_shipped() -> None:
    assert presets.names() == NAMES.split()
    assert all(presets.path(name).read_text("utf-8") == presets.text(name) for name in presets.names())
    with pytest.raises(KeyError):
        presets.path("gpt5")


@pytest.mark.parametrize("name", presets.names())
def test_presets_equal_their_golden_files(name: str) -> None:
    found, golden = flat(load(name)), GOLDEN / f"{name}.txt"
    if os.environ.get("BLOCKGRAPH_GOLDEN"):
        golden.write_text(found, "utf-8")
    assert found == golden.read_text("utf-8")


@pytest.mark.parametrize("source", [*presets.names(), *MORE], ids=str)
def test_what_is_shown_says_the_same(source: str | Path) -> None:
    spec = load(source)
    diagnostics = Diagnostics()
    again = load_text(show(spec), diagnostics)
    assert again is not None and list(diagnostics) == []
    assert plain(again.tree) == plain(spec.tree)
    assert list(again.root.nodes) == list(spec.root.nodes)
    assert (again.vars, again.root, again.blocks, again.train, again.init) == (
        spec.vars,
        spec.root,
        spec.blocks,
        spec.train,
        spec.init,
    )
    assert show(again) == show(spec) and flat(again) == flat(spec)


@pytest.mark.parametrize("name", presets.names())
def test_presets_have_the_editors_line_and_say_what_they_are(name: str) -> None:
    assert presets.text(name).startswith("# yaml-language-server: $schema=blockgraph.schema.json\n")
    assert load(name).name == name
    assert load(name).about


def test_awkward_texts_are_shown_as_they_are() -> None:
    texts = [
        "yes",
        "1e-4",
        "null",
        "a: b",
        "a #b",
        "x:1",
        "=f(a, b)",
        "",
        " a",
        "é\n\x85",
        "- a",
        "{",
        "'",
        '"\\',
        "0x1f",
    ]
    texts += ["100_000", "<<", "---", "a:", "\U0001f600", "\u2028"]
    quoted = ", ".join('"' + "".join(f"\\U{ord(c):08x}" for c in text) + '"' for text in texts)
    text = f"blockgraph: 1\nvars: {{a: null}}\nblocks: {{L: {{params: {{p: [{quoted}]}}, nodes: {{n: layer_norm}}}}}}\n"
    first, second = Diagnostics(), Diagnostics()
    spec = load_text(text, first)
    assert spec is not None
    again = load_text(show(spec), second)
    assert again is not None
    assert again.blocks["L"].params["p"] == spec.blocks["L"].params["p"] == texts


def test_flat_shows_order_and_short_forms() -> None:
    text = HEAD + "nodes: {b: layer_norm, a: {type: ffn, hidden: 1e1}}\ninit: {'*.x': zeros}"
    spec = load_text(text, Diagnostics())
    assert spec is not None
    assert flat(spec).splitlines() == [
        "blockgraph = 1",
        'init."*.x" = "zeros"',
        'inputs = ["tokens"]',
        'inputs.tokens.axis = "T"',
        "inputs.tokens.tokens = 10",
        'nodes = ["b", "a"]',
        "nodes.a.hidden = 10.0",
        'nodes.a.type = "ffn"',
        'nodes.b.type = "layer_norm"',
    ]
