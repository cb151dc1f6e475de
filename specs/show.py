"""The resolved spec as text: as YAML that loads to the same model, or flat, one value a line, for comparing."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Final, TypeAlias

from blockgraph.specs.merge import is_tensors, spelled
from blockgraph.specs.scalars import ScalarError, resolve
from blockgraph.specs.spec import Spec
from blockgraph.specs.tree import Mapping, Scalar, Sequence, Tree, plain

Path: TypeAlias = tuple[str, ...]

WIDTH: Final = 120
_INDICATORS = "-?:,[]{}#&*!|>'\"%@`"
_WORD = re.compile(r"[A-Za-z0-9_-]+")


def show(spec: Spec) -> str:
    """The spec as one YAML file: `extends` and `--set` applied, order kept, comments left out."""
    return "".join(f"{line}\n" for line in _mapping(spec.tree, (), 0))


def flat(spec: Spec) -> str:
    """One line for each value, sorted: `nodes.embed.width = "=width"`. Short forms are spelled out, and the order of
    nodes is a line of its own (`nodes = […]`), so that comparing two of them shows every change and nothing else."""
    return "".join(f"{line}\n" for line in sorted(_flat(spec.tree, ())))


# --- YAML -------------------------------------------------------------------------------------------------------------


def _mapping(tree: Mapping, path: Path, indent: int) -> Iterator[str]:
    for name, entry in tree.entries.items():
        yield from _entry(f"{' ' * indent}{_text(name, flow=False)}:", entry.value, (*path, name), indent)


def _entry(start: str, value: Tree, path: Path, indent: int) -> Iterator[str]:
    """`key: value` on one line where that fits and nothing in it is worth a line of its own."""
    line = f"{start} {_flow(value, flow=not isinstance(value, Scalar))}"
    short = len(line) <= WIDTH and not _spread(value, path)
    if short or isinstance(value, Scalar) or not (value.items if isinstance(value, Sequence) else value.entries):
        yield line
    elif isinstance(value, Mapping):
        yield start
        yield from _mapping(value, path, indent + 2)
    else:
        yield start
        for item in value.items:
            yield f"{' ' * (indent + 2)}- {_flow(item, flow=not isinstance(item, Scalar))}"


def _spread(value: Tree, path: Path) -> bool:
    """Sections whose entries stand below each other."""
    if not isinstance(value, Mapping):
        return False
    inner = path[2:] if path[:1] == ("blocks",) else path
    return inner in {
        (),
        ("nodes",),
        ("inputs",),
        ("defaults",),
        ("blocks",),
        ("train",),
        ("huggingface",),
    } or is_tensors(path)


def _flow(tree: Tree, flow: bool) -> str:
    if isinstance(tree, Mapping):
        inside = (f"{_text(name, flow=True)}: {_flow(entry.value, True)}" for name, entry in tree.entries.items())
        return "{" + ", ".join(inside) + "}"
    if isinstance(tree, Sequence):
        return "[" + ", ".join(_flow(item, True) for item in tree.items) + "]"
    if isinstance(tree.value, str):
        return _text(tree.value, flow)
    return tree.text if tree.text and not tree.style else json.dumps(tree.value)


def _text(text: str, flow: bool) -> str:
    """A text, in quotes where YAML would take it for something else."""
    return text if _plain(text, flow) else _quoted(text)


def _plain(text: str, flow: bool) -> bool:
    if (
        not text
        or text != text.strip()
        or not text.isprintable()
        or text[0] in _INDICATORS
        or text in {"<<", "---", "..."}
    ):
        return False
    if ": " in text or " #" in text or text.endswith(":") or re.match(r"[A-Za-z_][\w.]*:", text):
        return False
    if flow and any(character in text for character in ",[]{}"):
        return False
    try:
        return isinstance(resolve(text), str)
    except ScalarError:
        return False


def _quoted(text: str) -> str:
    def escaped(character: str) -> str:
        if character in '"\\':
            return "\\" + character
        if character.isprintable():
            return character
        code = ord(character)
        return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}" if code < 65536 else f"\\U{code:08x}"

    return '"' + "".join(map(escaped, text)) + '"'


# --- flat -------------------------------------------------------------------------------------------------------------


def _flat(tree: Tree, path: Path) -> Iterator[str]:
    name = ".".join(part if _WORD.fullmatch(part) else json.dumps(part, ensure_ascii=False) for part in path)
    if isinstance(tree, Mapping) and tree.entries:
        nodes = bool(path) and path[-1] == "nodes" and len(path) in {1, 3}
        if nodes or path == ("inputs",):
            yield f"{name} = {_json(list(tree.entries))}"
        for key, entry in tree.entries.items():
            yield from _flat(spelled(entry.value, "type") if nodes else entry.value, (*path, key))
    elif isinstance(tree, Sequence) and any(isinstance(item, Mapping) for item in tree.items):
        for index, item in enumerate(tree.items):
            yield from _flat(item, (*path, str(index)))
    else:
        yield f"{name} = {_json(plain(tree))}"


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)
