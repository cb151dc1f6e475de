"""Reads YAML from strangers into a source tree.

libyaml's *events* are consumed with an explicit stack, because its loaders recurse (50,000 brackets end the process).
Depth, nodes and bytes are bounded before anything is built from them, and scalars follow YAML 1.2's core schema.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from blockgraph.specs.diagnostics import Diagnostics, Related
from blockgraph.specs.places import Source, Span
from blockgraph.specs.scalars import ScalarError, resolve
from blockgraph.specs.syntax import NO_SPACE, balanced, cut_message, quote_it, refusal, spaced, whole_expression
from blockgraph.specs.tree import Entry, Mapping, Scalar, Sequence, Tree

MAX_BYTES = 1_000_000
MAX_DEPTH = 64
MAX_NODES = 50_000

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_UNPRINTABLE = re.compile("[^\t\n\r -~\x85\xa0-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]")
_NO_SPACE = re.compile(r"([A-Za-z_][\w.]*):([^\s:/\\]\S*)(?:\s+[A-Za-z_][\w.]*:[^\s:/\\]\S*)*")


def read_file(path: Path, diagnostics: Diagnostics, extended_by: Span | None = None) -> Source | None:
    """The text of a regular file of at most 1 MB in UTF-8, or None with an error at `extended_by`."""
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise OSError("a folder" if os.path.isdir(path) else "not a regular file")
        with open(path, "rb") as file:
            data = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        diagnostics.error("missing-file", f"there is no file '{path}'", extended_by, help="check the path")
        return None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        diagnostics.error("missing-file", f"'{path}' cannot be read: {reason}", extended_by)
        return None
    return _decode(str(path), data, diagnostics, extended_by)


def _decode(name: str, data: bytes, diagnostics: Diagnostics, extended_by: Span | None) -> Source | None:
    cut = len(data) > MAX_BYTES
    try:
        text = data.decode("utf-8", "replace" if cut else "strict").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        source = Source(name, data.decode("utf-8", "replace").removeprefix("\ufeff"), extended_by)
        place = _spot(source, len(data[: error.start].decode("utf-8").removeprefix("\ufeff")))
        message = f"byte 0x{data[error.start]:02x} is not UTF-8"
        diagnostics.error("encoding", message, place, help="save the file as UTF-8")
        return None
    source = Source(name, text, extended_by)
    if cut:
        _too_large(source, diagnostics)
    return None if cut else source


def _too_large(source: Source, diagnostics: Diagnostics) -> None:
    diagnostics.error(
        "too-large", f"a spec has at most {MAX_BYTES:,} bytes", Span(source, 1, 1, 1, 1), help="split it with 'extends'"
    )


def _spot(source: Source, index: int) -> Span:
    """The place of the character at `index` of the text."""
    lines = (source.text[:index] + "x").splitlines()
    return Span(source, len(lines), len(lines[-1]), len(lines), len(lines[-1]) + 1)


def read(source: Source, diagnostics: Diagnostics) -> Mapping | None:
    """The tree of a spec's text; None where it cannot be read or is no mapping. An empty text is an empty mapping.

    Duplicate keys, anchors, aliases, tags, `<<` and the like are errors too, but the tree goes on with what was meant,
    so that they bring no errors of their own.
    """
    if source.text.startswith("\ufeff"):
        source = replace(source, text=source.text[1:])
    if len(source.text) > MAX_BYTES or len(source.text.encode("utf-8", "replace")) > MAX_BYTES:
        _too_large(source, diagnostics)
        return None
    strange = _UNPRINTABLE.search(source.text)
    if strange:
        message = f"the character U+{ord(strange[0]):04X} cannot stand in a YAML file"
        diagnostics.error(
            "encoding", message, _spot(source, strange.start()), help="delete it, or save the file as UTF-8 text"
        )
        return None
    return _root(_Reader(source, diagnostics).tree(), source, diagnostics)


def _root(tree: Tree | None, source: Source, diagnostics: Diagnostics) -> Mapping | None:
    if tree is None or isinstance(tree, Mapping):
        return tree
    if isinstance(tree, Scalar) and tree.text in ("", "~", "null", "Null", "NULL") and not tree.style:
        return Mapping({}, tree.span)
    what = "a list" if isinstance(tree, Sequence) else "a single text"
    if not any(found.span and found.span.source is source for found in diagnostics):  # `width:512` is explained already
        diagnostics.error(
            "wrong-type", f"a spec is a mapping of keys, not {what}", tree.span, help="begin with 'blockgraph: 1'"
        )
    return None


class _RefusedError(Exception):
    """The text is refused as a whole; the reason has been reported."""


@dataclass(slots=True)
class _Open:
    """A list or mapping whose end has not come yet."""

    start: Any  # mark
    flow: bool
    items: list[Tree] | None = None  # of a list
    entries: dict[str, Entry] = field(default_factory=dict)
    merged: list[Mapping] = field(default_factory=list)
    key: Tree | None = None
    anchor: str | None = None


class _Reader:
    def __init__(self, source: Source, diagnostics: Diagnostics) -> None:
        self.source, self.diagnostics = source, diagnostics
        self.stack: list[_Open] = []
        self.root: Tree | None = None
        self.anchors: dict[str, Tree] = {}
        self.nodes = 0
        self.last: Span | None = None  # of the scalar read last
        self.cut: tuple[Span, Span] | None = None  # the first piece of an expression that YAML cut, and the whole of it

    def tree(self) -> Tree | None:
        empty = Scalar(None, "", "", Span(self.source, 1, 1, 1, 1))
        try:
            for event in self._events():
                self._take(event)
        except _RefusedError:
            return None
        except yaml.MarkedYAMLError as error:
            self._syntax(error)
            return None
        except (yaml.YAMLError, ValueError, MemoryError, RecursionError):
            self.diagnostics.error("yaml-syntax", "this cannot be read as YAML", Span(self.source, 1, 1, 1, 1))
            return None
        return self.root if self.root is not None else empty

    def _syntax(self, error: yaml.MarkedYAMLError) -> None:
        """Reports YAML's error, unless it is about the rest of an expression that was reported as cut."""
        refused = refusal(error, self.source, self.last, self._bracket())
        if self.cut is None or self.cut[1].line != refused.span.line:
            self.diagnostics.error(refused.code, refused.message, refused.span, help=refused.help)

    def _events(self) -> Iterator[Any]:
        documents = 0
        for event in yaml.parse(self.source.text, _LOADER):
            if isinstance(event, yaml.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    help = "put the other document in a file of its own, and 'extends' it"
                    self.diagnostics.error("documents", "a second document in one file", self._span(event), help=help)
                    return
            yield event

    def _take(self, event: Any) -> None:
        if isinstance(event, yaml.NodeEvent):
            self._count(event)
        if isinstance(event, yaml.ScalarEvent):
            self._attach(self._anchored(event, self._scalar(event)))
        elif isinstance(event, yaml.AliasEvent):
            self._attach(self._alias(event))
        elif isinstance(event, yaml.CollectionStartEvent):
            self._marks(event)
            items: list[Tree] | None = [] if isinstance(event, yaml.SequenceStartEvent) else None
            self.stack.append(_Open(event.start_mark, bool(event.flow_style), items, anchor=event.anchor))
        elif isinstance(event, yaml.CollectionEndEvent):
            self._close(event)

    # bounds

    def _count(self, event: Any, nodes: int = 1, depth: int = 0) -> None:
        self.nodes += nodes
        if self.nodes > MAX_NODES:
            help = "a spec describes repetition with 'repeat', blocks and 'extends'"
            self._refuse("too-large", f"more than {MAX_NODES:,} values in one file", event, help)
        if len(self.stack) + depth > MAX_DEPTH:
            self._refuse("too-deep", f"lists and mappings lie more than {MAX_DEPTH} deep", event, "nest less deeply")

    def _refuse(self, code: str, message: str, event: Any, help: str) -> None:
        self.diagnostics.error(code, message, self._span(event), help=help)
        raise _RefusedError

    # values

    def _scalar(self, event: Any) -> Scalar:
        span, text, style = self._span(event), event.value, event.style or ""
        self.last = span
        if event.anchor or event.tag:
            self._marks(event)
        if style:
            return Scalar(text, text, style, span)
        if text.startswith("="):
            text, span = self._whole(text, span)
        elif self._lacks_space(text, span):
            return Scalar(None, text, style, span)
        try:
            return Scalar(resolve(text), text, style, span)
        except ScalarError as error:
            self.diagnostics.error(error.code, error.message, span, help=error.help)
            return Scalar(error.value, text, style, span)

    def _whole(self, text: str, span: Span) -> tuple[str, Span]:
        """An expression that YAML cut in pieces is reported and put together again: `{x: =min(8, heads)}`."""
        if balanced(text) or span.line != span.end_line:
            return text, span
        line = self.source.line(span.line)
        after = line[span.end_column - 1 :].lstrip()[:1]
        if not after or after not in ",#[]{}":
            return text, span
        whole = whole_expression(line[span.column - 1 :])
        if not balanced(whole):
            return text, span  # a bracket that its writer did not close
        full = replace(span, end_column=span.column + len(whole))
        self.diagnostics.error("cut-expression", cut_message(after), full, help=quote_it(whole))
        self.cut = (span, full)
        return whole, full

    def _lacks_space(self, text: str, span: Span) -> bool:
        """`{x:1}` is a key without a value, and `x:1` below its key a text: both lack the space."""
        found = _NO_SPACE.fullmatch(text) if len(text) < 500 else None
        if not found or not self._key_place(found[2], span):
            return False
        column = span.column + len(found[1])
        place = replace(span, column=column, end_line=span.line, end_column=column + 1)
        self.diagnostics.error("missing-space", NO_SPACE, place, help=spaced(found[1], found[2]))
        return True

    def _key_place(self, rest: str, span: Span) -> bool:
        """Whether a key could stand where a text stands that looks like `key:rest`."""
        parent = self.stack[-1] if self.stack else None
        if parent is None:
            return True
        if parent.items is not None:
            return parent.flow
        if parent.key is None:
            return parent.flow or rest[0] in "[{"
        return span.line > parent.key.span.line

    def _marks(self, event: Any) -> None:
        """Reports an anchor or a tag of a node."""
        if event.anchor:
            self._anchor_error(
                "anchor", f"anchors ('&{event.anchor[:40]}') are not part of the language", event, len(event.anchor) + 1
            )
        if event.tag:
            self._anchor_error("tag", f"tags ('{_short(event.tag)}') are not part of the language", event, 1)

    def _anchor_error(self, code: str, message: str, event: Any, length: int) -> None:
        span = self._span(event)
        helps = {"tag": "leave the tag out; quote what is to be a text"}
        help = helps.get(
            code, "write the value once in 'vars' and read it with '=name', or use 'defaults' or a block's 'params'"
        )
        end = min(span.column + length, span.end_column) if span.line == span.end_line else span.column + length
        self.diagnostics.error(
            code, message, replace(span, end_line=span.line, end_column=max(end, span.column + 1)), help=help
        )

    def _anchored(self, event: Any, tree: Tree) -> Tree:
        if event.anchor:
            self.anchors[event.anchor] = tree
        return tree

    def _alias(self, event: Any) -> Tree:
        """What the alias stands for, so that the error about it is the only one."""
        self._anchor_error(
            "alias", f"aliases ('*{event.anchor[:40]}') are not part of the language", event, len(event.anchor) + 1
        )
        tree = self.anchors.get(event.anchor)
        if tree is None:
            return Scalar(None, "", "", self._span(event))
        self._count(event, *_measure(tree, MAX_NODES - self.nodes))
        return tree

    # structure

    def _close(self, event: Any) -> None:
        opened = self.stack.pop()
        span = self._between(opened, event)
        tree: Tree
        if opened.items is not None:
            tree = Sequence(tuple(opened.items), span)
        else:
            for merged in opened.merged:
                opened.entries.update({k: v for k, v in merged.entries.items() if k not in opened.entries})
            tree = Mapping(opened.entries, span)
        if opened.anchor:
            self.anchors[opened.anchor] = tree
        self._attach(tree)

    def _attach(self, tree: Tree) -> None:
        if not self.stack:
            self.root = tree
            return
        parent = self.stack[-1]
        if parent.items is not None:
            if self._wanted(tree):
                parent.items.append(tree)
        elif parent.key is None:
            parent.key = tree
        else:
            key, parent.key = parent.key, None
            if self._wanted(key):
                self._entry(parent, key, tree)

    def _wanted(self, tree: Tree) -> bool:
        """Not a piece of an expression that was put together again."""
        if self.cut is None:
            return True
        first, whole = self.cut
        return tree.span.line != whole.line or not first.end_column <= tree.span.column < whole.end_column

    def _entry(self, parent: _Open, key: Tree, value: Tree) -> None:
        if not isinstance(key, Scalar):
            what = "a list" if isinstance(key, Sequence) else "a mapping"
            help = "'{{…}}' is not part of the language" if isinstance(key, Mapping) else "write a name before ':'"
            self.diagnostics.error("wrong-type", f"{what} cannot be a key", key.span, help=help)
        elif not key.text and not key.style:
            self.diagnostics.error(
                "wrong-type", "a key is missing before this ':'", key.span, help="write a name before ':'"
            )
        elif key.text == "<<" and not key.style:
            self._merge(parent, key, value)
        elif key.text in parent.entries:
            first = Related("first written", parent.entries[key.text].key.span)
            help = "keep one of the two"
            self.diagnostics.error(
                "duplicate-key", f"'{key.text[:60]}' is written twice", key.span, help=help, related=(first,)
            )
        else:
            self._unspaced_pair(parent, key, value)

    def _unspaced_pair(self, parent: _Open, key: Scalar, value: Tree) -> None:
        """Files the entry; of `{x:1}` the part before the colon, so that nothing seems to be missing."""
        found = None if key.style or key.value is not None else _NO_SPACE.fullmatch(key.text)
        if found and isinstance(value, Scalar) and value.text == "" and not value.style:
            key, value = (
                replace(key, text=found[1], value=found[1]),
                replace(key, text=found[2], value=_lenient(found[2])),
            )
        parent.entries.setdefault(key.text, Entry(key, value))

    def _merge(self, parent: _Open, key: Scalar, value: Tree) -> None:
        help = "write common values once in 'defaults', in a block's 'params', or in a file that is extended"
        self.diagnostics.error("merge-key", "merging with '<<' is not part of the language", key.span, help=help)
        values = value.items if isinstance(value, Sequence) else (value,)
        parent.merged += [item for item in values if isinstance(item, Mapping)]

    # places

    def _bracket(self) -> Span | None:
        """The innermost bracket that is still open."""
        for opened in reversed(self.stack):
            if opened.flow:
                line, column = opened.start.line + 1, opened.start.column + 1
                return Span(self.source, line, column, line, column + 1)
        return None

    def _span(self, event: Any) -> Span:
        start, end = event.start_mark, event.end_mark
        return Span(self.source, start.line + 1, start.column + 1, end.line + 1, end.column + 1)

    def _between(self, opened: _Open, event: Any) -> Span:
        """A block ends where its last value ends; YAML puts its end at the next thing that is written."""
        start, end = opened.start, event.end_mark
        last: Span | None = None
        if not opened.flow:
            last = _last(opened)
        line, column = (last.end_line, last.end_column) if last else (end.line + 1, end.column + 1)
        line, column = max((line, column), (start.line + 1, start.column + 1))
        return Span(self.source, start.line + 1, start.column + 1, line, column)


def _last(opened: _Open) -> Span | None:
    """The place of the value written last."""
    if opened.items is not None:
        return opened.items[-1].span if opened.items else None
    return next(reversed(opened.entries.values())).value.span if opened.entries else None


def _lenient(text: str) -> Any:
    try:
        return resolve(text)
    except ScalarError as error:
        return error.value


def _short(tag: str) -> str:
    return tag.replace("tag:yaml.org,2002:", "!!")[:40]


def _measure(tree: Tree, most: int) -> tuple[int, int]:
    """Nodes and depth of a tree; counting stops beyond `most` nodes."""
    nodes, deepest, todo = 0, 0, [(tree, 0)]
    while todo and nodes <= most:
        found, depth = todo.pop()
        nodes, deepest = nodes + 1, max(deepest, depth)
        if isinstance(found, Sequence):
            todo += [(item, depth + 1) for item in found.items]
        elif isinstance(found, Mapping):
            todo += [(entry.value, depth + 1) for entry in found.entries.values()]
    return nodes, deepest
