"""The texts that a run learns from and is judged by: found, read, checked, split."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from blockgraph.data.errors import TrainError
from blockgraph.data.files import spec_files

DEFAULT_SHARE = 0.05


@dataclass(frozen=True, slots=True)
class Texts:
    """`train` to learn from, `valid` to be judged by meanwhile, `test` at last (empty: nothing is). `origin` says where
    they came from."""

    train: str
    valid: str
    origin: str = "given text"
    test: str = ""

    def splits(self) -> list[tuple[str, str]]:
        return [("train", self.train), ("valid", self.valid), *([("test", self.test)] if self.test else [])]

    @property
    def sha256(self) -> str:
        hasher = hashlib.sha256()
        for _, text in self.splits():
            data = text.encode("utf-8")
            hasher.update(len(data).to_bytes(8, "little") + data)
        return hasher.hexdigest()


def texts_of(data: Any, folder: Path | None, given: Path | None) -> Texts:
    """The texts that a spec's `data` section names, or those at `given` (`--data`), which replaces its paths.

    `folder` is the spec's: its paths are relative to it and stay inside. Raises `TrainError`.
    """
    if given is not None:
        return _given_texts(given, (_share(data.valid, DEFAULT_SHARE), _share(data.test, 0.0)))
    files = spec_files(data.train, folder, "train")
    cut = _split(_read_all(files), (_share(data.valid, 0.0), _share(data.test, 0.0)), _named(files))
    own = {
        name: _read_all(spec_files(value, folder, name))
        for name, value in (("valid", data.valid), ("test", data.test))
        if value is not None and not isinstance(value, int | float)
    }
    return replace(cut, **own)


def _share(value: Any, otherwise: float) -> float:
    """The share that a split is, where it is one."""
    return float(value) if isinstance(value, int | float) else otherwise


def _given_texts(given: Path, shares: tuple[float, ...]) -> Texts:
    """A file, or a folder: its train.txt, valid.txt (and test.txt) where it has them, else all of its .txt files."""
    if not given.exists():
        raise TrainError(f"--data: {given} does not exist")
    if given.is_file():
        return _split(read_text(given), shares, str(given))
    train, valid, test = (given / f"{name}.txt" for name in ("train", "valid", "test"))
    if train.is_file() and valid.is_file():
        return Texts(read_text(train), read_text(valid), str(given), read_text(test) if test.is_file() else "")
    files = sorted(given.glob("*.txt"))
    if not files:
        raise TrainError(f"--data: {given} holds no .txt file")
    return _split(_read_all(files), shares, str(given))


def _split(text: str, shares: tuple[float, ...], origin: str) -> Texts:
    """The last characters are for the test, those before them for validation, by their shares."""
    if any(not 0 <= share < 1 for share in shares) or sum(shares) >= 1:
        raise TrainError("train: data: valid and test: write shares that are together below 1, or files")
    valid, test = (round(len(text) * share) for share in shares)
    cut = len(text) - valid - test
    return Texts(text[:cut], text[cut : cut + valid], origin, text[cut + valid :])


def _read_all(files: Sequence[Path]) -> str:
    """The files one behind the other, each ended by a line end where another follows."""
    texts = [read_text(path) for path in files]
    ended = [text if text.endswith("\n") or not text else text + "\n" for text in texts[:-1]]
    return "".join([*ended, *texts[-1:]])


def read_text(path: Path) -> str:
    """A file as UTF-8, without a byte-order mark. Raises `TrainError` naming the byte that is none."""
    if not path.is_file():
        raise TrainError(f"{path} is not a regular file")
    try:
        return path.read_bytes().decode("utf-8").removeprefix("\ufeff")
    except OSError as error:
        raise TrainError(f"{path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        byte = error.object[error.start]
        raise TrainError(
            f"{path}:{line}: not UTF-8 (byte 0x{byte:02x} at offset {error.start:,}); convert the file first"
        ) from None


def _named(files: Sequence[Path]) -> str:
    return ", ".join(path.name for path in files[:3]) + (f" and {len(files) - 3} more" if len(files) > 3 else "")
