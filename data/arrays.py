"""Arrays in a NumPy file (.npz): each has a row for every example."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from blockgraph.data.errors import TrainError
from blockgraph.data.records import BadRow, Record, Records, digest_of, shares

BROKEN = (OSError, EOFError, ValueError, KeyError, NotImplementedError, zipfile.BadZipFile, zlib.error)
OBJECTS = "it holds Python objects, which are never unpickled; save arrays of numbers or texts by numpy.savez"


class Arrays(Records):
    """Rows of the arrays `names` of a file. `valid` and `test` are files of their own, or shares of the rows."""

    def __init__(self, train: Path, names: Sequence[str], valid: Path | float = 0.0, test: Path | float = 0.0) -> None:
        self.names = tuple(dict.fromkeys(names))
        self.files: dict[str, Path] = {"train": train}
        self.files |= {name: file for name, file in (("valid", valid), ("test", test)) if isinstance(file, Path)}
        self.origin = train.name
        self._read = lru_cache(maxsize=1)(self._opened)
        self._taken = shares(len(next(iter(self._read(train).values()))), valid, test)

    def has(self, split: str) -> bool:
        return split in self.files or bool(self._taken.get(split))

    def rows(self, split: str) -> Iterator[Record | BadRow]:
        own = split in self.files and split != "train"
        path = self.files[split] if own else self.files["train"]
        arrays = self._read(path)
        for number in range(len(next(iter(arrays.values())))):
            if own or next((name for name, taken in self._taken.items() if number in taken), "train") == split:
                yield Record(f"{path.name}:{number}", {name: _value(array[number]) for name, array in arrays.items()})

    @property
    def sha256(self) -> str:
        return digest_of(list(self.files.values()), self._taken)

    def _opened(self, path: Path) -> dict[str, Any]:
        """The arrays by name. Raises `TrainError` where one is missing, holds Python objects, or has another count."""
        import numpy as np

        try:
            with path.open("rb") as raw:  # np.load leaves a broken file open
                opened = np.load(raw, allow_pickle=False)
                if not isinstance(opened, np.lib.npyio.NpzFile):
                    raise TrainError(f"{path} is one array: write a file of named ones with numpy.savez")
                with opened as file:
                    missing = [name for name in self.names if name not in file]
                    if missing:
                        raise TrainError(f"{path} has no array {missing[0]!r}; there is {', '.join(file)[:200]}")
                    found = {name: file[name] for name in self.names}
        except BROKEN as error:
            reason = OBJECTS if "pickle" in str(error) else error
            raise TrainError(f"{path} cannot be read as a NumPy file: {reason}") from None
        counts = {name: len(array) if array.ndim else 0 for name, array in found.items()}
        if len(set(counts.values())) > 1:
            said = ", ".join(f"{name} {count:,}" for name, count in counts.items())
            raise TrainError(f"{path}: every array has a row for each example, and these are {said}")
        return found


def _value(row: Any) -> Any:
    """A number or text as Python's own; an array as it is."""
    value = row.item() if row.ndim == 0 else row
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value
