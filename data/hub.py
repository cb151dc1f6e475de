"""Data sets of the Hugging Face Hub, read by its `datasets` library."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

from blockgraph.data.errors import TrainError
from blockgraph.data.images import is_image
from blockgraph.data.records import BadRow, Record, Records, shares


class Hub(Records):
    """The columns `fields` of a data set. `train`, `valid` and `test` are its splits, or shares of `train`."""

    def __init__(
        self,
        path: str,
        name: str | None,
        fields: Sequence[str],
        train: str = "train",
        valid: str | float = 0.0,
        test: str | float = 0.0,
    ) -> None:
        self.path, self.name, self.fields = path, name, tuple(dict.fromkeys(fields))
        self.origin = path if name is None else f"{path} ({name})"
        self.names = {"train": train}
        self.names |= {split: own for split, own in (("valid", valid), ("test", test)) if isinstance(own, str)}
        self._loaded = lru_cache(maxsize=None)(self._load)
        first = self._loaded(train)
        self._classes = {field: _names(feature) for field, feature in (getattr(first, "features", None) or {}).items()}
        self._taken = shares(len(first), valid, test)

    def has(self, split: str) -> bool:
        return split in self.names or bool(self._taken.get(split))

    def rows(self, split: str) -> Iterator[Record | BadRow]:
        own = split in self.names and split != "train"
        name = self.names[split] if own else self.names["train"]
        for number, row in enumerate(self._loaded(name)):
            if own or next((one for one, taken in self._taken.items() if number in taken), "train") == split:
                yield self._record(f"{self.path}:{name}:{number}", row)

    def _record(self, place: str, row: Any) -> Record | BadRow:
        values = {field: _named(row.get(field), self._classes.get(field)) for field in self.fields}
        missing = [field for field, value in values.items() if value is None]
        return BadRow(place, f"there is no {missing[0]}") if missing else Record(place, values)

    @property
    def sha256(self) -> str:
        """Of the columns that are read: the library's own fingerprints differ between machines."""
        hasher = hashlib.sha256()
        for split in ("train", "valid", "test"):
            for row in self.rows(split) if self.has(split) else ():
                said = row.values if isinstance(row, Record) else str(row)
                hasher.update(json.dumps([split, said], sort_keys=True, default=_told).encode())
        return hasher.hexdigest()

    def _load(self, split: str) -> Any:
        """A split. Raises `TrainError` where the library, the data set, or one of the columns is missing."""
        try:
            import datasets
        except ImportError:
            raise TrainError("data of the Hub is read by its library: pip install 'blockgraph[datasets]'") from None
        try:
            found = datasets.load_dataset(self.path, self.name, split=split)
        except (OSError, ValueError, RuntimeError, datasets.exceptions.DatasetsError) as error:
            why = f"{error}: {error.__cause__}" if error.__cause__ is not None else error
            raise TrainError(f"train: data: {self.origin}, split {split}: {why}") from None
        missing = [field for field in self.fields if field not in found.column_names]
        if missing:
            known = ", ".join(found.column_names)
            raise TrainError(f"train: data: {self.origin}: there is no column {missing[0]!r}; there is {known[:200]}")
        return found


def _names(feature: Any) -> list[str] | None:
    """The names of a column of classes, or of lists of them; None: it has none."""
    return getattr(getattr(feature, "feature", feature), "names", None)


def _named(value: Any, names: list[str] | None) -> Any:
    """Classes by name instead of number; -1 is none."""
    if names is None or value is None:
        return value
    if isinstance(value, list):
        return [names[one] for one in value]
    return names[value] if value >= 0 else None


def _told(value: Any) -> Any:
    """What JSON does not know: pictures by what they show."""
    if is_image(value):
        return [value.mode, value.size, hashlib.sha256(value.tobytes()).hexdigest()]
    return repr(value)
