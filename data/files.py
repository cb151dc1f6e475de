"""Paths and globs of a spec as files, which lie inside its folder."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from blockgraph.data.errors import TrainError


def spec_files(patterns: str | Sequence[str], folder: Path | None, what: str) -> list[Path]:
    """The files that a spec's paths and globs name, each pattern's in order of name, each file once."""
    if folder is None:
        raise TrainError("this spec has no folder that its data could lie in: give --data FILE")
    found: dict[Path, None] = {}
    for pattern in [patterns] if isinstance(patterns, str) else patterns:
        for path in _matches(str(pattern), folder, what):
            found[path] = None
    return list(found)


def _matches(pattern: str, folder: Path, what: str) -> list[Path]:
    base = folder.resolve()
    wild = any(sign in pattern for sign in "*?[")
    if Path(pattern).is_absolute() or not _inside(Path(os.path.normpath(base / pattern)), base):
        raise TrainError(f"train: data: {what}: {pattern} is outside the spec's folder {folder}; give it by --data")
    paths = sorted(base.glob(pattern)) if wild else [base / pattern]
    files = [path for path in paths if path.is_file()]
    if not files:
        state = "matches no file" if wild else "does not exist" if not (base / pattern).exists() else "is not a file"
        raise TrainError(f"train: data: {what}: {pattern} {state} in {folder}; give --data FILE to learn from another")
    for path in files:
        if not _inside(path.resolve(), base):
            raise TrainError(f"train: data: {what}: {path} leads outside the spec's folder {folder}; give it by --data")
    return files


def spec_folder(name: str, folder: Path | None, what: str) -> Path:
    """The folder that a spec names. Raises `TrainError` where there is none, or where it lies outside the spec's."""
    if folder is None:
        raise TrainError("this spec has no folder that its data could lie in: give --data FOLDER")
    base = folder.resolve()
    found = base / name
    if Path(name).is_absolute() or not _inside(found.resolve(), base):
        raise TrainError(f"train: data: {what}: {name} is outside the spec's folder {folder}; give it by --data")
    if not found.is_dir():
        state = "is not a folder" if found.exists() else "does not exist"
        raise TrainError(f"train: data: {what}: {name} {state} in {folder}")
    return found


def _inside(path: Path, base: Path) -> bool:
    return path == base or base in path.parents
