"""The texts that a run learns from and is judged by: found, read, checked, split."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from blockgraph.data.errors import TrainError

DEFAULT_SHARE = 0.05


@dataclass(frozen=True, slots=True)
class Texts:
    """`train` to learn from and `valid` to be judged by (empty: nothing is). `origin` says where they came from."""

    train: str
    valid: str
    origin: str = "given text"

    @property
    def sha256(self) -> str:
        hasher = hashlib.sha256()
        for text in (self.train, self.valid):
            data = text.encode("utf-8")
            hasher.update(len(data).to_bytes(8, "little") + data)
        return hasher.hexdigest()


def texts_of(data: Any, folder: Path | None, given: Path | None) -> Texts:
    """The texts that a spec's `data` section names, or those at `given` (`--data`), which replaces its paths.

    `folder` is the spec's: its paths are relative to it and stay inside. Raises `TrainError`.
    """
    share = getattr(data, "valid", None)
    if given is not None:
        return _given_texts(given, share if isinstance(share, int | float) else DEFAULT_SHARE)
    if data.type != "text":
        raise TrainError(f"train: data: type {data.type} is not there yet; this version reads text")
    train = _spec_files(data.train, folder, "train")
    if share is None or isinstance(share, int | float):
        return _split(_read_all(train), float(share or 0.0), _named(train))
    return Texts(_read_all(train), _read_all(_spec_files(share, folder, "valid")), _named(train))


def _given_texts(given: Path, share: float) -> Texts:
    """A file, or a folder: its train.txt and valid.txt where it has both, else all of its .txt files."""
    if not given.exists():
        raise TrainError(f"--data: {given} does not exist")
    if given.is_file():
        return _split(read_text(given), share, str(given))
    train, valid = given / "train.txt", given / "valid.txt"
    if train.is_file() and valid.is_file():
        return Texts(read_text(train), read_text(valid), str(given))
    files = sorted(given.glob("*.txt"))
    if not files:
        raise TrainError(f"--data: {given} holds no .txt file")
    return _split(_read_all(files), share, str(given))


def _split(text: str, share: float, origin: str) -> Texts:
    """The last `share` of the characters is for validation."""
    if not 0 <= share < 1:
        raise TrainError(f"train: data: valid: {share:g} is no share; write one below 1, or files")
    cut = len(text) - round(len(text) * share)
    return Texts(text[:cut], text[cut:], origin)


def _spec_files(patterns: str | Sequence[str], folder: Path | None, what: str) -> list[Path]:
    """The files that a spec's paths and globs name, each pattern's in order of name, each file once."""
    if folder is None:
        raise TrainError("this spec has no folder that its data could lie in: give --data FILE")
    found: dict[Path, None] = {}
    for pattern in [patterns] if isinstance(patterns, str) else patterns:
        for path in _matches(str(pattern), folder, what):
            found[path] = None
    return list(found)


def _matches(pattern: str, folder: Path, what: str) -> list[Path]:
    base = folder.resolve()
    wild = any(sign in pattern for sign in "*?[")
    if Path(pattern).is_absolute() or not _inside(Path(os.path.normpath(base / pattern)), base):
        raise TrainError(f"train: data: {what}: {pattern} is outside the spec's folder {folder}; give it by --data")
    paths = sorted(base.glob(pattern)) if wild else [base / pattern]
    files = [path for path in paths if path.is_file()]
    if not files:
        state = "matches no file" if wild else "does not exist" if not (base / pattern).exists() else "is not a file"
        raise TrainError(f"train: data: {what}: {pattern} {state} in {folder}; give --data FILE to learn from another")
    for path in files:
        if not _inside(path.resolve(), base):
            raise TrainError(f"train: data: {what}: {path} leads outside the spec's folder {folder}; give it by --data")
    return files


def _inside(path: Path, base: Path) -> bool:
    return path == base or base in path.parents


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
