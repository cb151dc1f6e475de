"""Diagnostics as a page shows them: each file's text, and over a line what is wrong with it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from blockgraph.specs.diagnostics import Diagnostic
from blockgraph.specs.places import Source, Span
from blockgraph.specs.render import MOST, printable

WHOLE = 2000  # lines of a file that is shown whole; of a longer one only what is near its problems
NEAR = 8
WIDEST = 400  # characters of a line

Said = dict[str, str]


def problems(diagnostics: Sequence[Diagnostic]) -> list[dict[str, Any]]:
    """One entry a file, in the order of the diagnostics; those without a place come first, in an entry without rows.

    A row is a line's number, its text in pieces (text, whether it is marked) and what is said over it; a row without a
    number stands for lines that are left out.
    """
    shown = list(diagnostics)[:MOST]
    loose = [_said(one) for one in shown if one.span is None]
    by_source: dict[Source, list[Diagnostic]] = {}
    for one in shown:
        if one.span is not None:
            by_source.setdefault(one.span.source, []).append(one)
    files = [{"file": printable(source.name), "rows": _rows(source, found)} for source, found in by_source.items()]
    return [{"file": "", "said": loose, "rows": []}, *files] if loose else files


def _said(one: Diagnostic) -> Said:
    notes = [one.help] if one.help else []
    notes += [one.context] if one.context else []
    notes += [f"{related.message} {related.span}" for related in one.related]
    if one.span is not None and one.span.source.extended_by is not None:
        notes.append(f"extended by {one.span.source.extended_by}")
    column = f"column {one.span.column}: " if one.span else ""
    head = f"{column}{one.severity}[{one.code}]: {one.message}"
    return {"severity": one.severity, "head": printable(head), "help": "\n".join(map(printable, notes))}


def _rows(source: Source, found: Sequence[Diagnostic]) -> list[list[Any]]:
    by_line: dict[int, list[Diagnostic]] = {}
    for one in found:
        if one.span is not None:
            by_line.setdefault(one.span.line, []).append(one)
    last = max(len(source.lines), *by_line)
    rows: list[list[Any]] = []
    for number in range(1, last + 1):
        if last > WHOLE and not any(abs(number - line) <= NEAR for line in by_line):
            if not rows or rows[-1][0]:
                rows.append([0, [["⋯", False]], []])
            continue
        here = by_line.get(number, [])
        spans = [one.span for one in here if one.span is not None]
        rows.append([number, _pieces(source.line(number), spans), [_said(one) for one in here]])
    return rows


def _pieces(line: str, spans: Sequence[Span]) -> list[list[Any]]:
    """The line cut where marks begin and end. A mark that has no width takes the character there, or a blank."""
    marked = [False] * (len(line) + 1)
    for span in spans:
        start = min(span.column - 1, len(line))
        end = min(span.end_column - 1, len(line)) if span.end_line == span.line else len(line)
        marked[start : max(end, start + 1)] = [True] * (max(end, start + 1) - start)
    cells = [*line, " "] if marked[len(line)] else list(line)
    pieces: list[list[Any]] = []
    for cell, mark in list(zip(cells, marked, strict=False))[:WIDEST]:
        shown = " " if cell == "\t" else printable(cell)
        if pieces and pieces[-1][1] == mark:
            pieces[-1][0] += shown
        else:
            pieces.append([shown, mark])
    return pieces + ([["…", False]] if len(cells) > WIDEST else [])
