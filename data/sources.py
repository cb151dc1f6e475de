"""The data that a spec's `train: data:` names, or that `--data` does."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from blockgraph.data.errors import TrainError
from blockgraph.data.files import spec_files
from blockgraph.data.generated import Generated
from blockgraph.data.pairs import Files, Pairs
from blockgraph.data.records import Records
from blockgraph.data.tables import Table
from blockgraph.data.texts import Texts, texts_of

DEFAULT_SHARE = 0.05


def source_of(data: Any, folder: Path | None, given: Path | None, fields: Sequence[str] = ()) -> Texts | Records:
    """The texts or rows of a `data` section; paths are relative to `folder` and stay inside, unless they are `given`.
    Of a table the columns `fields` are read.

    Raises `TrainError` where files are missing or do not fit.
    """
    if data.type == "text":
        return texts_of(data, folder, given)
    if data.type == "pairs":
        return _pairs(data, folder, given)
    if data.type == "table":
        return _table(data, folder, given, fields)
    if data.type in ("copy", "reverse"):
        return Generated(data.type, data.count, data.longest, data.symbols)
    raise TrainError(f"train: data: type {data.type} is not there yet")


def _pairs(data: Any, folder: Path | None, given: Path | None) -> Pairs:
    """`--data` is a folder in which the files have the names that the spec gives them."""
    base = _base(folder, given)

    def files(split: str) -> Files | float:
        value = getattr(data, split)
        if value is None or isinstance(value, float):
            return float(value or 0.0)
        found = [path for name in value for path in spec_files(name, base, split)]
        if len(found) != 2:
            raise TrainError(f"train: data: {split}: two files belong together, the source's and the target's")
        return found[0], found[1]

    train = files("train")
    assert isinstance(train, tuple)
    return Pairs(train, files("valid"), files("test"))


def _table(data: Any, folder: Path | None, given: Path | None, columns: Sequence[str]) -> Table:
    if given is not None and given.is_file():
        share = data.valid if isinstance(data.valid, float) else DEFAULT_SHARE
        return Table([given], columns, share)
    base = _base(folder, given)

    def files(split: str) -> list[Path] | float:
        value = getattr(data, split)
        return float(value or 0.0) if value is None or isinstance(value, float) else spec_files(value, base, split)

    train = files("train")
    assert isinstance(train, list)
    return Table(train, columns, files("valid"), files("test"))


def _base(folder: Path | None, given: Path | None) -> Path | None:
    if given is None:
        return folder
    if not given.is_dir():
        raise TrainError(f"--data: {given} is not a folder: give the one that holds the files that the spec names")
    return given
