"""The source tree: data, and the place of everything in it."""

from __future__ import annotations

import pytest

from blockgraph.specs.diagnostics import Diagnostics
from blockgraph.specs.places import Source, Span
from blockgraph.specs.reader import read
from blockgraph.specs.tree import Mapping, Path, Scalar, find, inside, locate, plain

TEXT = """\
vars: {width: 512, é: '=4*w'}
nodes:
  attn: {type: attention, in: [x, "y z"]}
  gone:
about: >
  long
  text
list:
  - a
  - b: 1
    c: 2
last: plain over
  two lines
"""


def tree() -> Mapping:
    diagnostics = Diagnostics()
    found = read(Source("a.yaml", TEXT), diagnostics)
    assert found is not None and not list(diagnostics)
    return found


def covered(span: Span) -> str:
    """The text from the start of the place to its end."""
    lines = TEXT.splitlines(keepends=True)[span.line - 1 : span.end_line]
    if not lines:
        return ""
    if span.end_line > span.line and span.end_line <= len(TEXT.splitlines()):
        lines[-1] = lines[-1][: span.end_column - 1]
        lines[0] = lines[0][span.column - 1 :]
        return "".join(lines)
    return lines[0][span.column - 1 : span.end_column - 1]


@pytest.mark.parametrize(
    ("path", "key", "text"),
    [
        (("vars",), False, "{width: 512, é: '=4*w'}"),
        (("vars",), True, "vars"),
        (("vars", "width"), False, "512"),
        (("vars", "width"), True, "width"),
        (("vars", "é"), False, "'=4*w'"),
        (("nodes", "attn", "in", 1), False, '"y z"'),
        (("nodes", "attn", "in", -2), False, "x"),
        (("nodes", "attn", "in", 1), True, '"y z"'),  # an item has no key
        (("nodes", "gone"), False, ""),
        (("list",), False, "- a\n  - b: 1\n    c: 2"),
        (("list", 1), False, "b: 1\n    c: 2"),
        (("last",), False, "plain over\n  two lines"),
        # what is not there is shown at the nearest thing above it
        (("nodes", "attn", "heads"), False, "attn"),
        (("nodes", "attn", "in", 5), False, "in"),
        (("vars", "width", "deeper", "still"), False, "width"),
        (("list", 1, "d"), False, "b: 1\n    c: 2"),
    ],
)
def test_places(path: Path, key: bool, text: str) -> None:
    assert covered(locate(tree(), path, key)) == text


def test_what_is_missing_at_the_top_is_shown_at_its_start() -> None:
    span = locate(tree(), ("inputs", "tokens"))
    assert (span.line, span.column) == (1, 1)


def test_find_and_plain() -> None:
    found = find(tree(), ("list", 1, "c"))
    assert isinstance(found, Scalar) and (found.value, found.text, found.style) == (2, "2", "")
    assert find(tree(), ("list", "a")) is None and find(tree(), ("nothing", 1)) is None
    assert find(tree(), ()) == tree() or plain(find(tree(), ()) or tree()) == plain(tree())
    assert plain(tree()) == {
        "vars": {"width": 512, "é": "=4*w"},
        "nodes": {"attn": {"type": "attention", "in": ["x", "y z"]}, "gone": None},
        "about": "long text\n",
        "list": ["a", {"b": 1, "c": 2}],
        "last": "plain over two lines",
    }


@pytest.mark.parametrize(
    ("path", "offset", "length", "text"),
    [
        (("vars", "é"), 3, 1, "w"),
        (("vars", "é"), 1, 99, "4*w"),
        (("vars", "é"), 99, 1, "w"),
        (("nodes", "attn", "type"), 0, 3, "att"),
        (("nodes", "gone"), 0, 1, ""),
        (("about",), 0, 3, None),
        (("last",), 0, 3, "plain over\n  two lines"),
    ],
)
def test_places_inside_a_text(path: Path, offset: int, length: int, text: str | None) -> None:
    scalar = find(tree(), path)
    assert isinstance(scalar, Scalar)
    span = inside(scalar, offset, length)
    assert span == scalar.span if text is None else covered(span) == text
