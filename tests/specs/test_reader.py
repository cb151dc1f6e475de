"""Reading YAML from strangers: what is meant, where it stands, and that nothing crashes, hangs or passes silently."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from blockgraph.specs import reader
from blockgraph.specs.diagnostics import Diagnostic, Diagnostics
from blockgraph.specs.places import Source, Span
from blockgraph.specs.reader import read, read_file
from blockgraph.specs.tree import plain


def messages(text: str) -> tuple[Any, list[Diagnostic]]:
    """The data (None: refused as a whole) and what was found."""
    diagnostics = Diagnostics()
    tree = read(Source("a.yaml", text), diagnostics)
    return (None if tree is None else plain(tree)), list(diagnostics)


def marked(text: str, span: Span) -> str:
    """The text that a place covers, on its first line."""
    line = Source("", text).line(span.line)
    return line[span.column - 1 : span.end_column - 1 if span.end_line == span.line else None]


@pytest.fixture(params=["libyaml", "pure"])
def either_parser(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both of PyYAML's parsers; wheels carry the first, some systems only the second."""
    if request.param == "libyaml" and not hasattr(yaml, "CSafeLoader"):
        pytest.skip("PyYAML without libyaml")
    monkeypatch.setattr(reader, "_LOADER", yaml.CSafeLoader if request.param == "libyaml" else yaml.SafeLoader)
    return str(request.param)


@pytest.mark.parametrize(
    ("text", "data"),
    [
        ("a: 1\nb: [x, 2.5, null, {c: true}]\n", {"a": 1, "b": ["x", 2.5, None, {"c": True}]}),
        ("a:\nb: ''\nc: 'no'\nd: no\ne: '1'\n", {"a": None, "b": "", "c": "no", "d": "no", "e": "1"}),
        ("a: |\n  x\n  y\nb: >-\n  x\n  y\n", {"a": "x\ny\n", "b": "x y"}),
        ("1: a\ntrue: b\n~: c\n", {"1": "a", "true": "b", "~": "c"}),
        ("a: =4*width\nb: '=min(a, b)'\n", {"a": "=4*width", "b": "=min(a, b)"}),
        ("{a: 1, 'b': [c: 2]}", {"a": 1, "b": [{"c": 2}]}),
        ("? a\n: b\n", {"a": "b"}),
        ("\ufeffa: 1\r\nb:\r\n  - x\r\n", {"a": 1, "b": ["x"]}),
        ("%YAML 1.1\n---\na: 1\n...\n", {"a": 1}),
        ("about: see 10:30, http://x.y/z and C:\\x\n", {"about": "see 10:30, http://x.y/z and C:\\x"}),
        ("é: 注意力\n\U0001f600: ok\n", {"é": "注意力", "\U0001f600": "ok"}),
        ("", {}), ("# nothing\n", {}), ("---\n", {}), ("~\n", {}),
    ],
)  # fmt: skip
@pytest.mark.usefixtures("either_parser")
def test_data(text: str, data: Any) -> None:
    assert messages(text) == (data, [])


@pytest.mark.parametrize(
    ("text", "code", "mark", "help", "data"),
    [
        # what the language leaves out; the data goes on as it was meant
        ("a: &x {b: 1}\nc: 2", "anchor", "&x", "vars", {"a": {"b": 1}, "c": 2}),
        ("a: *x", "alias", "*x", "vars", {"a": None}),
        ("a: !!str 5", "tag", "!", "quote", {"a": 5}),
        ("a: !python/object/apply:os.system [x]", "tag", "!", "quote", {"a": ["x"]}),
        ("a: {<<: {b: 1, c: 2}, c: 3}", "merge-key", "<<", "defaults", {"a": {"b": 1, "c": 3}}),
        ("a: 1\n---\nb: 2", "documents", "---", "file of its own", {"a": 1}),
        ("a: 1\nb: 2\na: 3", "duplicate-key", "a", "one of the two", {"a": 1, "b": 2}),
        ("a: {'b': 1, b: 2}", "duplicate-key", "b", None, {"a": {"b": 1}}),
        ("a: {[x]: 1}", "wrong-type", "[x]", "a name", {"a": {}}),
        ("a: {{ b }}", "wrong-type", "{ b }", "{{", {"a": {}}),
        ("a: {? : 1}", "wrong-type", "", "a name", {"a": {}}),
        # numbers
        ("a: 100_000", "number-text", "100_000", "write 100000", {"a": 100_000}),
        ("a: [.inf]", "number-text", ".inf", "finite", {"a": [None]}),
        ("a: 1e999", "too-big", "1e999", "1e308", {"a": None}),
        ("a: " + "9" * 5000, "too-big", "9" * 5000, "digits", {"a": None}),
        # a space that is missing
        ("a: {x:1, y: 2}", "missing-space", ":", "write 'x: 1'", {"a": {"x": 1, "y": 2}}),
        ("a: {x:=4*width}", "missing-space", ":", "write 'x: =4*width'", {"a": {"x": "=4*width"}}),
        ("a: [x:1]", "missing-space", ":", "write 'x: 1'", {"a": [None]}),
        ("a:\n  width:512\n", "missing-space", ":", "write 'width: 512'", {"a": None}),
        ("a:\n  width:512\n  heads:8\n", "missing-space", ":", "write 'width: 512'", {"a": None}),
        ("width:512", "missing-space", ":", "write 'width: 512'", None),
        ("a:\n  width:512\n  heads: 8\n", "missing-space", ":", "write 'width: 512'", None),
        ("a: {b:{c: 1}}", "missing-space", ":", "after 'b:'", None),
        ("nodes:\n  embed:{type: x}\n", "missing-space", ":", "after 'embed:'", ...),
        # expressions that YAML cuts
        ("a: {x: =min(8, heads), y: 2}", "cut-expression", "=min(8, heads)", '"=min(8, heads)"', {"a": {"x": "=min(8, heads)", "y": 2}}),
        ("a: [=max(1, 2, 3), 4]", "cut-expression", "=max(1, 2, 3)", "quote it", {"a": ["=max(1, 2, 3)", 4]}),
        ("a: {x: =len('a, b')}", "cut-expression", "=len('a, b')", "quote it", {"a": {"x": "=len('a, b')"}}),
        ("a: {x: =len(\"a, 'b\")}", "cut-expression", "=len(\"a, 'b\")", "'=len(\"a, ''b\")'", None),
        ("a: =len('b #c')", "cut-expression", "=len('b #c')", "quote it", {"a": "=len('b #c')"}),
        ("a: {x: =down[2], y: 1}", "cut-expression", "=down[2]", '"=down[2]"', None),
        ("a: [=down[2]]", "cut-expression", "=down[2]", '"=down[2]"', None),
        ("a: {x: =a if b in [1, 2] else 3}", "cut-expression", "=a if b in [1, 2] else 3", "quote it", None),
        ("a: =x if b: c", "cut-expression", "=x if b: c", "quote it", None),
        # syntax
        ("a:\n\tb: 1", "yaml-syntax", "\t", "spaces", None),
        ("a: b: c", "yaml-syntax", ":", "quote the text", None),
        ("a: 1\n  b: 2", "yaml-syntax", ":", "indented like", None),
        ("a:\n  b: 1\n c: 2", "yaml-syntax", "c", "neighbours", None),
        ("a: {b: 1\nc: 2\n", "yaml-syntax", "{", "'}'", None),
        ("a: [1, 2\n", "yaml-syntax", "[", "']'", None),
        ("a: {b: [1, 2\n", "yaml-syntax", "[", "']'", None),
        ("a: 'x\nb: 2\n", "yaml-syntax", "'", "end the text", None),
        ('a: "x', "yaml-syntax", '"', "end the text", None),
        ('a: "\\q"', "yaml-syntax", "\\", "backslash", None),
        ("a: @x", "yaml-syntax", "@", "quotes", None),
        ("a: `x`", "yaml-syntax", "`", "quotes", None),
        ("a: [1,,2]", "yaml-syntax", ",", "write a value", None),
        ("a: }", "yaml-syntax", "}", "write a value", None),
        ("{a: 1}}", "yaml-syntax", "}", "close each bracket once", None),
        ("a: - b", "yaml-syntax", "-", "line of its own", None),
        ("- a\nb: c", "yaml-syntax", "b", "neighbours", None),
        ("a: *\n", "yaml-syntax", "", "quote", None),
        # not a mapping
        ("- a\n- b\n", "wrong-type", "- a", "blockgraph: 1", None),
        ("hello", "wrong-type", "hello", "blockgraph: 1", None),
        # characters
        ("a: x\0y", "encoding", "\0", "UTF-8", None),
        ("a: \ud800", "encoding", "\ud800", "UTF-8", None),
        ("a: 1\nb: \x1b[31m", "encoding", "\x1b", "UTF-8", None),
    ],
)  # fmt: skip
def test_refusals(text: str, code: str, mark: str, help: str | None, data: Any) -> None:
    found, diagnostics = messages(text)
    assert [diagnostic.code for diagnostic in diagnostics] == [code]
    (diagnostic,) = diagnostics
    assert diagnostic.span is not None and marked(text, diagnostic.span) == mark
    assert (help or "") in (diagnostic.help or "")
    assert data is ... or found == data


@pytest.mark.parametrize(
    "text",
    ["a: b: c", "a: {b: 1\nc: 2\n", "a: 'x", "a: @x", "a:\n\tb: 1", "a: [1,,2]", "- a\nb: c", "a: - b", "a: {x: =f[2]}", "{a: 1}}", "a: [1", "a: 1\n b: 2", "&", "*", "!<", "%X", "a: |x", '"\\xq"', "a: >9z", "? [", "{a: [}", "a: \"\n---\n\""],
)  # fmt: skip
@pytest.mark.usefixtures("either_parser")
def test_syntax_errors_have_a_place_and_no_jargon(text: str) -> None:
    found, diagnostics = messages(text)
    assert found is None and len(diagnostics) == 1
    said = f"{diagnostics[0].message} {diagnostics[0].help}"
    for jargon in ("token", "scalar", "did not find", "expected <", "block mapping", "flow", "parsing", "context"):
        assert jargon not in said
    inside(text, diagnostics)


def inside(text: str, diagnostics: list[Diagnostic]) -> None:
    lines = text.splitlines() or [""]
    for diagnostic in diagnostics:
        span = diagnostic.span
        assert span is not None and 1 <= span.line <= len(lines), (text, diagnostic)
        assert 1 <= span.column <= len(lines[span.line - 1]) + 1, (text, diagnostic)


def test_duplicates_show_both_places() -> None:
    _, (found,) = messages("a: 1\nb: 2\na: 3")
    assert [(related.message, related.span.line) for related in found.related] == [("first written", 1)]


def test_all_errors_at_once() -> None:
    _, found = messages("a: &x 1\nb: *x\nc: 1_0\na: {y:1}\n<<: {d: .nan}\n")
    codes = [diagnostic.code for diagnostic in found]
    assert codes == ["anchor", "alias", "number-text", "duplicate-key", "missing-space", "merge-key", "number-text"]


BOMB = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{chr(98 + i)}: &{chr(98 + i)} [{', '.join(['*' + chr(97 + i)] * 10)}]\n" for i in range(9)
)
CHAIN = "a0: &a0 {b: 1}\n" + "".join(f"a{i + 1}: &a{i + 1} {{b: {{b: {{b: *a{i}}}}}}}\n" for i in range(1000))


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("[" * 50_000, "too-deep"),
        ("{a: " * 50_000, "too-deep"),
        ("{" * 900_000, "too-deep"),
        ("- " * 50_000, "too-deep"),
        ("? " * 50_000, "too-deep"),
        ("[&a " * 50_000, "too-deep"),
        ("".join(" " * depth + "a:\n" for depth in range(1000)), "too-deep"),
        (BOMB, "too-large"),
        (CHAIN, "too-deep"),
        ("- x\n" * 60_000, "too-large"),
        ("a: [" + "1," * 60_000, "too-large"),
        ("a: [" + "[]," * 60_000, "too-large"),
        ("x" * 900_000 + ": 1", "yaml-syntax"),
        ("a: '" + "x" * 900_000, "yaml-syntax"),
        ("a: " + "b: " * 300_000, "yaml-syntax"),
        ("a:b " * 200_000 + ": 1", "yaml-syntax"),
        ("a: {" + "b:c" * 300_000, "yaml-syntax"),
        ("a: 1\n" * 200_000, "too-large"),
        ("a: " + "x" * 1_000_001, "too-large"),
        ("a: " + "é" * 500_001, "too-large"),
        ("\0" * 900_000, "encoding"),
        ("%" * 900_000, "yaml-syntax"),
        ("a: &" + "x" * 900_000, "anchor"),
        ("a: !" + "x" * 900_000, "tag"),
    ],
    ids=lambda value: value[:12] if isinstance(value, str) else "",
)
def test_hostile_sizes(text: str, code: str) -> None:
    start = time.process_time()
    _, found = messages(text)
    assert code in {diagnostic.code for diagnostic in found}
    assert time.process_time() - start < 2
    inside(text, found[:100])
    assert all(len(diagnostic.message) < 200 and len(diagnostic.help or "") < 200 for diagnostic in found[:100])


def test_deep_input_does_not_end_the_pure_parser(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "_LOADER", yaml.SafeLoader)
    _, (found,) = messages("[" * 5_000)
    assert found.code == "too-deep"


def test_what_is_long_but_fine() -> None:
    assert messages("a: " + "\n" * 900_000)[0] == {"a": None}
    assert messages("a: " + "x" * 900_000)[0] == {"a": "x" * 900_000}
    assert messages("#" * 900_000) == ({}, [])
    deep = "".join("  " * depth + "a:\n" for depth in range(60))
    assert messages(deep)[1] == []


def test_files(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_bytes(b"\xef\xbb\xbfa: 1\r\n")
    source = read_file(path, Diagnostics())
    assert source is not None and (source.name, source.text) == (str(path), "a: 1\r\n")


@pytest.mark.parametrize(
    ("data", "code", "place"),
    [
        (b"a: 1\nb: \xff\n", "encoding", (2, 4)),
        (b"\xef\xbb\xbfa: 1\nb: \xc3\xa9\xff\n", "encoding", (2, 5)),
        ("a: 1\n".encode("utf-16"), "encoding", (1, 1)),
        (b"a: " + b"x" * 1_000_000, "too-large", (1, 1)),
        (b"a" * 999_999 + "é".encode() + b"a", "too-large", (1, 1)),
    ],
)
def test_files_that_are_no_text(tmp_path: Path, data: bytes, code: str, place: tuple[int, int]) -> None:
    (tmp_path / "a.yaml").write_bytes(data)
    diagnostics = Diagnostics()
    assert read_file(tmp_path / "a.yaml", diagnostics) is None
    (found,) = diagnostics
    assert found.code == code and found.span is not None and (found.span.line, found.span.column) == place


def test_files_that_are_not_there(tmp_path: Path) -> None:
    span = Span(Source("child.yaml", "extends: x.yaml"), 1, 10, 1, 16)
    paths = [tmp_path / "absent.yaml", tmp_path, tmp_path / "a\0b", tmp_path / ("x" * 5000)]
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe")  # opening it would wait for ever
        paths.append(tmp_path / "pipe")
    for path in paths:
        diagnostics = Diagnostics()
        assert read_file(path, diagnostics, span) is None
        (found,) = diagnostics
        assert (found.code, found.span) == ("missing-file", span)


PIECES = st.sampled_from(["a", "b: ", "x:1", "- ", "? ", ": ", "{", "}", "[", "]", ", ", "\n", "\n  ", "\n    ", "\t", "'", '"', "|", ">", "&a ", "*a ", "!t ", "<<: ", "#c", " # c", "=min(1, 2)", "=f[2]", "100_0", ".inf", "\\", "---\n", "...\n", "%", "@", "\0", "\ufeff", "é", "\x85", "\u2028", "\r", "\r\n", "~", "1e999"])  # fmt: skip


@settings(max_examples=600, deadline=None)
@given(st.lists(PIECES, max_size=40).map("".join) | st.text(max_size=80))
def test_any_text_is_read_or_refused_with_a_place(text: str) -> None:
    diagnostics = Diagnostics()
    tree = read(Source("a.yaml", text), diagnostics)
    assert tree is not None or diagnostics.has_errors
    inside(text.removeprefix("\ufeff"), list(diagnostics))


DATA = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**9), 10**9) | st.text("ab :#,[]{}'\"é\n=-", max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("abc:é ", min_size=1, max_size=4), inner, max_size=4),
    max_leaves=20,
)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(st.text("xyz", min_size=1, max_size=3), DATA, max_size=5), st.booleans())
def test_what_pyyaml_writes_is_read_back(data: dict[str, Any], flow: bool) -> None:
    text = yaml.safe_dump(data, default_flow_style=flow, allow_unicode=True, width=10_000)
    found, diagnostics = messages(text)
    if not diagnostics:  # a text with a colon in it may look like a space that is missing, an expression may be cut
        assert found == data
    assert {diagnostic.code for diagnostic in diagnostics} <= {"missing-space", "cut-expression"}
