"""What every section's reader needs: the merged tree, where to report, and the vars."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import TypeAdapter, ValidationError

from blockgraph.specs.diagnostics import Diagnostics
from blockgraph.specs.expressions import ExpressionError, evaluate, is_expression, parse
from blockgraph.specs.merge import place_in
from blockgraph.specs.places import Span
from blockgraph.specs.problems import Path, from_expression, from_pydantic
from blockgraph.specs.registry import BlockType
from blockgraph.specs.suggest import did_you_mean
from blockgraph.specs.tree import Mapping as MappingTree
from blockgraph.specs.tree import Scalar, Sequence, Tree, find, plain

MOST_HINTS = 50


@dataclass
class Reading:
    """A spec while it is read. `vars` fills up first; `broken` names those that could not be computed."""

    tree: MappingTree
    diagnostics: Diagnostics
    types: Mapping[str, BlockType]
    vars: dict[str, Any] = field(default_factory=dict)
    broken: set[str] = field(default_factory=set)
    hints: int = 0

    def place(self, path: Path, key: bool = False) -> Span:
        return place_in(self.tree, path, key)

    def error(self, code: str, message: str, path: Path, *, key: bool = False, help: str | None = None) -> None:
        self.diagnostics.error(code, message, self.place(path, key), help=help)

    def meant(self, word: str, words: Iterable[str]) -> str | None:
        """`did you mean 'hidden'?`: for the first mistakes only, since looking for words is the costliest of all."""
        self.hints += 1
        return did_you_mean(word, words) if self.hints <= MOST_HINTS else None

    def mapping(self, *path: str, what: str = "a mapping") -> MappingTree | None:
        """The mapping at `path`; None where there is none (an error unless nothing or null is there)."""
        found = find(self.tree, path)
        if found is None or isinstance(found, MappingTree):
            return found
        if not (isinstance(found, Scalar) and found.value is None):
            self.error("wrong-type", f"{path[-1]} is {what}", path)
        return None

    def text(self, *path: str) -> str | None:
        """The plain text at `path`, None where there is none."""
        found = find(self.tree, path)
        if found is None or (isinstance(found, Scalar) and (found.value is None or isinstance(found.value, str))):
            return found.value if isinstance(found, Scalar) and isinstance(found.value, str) else None
        self.error(
            "wrong-type", f"{path[-1]} is text", path, help="put it in quotes" if isinstance(found, Scalar) else None
        )
        return None

    def known_keys(self, path: tuple[str, ...], keys: Iterable[str], what: str) -> None:
        """Reports the keys of the mapping at `path` that are none of `keys`."""
        found, keys = find(self.tree, path), list(keys)
        for name in found.entries if isinstance(found, MappingTree) else ():
            if name not in keys:
                help = self.meant(name, keys) or f"it has {', '.join(keys)}"
                self.error("unknown-key", f"{what} has no key '{name}'", (*path, name), key=True, help=help)

    def evaluated(self, path: Path, scope: Mapping[str, Any] | None = None) -> tuple[Any, bool]:
        """The value at `path`, expressions computed, and whether that went well (what is wrong is reported)."""
        found = find(self.tree, path)
        if found is None or names_read(found) & self.broken:
            return None, False
        try:
            return evaluate(plain(found), self.vars if scope is None else scope), True
        except ExpressionError as error:
            from_expression(error, self.tree, path, self.diagnostics)
            return None, False

    def validated(self, model: Any, data: Any, path: Path, what: str) -> Any:
        """`data`, which was written at `path`, as `model` (a Pydantic model or type); None where it is refused."""
        try:
            return TypeAdapter(model).validate_python(data)
        except ValidationError as error:
            from_pydantic(
                error, data, lambda p, key: self.place((*path, *p), key), self.diagnostics, model=model, what=what
            )
            return None


def expressions(tree: Tree) -> Iterable[tuple[Path, Scalar]]:
    """All expressions below `tree` with their paths."""
    todo: list[tuple[Path, Tree]] = [((), tree)]
    while todo:
        path, top = todo.pop()
        if isinstance(top, MappingTree):
            todo += [((*path, name), entry.value) for name, entry in top.entries.items()]
        elif isinstance(top, Sequence):
            todo += [((*path, index), item) for index, item in enumerate(top.items)]
        elif is_expression(top.value):
            yield path, top


def names_read(tree: Tree) -> frozenset[str]:
    """The names that the expressions below `tree` read; one that cannot be parsed reads nothing."""
    found: set[str] = set()
    for _, scalar in expressions(tree):
        try:
            found |= parse(str(scalar.value)).names
        except ExpressionError:
            continue
    return frozenset(found)
