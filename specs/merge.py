"""Merges a spec over the one that it extends, as source trees: every value keeps the place where it was written."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from blockgraph.specs.names import TOP_KEYS
from blockgraph.specs.places import Span
from blockgraph.specs.tree import Entry, Mapping, Scalar, Sequence, Tree, find, locate

Path: TypeAlias = tuple[str, ...]
Join: TypeAlias = Callable[[Tree, Tree, Path], Tree]
TYPED_TRAIN: Final = {
    "task": "causal_lm",
    "data": "text",
    "tokenizer": "bytes",
    "optimizer": "adamw",
    "schedule": "cosine",
}


@dataclass(frozen=True, slots=True)
class _Policy:
    """How the mapping at a path takes what is written over it.

    `order` of new entries: `last`; `after` the one written before them; `first` (initial weights: the first match
    wins); `needs`: last, then moved behind what their expressions read; `sections`: as the language lists them.
    """

    removes: bool = False  # null takes the entry away; elsewhere it is a value
    order: Literal["last", "after", "first", "needs", "sections"] = "last"


def merge(base: Mapping, over: Mapping, path: Path = ()) -> Mapping:
    """`over` wins: mappings are merged, all else replaced, by the rules of the language (rule 11).

    A null that finds nothing to remove stays in the tree, for a later merge or for the loader to complain about.
    """
    policy = _policy(path)
    entries = dict(base.entries)
    for name, entry in over.entries.items():
        old = entries.get(name)
        entries[name] = entry if old is None else _joined(old, entry, (*path, name))
    names = _ordered(base, over, policy.order)
    if policy.removes:
        names = [n for n in names if not (n in base.entries and is_null(over, n))]
    if policy.order == "needs":
        names = _by_needs(names, entries)
    if policy.order == "sections":
        names.sort(key=lambda name: TOP_KEYS.index(name) if name in TOP_KEYS else len(TOP_KEYS))
    return Mapping({name: entries[name] for name in names}, base.span)


def is_null(mapping: Mapping, name: str) -> bool:
    entry = mapping.entries.get(name)
    return entry is not None and isinstance(entry.value, Scalar) and entry.value.value is None


def _policy(path: Path) -> _Policy:
    if path and path[-1] == "nodes" and _section(path):
        return _Policy(removes=True, order="after")
    if path == ("init",):
        return _Policy(removes=True, order="first")
    if path in {("vars",), ("huggingface", "vars")} or (path and path[-1] == "params" and _section(path)):
        return _Policy(order="needs")
    if path == ():
        return _Policy(removes=True, order="sections")
    if path in {("blocks",), ("defaults",), ("huggingface",)} or (len(path) == 2 and path[0] == "blocks"):
        return _Policy(removes=True)
    if is_tensors(path) or (
        path and path[-1] in {"inputs", "outputs", "refuse"} and (_section(path) or path[0] == "huggingface")
    ):
        return _Policy(removes=True)
    return _Policy()


def _section(path: Path) -> bool:
    """A section of the file itself or of one of its blocks."""
    return len(path) == 1 or (len(path) == 3 and path[0] == "blocks")


def is_tensors(path: Path) -> bool:
    """`huggingface: tensors:`, or the `tensors:` inside one of its rules."""
    return path[:1] == ("huggingface",) and len(path) % 2 == 0 and set(path[1::2]) == {"tensors"}


def _joined(old: Entry, new: Entry, path: Path) -> Entry:
    if (isinstance(new.value, Scalar) and new.value.value is None) or (
        isinstance(old.value, Scalar) and old.value.value is None
    ):
        return new
    value = _join(path)(old.value, new.value, path)
    return Entry(new.key if value is new.value else old.key, value)


def _join(path: Path) -> Join:
    """What joins the two values at `path`."""
    if len(path) > 1 and path[-2] == "nodes" and _section(path[:-1]):
        return _typed("")
    if len(path) == 2 and path[0] == "train" and path[1] in TYPED_TRAIN:
        return _typed(TYPED_TRAIN[path[1]])
    if path == ("train", "optimizer", "others"):
        return _typed("adamw")
    if len(path) == 2 and path[0] == "init":
        return _typed("")
    if is_tensors(path[:-1]) or (len(path) == 3 and path[:2] == ("huggingface", "inputs")):
        return _long("to")
    if len(path) > 1 and path[-2] == "outputs" and _section(path[:-1]):
        return _long("from")
    return _input if path[:-1] == ("inputs",) else _deep


def _deep(old: Tree, new: Tree, path: Path) -> Tree:
    return merge(old, new, path) if isinstance(old, Mapping) and isinstance(new, Mapping) else new


def _typed(default: str) -> Join:
    """Of values with a `type`, short forms (`ffn: ffn`) spelled out; a change of type replaces the whole value."""

    def join(old: Tree, new: Tree, path: Path) -> Tree:
        long_old, long_new = spelled(old, "type"), spelled(new, "type")
        if not (isinstance(long_old, Mapping) and isinstance(long_new, Mapping)):
            return new
        says_so = "type" in long_new.entries or "share" in long_new.entries
        if says_so and _kind(long_new, default) != _kind(long_old, default):
            return new
        return merge(long_old, long_new, path)

    return join


def _long(key: str) -> Join:
    """Of values whose short form is the `key` of the long one: `attn.out` is `{to: attn.out}`."""

    def join(old: Tree, new: Tree, path: Path) -> Tree:
        return (
            _deep(spelled(old, key), new, path)
            if isinstance(new, Mapping) and key not in new.entries
            else _deep(old, new, path)
        )

    return join


def _input(old: Tree, new: Tree, path: Path) -> Tree:
    """An input that turns from ids into a tensor, or back, is a new one."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        turned = ("tokens" in old.entries and "shape" in new.entries) or (
            "shape" in old.entries and "tokens" in new.entries
        )
        return new if turned else merge(old, new, path)
    return new


def spelled(tree: Tree, key: str) -> Tree:
    """A short form as the long one, `{key: …}`; a mapping is long already."""
    if isinstance(tree, Mapping) or (isinstance(tree, Scalar) and tree.value is None):
        return tree
    if isinstance(tree, Sequence) and key == "type":
        return tree
    return Mapping({key: Entry(Scalar(key, key, "", tree.span), tree)}, tree.span)


def place_in(tree: Tree, path: tuple[str | int, ...], key: bool = False) -> Span:
    """The place of a value or its key, as `locate`; the `type` of a short form (`ffn: ffn`) is its text."""
    if path and path[-1] == "type" and isinstance(find(tree, path[:-1]), Scalar):
        return locate(tree, path[:-1])
    return locate(tree, path, key=key)


def _kind(mapping: Mapping, default: str) -> tuple[object, ...]:
    """What a value is: its type, or the node that it shares."""
    kind = tuple(_value(mapping, key) for key in ("type", "share"))
    return (default, None) if kind == (None, None) else kind


def _value(mapping: Mapping, key: str) -> object:
    entry = mapping.entries.get(key)
    return entry.value.value if entry and isinstance(entry.value, Scalar) else None


def _ordered(base: Mapping, over: Mapping, order: str) -> list[str]:
    new = [name for name in over.entries if name not in base.entries]
    if order == "first":
        return [*over.entries, *(name for name in base.entries if name not in over.entries)]
    if order != "after":
        return [*base.entries, *new]
    return _after(base, over)


def _after(base: Mapping, over: Mapping) -> list[str]:
    """Each new name after the one written before it, in the order in which they are written; else last."""
    followers: dict[str, list[str]] = {}
    last: list[str] = []
    before: str | None = None
    for name in over.entries:
        if name in base.entries:
            before = name
        else:
            (followers.setdefault(before, []) if before is not None else last).append(name)
    return [found for name in base.entries for found in (name, *followers.get(name, ()))] + last


def _by_needs(names: list[str], entries: dict[str, Entry]) -> list[str]:
    """The same order, but nothing before what it reads: `vars` may use earlier ones only, also over two files."""
    reads = {name: [n for n in _names_read(entries[name].value) if n in entries and n != name] for name in names}
    done: dict[str, None] = {}
    for name in names:
        stack, open_ = [name], set[str]()
        while stack:
            top = stack[-1]
            missing = [n for n in reads[top] if n not in done and n not in open_] if top not in done else []
            if missing and top not in open_:
                open_.add(top)
                stack += reversed(missing)
            else:
                done.setdefault(stack.pop())
    return list(done)


def _names_read(tree: Tree) -> list[str]:
    from blockgraph.specs.expressions import ExpressionError, is_expression, parse

    found: list[str] = []
    todo = [tree]
    while todo:
        top = todo.pop()
        if isinstance(top, Mapping):
            todo += [entry.value for entry in top.entries.values()]
        elif isinstance(top, Sequence):
            todo += top.items
        elif is_expression(top.value):
            try:
                found += sorted(parse(str(top.value)).names)
            except ExpressionError:
                continue
    return found
