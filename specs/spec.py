"""The spec as the rest of the program sees it: names, structure and raw values, each with its place."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from blockgraph.specs.merge import place_in
from blockgraph.specs.pictured import Pictured
from blockgraph.specs.places import Source, Span
from blockgraph.specs.registry import BlockType
from blockgraph.specs.tree import Mapping as MappingTree
from blockgraph.specs.tree import find

if TYPE_CHECKING:
    from blockgraph.specs.huggingface import HuggingFace
    from blockgraph.specs.models import InputModel, OutputModel
    from blockgraph.specs.train import Train

Raw: TypeAlias = (
    Any  # plain data as written: numbers, texts, lists, mappings; an expression is a text that starts with "="
)


@dataclass(frozen=True, slots=True)
class Node:
    """A node as written, the shorthand `name: type` spelled out. Exactly one of `type` and `share` is set.

    `type` may be an expression; `wiring` is the raw value of `in` (None: the node before), `condition` that of `if`,
    which counts only where `has_condition`, because `if: null` means "not there". `repeat`, `copies`, `tie` are raw.
    """

    name: str
    path: tuple[str, ...]
    type: str | None = None
    share: str | None = None
    tie: Raw = None
    wiring: Raw = None
    condition: Raw = None
    has_condition: bool = False
    repeat: Raw = None
    copies: Raw = None
    label: str | None = None
    about: str | None = None
    recompute: bool = False
    options: Mapping[str, Raw] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Broken:
    """A node that could not be read; it has been reported, and whoever reads it stays silent."""

    name: str
    path: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Block:
    """A block's definition; the file itself is the outermost one (`path` is empty).

    `inputs` maps to None in inner blocks, where an input is only a name (and for an input of the model that could not
    be read). `outputs` is None (the last node), a raw reference, or outputs by name.
    """

    path: tuple[str, ...]
    name: str
    inputs: Mapping[str, InputModel | None]
    nodes: Mapping[str, Node | Broken]
    params: Mapping[str, Raw] = field(default_factory=dict)
    outputs: Mapping[str, OutputModel] | Raw = None
    label: str | None = None
    about: str | None = None


@dataclass(frozen=True, slots=True)
class InitRule:
    """How the weights whose path matches the glob `pattern` start: `kind` (`normal`, `zeros`, …) with its numbers."""

    pattern: str
    kind: str
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Spec(Pictured):
    """One model's spec, `extends` and `--set` applied. `tree` is the merged source: every value knows its place.

    `broken` names the vars that could not be evaluated: what reads them stays silent. `types` has the built-in block
    types and the plugins'. `origin` is the file that the user named (None: a preset or text).
    """

    name: str
    about: str | None
    vars: Mapping[str, Any]
    defaults: Mapping[str, Mapping[str, Raw]]
    root: Block
    blocks: Mapping[str, Block]
    init: tuple[InitRule, ...]
    train: Train | None
    huggingface: HuggingFace | None
    types: Mapping[str, BlockType]
    tree: MappingTree
    plugins: tuple[str, ...] = ()
    origin: Path | None = None
    broken: frozenset[str] = frozenset()
    folders: Mapping[Source, Path] = field(default_factory=dict)

    @property
    def library(self) -> bool:
        """Only blocks for others to extend: there is nothing to build."""
        return "nodes" not in self.tree.entries and "inputs" not in self.tree.entries

    @property
    def folder(self) -> Path:
        """What paths in the spec are relative to."""
        return self.origin.parent if self.origin else Path()

    def folder_of(self, *path: str | int) -> Path:
        """The folder of the file in which the value at `path` is written: it may be one that this file extends."""
        return self.folders.get(self.place(*path).source, self.folder)

    def place(self, *path: str | int, key: bool = False) -> Span:
        """Where the value at `path` (or its key) is written; the nearest thing around it where it is not."""
        return place_in(self.tree, path, key)

    def written(self, *path: str | int) -> bool:
        return find(self.tree, path) is not None

    def option_place(self, node_path: Iterable[str], type_name: str, *option: str | int, key: bool = False) -> Span:
        """Where a node's option comes from: the node itself, else the `defaults:` of its type, else the node."""
        node_path = tuple(node_path)
        if not self.written(*node_path, option[0]) and self.written("defaults", type_name, option[0]):
            return self.place("defaults", type_name, *option, key=key)
        return self.place(*node_path, *option, key=key and self.written(*node_path, *option))
