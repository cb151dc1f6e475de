"""Tables: csv, tsv and jsonl files with named columns."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from blockgraph.data.errors import TrainError
from blockgraph.data.pairs import open_text
from blockgraph.data.records import BadRow, Record, Records, digest_of, shares

DELIMITERS = {".csv": ",", ".tsv": "\t", ".txt": "\t"}
LONGEST_FIELD = 1 << 24  # characters


class Table(Records):
    """Rows of files with the same `columns`. `valid` and `test` are files of their own, or shares of the rows."""

    def __init__(
        self,
        train: Sequence[Path],
        columns: Sequence[str],
        valid: Sequence[Path] | float = 0.0,
        test: Sequence[Path] | float = 0.0,
    ) -> None:
        self.columns = tuple(dict.fromkeys(columns))
        self.files: dict[str, tuple[Path, ...]] = {"train": tuple(train)}
        given = (("valid", valid), ("test", test))
        self.files |= {name: tuple(files) for name, files in given if not isinstance(files, float)}
        self.origin = ", ".join(path.name for path in train)
        count = (
            sum(1 for path in train for _ in _rows(path, self.columns))
            if any(isinstance(f, float) and f for _, f in given)
            else 0
        )
        self._taken = shares(count, valid, test)

    def has(self, split: str) -> bool:
        return split in self.files or bool(self._taken.get(split))

    def rows(self, split: str) -> Iterator[Record | BadRow]:
        if split in self.files and split != "train":
            for path in self.files[split]:
                yield from _rows(path, self.columns)
            return
        number = 0
        for path in self.files["train"]:
            for row in _rows(path, self.columns):
                if next((name for name, numbers in self._taken.items() if number in numbers), "train") == split:
                    yield row
                number += 1

    @property
    def sha256(self) -> str:
        return digest_of([path for files in self.files.values() for path in files], self._taken)


def _rows(path: Path, columns: Sequence[str]) -> Iterator[Record | BadRow]:
    name = Path(path.stem) if path.suffix == ".gz" else path
    if name.suffix in (".jsonl", ".ndjson"):
        return _json_rows(path, columns)
    return _delimited_rows(path, columns, DELIMITERS.get(name.suffix, ","))


def _json_rows(path: Path, columns: Sequence[str]) -> Iterator[Record | BadRow]:
    with open_text(path) as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            place = f"{path.name}:{number}"
            try:
                data = json.loads(line)
            except ValueError as error:
                yield BadRow(place, f"not JSON: {error}")
                continue
            yield _record(place, data, columns) if isinstance(data, dict) else BadRow(place, "not an object in braces")


def _delimited_rows(path: Path, columns: Sequence[str], delimiter: str) -> Iterator[Record | BadRow]:
    csv.field_size_limit(LONGEST_FIELD)
    with open_text(path) as file:
        reader = csv.reader(
            file, delimiter=delimiter, quoting=csv.QUOTE_MINIMAL if delimiter == "," else csv.QUOTE_NONE
        )
        try:
            header = next(reader)
        except StopIteration:
            raise TrainError(f"{path} is empty: its first line names the columns") from None
        header = [name.strip() for name in header]
        missing = [column for column in columns if column not in header]
        if missing:
            raise TrainError(f"{path}:1: there is no column {missing[0]!r}; there is {', '.join(header)[:200]}")
        yield from _cells(path, reader, header, columns)


def _cells(path: Path, reader: Any, header: list[str], columns: Sequence[str]) -> Iterator[Record | BadRow]:
    while True:
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield BadRow(f"{path.name}:{reader.line_num}", str(error))
            continue
        place = f"{path.name}:{reader.line_num}"
        if not cells:
            continue
        if len(cells) != len(header):
            yield BadRow(place, f"{len(cells)} cells, and {len(header)} columns")
            continue
        yield _record(place, dict(zip(header, cells, strict=True)), columns)


def _record(place: str, data: dict[str, Any], columns: Sequence[str]) -> Record | BadRow:
    missing = [column for column in columns if data.get(column) is None]
    if missing:
        return BadRow(place, f"there is no {missing[0]}")
    return Record(place, {column: data[column] for column in columns})
