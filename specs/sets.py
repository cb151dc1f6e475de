"""`--set vars.layers=4`: one value written over the spec from the command line."""

from __future__ import annotations

import json
import re
from dataclasses import replace

from blockgraph.specs.diagnostics import Diagnostics
from blockgraph.specs.merge import merge, spelled
from blockgraph.specs.places import Source, Span
from blockgraph.specs.reader import read
from blockgraph.specs.suggest import did_you_mean
from blockgraph.specs.tree import Entry, Mapping, Scalar, Tree

_ADDABLE = ("name", "about", "defaults", "outputs", "init", "train", "huggingface")
_PLAIN = re.compile(r"[A-Za-z_][\w.]*")


def apply_sets(tree: Mapping, sets: tuple[str, ...], diagnostics: Diagnostics) -> Mapping:
    """`tree` with every `PATH=VALUE` merged over it in turn; what cannot be set is reported and left as it was."""
    for text in sets:
        written = _parse(text, diagnostics)
        if written is not None:
            over = _overlay(tree, written, diagnostics)
            tree = tree if over is None else merge(tree, over)
    return tree


def _parse(text: str, diagnostics: Diagnostics) -> Entry | None:
    """The path (as the key) and the value of one `--set`, read as YAML; the source shows it as a line of a spec."""
    path, equals, value = text.partition("=")
    path = path.strip()
    if not equals or not path:
        source = Source(f"--set {text}", text)
        message = "write --set PATH=VALUE, such as --set vars.layers=4"
        diagnostics.error("set", message, Span(source, 1, 1, 1, len(text) + 1))
        return None
    key = path if _PLAIN.fullmatch(path) else json.dumps(path)
    found = read(Source(f"--set {text}", f"{key}: {value}"), diagnostics)
    return next(iter(found.entries.values()), None) if found else None


def _overlay(tree: Mapping, written: Entry, diagnostics: Diagnostics) -> Mapping | None:
    """A tree that holds the written value alone, at its path."""
    words = str(written.key.value).split(".")
    path: list[str] = []
    at: Tree | None = tree
    while words:
        known = at.entries if isinstance(at, Mapping) else {}
        name = _longest(words, known)
        if name not in known and _fixed(path) and not (path == [] and name in _ADDABLE):
            return _unknown(name, path, list(known), written.key, diagnostics)
        path.append(name)
        words = words[name.count(".") + 1 :]
        at = known[name].value if name in known else None
        if len(path) > 1 and path[-2] == "nodes" and at is not None:
            at = spelled(at, "type")
    return _nested(path, written)


def _longest(words: list[str], known: dict[str, Entry]) -> str:
    """Keys may have dots themselves (`init.*.bias`): the longest one that is there counts."""
    for count in range(len(words), 0, -1):
        if ".".join(words[:count]) in known:
            return ".".join(words[:count])
    return words[0]


def _fixed(path: list[str]) -> bool:
    """At these places a name that is not there is a slip: `--set` changes things, it does not add nodes or vars."""
    inner = path[2:] if path[:1] == ["blocks"] else path
    return inner in ([], ["vars"], ["nodes"], ["inputs"], ["params"]) or path == ["blocks"]


def _unknown(name: str, path: list[str], known: list[str], key: Scalar, diagnostics: Diagnostics) -> Mapping | None:
    where = ".".join(path) or "the spec"
    code = {"vars": "unknown-name", "nodes": "unknown-node"}.get(path[-1] if path else "", "set")
    names = known if path else [*known, *_ADDABLE]
    help = did_you_mean(name, names) or (f"it has {', '.join(names[:12])}" if names else "it is empty")
    diagnostics.error(code, f"{where} has no '{name}' to set", key.span, help=help)
    return None


def _nested(path: list[str], written: Entry) -> Mapping:
    value = written.value
    for name in reversed(path):
        value = Mapping({name: Entry(replace(written.key, value=name, text=name), value)}, written.key.span)
    assert isinstance(value, Mapping)
    return value
