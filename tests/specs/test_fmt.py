"""The canonical layout: stable, the same data, every comment kept."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from blockgraph.specs.diagnostics import Diagnostics, SpecError
from blockgraph.specs.layout import _Layout, format_text
from blockgraph.specs.places import Source
from blockgraph.specs.reader import read
from blockgraph.specs.tree import Mapping, plain

ROOT = Path(__file__).parents[2]
FOLDERS = [ROOT / "specs/presets", ROOT / "examples", *map(Path, filter(None, [os.environ.get("BLOCKGRAPH_SPECS")]))]
FILES = [path for folder in FOLDERS for path in sorted(folder.glob("*.yaml"))]


def tree(text: str) -> Mapping:
    diagnostics = Diagnostics()
    found = read(Source("a.yaml", text), diagnostics)
    assert found is not None and not list(diagnostics), list(diagnostics)
    return found


def checked(text: str) -> str:
    """The text formatted, after what always holds was held."""
    found = tree(text)
    formatted = _Layout(found).text()
    assert plain(tree(formatted)) == plain(found), formatted
    assert format_text(Source("a.yaml", text)) == formatted  # it was not given up
    assert format_text(Source("a.yaml", formatted)) == formatted
    assert all(line == line.rstrip(" ") for line in formatted.splitlines())
    return formatted


BEFORE = """\
# a spec

blockgraph:   1    # version


vars: { width : 512,heads: 8 ,  p: 0.10, 'act': "gelu", x: "=f(a, b)", on: 'on', n: ~, t: True }
inputs:
    tokens: {tokens: "=vocab",  # ids
        axis: T,

        # a batch of its own
        batch: C}
nodes:

    embed: {type: embedding, width: =width}   # first
    # the layers
    decoder_layers: { type: Layer , repeat: 6 }

    norm: layer_norm
    # at the end of the nodes
about: >-
    text over
    lines
outputs:
- a
-   b: 1
    c: [ ]
- |
    one # no comment
    two
gone:
# the end
"""

AFTER = """\
# a spec

blockgraph: 1  # version

vars: {width: 512, heads: 8, p: 0.10, act: gelu, x: "=f(a, b)", on: "on", n: null, t: true}
inputs:
  tokens:
    tokens: =vocab  # ids
    axis: T

    # a batch of its own
    batch: C
nodes:

  embed:          {type: embedding, width: =width}  # first
  # the layers
  decoder_layers: {type: Layer, repeat: 6}

  norm: layer_norm
  # at the end of the nodes
about: text over lines
outputs:
  - a
  - b: 1
    c: []
  - |
    one # no comment
    two
gone: null
# the end
"""


def test_the_layout() -> None:
    assert checked(BEFORE) == AFTER


@pytest.mark.parametrize(
    ("text", "formatted"),
    [
        ("", ""),
        ("# only\n#this", "# only\n#this\n"),
        ("{}", ""),
        ("{a: 1, b: {c: 2}}", "a: 1\nb: {c: 2}\n"),
        ("---\n# c\na: 1\n...\n", "# c\na: 1\n"),
        ("\ufeffa: 1\r\n\r\n\r\nb: 2", "a: 1\n\nb: 2\n"),
        ("a:\n- - x\n  - y\n- {}\n", "a:\n  - - x\n    - y\n  - {}\n"),
        ("a: [b: 1, {c}]", "a: [{b: 1}, {c: null}]\n"),
        ("a: 0x10\nb: 1E-4\nc: .5\nd: 010", "a: 0x10\nb: 1E-4\nc: .5\nd: 010\n"),
        ("a: 'it''s'\nb: \"x\\ty\"\nc: 'a: b'\nd: 'say \"so\"'", 'a: it\'s\nb: "x\\ty"\nc: "a: b"\nd: say "so"\n'),
        ("a: '1'\nb: 'true'\nc: ''\nd: '~'\ne: 'no'", 'a: "1"\nb: "true"\nc: ""\nd: "~"\ne: "no"\n'),
        ("'1': a\n2: b\n\"c d\": e", '"1": a\n2: b\nc d: e\n'),
        ("a: |  # c\n  x\nb: |-\n  y\n  z\nc: |+\n  x\n\n", 'a: |  # c\n  x\nb: |-\n  y\n  z\nc: "x\\n\\n"\n'),
        ("a: |2\n   x\n  y\n", 'a: " x\\ny\\n"\n'),
        ("a: # c\n  {b: 1}", "a: {b: 1}  # c\n"),
        ("a: [ # c\n  b, c] # d", "a:  # c\n  - b\n  - c  # d\n"),
        ("a:\n  b: 1\n  # in\n# out\nc: 2", "a:\n  b: 1\n  # in\n# out\nc: 2\n"),
        ("a:\n  # c\n  b", "a: b\n# c\n"),
        ("a:\n      # far\n  b: 1\n", "a:\n  # far\n  b: 1\n"),
        ("a:\n  - - b\n    # in\n  # out\nc: 1\n", "a:\n  - - b\n  # in\n  # out\nc: 1\n"),
        ("{a: \xa0}", "a: \xa0\n"),
        ("? a # c\n: b # d\n", "a: b  # c  # d\n"),
    ],
)  # fmt: skip
def test_parts(text: str, formatted: str) -> None:
    assert checked(text) == formatted


def test_long_brackets_are_wrapped() -> None:
    items = ", ".join(f"name{i}: {i}" for i in range(40))
    lines = checked(f"vars: {{{items}}}\nnodes:\n  a: {{type: x, in: [{items.replace(':', '')}]}}").splitlines()
    assert all(len(line) <= 120 for line in lines[:5])
    assert len(lines) < 12 and lines[1].startswith("       name")


@pytest.mark.parametrize("text", ["a: {b: 1", "a: &x 1", "a: 1\na: 2", "- a"])
def test_what_is_refused_is_not_touched(text: str) -> None:
    with pytest.raises(SpecError):
        format_text(Source("a.yaml", text))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_specs(path: Path) -> None:
    text = path.read_text("utf-8")
    formatted = checked(text)
    assert formatted.count("#") == text.count("#")
    assert formatted.count("\n\n") == len(re.findall(r"\n(?:[ \t]*\n)+", text.strip()))


KEYS = st.text("abz_ é#:'\"0-", min_size=1, max_size=5)
LEAVES = st.none() | st.booleans() | st.integers(-(10**20), 10**20) | st.floats(allow_nan=False, allow_infinity=False)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12) | st.text("ab :#,[]{}'\"\n\t =-|>", max_size=16)
DATA = st.dictionaries(
    KEYS,
    st.recursive(
        LEAVES | TEXTS,
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4),
        max_leaves=25,
    ),
    max_size=6,
)


@settings(max_examples=250, deadline=None)
@given(DATA, st.sampled_from([None, True, False]), st.integers(20, 200))
def test_any_data_in_any_style(data: dict[str, Any], flow: bool | None, width: int) -> None:
    text = yaml.safe_dump(data, default_flow_style=flow, allow_unicode=True, width=width)
    diagnostics = Diagnostics()
    read(Source("a.yaml", text), diagnostics)
    if not list(diagnostics):  # an expression cut by YAML, or a key that lacks its space, is not formatted
        checked(text)


LINES = st.sampled_from(["a: 1", "b: [1, 2]  # c", "c:", "  d: {e: 1}", "  f:", "    g: x # y", "", "# top", "  # in", "    # deep", "h: |", "    text", "i: {j: 1, # k", "  l: 2}", "      # far", "m: 'x # y'", "n: [o, # p", "    # q", "  r]", "s:", "- t", "  - u: 1", "    v: 2"])  # fmt: skip


@settings(max_examples=600, deadline=None)
@given(st.lists(LINES, max_size=14))
def test_comments_stay_wherever_they_are(lines: list[str]) -> None:
    text = "\n".join(lines) + "\n"
    diagnostics = Diagnostics()
    found = read(Source("a.yaml", text), diagnostics)
    if found is None or list(diagnostics):
        return
    formatted = checked(text)
    for comment in ("c", "y", "top", "in", "deep", "k", "far", "p", "q"):
        assert _count(formatted, comment) == _count(text, comment), text + "-" * 20 + formatted


def _count(text: str, comment: str) -> int:
    return text.count(f"# {comment}")
