"""Rows as they are read, before anything is encoded: pairs of texts, lines of a table, pictures."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from blockgraph.data.errors import TrainError

SPLITS = ("train", "valid", "test")
TOO_LARGE = "train: data: valid and test: write shares that are together below 1, or files"
SPLIT_SEED = 0  # which rows a share takes does not depend on the training's seed


@dataclass(frozen=True, slots=True)
class Record:
    """One row: its values by field. `place` tells where it stands (`train.csv:17`)."""

    place: str
    values: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that cannot be used, and why."""

    place: str
    reason: str

    def __str__(self) -> str:
        return f"{self.place}: {self.reason}"


class RowError(Exception):
    """Raised while a row is encoded: it is bad, the others are not."""


def text_of(values: Mapping[str, Any], field: str) -> str:
    """A row's text; words in a list are put together with blanks between. Raises `RowError` where there is none."""
    value = values.get(field)
    if value is None:
        raise RowError(f"there is no {field}")
    if isinstance(value, list) and all(isinstance(word, str) for word in value):
        return " ".join(value)
    if not isinstance(value, str | int | float):
        raise RowError(f"{field} is no text: {str(value)[:40]}")
    return str(value)


def bad_row(row: BadRow) -> TrainError:
    """The error that a bad row is where none may be left out."""
    return TrainError(f"{row}; mend it, or write bad_rows: skip to leave such rows out")


class Records(ABC):
    """Rows of three splits. `origin` says where they came from."""

    origin: str

    @abstractmethod
    def has(self, split: str) -> bool:
        """Whether the split has rows at all."""

    @abstractmethod
    def rows(self, split: str) -> Iterator[Record | BadRow]:
        """The rows of a split in the order of the files; may be called again."""

    @property
    @abstractmethod
    def sha256(self) -> str:
        """Of everything that the rows say: a run goes on with the same data only."""


def shares(count: int, valid: object, test: object) -> dict[str, set[int]]:
    """The rows that shares take for `valid` and `test`, never the same ones. Raises `TrainError` where none would be
    left."""
    wanted = {name: share for name, share in (("valid", valid), ("test", test)) if isinstance(share, float) and share}
    if sum(wanted.values()) >= 1:
        raise TrainError(TOO_LARGE)
    taken = sorted(_drawn(count, sum(wanted.values())))
    found: dict[str, set[int]] = {}
    for name, share in wanted.items():
        size = round(len(taken) * share / sum(wanted.values()))
        found[name] = set(taken[:size]) if len(found) + 1 < len(wanted) else set(taken)
        taken = [number for number in taken if number not in found[name]]
    return found


def _drawn(count: int, share: float) -> set[int]:
    """Which of `count` rows a share takes: at least one where the share is above 0, never all."""
    import numpy as np

    if share <= 0 or count < 2:
        return set()
    taken = min(count - 1, max(1, round(count * share)))
    return set(np.random.default_rng(SPLIT_SEED).permutation(count)[:taken].tolist())


def digest_of(paths: Sequence[Path], taken: dict[str, set[int]]) -> str:
    """Of the files' bytes, and of which rows go to which split."""
    hasher = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            hasher.update(hashlib.file_digest(file, "sha256").digest())
    for name, numbers in sorted(taken.items()):
        hasher.update(f"{name}:{len(numbers)}:{sum(numbers)}".encode())
    return hasher.hexdigest()
