"""The data that a spec's `train: data:` names, or that `--data` does."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from blockgraph.data.arrays import Arrays
from blockgraph.data.errors import TrainError
from blockgraph.data.files import spec_files, spec_folder
from blockgraph.data.generated import Generated
from blockgraph.data.hub import Hub
from blockgraph.data.images import Images
from blockgraph.data.pairs import Files, Pairs
from blockgraph.data.records import Records
from blockgraph.data.tables import Layout, Table
from blockgraph.data.texts import LargeTexts, Texts, texts_of

DEFAULT_SHARE = 0.05
Source: TypeAlias = Texts | LargeTexts | Records


@dataclass(frozen=True)
class WantedFields:
    """Which of a row's `fields` are read; `pictures` are those that are the paths of pictures."""

    fields: tuple[str, ...] = ()
    pictures: tuple[str, ...] = ()


EVERY = WantedFields()


def source_of(data: Any, folder: Path | None, given: Path | None, wanted: WantedFields = EVERY) -> Source:
    """The texts or rows of a `data` section; paths are relative to `folder` and stay inside, unless they are `given`.

    Raises `TrainError` where files are missing or do not fit.
    """
    if data.type == "text":
        return texts_of(data, folder, given)
    if data.type == "pairs":
        return _pairs(data, folder, given)
    if data.type == "table":
        return _table(data, folder, given, wanted)
    if data.type == "npz":
        return _arrays(data, folder, given, wanted)
    if data.type == "images":
        return _images(data, folder, given)
    if data.type == "hub":
        return _hub(data, given, wanted)
    return Generated(data.type, data.count, data.longest, data.symbols)


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


def _table(data: Any, folder: Path | None, given: Path | None, wanted: WantedFields) -> Table:
    layout = Layout(wanted.fields, data.header, data.delimiter, wanted.pictures)
    if given is not None and given.is_file():
        return Table([given], layout, _share(data.valid))
    base = _base(folder, given)

    def files(split: str) -> list[Path] | float:
        value = getattr(data, split)
        return float(value or 0.0) if value is None or isinstance(value, float) else spec_files(value, base, split)

    train = files("train")
    assert isinstance(train, list)
    return Table(train, layout, files("valid"), files("test"))


def one_file(data: Any, path: Path, wanted: WantedFields) -> Records:
    """All rows of another file of the section's type; of a section without columns, those of a table."""
    if data.type == "npz":
        return Arrays([path], wanted.fields)
    header, delimiter = getattr(data, "header", None), getattr(data, "delimiter", None)
    return Table([path], Layout(wanted.fields, header, delimiter, wanted.pictures))


def _arrays(data: Any, folder: Path | None, given: Path | None, wanted: WantedFields) -> Arrays:
    if given is not None and given.is_file():
        return Arrays([given], wanted.fields, _share(data.valid))
    base = _base(folder, given)

    def files(split: str) -> list[Path] | float:
        value = getattr(data, split)
        return float(value or 0.0) if value is None or isinstance(value, float) else spec_files(value, base, split)

    train = files("train")
    assert isinstance(train, list)
    return Arrays(train, wanted.fields, files("valid"), files("test"))


def _images(data: Any, folder: Path | None, given: Path | None) -> Images:
    base = _base(folder, given)

    def pictures(split: str) -> Path | float:
        value = getattr(data, split)
        if value is None or isinstance(value, float):
            return float(value or 0.0)
        names = [value] if isinstance(value, str) else list(value)
        if len(names) != 1:
            raise TrainError(f"train: data: {split}: one folder, and these are {len(names)}")
        return spec_folder(names[0], base, split)

    train = pictures("train")
    assert isinstance(train, Path)
    return Images(train, pictures("valid"), pictures("test"))


def _hub(data: Any, given: Path | None, wanted: WantedFields) -> Hub:
    if given is not None:
        raise TrainError(f"--data: {given}: the data is a set of the Hub: write another type in train: data:")

    def split(name: str) -> str | float:
        value = getattr(data, name)
        if value is None or isinstance(value, float):
            return float(value or 0.0)
        if len(value) != 1:
            raise TrainError(f"train: data: {name}: one split, and these are {len(value)}")
        return str(value[0])

    return Hub(data.path, data.name, wanted.fields, data.train, split("valid"), split("test"))


def _share(value: Any) -> float:
    return value if isinstance(value, float) else DEFAULT_SHARE


def _base(folder: Path | None, given: Path | None) -> Path | None:
    if given is None:
        return folder
    if not given.is_dir():
        raise TrainError(f"--data: {given} is not a folder: give the one that holds the files that the spec names")
    return given
