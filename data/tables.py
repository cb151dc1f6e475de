"""Tables: csv, tsv and jsonl files with named columns."""

from __future__ import annotations

import csv
import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import IO, Any

from blockgraph.data.errors import TrainError
from blockgraph.data.reading import no_text, open_text
from blockgraph.data.records import BadRow, Record, Records, digest_of, shares

JSON_LINES = (".jsonl", ".ndjson", ".json")
DELIMITERS = {".csv": ",", ".tsv": "\t", ".txt": "\t"}
LONGEST_FIELD = 1 << 24  # characters
BLANK = " "


@dataclass(frozen=True)
class Layout:
    """How a table's files are read. `columns` are those that are wanted; a glob among them is the list of all that
    match, in natural order. `header` names the columns of files without a line that does. Cells of `pictures` are paths
    of files, relative to the table's own."""

    columns: tuple[str, ...]
    header: tuple[str, ...] | None = None
    delimiter: str | None = None
    pictures: tuple[str, ...] = ()


class Table(Records):
    """Rows of files with the same columns. `valid` and `test` are files of their own, or shares of the rows."""

    def __init__(
        self,
        train: Sequence[Path],
        columns: Sequence[str] | Layout,
        valid: Sequence[Path] | float = 0.0,
        test: Sequence[Path] | float = 0.0,
    ) -> None:
        self.layout = columns if isinstance(columns, Layout) else Layout(tuple(dict.fromkeys(columns)))
        self.files: dict[str, tuple[Path, ...]] = {"train": tuple(train)}
        given = (("valid", valid), ("test", test))
        self.files |= {name: tuple(files) for name, files in given if not isinstance(files, float)}
        self.origin = ", ".join(path.name for path in train)
        shared = any(isinstance(files, float) and files for _, files in given)
        count = sum(1 for path in train for _ in _rows(path, self.layout)) if shared else 0
        self._taken = shares(count, valid, test)

    def has(self, split: str) -> bool:
        return split in self.files or bool(self._taken.get(split))

    def rows(self, split: str) -> Iterator[Record | BadRow]:
        if split in self.files and split != "train":
            for path in self.files[split]:
                yield from _rows(path, self.layout)
            return
        number = 0
        for path in self.files["train"]:
            for row in _rows(path, self.layout):
                if next((name for name, numbers in self._taken.items() if number in numbers), "train") == split:
                    yield row
                number += 1

    @property
    def sha256(self) -> str:
        return digest_of([path for files in self.files.values() for path in files], self._taken)


def is_table(path: Path) -> bool:
    """Whether a file has named columns, by its name."""
    name = Path(path.stem) if path.suffix == ".gz" else path
    return name.suffix in (*DELIMITERS, *JSON_LINES) and name.suffix != ".txt"


def _rows(path: Path, layout: Layout) -> Iterator[Record | BadRow]:
    name = Path(path.stem) if path.suffix == ".gz" else path
    if name.suffix in JSON_LINES:
        return _json_rows(path, layout)
    return _delimited_rows(path, layout, layout.delimiter or DELIMITERS.get(name.suffix, ","))


def _json_rows(path: Path, layout: Layout) -> Iterator[Record | BadRow]:
    with open_text(path) as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            place = f"{path.name}:{number}"
            try:
                data = json.loads(line)
            except (ValueError, RecursionError) as error:
                yield BadRow(place, f"not JSON (each line is an object of its own): {error}")
                continue
            if not isinstance(data, dict):
                yield BadRow(place, "not an object in braces")
                continue
            yield _record(path, place, data, layout, {name: _matching(name, list(data)) for name in layout.columns})


def _delimited_rows(path: Path, layout: Layout, delimiter: str) -> Iterator[Record | BadRow]:
    with open_text(path) as file:
        lines = _blank_cells(file, layout) if delimiter == BLANK else _cells(file, delimiter)
        header, broken = layout.header, ""
        columns: Mapping[str, Sequence[str]] | None = None
        for number, cells in lines:
            place = f"{path.name}:{number}"
            if isinstance(cells, str):
                broken = broken or cells
                yield BadRow(place, cells)
                continue
            if columns is None:
                named, header = header is not None, _header(header, cells)
                columns = _columns(path, layout, header)
                if not named:
                    continue
            assert header is not None
            if len(cells) != len(header):
                yield BadRow(place, f"{len(cells)} cells, and {len(header)} columns{_quoted(cells)}")
                continue
            yield _record(path, place, dict(zip(header, cells, strict=True)), layout, columns)
        if columns is None:
            empty = " is empty" + ("" if layout.header else ": its first line names the columns")
            raise TrainError(f"{path}: no line can be read ({broken})" if broken else f"{path}{empty}")


def _quoted(cells: Sequence[str]) -> str:
    """Where a cell has many lines: that a quote may have been left open."""
    lines = max(cell.count("\n") for cell in cells)
    return f" (a cell has {lines + 1} lines: is a quote left open?)" if lines > 1 else ""


def _cells(file: IO[str], delimiter: str) -> Iterator[tuple[int, list[str] | str]]:
    """The cells of each line that has any, or what is wrong with it."""
    csv.field_size_limit(LONGEST_FIELD)
    reader = csv.reader(file, delimiter=delimiter, quoting=csv.QUOTE_NONE if delimiter == "\t" else csv.QUOTE_MINIMAL)
    while True:
        first = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield reader.line_num, str(error)
            continue
        if cells:
            yield first, cells


def _blank_cells(file: IO[str], layout: Layout) -> Iterator[tuple[int, list[str]]]:
    """Lines that are cut at their first blanks: the last column has the rest."""
    if layout.header is None:
        raise TrainError('train: data: delimiter: " " needs a header, such as header: [label, sentence]')
    for number, line in enumerate(file, 1):
        if line.strip():
            yield number, line.strip("\r\n").split(BLANK, len(layout.header) - 1)


def _header(given: tuple[str, ...] | None, cells: Sequence[str]) -> tuple[str, ...]:
    """The columns' names. One that is given with a `*` stands for as many columns as are left, counted from 1."""
    if given is None:
        return tuple(name.strip() for name in cells)
    if sum("*" in name for name in given) > 1:
        raise TrainError(f"train: data: header: one name may have a *, and these have: {', '.join(given)}")
    left = len(cells) - len(given) + 1
    found: list[str] = []
    for name in given:
        found += [name.replace("*", str(number + 1)) for number in range(left)] if "*" in name else [name]
    return tuple(found)


def _columns(path: Path, layout: Layout, header: Sequence[str]) -> dict[str, list[str]]:
    found = {column: _matching(column, header) for column in layout.columns}
    if reason := no_text("".join(header)):
        raise TrainError(f"{path}:1: {reason}")
    twice = [name for names in found.values() for name in names if list(header).count(name) > 1]
    if twice:
        raise TrainError(f"{path}:1: there are {list(header).count(twice[0])} columns {twice[0]!r}; rename all but one")
    missing = [column for column, names in found.items() if not names]
    if missing:
        raise TrainError(f"{path}:1: there is no column {missing[0]!r}; there is {', '.join(header)[:200]}")
    return found


def _matching(column: str, names: Sequence[str]) -> list[str]:
    """The column of that name, or all that match it as a glob: p2 before p10."""
    if column in names:
        return [column]
    return sorted((name for name in names if is_glob(column) and fnmatchcase(name, column)), key=_natural)


def is_glob(column: str) -> bool:
    return any(sign in column for sign in "*?[")


def _natural(name: str) -> list[tuple[int, int, str]]:
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in re.split(r"(\d+)", name)]


def _record(
    path: Path, place: str, data: Mapping[str, Any], layout: Layout, columns: Mapping[str, Sequence[str]]
) -> Record | BadRow:
    found: dict[str, Any] = {}
    for column, names in columns.items():
        values = [data.get(name) for name in names]
        if not values or any(value is None for value in values):
            return BadRow(place, f"there is no {column}")
        if reason := no_text("".join(value for value in values if isinstance(value, str))):
            return BadRow(place, f"{column}: {reason}")
        found[column] = values[0] if list(names) == [column] else values
    for column in layout.pictures:
        if isinstance(found.get(column), str):
            target = Path(os.path.normpath(path.parent.resolve() / found[column]))
            if path.parent.resolve() not in target.parents:
                return BadRow(place, f"{found[column]} is outside the folder of {path.name}")
            found[column] = target
    return Record(place, found)
