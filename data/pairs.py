"""Two texts, line by line the same: translation and every other text from a text. Files may be packed (.gz)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from blockgraph.data.errors import TrainError
from blockgraph.data.reading import no_text, open_text
from blockgraph.data.records import BadRow, Record, Records, digest_of, shares

Files = tuple[Path, Path]


class Pairs(Records):
    """`source` and `target` of each line. `valid` and `test` are files of their own, or shares of the lines."""

    def __init__(self, train: Files, valid: Files | float = 0.0, test: Files | float = 0.0) -> None:
        self.files: dict[str, Files] = {"train": train}
        self.files |= {name: files for name, files in (("valid", valid), ("test", test)) if isinstance(files, tuple)}
        self.origin = " and ".join(path.name for path in train)
        self._taken = shares(count_lines(train[0]), valid, test)

    def has(self, split: str) -> bool:
        return split in self.files or bool(self._taken.get(split))

    def rows(self, split: str) -> Iterator[Record | BadRow]:
        files = self.files.get(split, self.files["train"])
        shared = split not in self.files or split == "train"
        for number, row in enumerate(_lines(files)):
            if not shared or self._split_of(number) == split:
                yield row

    def _split_of(self, number: int) -> str:
        return next((name for name, numbers in self._taken.items() if number in numbers), "train")

    @property
    def sha256(self) -> str:
        return digest_of([path for files in self.files.values() for path in files], self._taken)


def _lines(files: Files) -> Iterator[Record | BadRow]:
    with open_text(files[0]) as source, open_text(files[1]) as target:
        number = 0
        while True:
            number += 1
            one, other = source.readline(), target.readline()
            if not one and not other:
                return
            if not one or not other:
                shorter, longer = (files[0], files[1]) if not one else (files[1], files[0])
                raise TrainError(
                    f"{shorter} has {number - 1:,} lines, {longer} has more: they must be line by line the same"
                )
            yield _row(files[0], number, one.rstrip("\r\n"), other.rstrip("\r\n"))


def _row(path: Path, number: int, source: str, target: str) -> Record | BadRow:
    place = f"{path.name}:{number}"
    if not source.strip() or not target.strip():
        return BadRow(place, f"the {'source' if not source.strip() else 'target'} is empty")
    for name, text in (("source", source), ("target", target)):
        if reason := no_text(text):
            return BadRow(place, f"the {name}: {reason}")
    return Record(place, {"source": source, "target": target})


def count_lines(path: Path) -> int:
    with open_text(path) as file:
        return sum(1 for _ in file)
