"""JSON as a source tree: the values of `json.loads`, and every place."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blockgraph.specs.diagnostics import Diagnostics
from blockgraph.specs.json_tree import as_tree, read_json
from blockgraph.specs.places import Source, Span
from blockgraph.specs.tree import Tree, find, locate, plain

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)  # fmt: skip


def tree_of(text: str) -> Tree:
    diagnostics = Diagnostics()
    tree = read_json(Source("config.json", text), diagnostics)
    assert list(diagnostics) == [] and tree is not None
    return tree


@settings(max_examples=100, deadline=None)
@given(st.dictionaries(st.text(), VALUES, max_size=4), st.sampled_from([None, 2, "\t"]), st.booleans())
def test_values_are_those_of_json(data: dict[str, Any], indent: int | str | None, ascii: bool) -> None:
    assert plain(tree_of(json.dumps(data, indent=indent, ensure_ascii=ascii))) == data


def test_places_of_values_and_keys() -> None:
    tree = tree_of('{"a": 1,\n "é": {"b" :[true, "x\\"y", {"c": -1.5e3}]}}\n')
    assert str(locate(tree, ("a",))) == "config.json:1:7"
    assert str(locate(tree, ("é", "b"), key=True)) == "config.json:2:8"
    span = locate(tree, ("é", "b", 1))
    assert (span.line, span.column, span.end_column) == (2, 20, 26)
    found = find(tree, ("é", "b", 2, "c"))
    assert found is not None and plain(found) == -1500.0
    assert str(locate(tree, ("é", "b", 2, "c"))) == "config.json:2:34"


def test_the_last_of_equal_keys_counts_as_in_json() -> None:
    assert plain(tree_of('{"a": 1, "a": 2}')) == {"a": 2}


def test_lines_are_those_that_messages_show() -> None:
    tree = tree_of('{"a": "\u2028",\r\n "b": 2}')  # `splitlines` also ends a line at U+2028
    span = locate(tree, ("b",))
    assert span.source.line(span.line)[span.column - 1] == "2"


@pytest.mark.parametrize("text", ["", "{", '{"a"}', "1", "null", '"a"', "[1]", "{'a': 1}", '{"a": Infinity}', "{} {}"])
def test_everything_else_is_refused_once_with_a_place(text: str) -> None:
    diagnostics = Diagnostics()
    assert read_json(Source("config.json", text), diagnostics) is None
    assert [(d.code, d.span is not None) for d in diagnostics] == [("json-syntax", True)]


@settings(max_examples=100, deadline=None)
@given(st.text(alphabet='{}[],:"0a\\ \n', max_size=40))
def test_any_text_is_read_or_refused(text: str) -> None:
    diagnostics = Diagnostics()
    tree = read_json(Source("config.json", text), diagnostics)
    assert (tree is None) == diagnostics.has_errors


def test_plain_data_as_a_tree() -> None:
    span = Span(Source("x", ""), 1, 1, 1, 1)
    data = {"a": [1, 1.5e-5, None, True, "text"], "b": {}}
    assert plain(as_tree(data, span)) == data
    assert locate(as_tree(data, span), ("a", 3)) is span
