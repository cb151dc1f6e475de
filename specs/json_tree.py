"""Reads JSON into a source tree: the same values as `json.loads`, each with its place, so that messages can show it."""

from __future__ import annotations

import json
import re
from bisect import bisect_right
from itertools import accumulate
from typing import Any, NoReturn

from blockgraph.specs.diagnostics import Diagnostics
from blockgraph.specs.places import Source, Span
from blockgraph.specs.tree import Entry, Mapping, Scalar, Sequence, Tree

MAX_DEPTH = 64

_TOKEN = re.compile(r'[ \t\n\r]*("(?:[^"\\]|\\.)*"|[{}\[\],:]|[^\s{}\[\],:"]+)')


def read_json(source: Source, diagnostics: Diagnostics) -> Mapping | None:
    """The tree of a JSON object; None, with an error, where the text is something else."""
    try:
        found = json.loads(source.text, parse_constant=_not_json)
    except json.JSONDecodeError as error:
        _refuse(source, error.msg[:1].lower() + error.msg[1:], diagnostics, error.pos)
        return None
    except (ValueError, RecursionError, MemoryError) as error:
        _refuse(source, "a number or its nesting is too large" if not _said(error) else str(error), diagnostics)
        return None
    if not isinstance(found, dict):
        _refuse(source, "a list or a single value, not a mapping in braces", diagnostics)
        return None
    tree = _Reader(source).tree()
    if tree is None:
        _refuse(source, f"it is nested more than {MAX_DEPTH} deep", diagnostics)
    return tree


def _not_json(word: str) -> NoReturn:
    raise ValueError(f"{word} is not a number in JSON")


def _said(error: BaseException) -> bool:
    return "in JSON" in str(error)


def _refuse(source: Source, reason: str, diagnostics: Diagnostics, offset: int = 0) -> None:
    span = Lines(source).span(offset, offset + 1)
    diagnostics.error("json-syntax", f"this is not the JSON of a configuration: {reason}", span)


class Lines:
    """Turns offsets into a source's text into places."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.starts = [0, *accumulate(len(line) for line in source.text.splitlines(keepends=True))]

    def span(self, start: int, end: int) -> Span:
        return Span(self.source, *self._place(start), *self._place(end))

    def _place(self, offset: int) -> tuple[int, int]:
        line = bisect_right(self.starts, offset, hi=max(len(self.starts) - 1, 1))
        return line, offset - self.starts[line - 1] + 1


class _Reader:
    """Walks over text that `json.loads` has accepted, so that nothing needs to be checked but the depth."""

    def __init__(self, source: Source) -> None:
        self.lines = Lines(source)
        self.tokens = _TOKEN.finditer(source.text)

    def tree(self) -> Mapping | None:
        try:
            found = self._value(*self._next(), depth=0)
        except RecursionError:
            return None
        return found if isinstance(found, Mapping) else None

    def _next(self) -> tuple[str, int, int]:
        found = next(self.tokens)
        return found[1], *found.span(1)

    def _value(self, token: str, start: int, end: int, depth: int) -> Tree:
        if depth > MAX_DEPTH:
            raise RecursionError
        if token == "{":
            return self._mapping(start, depth)
        if token == "[":
            return self._sequence(start, depth)
        return self._scalar(token, start, end)

    def _scalar(self, token: str, start: int, end: int) -> Scalar:
        value: Any = json.loads(token)
        text = value if isinstance(value, str) else token
        return Scalar(value, text, '"' if isinstance(value, str) else "", self.lines.span(start, end))

    def _mapping(self, start: int, depth: int) -> Mapping:
        entries: dict[str, Entry] = {}
        token, at, end = self._next()
        while token != "}":
            if token != ",":
                key = self._scalar(token, at, end)
                self._next()  # the colon
                entries[str(key.value)] = Entry(key, self._value(*self._next(), depth=depth + 1))
            token, at, end = self._next()
        return Mapping(entries, self.lines.span(start, end))

    def _sequence(self, start: int, depth: int) -> Sequence:
        items: list[Tree] = []
        token, at, end = self._next()
        while token != "]":
            if token != ",":
                items.append(self._value(token, at, end, depth=depth + 1))
            token, at, end = self._next()
        return Sequence(tuple(items), self.lines.span(start, end))


def as_tree(value: Any, span: Span) -> Tree:
    """Plain data as a tree in which everything stands at one place."""
    if isinstance(value, dict):
        entries = {
            str(name): Entry(Scalar(str(name), str(name), "", span), as_tree(part, span))
            for name, part in value.items()
        }
        return Mapping(entries, span)
    if isinstance(value, list | tuple):
        return Sequence(tuple(as_tree(item, span) for item in value), span)
    return Scalar(value, value if isinstance(value, str) else json.dumps(value), "", span)
