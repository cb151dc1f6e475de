"""Vars that nothing reads: a warning, because a misspelt override looks just like that."""

from __future__ import annotations

from collections.abc import Iterator

from blockgraph.specs.diagnostics import Diagnostics
from blockgraph.specs.reading import names_read
from blockgraph.specs.sections import is_text
from blockgraph.specs.spec import Spec
from blockgraph.specs.tree import Mapping, Tree, find


def warn_unused(spec: Spec, diagnostics: Diagnostics) -> None:
    """Warns of every var that no expression in the whole file reads, unless it is null.

    A shipped preset's own vars are not for those to mend who extend it. A block's param that is called like a var hides
    it inside that block, except in the defaults of that param and of those before it.
    """
    read = set(_read(spec.tree))
    for name, value in spec.vars.items():
        place = spec.place("vars", name, key=True)
        inherited = place.source.extended_by is not None and place.source.name.startswith("presets/")
        if value is not None and name not in read and not spec.library and not inherited:
            help = "remove it, or set it to null to keep the name"
            diagnostics.warning("unused-var", f"nothing reads the var '{name}'", place, help=help)


def _read(tree: Mapping) -> Iterator[str]:
    for section, entry in tree.entries.items():
        if section == "vars":
            yield from _vars(entry.value)
        elif section == "blocks" and isinstance(entry.value, Mapping):
            for block in entry.value.entries.values():
                yield from _block(block.value)
        elif not is_text((section,)):
            yield from names_read(entry.value)


def _vars(tree: Tree) -> Iterator[str]:
    for name, entry in tree.entries.items() if isinstance(tree, Mapping) else ():
        yield from names_read(entry.value) - {name}


def _block(tree: Tree) -> Iterator[str]:
    params = find(tree, ("params",))
    hidden: set[str] = set()
    for name, entry in params.entries.items() if isinstance(params, Mapping) else ():
        yield from names_read(entry.value) - hidden
        hidden.add(name)
    for section, entry in tree.entries.items() if isinstance(tree, Mapping) else ():
        if section != "params":
            yield from names_read(entry.value) - hidden
