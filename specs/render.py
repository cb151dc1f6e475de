"""Renderings of diagnostics: text for people, JSON for programs, annotations for GitHub's checks."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from blockgraph.specs.diagnostics import Diagnostic
from blockgraph.specs.places import Span

WIDEST = 160  # columns of an excerpt; longer lines are cut around the caret
MOST = 100  # diagnostics in a text; JSON and annotations hold all of them
_COLORS = {"error": "\x1b[1;31m", "warning": "\x1b[1;33m", "dim": "\x1b[2m", "bold": "\x1b[1m"}


def render_text(diagnostics: Iterable[Diagnostic], color: bool = False) -> str:
    """About three lines each: what and where, the line with a caret and the help, and what else explains it.

    Ends with a line that counts errors and warnings; empty where there is nothing to say.
    """
    found = list(diagnostics)
    paint = _paint if color else _plain
    parts = ["\n".join(_lines(diagnostic, paint)) for diagnostic in found[:MOST]]
    if len(found) > MOST:
        parts.append(f"… and {len(found) - MOST:,} more")
    return "\n\n".join([*parts, _count(found)]) + "\n" if found else ""


def render_json(diagnostics: Iterable[Diagnostic]) -> str:
    """A list of objects; lines and columns count from 1, ends are exclusive, places are null where there are none."""
    return json.dumps([_object(diagnostic) for diagnostic in diagnostics], indent=2) + "\n"


def render_github(diagnostics: Iterable[Diagnostic]) -> str:
    """One workflow command each (https://docs.github.com/actions/reference/workflow-commands-for-github-actions)."""
    return "".join(f"{_annotation(diagnostic)}\n" for diagnostic in diagnostics)


def printable(text: str) -> str:
    """`text` with everything that does not print (control and direction characters, lone surrogates) as an escape."""
    return text if text.isprintable() else "".join(map(_shown, text))


def _shown(character: str) -> str:
    return character if character.isprintable() else character.encode("unicode_escape").decode()


# text


def _plain(text: str, role: str) -> str:
    return text


def _paint(text: str, role: str) -> str:
    return f"{_COLORS[role]}{text}\x1b[0m"


def _lines(diagnostic: Diagnostic, paint: Any) -> Iterator[str]:
    span, severity = diagnostic.span, diagnostic.severity
    place = f"{printable(str(span))}: " if span else ""
    head = paint(f"{severity}[{diagnostic.code}]", severity)
    yield f"{paint(place, 'bold') if place else ''}{head}: {printable(diagnostic.message)}"
    help = printable(diagnostic.help) if diagnostic.help else ""
    if span:
        yield from _excerpt(span, help, severity, paint)
    elif help:
        yield f"      {paint('=', 'dim')} {help}"
    for note in _notes(diagnostic):
        yield f"      {paint('=', 'dim')} {printable(note)}"


def _notes(diagnostic: Diagnostic) -> Iterator[str]:
    said = [diagnostic.context] if diagnostic.context else []
    said += [f"{related.message} {related.span}" for related in diagnostic.related]
    if said:
        yield "; ".join(said)
    place = diagnostic.span.source.extended_by if diagnostic.span else None
    for _ in range(20):  # files do not extend each other that deeply
        if place is None:
            return
        yield f"extended by {place}"
        place = place.source.extended_by


def _excerpt(span: Span, help: str, severity: str, paint: Any) -> Iterator[str]:
    """The line of the place, and below it the caret with the help."""
    line = span.source.line(span.line)
    start = min(max(span.column - 1, 0), len(line))
    end = min(span.end_column - 1, len(line)) if span.end_line == span.line else len(line.rstrip())
    before, marked, after = _cut([_cell(c) for c in line], start, max(end, start))
    indent = " " * sum(_width(cell) for cell in before)
    caret = "^" * max(sum(_width(cell) for cell in marked), 1)
    bar = paint("|", "dim")
    yield f"{paint(f'{span.line:>5}', 'dim')} {bar} {''.join([*before, *marked, *after])}".rstrip()
    yield f"      {bar} {indent}{paint(caret, severity)} {help}".rstrip()


def _cut(cells: Sequence[str], start: int, end: int) -> tuple[list[str], list[str], list[str]]:
    """The cells before, at and after the mark, as many of them as fit; `…` stands for what is left out."""
    total = sum(_width(cell) for cell in cells)
    if total <= WIDEST:
        return list(cells[:start]), list(cells[start:end]), list(cells[end:])
    before = _fitting(cells[:start][::-1], WIDEST // 3)[::-1]
    marked = _fitting(cells[start:end], WIDEST // 3)
    after = _fitting(cells[end:], WIDEST // 3) if len(marked) == end - start else []
    if len(before) < start:
        before = ["…", *before]
    return before, marked, [*after, "…"] if len(marked) + len(after) < len(cells) - start else after


def _fitting(cells: Sequence[str], room: int) -> list[str]:
    taken: list[str] = []
    for cell in cells:
        room -= _width(cell)
        if room < 0:
            break
        taken.append(cell)
    return taken


def _cell(character: str) -> str:
    """What is printed for one character of a source line; a tab is one blank."""
    return " " if character == "\t" else _shown(character)


def _width(cell: str) -> int:
    """Columns that a cell takes: two for wide (CJK) characters, none for accents that sit on the one before."""
    if cell.isascii():
        return len(cell)
    if unicodedata.combining(cell):
        return 0
    return 2 if unicodedata.east_asian_width(cell) in "WF" else 1


def _count(found: Sequence[Diagnostic]) -> str:
    errors = sum(diagnostic.severity == "error" for diagnostic in found)
    parts = [_many(errors, "error"), _many(len(found) - errors, "warning")]
    said = ", ".join(part for part in parts if part)
    return f"{said}; nothing was built." if errors else f"{said}."


def _many(count: int, what: str) -> str:
    return f"{count:,} {what}{'s' if count > 1 else ''}" if count else ""


# data


def _place(span: Span | None) -> dict[str, Any]:
    if span is None:
        return dict.fromkeys(("file", "line", "column", "end_line", "end_column"))
    return {
        "file": span.source.name,
        "line": span.line,
        "column": span.column,
        "end_line": span.end_line,
        "end_column": span.end_column,
    }


def _object(diagnostic: Diagnostic) -> dict[str, Any]:
    related = [{"message": related.message, **_place(related.span)} for related in diagnostic.related]
    if diagnostic.span and diagnostic.span.source.extended_by:
        related.append({"message": "extended by", **_place(diagnostic.span.source.extended_by)})
    return {
        "code": diagnostic.code,
        "severity": diagnostic.severity,
        "message": diagnostic.message,
        "help": diagnostic.help,
        "context": diagnostic.context,
        **_place(diagnostic.span),
        "related": related,
    }


def _annotation(diagnostic: Diagnostic) -> str:
    span = diagnostic.span
    properties: dict[str, Any] = {}
    if span:
        properties = {"file": span.source.name, "line": span.line, "col": span.column}
        if span.end_line == span.line:  # GitHub takes an end column only within one line
            properties |= {"endLine": span.line, "endColumn": span.end_column}
    properties["title"] = diagnostic.code
    shown = ",".join(f"{name}={_escaped(str(value), ':,')}" for name, value in properties.items())
    said = [diagnostic.message, diagnostic.help, *_notes(diagnostic)]
    return f"::{diagnostic.severity} {shown}::{_escaped(chr(10).join(part for part in said if part))}"


def _escaped(text: str, more: str = "") -> str:
    """Percent escapes for what would end a workflow command or one of its properties."""
    lines = "\n".join(map(printable, text.split("\n")))
    return "".join(f"%{ord(c):02X}" if c in "%\r\n" + more else c for c in lines)
