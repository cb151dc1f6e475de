"""Messages look as the language's page shows them; whatever stands in a file, only printable characters are printed."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blockgraph.specs.diagnostics import Diagnostic, Related, SpecError
from blockgraph.specs.places import Source, Span
from blockgraph.specs.render import WIDEST, render_github, render_json, render_text

GPT = Source(
    "gpt.yaml",
    "\n" * 2
    + "vars: {width: 768, heads: 12}\n"
    + "\n" * 8
    + "      attn:  {type: attention, heads: 7, causal: true}\n"
    + "\n" * 2
    + "      ffn:   {type: ffn, hiden: =4*width}\n",
)

HEADS = Diagnostic(
    "heads",
    "7 heads do not divide the width 768",
    Span(GPT, 12, 39, 12, 40),
    "try 6, 8 or 12, or set head_dim",
    "in decoder (Layer × 12) → attn",
    (Related("the width comes from", Span(GPT, 3, 15, 3, 18)),),
)
HIDEN = Diagnostic("unknown-option", "ffn has no option 'hiden'", Span(GPT, 15, 26, 15, 31), "did you mean 'hidden'?")

EXPECTED = """\
gpt.yaml:12:39: error[heads]: 7 heads do not divide the width 768
   12 |       attn:  {type: attention, heads: 7, causal: true}
      |                                       ^ try 6, 8 or 12, or set head_dim
      = in decoder (Layer × 12) → attn; the width comes from gpt.yaml:3:15

gpt.yaml:15:26: error[unknown-option]: ffn has no option 'hiden'
   15 |       ffn:   {type: ffn, hiden: =4*width}
      |                          ^^^^^ did you mean 'hidden'?

2 errors; nothing was built.
"""


def _warning(span: Span | None = None) -> Diagnostic:
    return Diagnostic("unused-var", "nothing reads 'p'", span, severity="warning")


def _at(text: str, column: int, end: int, help: str | None = "here") -> list[str]:
    """The excerpt's two lines for a mark on the first line of `text`."""
    span = Span(Source("a.yaml", text), 1, column, 1, end)
    return render_text([Diagnostic("shape", "wrong", span, help)]).splitlines()[1:3]


def test_the_pages_example_literally() -> None:
    assert render_text([HEADS, HIDEN]) == EXPECTED


def test_spec_error_prints_itself() -> None:
    assert str(SpecError([HEADS, HIDEN])) == EXPECTED


@pytest.mark.parametrize(
    ("errors", "warnings", "line"),
    [
        (1, 0, "1 error; nothing was built."),
        (2, 1, "2 errors, 1 warning; nothing was built."),
        (0, 1, "1 warning."),
        (0, 3, "3 warnings."),
    ],
)
def test_the_last_line_counts(errors: int, warnings: int, line: str) -> None:
    text = render_text([HEADS] * errors + [_warning()] * warnings)
    assert text.splitlines()[-1] == line


def test_nothing_found_says_nothing() -> None:
    assert render_text([]) == ""
    assert render_github([]) == ""
    assert json.loads(render_json([])) == []


def test_many_are_cut_but_counted() -> None:
    text = render_text([HIDEN] * 250)
    assert text.count("error[unknown-option]") == 100
    assert text.endswith("… and 150 more\n\n250 errors; nothing was built.\n")


def test_an_extended_file_says_who_extended_it() -> None:
    child = Source("child.yaml", "blockgraph: 1\nextends: parent.yaml\n")
    parent = Source("parent.yaml", "extends: base.yaml\n", extended_by=Span(child, 2, 10, 2, 21))
    base = Source("base.yaml", "foo: 1\n", extended_by=Span(parent, 1, 10, 1, 19))
    text = render_text([Diagnostic("unknown-key", "there is no key 'foo'", Span(base, 1, 1, 1, 4))])
    assert text.splitlines()[:5] == [
        "base.yaml:1:1: error[unknown-key]: there is no key 'foo'",
        "    1 | foo: 1",
        "      | ^^^",
        "      = extended by parent.yaml:1:10",
        "      = extended by child.yaml:2:10",
    ]


def test_without_a_place_the_help_still_shows() -> None:
    text = render_text([Diagnostic("missing-file", "there is no file 'x'", None, "check the path")])
    assert text.startswith("error[missing-file]: there is no file 'x'\n      = check the path\n\n1 error;")


def test_wide_characters_keep_the_caret_below() -> None:
    line, caret = _at("about: 注意力 x", 12, 13)
    assert line == "    1 | about: 注意力 x"
    assert caret == "      | " + " " * (7 + 6 + 1) + "^ here"
    assert _at("about: 注意力", 8, 11)[1] == "      |        ^^^^^^ here"
    assert _at("e\u0301x", 3, 4)[1] == "      |  ^ here"


def test_tabs_and_controls_are_shown_in_one_place() -> None:
    line, caret = _at("a:\tb\x1b[31m\u202ec", 4, 5)
    assert line == "    1 | a: b\\x1b[31m\\u202ec"
    assert caret == "      |    ^ here"


def test_long_lines_are_cut_around_the_mark() -> None:
    line, caret = _at("x" * 5000 + "HERE" + "y" * 5000, 5001, 5005)
    assert len(line) <= WIDEST + 8
    assert line.startswith("    1 | …xxx") and line.endswith("yyy…")
    assert line[caret.index("^") :].startswith("HEREy")
    assert "^^^^ here" in caret and "^^^^^" not in caret
    line, caret = _at("z" * 5000, 1, 5001)
    assert line.endswith("z…") and set(caret[8:].split()[0]) == {"^"} and len(caret) <= WIDEST


def test_a_mark_over_lines_ends_with_its_first() -> None:
    span = Span(Source("a.yaml", "a: {b: 1,  \n  c: 2}\n"), 1, 4, 2, 7)
    assert render_text([Diagnostic("shape", "wrong", span)]).splitlines()[2] == "      |    ^^^^^^"


def test_color_only_adds_escapes() -> None:
    colored = render_text([HEADS], color=True)
    assert "\x1b[1;31merror[heads]\x1b[0m" in colored
    import re

    assert re.sub(r"\x1b\[[0-9;]*m", "", colored) == render_text([HEADS])


def test_json_holds_the_data() -> None:
    (found,) = json.loads(render_json([HEADS]))
    assert found == {
        "code": "heads",
        "severity": "error",
        "message": "7 heads do not divide the width 768",
        "help": "try 6, 8 or 12, or set head_dim",
        "context": "in decoder (Layer × 12) → attn",
        "file": "gpt.yaml",
        "line": 12,
        "column": 39,
        "end_line": 12,
        "end_column": 40,
        "related": [
            {
                "message": "the width comes from",
                "file": "gpt.yaml",
                "line": 3,
                "column": 15,
                "end_line": 3,
                "end_column": 18,
            }
        ],
    }
    assert json.loads(render_json([_warning()]))[0]["file"] is None


def test_github_annotations_escape_what_ends_them() -> None:
    span = Span(Source("a,b:c.yaml", "x"), 1, 1, 1, 2)
    text = render_github([Diagnostic("shape", "100% wrong\n::error::no", span, "mend it")])
    assert text == (
        "::error file=a%2Cb%3Ac.yaml,line=1,col=1,endLine=1,endColumn=2,title=shape"
        "::100%25 wrong%0A::error::no%0Amend it\n"
    )
    assert render_github([_warning()]) == "::warning title=unused-var::nothing reads 'p'\n"


@given(
    st.text(max_size=300),
    st.text(max_size=30),
    st.tuples(*[st.integers(1, 400)] * 4),
    st.text(st.characters(categories=["L", "Cc", "Cs", "Cf", "P"]), max_size=20),
)
def test_any_text_prints_safely(text: str, said: str, place: tuple[int, int, int, int], name: str) -> None:
    span = Span(Source(name, text), *place)
    found = Diagnostic("shape", said, span, said, said, (Related(said, span),))
    printed = render_text([found])
    assert all(line.isprintable() for line in printed.split("\n"))
    assert len(printed.split("\n")) <= 7
    assert all(line.isprintable() for line in render_github([found]).split("\n"))
    assert render_github([found]).count("\n") == 1
    assert json.loads(render_json([found]))[0]["message"] == said
