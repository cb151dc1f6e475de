"""Finds and merges what a spec `extends`: presets by name, files by their path, inside the folder of the first file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from blockgraph.specs import presets
from blockgraph.specs.diagnostics import Diagnostics
from blockgraph.specs.merge import merge
from blockgraph.specs.places import Source, Span
from blockgraph.specs.reader import read, read_file
from blockgraph.specs.suggest import did_you_mean
from blockgraph.specs.tree import Entry, Mapping, Scalar, Sequence, Tree

MAX_FILES = 32
VERSION = 1


@dataclass
class Resolver:
    """Reads one spec with all that it extends. `root` is the folder that no path may leave; `folders` says where the
    file of each source lies (presets and texts lie nowhere)."""

    root: Path
    diagnostics: Diagnostics
    folders: dict[Source, Path] = field(default_factory=dict)
    open: list[str] = field(default_factory=list)
    done: dict[str, Mapping | None] = field(default_factory=dict)

    def resolve(self, source: Source, folder: Path | None) -> Mapping | None:
        """The tree of `source` merged over what it extends; None where nothing can be made of it."""
        if folder is not None:
            self.folders[source] = folder
        own = read(source, self.diagnostics)
        if own is None:
            return None
        self._check_version(own)
        merged = self._merged(own, folder)
        if merged is not None and "blockgraph" not in merged.entries:
            start = Span(source, 1, 1, 1, 1)
            message = "the version of the language is missing"
            self.diagnostics.error("version", message, start, help="begin the file with 'blockgraph: 1'")
        return merged

    def _merged(self, own: Mapping, folder: Path | None) -> Mapping | None:
        extends = own.entries.get("extends")
        if extends is None:
            return own
        bases = [self._base(value, folder) for value in self._bases(extends)]
        rest = Mapping({name: entry for name, entry in own.entries.items() if name != "extends"}, own.span)
        if not all(bases):
            return None  # what is missing would bring a hundred errors of its own
        merged: Mapping | None = None
        for tree in (*bases, rest):
            merged = tree if merged is None else merge(merged, tree) if tree is not None else merged
        return merged

    def _bases(self, extends: Entry) -> list[Scalar]:
        """The texts of `extends:`; anything else is reported."""
        values = list(extends.value.items) if isinstance(extends.value, Sequence) else [extends.value]
        texts = [value for value in values if isinstance(value, Scalar) and isinstance(value.value, str)]
        for value in values:
            if value not in texts:
                self._error(value, "extends is a preset's name, the path of a file, or a list of them")
        return texts

    def _error(self, value: Tree, message: str, help: str | None = None, code: str = "extends") -> None:
        self.diagnostics.error(code, message, value.span, help=help)

    def _base(self, value: Scalar, folder: Path | None) -> Mapping | None:
        name = str(value.value)
        if name.endswith((".yaml", ".yml")) or "/" in name or "\\" in name:
            return self._file(value, folder)
        if name in presets.names() or name in presets.fragments():
            return self._once(
                f"preset {name}", value, lambda: Source(f"presets/{name}.yaml", presets.text(name), value.span), None
            )
        help = did_you_mean(name, presets.names()) or "for a file write its path with the ending, such as 'base.yaml'"
        self._error(value, f"there is no preset '{name}'", help)
        return None

    def _file(self, value: Scalar, folder: Path | None) -> Mapping | None:
        if folder is None:
            self._error(value, "a preset extends presets only")
            return None
        path = folder / str(value.value)
        try:
            real = path.resolve()
            inside = real.is_relative_to(self.root.resolve())
        except (OSError, RuntimeError, ValueError):
            self._error(value, f"there is no file '{value.value}'", code="missing-file")
            return None
        if not inside:
            self._error(
                value,
                f"'{value.value}' leaves the folder of the spec",
                "move the file, or start from one that lies above both",
            )
            return None
        return self._once(str(real), value, lambda: read_file(path, self.diagnostics, value.span), path.parent)

    def _once(
        self, key: str, value: Scalar, source: Callable[[], Source | None], folder: Path | None
    ) -> Mapping | None:
        """Every file is read once, however many extend it; one that is still open is a circle."""
        if key in self.open:
            self._error(value, f"'{value.value}' extends itself, directly or through others", code="extends-cycle")
            return None
        if key not in self.done:
            if len(self.done) + len(self.open) >= MAX_FILES:
                self._error(value, f"more than {MAX_FILES} files in one spec")
                return None
            self.open.append(key)
            found = source()
            self.done[key] = self.resolve(found, folder) if found else None
            self.open.pop()
        return self.done[key]

    def _check_version(self, own: Mapping) -> None:
        entry = own.entries.get("blockgraph")
        if entry is None or (
            isinstance(entry.value, Scalar) and entry.value.value == VERSION and entry.value.value is not True
        ):
            return
        written = entry.value.text if isinstance(entry.value, Scalar) else "this"
        message = f"version {written[:20] or 'null'} of the language is not known here"
        self.diagnostics.error("version", message, entry.value.span, help=f"write 'blockgraph: {VERSION}'")
