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
MORE = sorted(Path(os.environ["BLOCKGRAPH_SPECS"]).glob("*.yaml")) if "BLOCKGRAPH_SPECS" in os.environ else []


def load(source: str | Path) -> Spec:
    diagnostics = Diagnostics()
    spec = load_spec(source, diagnostics)
    assert [(str(d.span), d.message) for d in diagnostics] == []
    assert spec is not None
    return spec


def test_these_are_shipped() -> None:
    assert {path.stem for path in GOLDEN.glob("*.txt")} == set(presets.names())
    assert all(presets.path(name).read_text("utf-8") == presets.text(name) for name in presets.names())
    with pytest.raises(KeyError):
        presets.path("gpt5")


def test_what_presets_share_can_be_extended_but_is_no_preset(tmp_path: Path) -> None:
    assert presets.fragments() and not set(presets.fragments()) & set(presets.names())
    copy = tmp_path / "mine.yaml"  # as `blockgraph new` writes it
    copy.write_text(presets.text("llama3-8b"), "utf-8")
    mine, own = load(copy).huggingface, load("llama3-8b").huggingface
    assert mine == own and mine is not None and "scaling" in mine.vars
    diagnostics = Diagnostics()
    assert load_spec(presets.fragments()[0], diagnostics) is None
    assert [d.code for d in diagnostics] == ["missing-file"]


def test_sections_of_merged_files_stand_in_the_languages_order() -> None:
    order = list(load("llama3-8b").tree.entries)
    assert order == ["blockgraph", "name", "about", "vars", "defaults", "blocks", "inputs", "nodes", "huggingface"]


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
