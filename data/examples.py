"""Encoded rows in memory-mapped files: every column is one flat file, with the end of each row where rows differ.

train.tokens.bin        the numbers of all rows, one behind the other
train.tokens.ends       int64 [rows]: where each row ends (absent where all rows have one shape)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from blockgraph.data.records import BadRow, Record, RowError, bad_row

Array = NDArray[Any]
Row = dict[str, Array]
Encode = Callable[[Mapping[str, Any]], Array]


@dataclass(frozen=True)
class Column:
    """How a column is made of a row's values. `shape` is a row's; None: numbers of any count. `encode` raises
    `RowError` where a row cannot be encoded."""

    name: str
    encode: Encode
    dtype: str = "<i4"
    shape: tuple[int, ...] | None = None


@dataclass
class _Writer:
    column: Column
    values: IO[bytes]
    ends: IO[bytes] | None
    end: int = 0

    def add(self, row: Array) -> None:
        self.values.write(np.ascontiguousarray(row, self.column.dtype).tobytes())
        self.end += len(row)
        if self.ends is not None:
            self.ends.write(np.int64(self.end).tobytes())


def write_examples(
    folder: Path, split: str, rows: Iterable[Record | BadRow], columns: Sequence[Column], strict: bool = False
) -> tuple[int, list[BadRow]]:
    """Encodes rows into `folder`; how many there are, and those that were left out, each with its reason. `strict`:
    raises `TrainError` at the first that is bad."""
    bad: list[BadRow] = []
    count = 0
    writers = [_writer(folder, split, column) for column in columns]
    try:
        for row in rows:
            encoded = row if isinstance(row, BadRow) else _encoded(row, columns)
            if isinstance(encoded, BadRow):
                if strict:
                    raise bad_row(encoded)
                bad.append(encoded)
                continue
            for writer, values in zip(writers, encoded, strict=True):
                writer.add(values)
            count += 1
    finally:
        for writer in writers:
            writer.values.close()
            if writer.ends is not None:
                writer.ends.close()
    return count, bad


def _writer(folder: Path, split: str, column: Column) -> _Writer:
    path = folder / f"{split}.{column.name}"
    ends = path.with_name(f"{path.name}.ends").open("wb") if column.shape is None else None
    return _Writer(column, path.with_name(f"{path.name}.bin").open("wb"), ends)


def _encoded(row: Record, columns: Sequence[Column]) -> list[Array] | BadRow:
    found: list[Array] = []
    for column in columns:
        try:
            values = np.asarray(column.encode(row.values))
        except RowError as error:
            return BadRow(row.place, str(error))
        if column.shape is not None and values.shape != column.shape:
            return BadRow(row.place, f"{column.name} is {list(values.shape)}, and {list(column.shape)} is needed")
        found.append(values.reshape(-1))
    return found


class Examples:
    """The rows of one split, read from the disk as they are used."""

    def __init__(self, folder: Path, split: str, columns: Sequence[Column], count: int) -> None:
        self.count = count
        self._values = {column.name: _map(folder / f"{split}.{column.name}.bin", column.dtype) for column in columns}
        self._shapes = {column.name: column.shape for column in columns}
        self._ends = {
            column.name: _map(folder / f"{split}.{column.name}.ends", "<i8")
            for column in columns
            if column.shape is None
        }

    def __len__(self) -> int:
        return self.count

    def row(self, number: int) -> Row:
        return {name: self._row(name, number) for name in self._values}

    def _row(self, name: str, number: int) -> Array:
        values, shape = self._values[name], self._shapes[name]
        if shape is not None:
            size = int(np.prod(shape, dtype=np.int64))
            return values[number * size : (number + 1) * size].reshape(shape)
        ends = self._ends[name]
        return values[int(ends[number - 1]) if number else 0 : int(ends[number])]

    def values(self, name: str) -> Array:
        """The numbers of all rows of a column, one behind the other."""
        return self._values[name]

    def lengths(self, name: str) -> Array:
        """How many numbers each row of a column has, int64 [rows]."""
        if name not in self._ends:
            return np.ones(self.count, np.int64)
        return np.diff(np.asarray(self._ends[name]), prepend=0)


def _map(path: Path, dtype: str) -> Array:
    if path.stat().st_size == 0:  # nothing cannot be mapped
        return np.zeros(0, dtype)
    return np.memmap(path, dtype=dtype, mode="r")
