"""`blockgraph fmt`: one canonical layout for specs. Comments stay, and what the text says never changes.

Whether a list or mapping is written with brackets stays its writer's choice; a bracket with comments inside becomes
lines. Indentation is two blanks, brackets are spaced `{a: 1, b: [2, 3]}` and wrapped at 120 columns, values of nodes,
inputs and defaults stand below each other, quotes stand only where they are needed, null is written out.
"""

from __future__ import annotations

import bisect
import re
from dataclasses import dataclass, field

from blockgraph.specs.diagnostics import Diagnostics
from blockgraph.specs.places import Source, Span
from blockgraph.specs.reader import read
from blockgraph.specs.scalars import is_plain, write
from blockgraph.specs.tree import Entry, Mapping, Scalar, Sequence, Tree, plain

WIDTH = 120
ALIGNED = frozenset({"nodes", "inputs", "defaults"})  # sections whose values stand below each other
WIDEST_KEY = 20  # longer keys do not push the others' values aside

_OLD_BOOLEANS = frozenset({"y", "n", "yes", "no", "on", "off"})  # other YAML readers take these for true and false
_SAFE = re.compile("[ -~\xa1-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]")
_ESCAPES = {"\n": "\\n", "\t": "\\t", "\r": "\\r", '"': '\\"', "\\": "\\\\", "\0": "\\0"}


def format_text(source: Source) -> str:
    """The text in canonical layout; the same data, and the same text when formatted again. Raises `SpecError`."""
    diagnostics = Diagnostics()
    tree = read(source, diagnostics)
    diagnostics.raise_errors()
    assert tree is not None  # else there was an error
    text = _Layout(tree).text()
    again = read(Source(source.name, text), Diagnostics())
    return text if again is not None and plain(again) == plain(tree) else source.text


@dataclass(frozen=True, slots=True)
class _Comment:
    line: int
    column: int
    text: str
    alone: bool  # on a line of its own


@dataclass(slots=True)
class _Line:
    """A line of output that begins with what stood at `line`:`column` of the source. `body` follows it as it is."""

    indent: int
    text: str
    line: int
    column: int
    body: list[str] = field(default_factory=list)
    comments: list[str] = field(default_factory=list)

    def written(self) -> list[str]:
        """A comment ends the last line, but the first line of a block text."""
        lines = [" " * self.indent + self.text, *self.body]
        place = 0 if self.text.endswith(("|", "|-")) else -1
        lines[place] += "".join(f"  {comment}" for comment in self.comments)
        return lines


class _Layout:
    def __init__(self, root: Mapping) -> None:
        self.root, self.source = root, root.span.source
        self.comments = _comments(root)
        self.places = [(comment.line, comment.column) for comment in self.comments]
        self.lines: list[_Line] = []

    def text(self) -> str:
        self.mapping(self.root, 0)
        written: list[str] = []
        last = 0
        for line in self._with_comments():
            if written and line.line > last and self._blank_before(line.line):
                written.append("")
            last = line.line
            written += line.written()
        return "".join(f"{line.rstrip(' ')}\n" for line in written)

    # blocks

    def mapping(self, tree: Mapping, indent: int, section: str = "") -> None:
        keys = self._padded(tree) if section in ALIGNED else {}
        for name, entry in tree.entries.items():
            key = _scalar(entry.key)
            if self._is_block(entry.value):
                self._begin(indent, f"{key}:", entry.key.span)
                self.block(entry.value, indent + 2, name)
            else:
                self._begin(indent, f"{key}:".ljust(keys.get(name, 0)) + " ", entry.key.span)
                self._inline(entry.value)

    def block(self, tree: Tree, indent: int, section: str = "") -> None:
        if isinstance(tree, Mapping):
            self.mapping(tree, indent, section)
        elif isinstance(tree, Sequence):
            for item in tree.items:
                self._item(item, indent)

    def _item(self, item: Tree, indent: int) -> None:
        if not self._is_block(item):
            self._begin(indent, "- ", item.span)
            self._inline(item)
            return
        first = len(self.lines)
        self.block(item, indent + 2)
        self.lines[first].indent, self.lines[first].text = indent, "- " + self.lines[first].text

    def _begin(self, indent: int, text: str, span: Span) -> None:
        before = self.source.line(span.line)[: span.column - 1]
        dashes = not before.strip(" -?")  # the item begins with its dash
        column = len(before) - len(before.lstrip()) + 1 if dashes else span.column
        self.lines.append(_Line(indent, text, span.line, column))

    def _inline(self, tree: Tree) -> None:
        line = self.lines[-1]
        if isinstance(tree, Scalar):
            line.text += _scalar(tree)
            if "\n" in tree.text and isinstance(tree.value, str) and _literal(tree.text):
                line.text = line.text[: len(line.text) - len(_scalar(tree))] + (
                    "|" if tree.text.endswith("\n") else "|-"
                )
                line.body = [" " * (line.indent + 2) + text for text in tree.text.removesuffix("\n").split("\n")]
            return
        rows = _wrapped(tree, line.indent + len(line.text))
        line.text += rows[0]
        line.body = rows[1:]

    def _is_block(self, tree: Tree) -> bool:
        if isinstance(tree, Scalar):
            return False
        if not (tree.items if isinstance(tree, Sequence) else tree.entries):
            return False
        span = tree.span
        if self.source.line(span.line)[span.column - 1 : span.column] not in ("{", "["):
            return True
        start = bisect.bisect_right(self.places, (span.line, span.column))
        return start < bisect.bisect_left(self.places, (span.end_line, span.end_column))

    def _padded(self, tree: Mapping) -> dict[str, int]:
        """For each key the columns up to its value, equal within a run of entries on lines that follow each other."""
        widths: dict[str, int] = {}
        run: list[tuple[str, int]] = []

        def close() -> None:
            widest = max((width for _, width in run if width <= WIDEST_KEY), default=0)
            widths.update((name, widest) for name, _ in run)
            run.clear()

        for name, entry in tree.entries.items():
            if self._is_block(entry.value):
                close()
                continue
            if self._blank_before(entry.key.span.line):
                close()
            run.append((name, len(_scalar(entry.key)) + 1))
        close()
        return widths

    # comments and blank lines

    def _blank_before(self, line: int) -> bool:
        return line > 1 and not self.source.line(line - 1).strip()

    def _with_comments(self) -> list[_Line]:
        """The lines with each comment on its own before the first line that was written after it."""
        starts = [(line.line, line.column) for line in self.lines]
        own: dict[int, list[_Line]] = {}
        for comment in self.comments:
            index = bisect.bisect_left(starts, (comment.line, comment.column))
            if comment.alone or index == 0:
                line = _Line(self._comment_indent(comment, index), comment.text, comment.line, comment.column)
                own.setdefault(index, []).append(line)
            else:
                self.lines[index - 1].comments.append(comment.text)
        found: list[_Line] = []
        for index in range(len(self.lines) + 1):
            found += own.get(index, [])
            found += self.lines[index : index + 1]
        return found

    def _comment_indent(self, comment: _Comment, index: int) -> int:
        """Like the line after it; at the end of a block, like the line before it if it is indented at least so far."""
        after = self.lines[index] if index < len(self.lines) else None
        before = self.lines[index - 1] if index > 0 else None
        if before and comment.column >= before.column and (after is None or before.column > after.column):
            return before.indent
        return after.indent if after else 0


# brackets


def _wrapped(tree: Tree, start: int) -> list[str]:
    """A bracket on one line, or on several that each hold as much as fits, below the first item."""
    whole = _flow(tree)
    if start + len(whole) <= WIDTH or isinstance(tree, Scalar):
        return [whole]
    parts = [_pair(e) for e in tree.entries.values()] if isinstance(tree, Mapping) else [_flow(i) for i in tree.items]
    rows = [whole[0]]
    for number, part in enumerate(parts):
        part += whole[-1] if number == len(parts) - 1 else ","
        lead = 0 if len(rows) > 1 else start
        if rows[-1].strip() not in ("{", "[") and lead + len(rows[-1]) + 1 + len(part) > WIDTH:
            rows.append(" " * (start + 1) + part)
        else:
            rows[-1] += part if rows[-1] == whole[0] else " " + part
    return rows


def _flow(tree: Tree) -> str:
    if isinstance(tree, Scalar):
        return _scalar(tree)
    if isinstance(tree, Mapping):
        return "{" + ", ".join(map(_pair, tree.entries.values())) + "}"
    return "[" + ", ".join(map(_flow, tree.items)) + "]"


def _pair(entry: Entry) -> str:
    return f"{_scalar(entry.key)}: {_flow(entry.value)}"


# scalars


def _scalar(scalar: Scalar) -> str:
    """A scalar on one line. Numbers stay as they are written."""
    if not isinstance(scalar.value, str):
        return write(scalar.value) if isinstance(scalar.value, bool | None) else scalar.text
    if scalar.style == "" and "\n" not in scalar.text:
        return scalar.text
    return quoted(scalar.text)


def quoted(text: str) -> str:
    """A text on one line, in quotes where it needs them."""
    if is_plain(text) and text.lower() not in _OLD_BOOLEANS:
        return text
    if ('"' in text or "\\" in text) and all(map(_SAFE.fullmatch, text)):
        return "'" + text.replace("'", "''") + "'"
    return '"' + "".join(map(_escaped, text)) + '"'


def _escaped(character: str) -> str:
    if character in _ESCAPES:
        return _ESCAPES[character]
    if _SAFE.fullmatch(character):
        return character
    return f"\\u{ord(character):04x}" if ord(character) < 0x10000 else f"\\U{ord(character):08x}"


def _literal(text: str) -> bool:
    """Whether a text over several lines can be written as a block (`|`): no odd blanks at its edges."""
    lines = text.removesuffix("\n").split("\n")
    return (
        bool(lines[0] and lines[-1])
        and not lines[0][0].isspace()
        and all(line == line.rstrip() and all(map(_SAFE.fullmatch, line)) for line in lines)
    )


# where comments are


def _comments(root: Mapping) -> list[_Comment]:
    """What stands behind a `#` outside of all scalars."""
    covered: dict[int, list[tuple[int, int]]] = {}
    for span in _scalar_spans(root):
        for line in range(span.line, span.end_line + 1):
            start = span.column if line == span.line else 1
            end = span.end_column if line == span.end_line else 10**9
            covered.setdefault(line, []).append((start, end))
    found = []
    for number, text in enumerate(root.span.source.lines, 1):
        column = _comment_column(text, covered.get(number, [])) if "#" in text else None
        if column:
            found.append(_Comment(number, column, text[column - 1 :].rstrip(), not text[: column - 1].strip()))
    return found


def _comment_column(line: str, covered: list[tuple[int, int]]) -> int | None:
    for match in re.finditer(r"(?:^|(?<=[ \t]))#", line):
        column = match.start() + 1
        if not any(start <= column < end for start, end in covered):
            return column
    return None


def _scalar_spans(tree: Tree) -> list[Span]:
    """Of every key and value; of a block text only the lines after the first, where a comment may stand."""
    spans: list[Span] = []
    todo: list[Tree] = [tree]
    while todo:
        found = todo.pop()
        if isinstance(found, Mapping):
            todo += [part for entry in found.entries.values() for part in (entry.key, entry.value)]
        elif isinstance(found, Sequence):
            todo += found.items
        elif found.style in ("|", ">"):
            span = found.span
            spans.append(Span(span.source, span.line + 1, 1, span.end_line, span.end_column))
        else:
            spans.append(found.span)
    return spans
