"""The source tree: what a YAML text says, with the place of every scalar, list and mapping."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from blockgraph.specs.places import Span

Value = bool | int | float | str | None
Path = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Scalar:
    """A single value. `text` is what was written, without quotes; `style` is `""` (plain), `'`, `"`, `|` or `>`.

    A value that is not there (`a:`) is the plain scalar null with an empty text.
    """

    value: Value
    text: str
    style: str
    span: Span


@dataclass(frozen=True, slots=True)
class Sequence:
    """A list."""

    items: tuple[Tree, ...]
    span: Span


@dataclass(frozen=True, slots=True)
class Entry:
    """One `key: value` of a mapping."""

    key: Scalar
    value: Tree


@dataclass(frozen=True, slots=True)
class Mapping:
    """A mapping, in the order of the text. Keys are texts, also where they look like numbers."""

    entries: dict[str, Entry]
    span: Span


Tree = Scalar | Sequence | Mapping


def plain(tree: Tree) -> Any:
    """The tree as Python data: dicts, lists and scalars; expressions stay text (`"=4*width"`)."""
    if isinstance(tree, Mapping):
        return {name: plain(entry.value) for name, entry in tree.entries.items()}
    if isinstance(tree, Sequence):
        return [plain(item) for item in tree.items]
    return tree.value


def find(tree: Tree, path: Path) -> Tree | None:
    """What stands at `path` (keys and list indices), or None."""
    found: Tree | None = tree
    for step in path:
        found = _child(found, step) if found is not None else None
    return found


def locate(tree: Tree, path: Path, key: bool = False) -> Span:
    """The place of the value at `path`, or of its key.

    Where the path ends in nothing, the place of the nearest thing above it that is there: its key if it has one (a
    missing option is shown at the node's name), else itself.
    """
    entry: Entry | None = None
    for step in path:
        child = _child(tree, step)
        if child is None:
            return entry.key.span if entry else tree.span
        entry = tree.entries[str(step)] if isinstance(tree, Mapping) else None
        tree = child
    return entry.key.span if entry and key else tree.span


def inside(scalar: Scalar, offset: int, length: int = 1) -> Span:
    """The place of `length` characters from `offset` in a scalar's text; the whole scalar where that is not plain
    (texts over several lines, escapes)."""
    span = scalar.span
    quote = 1 if scalar.style in ("'", '"') else 0
    written = span.end_column - span.column
    if span.line != span.end_line or written != len(scalar.text) + 2 * quote or scalar.style in ("|", ">"):
        return span
    start = span.column + quote + min(max(offset, 0), max(len(scalar.text) - 1, 0))
    end = min(start + max(length, 1), span.end_column - quote)
    return Span(span.source, span.line, start, span.line, max(end, start))


def _child(tree: Tree, step: str | int) -> Tree | None:
    if isinstance(tree, Mapping):
        entry = tree.entries.get(str(step))
        return entry.value if entry else None
    if isinstance(tree, Sequence) and isinstance(step, int) and -len(tree.items) <= step < len(tree.items):
        return tree.items[step]
    return None
