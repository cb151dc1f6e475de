"""From a file, a preset's name or a text to a `Spec`, with every error of its own making at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from blockgraph.specs import presets
from blockgraph.specs.builtin import BUILTIN
from blockgraph.specs.diagnostics import Diagnostics
from blockgraph.specs.extends import Resolver
from blockgraph.specs.names import TOP_KEYS
from blockgraph.specs.places import Source
from blockgraph.specs.plugins import load_plugins
from blockgraph.specs.published import is_config, spec_of_config
from blockgraph.specs.reader import read_file
from blockgraph.specs.reading import Reading
from blockgraph.specs.registry import BlockType
from blockgraph.specs.sections import (
    check_expressions,
    read_defaults,
    read_huggingface,
    read_init,
    read_train,
    read_vars,
)
from blockgraph.specs.sets import apply_sets
from blockgraph.specs.spec import Block, Spec
from blockgraph.specs.structure import read_blocks, read_inputs, read_nodes, read_outputs, read_params
from blockgraph.specs.suggest import did_you_mean
from blockgraph.specs.tree import Mapping as MappingTree
from blockgraph.specs.unused import warn_unused


def load_spec(
    source: str | Path,
    diagnostics: Diagnostics,
    *,
    sets: Sequence[str] = (),
    plugins: Sequence[str] = (),
) -> Spec | None:
    """The spec of a file, of a preset by its name, or of a published model by its config.json. `sets` are `PATH=VALUE`,
    `plugins` files or entry points with own blocks. What is wrong goes into `diagnostics`; None only where nothing can
    be made of the file at all."""
    if isinstance(source, str) and source in presets.names() and not Path(source).is_file():
        return load_text(presets.text(source), diagnostics, name=f"presets/{source}.yaml", sets=sets, plugins=plugins)
    if is_config(source):
        return spec_of_config(source, diagnostics, sets=sets, plugins=plugins)
    path = Path(source)
    if not path.suffix and not path.exists():
        help = did_you_mean(str(source), presets.names()) or "`blockgraph presets` lists those that are shipped"
        diagnostics.error("missing-file", f"there is no file and no preset '{source}'", help=help)
        return None
    found = read_file(path, diagnostics)
    return _load(found, path, diagnostics, sets, plugins) if found else None


def load_text(
    text: str,
    diagnostics: Diagnostics,
    *,
    name: str = "<text>",
    folder: Path | None = None,
    sets: Sequence[str] = (),
    plugins: Sequence[str] = (),
) -> Spec | None:
    """The spec of a YAML text; paths in it are relative to `folder` (None: the working directory)."""
    return _load(Source(name, text), None, diagnostics, sets, plugins, folder)


def _load(
    source: Source,
    path: Path | None,
    diagnostics: Diagnostics,
    sets: Sequence[str],
    plugins: Sequence[str],
    folder: Path | None = None,
) -> Spec | None:
    folder = path.parent if path else None if source.name.startswith("presets/") else folder or Path()
    resolver = Resolver(folder or Path(), diagnostics)
    if path is not None:
        resolver.open.append(str(path.resolve()))
    tree = resolver.resolve(source, folder)
    if tree is None:
        return None
    own = load_plugins(plugins, diagnostics)
    tree = apply_sets(tree, tuple(sets), diagnostics)
    types = {**BUILTIN, **own}
    spec = spec_of(tree, diagnostics, types, plugins=tuple(plugins), origin=path, folders=resolver.folders)
    if not diagnostics.has_errors:
        warn_unused(spec, diagnostics)
    return spec


def spec_of(tree: MappingTree, diagnostics: Diagnostics, types: Mapping[str, BlockType], **rest: Any) -> Spec:
    """The spec that a merged source tree says."""
    reading = Reading(tree, diagnostics, types)
    reading.known_keys((), TOP_KEYS, "a spec")
    check_expressions(reading)
    read_vars(reading)
    name = reading.text("name") or _name(tree, rest.get("origin"))
    return Spec(
        name=name,
        about=reading.text("about"),
        vars=reading.vars,
        defaults=read_defaults(reading),
        blocks=read_blocks(reading),
        root=_root(reading, name),
        init=read_init(reading),
        train=read_train(reading),
        huggingface=read_huggingface(reading),
        types=types,
        tree=tree,
        broken=frozenset(reading.broken),
        **rest,
    )


def _name(tree: MappingTree, origin: Path | None) -> str:
    source = Path(tree.span.source.name).stem
    return origin.stem if origin else source if source.isidentifier() else "model"


def _root(reading: Reading, name: str) -> Block:
    """The file itself as a block."""
    entries = reading.tree.entries
    if ("nodes" in entries) != ("inputs" in entries) or not ({"nodes", "inputs", "blocks"} & set(entries)):
        missing = "inputs" if "nodes" in entries else "nodes"
        help = "such as inputs: {tokens: {tokens: 50257, axis: T}}" if missing == "inputs" else None
        place = reading.place(("nodes" if missing == "inputs" else "inputs",), key=True)
        reading.diagnostics.error("missing-key", f"the spec needs '{missing}'", place, help=help)
    return Block(
        path=(),
        name=name,
        inputs=read_inputs(reading),
        nodes=read_nodes(reading),
        params=read_params(reading, ()),
        outputs=read_outputs(reading),
        about=None,
    )
