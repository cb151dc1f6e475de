"""Unquoted scalars follow YAML 1.2's core schema, and what is written is read back."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blockgraph.specs.diagnostics import Diagnostics
from blockgraph.specs.layout import quoted
from blockgraph.specs.places import Source
from blockgraph.specs.reader import read
from blockgraph.specs.scalars import ScalarError, is_plain, resolve, write
from blockgraph.specs.tree import plain

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
HARD = st.sampled_from(["yes", "010", "-", "- a", "a: b", "a #b", "=x", "=f(a, b)", "{", "*a", "&a", "!a", "1_0", "...", "---", "? a", "a:", "'", '"', "\\", "<<", "~", "", " a", "a ", "1e5", ".inf", "null", "\ufeff", "\x85", "\u2028", "@", "`", "%x", "|", ">"])  # fmt: skip


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *[(text, None) for text in ("", "~", "null", "Null", "NULL")],
        *[(text, True) for text in ("true", "True", "TRUE")],
        *[(text, False) for text in ("false", "False", "FALSE")],
        *[(text, text) for text in ("yes", "no", "on", "off", "y", "tRUE", "nULL", "12:30:45", "2001-01-01", "0b11")],
        *[(text, text) for text in ("1.2.3", "1e", "e5", "+", "-", ".", "..", "0x", "0o8", "1 2", "0xg", "٣", "１２")],
        ("0", 0), ("-12", -12), ("+7", 7), ("010", 10), ("0o17", 15), ("0xFf", 255), ("-0", 0),
        ("1e-4", 1e-4), ("1e5", 1e5), ("1E+2", 100.0), (".5", 0.5), ("5.", 5.0), ("-1.5", -1.5), ("+.5e1", 5.0),
    ],
)  # fmt: skip
def test_core_schema(text: str, value: object) -> None:
    found = resolve(text)
    assert (type(found), found) == (type(value), value)


@pytest.mark.parametrize(
    ("text", "code", "meant"),
    [
        ("100_000", "number-text", 100_000),
        ("-1_0.5", "number-text", -10.5),
        ("1__0", "number-text", 10),
        (".inf", "number-text", None),
        ("-.INF", "number-text", None),
        (".nan", "number-text", None),
        ("1e999", "too-big", None),
        ("9" * 5000, "too-big", None),
        ("0x" + "f" * 5000, "too-big", None),
        ("1" + "_0" * 5000, "number-text", None),
    ],
)
def test_numbers_that_cannot_be(text: str, code: str, meant: object) -> None:
    with pytest.raises(ScalarError) as raised:
        resolve(text)
    assert (raised.value.code, raised.value.value) == (code, meant)
    assert raised.value.help and len(raised.value.message) < 100


@given(st.none() | st.booleans() | st.integers(-(10**98), 10**98) | st.floats(allow_nan=False, allow_infinity=False))
def test_values_are_read_back(value: bool | float | None) -> None:
    found = resolve(write(value))
    assert (type(found), found) == (type(value), value)
    assert not isinstance(value, float) or math.copysign(1, value) == math.copysign(1, resolve(write(value)))  # type: ignore[arg-type]


@given(TEXT | HARD)
def test_texts_are_read_back_wherever_they_stand(text: str) -> None:
    shown = quoted(text)
    source = Source("a.yaml", f"{shown}: 1\nblock: {shown}\nflow: {{a: {shown}, {shown}: [{shown}, {shown}]}}\n")
    diagnostics = Diagnostics()
    tree = read(source, diagnostics)
    found = {diagnostic.code for diagnostic in diagnostics}
    if found == {"duplicate-key"}:
        return  # the text is "block" or "flow", or "a"
    if text == "<<" or found:
        assert found <= {"merge-key"} and text == "<<"
        return
    assert tree is not None and plain(tree) == {text: 1, "block": text, "flow": {"a": text, text: [text, text]}}


@given(TEXT | HARD)
def test_plain_texts_are_plain(text: str) -> None:
    if is_plain(text):
        assert resolve(text) == text and write(text) == text
    else:
        with pytest.raises(ValueError):
            write(text)
