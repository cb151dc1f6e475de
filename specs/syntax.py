"""YAML's own errors in plain sentences: what stands there, why YAML cannot read it, how to mend it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from blockgraph.specs.places import Source, Span


@dataclass(frozen=True, slots=True)
class Refusal:
    """What is wrong, ready for `Diagnostics.error(code, message, span, help=…)`."""

    code: str
    message: str
    span: Span
    help: str | None = None


# (what the parser says, our message, our help); the first that is found counts. Both of PyYAML's parsers are covered.
_SENTENCES: tuple[tuple[str, str, str | None], ...] = (
    (
        r"mapping values are not allowed",
        "a second ':' where a value has already begun",
        "quote the text if it holds the ':'; else give the key a line of its own, indented like its neighbours",
    ),
    (r"block sequence entries are not allowed", "a list cannot start here", "begin '- …' on a line of its own"),
    (r"mapping keys are not allowed", "a key cannot start here", "give the key a line of its own"),
    (
        r"could not find expected ':'",
        "a line that is neither 'key: value' nor a list item",
        "write 'key: value', with a space after ':'",
    ),
    (
        r"expected '-' indicator|expected <block end>, but found '(?!-)",
        "this line does not belong to the block above it",
        "indent it like its neighbours",
    ),
    (
        r"expected key|expected <block end>",
        "this line does not belong to the block above it",
        "indent it like its neighbours",
    ),
    (
        r"expected ',' or '\}'",
        "a '{' that is not closed, or a ',' that is missing",
        "separate entries by ',' and end with '}'",
    ),
    (
        r"expected ',' or '\]'",
        "a '[' that is not closed, or a ',' that is missing",
        "separate items by ',' and end with ']'",
    ),
    (
        r"expected node content|expected the node content",
        "a value is missing before this character",
        "write a value, or quote this one",
    ),
    (
        r"<document start>",
        "text after the end of the spec",
        "indent all top-level keys alike and close each bracket once",
    ),
    (r"unexpected end of stream", "a quote that is never closed", "end the text with the quote that it starts with"),
    (
        r"unexpected document (?:indicator|separator)",
        "a quote that is never closed",
        "end the text with the quote that it starts with",
    ),
    (
        r"unknown escape character",
        "an unknown escape in double quotes",
        "write '\\\\' for a backslash, or use single quotes",
    ),
    (
        r"hexdecimal|hexadecimal|Unicode character escape",
        "an escape that is no character",
        "write \\u and four hexadecimal digits",
    ),
    (
        r"while scanning an? (?:anchor|alias)",
        "an anchor or alias without a name",
        "quote a text that starts with '*' or '&'",
    ),
    (r"directive|%YAML|version number", "a line that starts with '%' is a YAML directive", "leave it out"),
    (
        r"comment or line break|indentation indicator|chomping",
        "something follows '|' or '>'",
        "begin the text on the next line",
    ),
    (r"tag|URI", "a tag ('!…') that cannot be read", "quote a text that starts with '!'"),
)
NO_SPACE = "a ':' without the space after it"
LONGEST_KEY = 100  # characters; a search for longer ones would take its time on one long line
_KEY_END = re.compile(r"([A-Za-z_][\w.]*):$")
_NO_SPACE = re.compile(r"^\s*(?:- )?([A-Za-z_][\w.]*):([^\s:/\\'\"][^\s]*)\s*(?:#.*)?$")


def refusal(error: Any, source: Source, last: Span | None, opened: Span | None) -> Refusal:
    """Translates a `yaml.MarkedYAMLError`.

    `last` is the place of the scalar read last, `opened` that of the innermost bracket that is still open.
    """
    mark = error.problem_mark or error.context_mark
    line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
    if line > len(source.lines):
        line, column = max(len(source.lines), 1), len(source.line(len(source.lines))) + 1
        if opened and "quoted" not in str(error.context):
            message, help = (
                "a bracket that is never closed",
                "end with '}' what starts with '{', and with ']' what starts with '['",
            )
            return Refusal("yaml-syntax", message, opened, help)
    return (
        _tab(source, line, column)
        or _cut(source, line, column, last)
        or _unspaced(source, line, column)
        or _start(error, source, line, column)
        or _sentence(error, source, line, column)
    )


def _spot(source: Source, line: int, column: int, length: int = 1) -> Span:
    return Span(source, line, column, line, column + length)


def _tab(source: Source, line: int, column: int) -> Refusal | None:
    text = source.line(line)
    indent = text[: len(text) - len(text.lstrip())]
    if "\t" in indent:
        return Refusal(
            "yaml-syntax",
            "a tab cannot indent in YAML",
            _spot(source, line, indent.index("\t") + 1),
            "indent with spaces",
        )
    if text[column - 1 : column] == "\t":
        return Refusal("yaml-syntax", "a tab cannot stand here in YAML", _spot(source, line, column), "use spaces")
    return None


def _cut(source: Source, line: int, column: int, last: Span | None) -> Refusal | None:
    """An expression that YAML ended early: `{in: =down[2]}`, `x: =a if b: c`."""
    if last is None or (last.end_line, last.line) != (line, line) or last.end_column > column:
        return None
    text = source.line(line)
    gap = text[last.end_column - 1 : column - 1]
    if not text[last.column - 1 :].startswith("=") or gap.strip() or text[column - 1 : column] not in tuple("[{:]}\"'"):
        return None
    whole = whole_expression(text[last.column - 1 :])
    return Refusal(
        "cut-expression", cut_message(text[column - 1]), _spot(source, line, last.column, len(whole)), quote_it(whole)
    )


def _unspaced(source: Source, line: int, column: int) -> Refusal | None:
    """`width:512` on the line of the error or before it, where it makes the next line unreadable; `{a:{b: c}}`."""
    text = source.line(line)
    colon = column if text[column - 1 : column] == ":" else column - 1
    before = _KEY_END.search(text[max(colon - LONGEST_KEY, 0) : max(colon, 0)])
    if before and text[colon : colon + 1] in tuple("[{\"'"):
        return Refusal("missing-space", NO_SPACE, _spot(source, line, colon), spaced(before[1], "["))
    for number in (line, line - 1):
        found = _NO_SPACE.match(source.line(number))
        if found:
            return Refusal(
                "missing-space", NO_SPACE, _spot(source, number, found.end(1) + 1), spaced(found[1], found[2])
            )
    return None


def spaced(key: str, rest: str) -> str:
    return f"write '{key[:40]}: {rest[:40]}'" if rest[:1] not in "[{" else f"write a space after '{key[:40]}:'"


def _start(error: Any, source: Source, line: int, column: int) -> Refusal | None:
    if "cannot start any token" not in str(error.problem):
        return None
    character = source.line(line)[column - 1 : column]
    return Refusal(
        "yaml-syntax", f"a value cannot start with {character!r}", _spot(source, line, column), "put the text in quotes"
    )


def _sentence(error: Any, source: Source, line: int, column: int) -> Refusal:
    said = f"{error.context or ''} {error.problem or ''}"
    for pattern, message, help in _SENTENCES:
        if re.search(pattern, said):
            opened = error.context_mark
            bracket = "{" in message or "[" in message
            if opened and ("never closed" in message or (bracket and opened.line + 1 < line)):
                line, column = opened.line + 1, opened.column + 1  # the bracket or quote to blame
            return Refusal("yaml-syntax", message, _spot(source, line, column), help)
    return Refusal(
        "yaml-syntax",
        "YAML cannot be read from here on",
        _spot(source, line, column),
        "check indentation, quotes and brackets",
    )


def whole_expression(text: str) -> str:
    """The expression at the start of `text` (one line) as it was meant: up to the `,` or bracket that ends it."""
    closing: list[str] = []
    quote = ""
    for index, character in enumerate(text):
        if quote:
            quote = "" if character == quote else quote
        elif character in "\"'":
            quote = character
        elif character in "([{":
            closing.append({"(": ")", "[": "]", "{": "}"}[character])
        elif closing and character == closing[-1]:
            closing.pop()
        elif not closing and character in ",]}":
            return text[:index].rstrip()
    return text.rstrip()


def balanced(text: str) -> bool:
    """Whether every bracket and quote in `text` is closed."""
    return whole_expression(text + ",x") == text.rstrip()


def cut_message(character: str) -> str:
    return f"YAML ends this expression at {character!r}"


def quote_it(expression: str) -> str:
    """Help that shows the expression in quotes that it does not hold itself."""
    if len(expression) > 80:
        return "put the expression in quotes"
    if '"' not in expression and "\\" not in expression:
        return f'quote it: "{expression}"'
    return "quote it: '" + expression.replace("'", "''") + "'"
