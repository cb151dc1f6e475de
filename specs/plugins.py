"""Users' own block types: from a Python file or an installed package, only where the user names it."""

from __future__ import annotations

import hashlib
import importlib.util
import sys
from collections.abc import Iterable
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import Any

from blockgraph.specs.builtin import BUILTIN
from blockgraph.specs.diagnostics import Diagnostics
from blockgraph.specs.names import why_not_a_name
from blockgraph.specs.registry import BlockType
from blockgraph.specs.suggest import did_you_mean

GROUP = "blockgraph.blocks"  # the entry point group of installed packages


def load_plugins(plugins: Iterable[str], diagnostics: Diagnostics) -> dict[str, BlockType]:
    """The block types of each plugin: every `BlockType` at the top level of a file (`my_blocks.py`), or of the module
    that an installed package's entry point in the group `blockgraph.blocks` names. What goes wrong is a diagnostic."""
    types: dict[str, BlockType] = {}
    for plugin in plugins:
        found = _found(plugin, diagnostics)
        for block in found:
            if _fits(block, plugin, types, diagnostics):
                types[block.name] = block
    return types


def _found(plugin: str, diagnostics: Diagnostics) -> list[BlockType]:
    try:
        value = (
            _from_file(Path(plugin), diagnostics) if plugin.endswith(".py") else _from_entry_point(plugin, diagnostics)
        )
    except (Exception, SystemExit) as error:  # noqa: BLE001 the user's own code: anything can come out of it
        reason = str(error).strip().splitlines()[:1] or [""]
        diagnostics.error("plugin", f"plugin '{plugin}' cannot be loaded: {type(error).__name__}: {reason[0][:200]}")
        return []
    if value is None:
        return []
    found = [value] if isinstance(value, BlockType) else [v for v in vars(value).values() if isinstance(v, BlockType)]
    if not found:
        help = "put an instance of blockgraph.specs.registry.BlockType at the top level of the file"
        diagnostics.error("plugin", f"plugin '{plugin}' has no block types", help=help)
    return found


def _from_file(path: Path, diagnostics: Diagnostics) -> ModuleType | None:
    """Imports a file under a name of its own, once for each content."""
    if not path.is_file():
        diagnostics.error("plugin", f"there is no plugin file '{path}'")
        return None
    digest = hashlib.sha256(str(path.resolve()).encode() + path.read_bytes()).hexdigest()[:12]
    name = f"_blockgraph_plugin_{path.stem}_{digest}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _from_entry_point(name: str, diagnostics: Diagnostics) -> Any:
    known = {point.name: point for point in entry_points(group=GROUP)}
    if name in known:
        return known[name].load()
    help = did_you_mean(name, known) or "name a file that ends in .py, or an installed entry point in blockgraph.blocks"
    diagnostics.error("plugin", f"there is no installed plugin '{name}'", help=help)
    return None


def _fits(block: BlockType, plugin: str, types: dict[str, BlockType], diagnostics: Diagnostics) -> bool:
    reason = why_not_a_name(block.name)
    if reason:
        diagnostics.error("plugin", f"plugin '{plugin}': '{block.name}' cannot name a block type: {reason}")
    elif block.name in BUILTIN:
        diagnostics.error(
            "plugin", f"plugin '{plugin}': '{block.name}' is a built-in type already", help="choose another name"
        )
    elif types.get(block.name, block) is not block:
        diagnostics.error("plugin", f"two plugins bring a block type '{block.name}'")
    else:
        return True
    return False
