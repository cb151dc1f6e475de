"""Files that are there whole or not at all: write aside, flush to the disk, rename, flush the folder."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Self

from blockgraph.running.manifests import FileEntry

TEMPORARY = ".tmp-"


def sync_file(path: Path) -> None:
    """Waits until the file's bytes are on the disk."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def sync_folder(path: Path) -> None:
    """Waits until the folder's entries are on the disk (Windows has no such call)."""
    if os.name == "nt":
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_whole(path: Path, data: str | bytes) -> FileEntry:
    """Puts a file at `path` that holds all of `data`, or leaves what was there."""
    raw = data.encode("utf-8") if isinstance(data, str) else data
    aside = path.with_name(TEMPORARY + path.name)
    entry = write_synced(aside, raw)
    os.replace(aside, path)
    sync_folder(path.parent)
    return entry


def write_synced(path: Path, raw: bytes) -> FileEntry:
    with HashingFile(path) as file:
        file.write(raw)
    return file.entry


class HashingFile:
    """A file to write to that knows its own SHA-256 and is on the disk when it is closed.

    The hash is of what was given to write, not of what can be read back: a disk that alters it is found out.
    """

    def __init__(self, path: Path) -> None:
        self._file: IO[bytes] = path.open("wb")
        self._hash = hashlib.sha256()
        self._size = 0

    def write(self, data: bytes) -> int:
        self._hash.update(data)
        self._size += len(data)
        return self._file.write(data)

    def flush(self) -> None:
        self._file.flush()

    @property
    def entry(self) -> FileEntry:
        return FileEntry(self._size, self._hash.hexdigest())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        with self._file:
            if kind is None:
                self._file.flush()
                os.fsync(self._file.fileno())


def aside_of(target: Path) -> Path:
    """Where a folder is written before it takes its place."""
    return target.with_name(f"{TEMPORARY}{target.name}")


@contextmanager
def folder_aside(target: Path) -> Iterator[Path]:
    """An empty folder beside `target` that takes its place at the end, or vanishes where something goes wrong. Raises
    `FileNotFoundError` where there is no folder for it.

    A killed process leaves it behind; `sweep` removes it.
    """
    aside = aside_of(target)
    shutil.rmtree(aside, ignore_errors=True)
    aside.parent.mkdir(exist_ok=True)  # not those above: a run that somebody removed is not made again
    aside.mkdir()
    try:
        yield aside
        sync_folder(aside)
        replace_folder(aside, target)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def replace_folder(source: Path, target: Path) -> None:
    """Renames `source` to `target`. What stood there is `.NAME-old` for a moment (see `restore_replaced`)."""
    old = target.with_name(f".{target.name}-old")
    if target.exists():
        shutil.rmtree(old, ignore_errors=True)
        os.rename(target, old)
    os.rename(source, target)
    sync_folder(target.parent)
    shutil.rmtree(old, ignore_errors=True)


def restore_replaced(target: Path) -> None:
    """Ends a `replace_folder` that a kill cut short."""
    old = target.with_name(f".{target.name}-old")
    if old.exists() and not target.exists():
        os.rename(old, target)
    shutil.rmtree(old, ignore_errors=True)


def remove_folder(path: Path) -> None:
    """Removes a folder so that no half of it keeps its name."""
    aside = path.with_name(f"{TEMPORARY}{path.name}-removed")
    shutil.rmtree(aside, ignore_errors=True)
    os.rename(path, aside)
    shutil.rmtree(aside, ignore_errors=True)


def sweep(folder: Path) -> None:
    """Removes what killed processes left half-written in `folder`."""
    for path in folder.glob(f"{TEMPORARY}*"):
        shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)
