"""Arrays in a NumPy file (.npz), or in one file each (.npy): each has a row for every example."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from blockgraph.data.errors import TrainError
from blockgraph.data.records import BadRow, Record, Records, digest_of, shares

ONE = ".npy"  # a file with one array
BROKEN = (OSError, EOFError, ValueError, KeyError, NotImplementedError, zipfile.BadZipFile, zlib.error)
OBJECTS = "it holds Python objects, which are never unpickled; save arrays of numbers or texts by numpy.savez"


class Arrays(Records):
    """Rows of the arrays `names` of a file, or of several with one array each: those of `train` are named as their
    files, those of `valid` and `test` as the ones of `train` in their order. `valid` and `test` may be shares of the
    rows. A lone array is the one that is wanted, whatever its name."""

    def __init__(
        self,
        train: Sequence[Path],
        names: Sequence[str],
        valid: Sequence[Path] | float = 0.0,
        test: Sequence[Path] | float = 0.0,
    ) -> None:
        self.names = tuple(dict.fromkeys(names))
        self.files: dict[str, tuple[Path, ...]] = {"train": tuple(train)}
        given = (("valid", valid), ("test", test))
        self.files |= {name: tuple(files) for name, files in given if not isinstance(files, float)}
        self.origin = ", ".join(path.name for path in train)
        self._read = lru_cache(maxsize=1)(self._opened)
        self._taken = shares(len(next(iter(self._read(self.files["train"]).values()))), valid, test)

    def has(self, split: str) -> bool:
        return split in self.files or bool(self._taken.get(split))

    def rows(self, split: str) -> Iterator[Record | BadRow]:
        own = split in self.files and split != "train"
        files = self.files[split] if own else self.files["train"]
        arrays = self._read(files)
        for number in range(len(next(iter(arrays.values())))):
            if own or next((name for name, taken in self._taken.items() if number in taken), "train") == split:
                yield Record(
                    f"{files[0].name}:{number}", {name: _value(array[number]) for name, array in arrays.items()}
                )

    @property
    def sha256(self) -> str:
        return digest_of([path for files in self.files.values() for path in files], self._taken)

    def _opened(self, files: tuple[Path, ...]) -> dict[str, Any]:
        """The arrays by name. Raises `TrainError` where one is missing, holds Python objects, or has another count."""
        there = self._single(files) if files[0].suffix == ONE else _named(files, self.names)
        where = ", ".join(path.name for path in files)
        missing = [name for name in self.names if name not in there]
        if missing:
            raise TrainError(f"{where} has no array {missing[0]!r}; there is {', '.join(there)[:200]}")
        found = {name: there[name] for name in self.names}
        counts = {name: len(array) if array.ndim else 0 for name, array in found.items()}
        if len(set(counts.values())) > 1:
            said = ", ".join(f"{name} {count:,}" for name, count in counts.items())
            raise TrainError(f"{where}: every array has a row for each example, and these are {said}")
        return found

    def _single(self, files: tuple[Path, ...]) -> dict[str, Any]:
        names = [path.stem for path in self.files["train"]]
        if len(files) != len(names):
            raise TrainError(
                f"{len(files)} files ({', '.join(path.name for path in files)}), and train has {len(names)}"
            )
        if len(names) == len(self.names) == 1:
            names = list(self.names)
        if len(files) == 1 < len(self.names):
            wanted = ", ".join(self.names)
            raise TrainError(f"{files[0]} is one array, and {wanted} are wanted: a .npy file for each, or one .npz")
        return {name: _loaded(path, None) for name, path in zip(names, files, strict=True)}


def _named(files: tuple[Path, ...], wanted: Sequence[str]) -> dict[str, Any]:
    """The arrays of an .npz, those that are wanted read."""
    if len(files) > 1:
        raise TrainError(f"one .npz file, or several .npy files: these are {', '.join(path.name for path in files)}")
    found: dict[str, Any] = _loaded(files[0], wanted)
    return found


def _loaded(path: Path, wanted: Sequence[str] | None) -> Any:
    """The `wanted` arrays of an .npz; None: the array of an .npy, read from the disk as it is used."""
    import numpy as np

    try:
        with path.open("rb") as raw:  # np.load leaves a broken file open
            found = np.load(raw, allow_pickle=False) if wanted else np.load(path, mmap_mode="r", allow_pickle=False)
            if isinstance(found, np.lib.npyio.NpzFile) != bool(wanted):
                kind = "one array: name it .npy" if wanted else "an .npz of several arrays: name it so"
                raise TrainError(f"{path} is {kind}")
            if not wanted:
                return found
            with found as file:
                return {name: file[name] if name in wanted else None for name in file}
    except BROKEN as error:
        reason = OBJECTS if "pickle" in str(error) else error
        raise TrainError(f"{path} cannot be read as a NumPy file: {reason}") from None


def _value(row: Any) -> Any:
    """A number or text as Python's own; an array as it is."""
    value = row.item() if row.ndim == 0 else row
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value
