"""The texts that a run learns from and is judged by: found, read, checked, split. Small ones are held in memory."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from blockgraph.data.errors import TrainError
from blockgraph.data.files import spec_files
from blockgraph.data.reading import of_another_kind
from blockgraph.data.records import TOO_LARGE
from blockgraph.running.tokenizers import PIECE

DEFAULT_SHARE = 0.05
LARGE = 1 << 26  # bytes of all files above which they are not held in memory
BLOCK = 1 << 20  # characters read at once


@dataclass(frozen=True, slots=True)
class Texts:
    """`train` to learn from, `valid` to be judged by meanwhile, `test` at last (empty: nothing is). `origin` says where
    they came from."""

    train: str
    valid: str
    origin: str = "given text"
    test: str = ""

    @property
    def splits(self) -> tuple[str, ...]:
        """The names of those that there are."""
        return ("train", "valid", "test") if self.test else ("train", "valid")

    def pieces(self, split: str) -> Iterator[str]:
        yield getattr(self, split)

    @property
    def sha256(self) -> str:
        return _sha256(self)


class LargeTexts:
    """The same of files that are too large to be held: read piece by piece, as tokenizers cut them, anew at each call.

    `own` are the files of splits that are no shares; the others are the first, the next and the last characters of
    `files`.
    """

    def __init__(
        self, files: Sequence[Path], shares: tuple[float, ...], own: Mapping[str, Sequence[Path]], origin: str
    ) -> None:
        self.files, self.own, self.origin = tuple(files), own, origin
        self._cut = dict(zip(("train", "valid", "test"), _cuts(sum(map(len, _blocks(files))), shares), strict=True))

    @property
    def splits(self) -> tuple[str, ...]:
        first, last = self._cut["test"]
        return ("train", "valid", "test") if "test" in self.own or last > first else ("train", "valid")

    def pieces(self, split: str) -> Iterator[str]:
        if split in self.own:
            return _pieces(_blocks(self.own[split]))
        return _pieces(_between(_blocks(self.files), *self._cut[split]))

    @property
    def sha256(self) -> str:
        return _sha256(self)


def _sha256(texts: Texts | LargeTexts) -> str:
    hasher = hashlib.sha256()
    for split in texts.splits:
        size = sum(len(piece.encode("utf-8")) for piece in texts.pieces(split))
        hasher.update(size.to_bytes(8, "little"))
        for piece in texts.pieces(split):
            hasher.update(piece.encode("utf-8"))
    return hasher.hexdigest()


def texts_of(data: Any, folder: Path | None, given: Path | None) -> Texts | LargeTexts:
    """The texts that a spec's `data` section names, or those at `given` (`--data`), which replaces its paths.

    `folder` is the spec's: its paths are relative to it and stay inside. Raises `TrainError`.
    """
    if given is not None:
        return _given_texts(given, (_share(data.valid, DEFAULT_SHARE), _share(data.test, 0.0)))
    files = spec_files(data.train, folder, "train")
    shares, origin = (_share(data.valid, 0.0), _share(data.test, 0.0)), _named(files)
    own = {
        name: spec_files(value, folder, name)
        for name, value in (("valid", data.valid), ("test", data.test))
        if value is not None and not isinstance(value, int | float)
    }
    if _are_large([*files, *(file for more in own.values() for file in more)]):
        return LargeTexts(files, shares, own, origin)
    return replace(_split(_read_all(files), shares, origin), **{name: _read_all(more) for name, more in own.items()})


def _share(value: Any, otherwise: float) -> float:
    """The share that a split is, where it is one."""
    return float(value) if isinstance(value, int | float) else otherwise


def _given_texts(given: Path, shares: tuple[float, ...]) -> Texts | LargeTexts:
    """A file, or a folder: its train.txt, valid.txt (and test.txt) where it has them, else all of its .txt files."""
    if not given.exists():
        raise TrainError(f"--data: {given} does not exist")
    own: dict[str, list[Path]] = {}
    if given.is_file():
        files = [given]
    elif (given / "train.txt").is_file() and (given / "valid.txt").is_file():
        files, shares = [given / "train.txt"], (0.0, 0.0)
        own = {name: [given / f"{name}.txt"] for name in ("valid", "test") if (given / f"{name}.txt").is_file()}
    else:
        files = sorted(given.glob("*.txt"))
    if not files:
        raise TrainError(f"--data: {given} holds no .txt file")
    if _are_large([*files, *(file for more in own.values() for file in more)]):
        return LargeTexts(files, shares, own, str(given))
    texts = _split(_read_all(files), shares, str(given))
    return replace(texts, **{name: _read_all(more) for name, more in own.items()})


def _are_large(files: Sequence[Path]) -> bool:
    return sum(file.stat().st_size for file in files) > LARGE


def _split(text: str, shares: tuple[float, ...], origin: str) -> Texts:
    train, valid, test = (text[first:last] for first, last in _cuts(len(text), shares))
    return Texts(train, valid, origin, test)


def _cuts(length: int, shares: tuple[float, ...]) -> list[tuple[int, int]]:
    """Where train, valid and test are: the last characters are for the test, those before them for validation."""
    if any(not 0 <= share < 1 for share in shares) or sum(shares) >= 1:
        raise TrainError(TOO_LARGE)
    valid, test = (round(length * share) for share in shares)
    cut = length - valid - test
    return [(0, cut), (cut, cut + valid), (cut + valid, length)]


def _blocks(files: Sequence[Path]) -> Iterator[str]:
    """What `_read_all` returns, block by block."""
    for number, path in enumerate(files):
        last = "\n"
        try:
            with path.open(encoding="utf-8-sig", newline="") as file:
                while block := file.read(BLOCK):
                    if "\0" in block:
                        read_text(path)  # tells where
                    last = block[-1]
                    yield block
        except OSError as error:
            raise TrainError(f"{path} cannot be read: {error.strerror}") from None
        except UnicodeDecodeError:
            read_text(path)  # tells where
            raise
        if last != "\n" and number + 1 < len(files):
            yield "\n"


def _between(blocks: Iterable[str], first: int, last: int) -> Iterator[str]:
    """The characters from `first` to `last`."""
    place = 0
    for block in blocks:
        yield block[max(0, first - place) : max(0, last - place)]
        place += len(block)
        if place >= last:
            return


def _pieces(blocks: Iterable[str]) -> Iterator[str]:
    """A text in the pieces in which tokenizers encode it, so that the ids are those of the whole."""
    open_text = ""
    for block in blocks:
        open_text += block
        while cut := open_text.find("\n", PIECE) + 1:
            yield open_text[:cut]
            open_text = open_text[cut:]
    if open_text:
        yield open_text


def _read_all(files: Sequence[Path]) -> str:
    """The files one behind the other, each ended by a line end where another follows."""
    texts = [read_text(path) for path in files]
    ended = [text if text.endswith("\n") or not text else text + "\n" for text in texts[:-1]]
    return "".join([*ended, *texts[-1:]])


def read_text(path: Path) -> str:
    """A file as UTF-8, without a byte-order mark. Raises `TrainError` naming the byte that is no text."""
    if not path.is_file():
        raise TrainError(f"{path} is not a regular file")
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise TrainError(f"{path} cannot be read: {error.strerror}") from None
    if kind := of_another_kind(raw[:2]):
        raise TrainError(f"{path} {kind}")
    if (place := raw.find(0)) >= 0:
        raise TrainError(f"{_line(path, raw, place)}: a NUL character (offset {place:,}): is it text? Clean it first")
    try:
        return raw.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        byte, place = raw[error.start], error.start
        raise TrainError(
            f"{_line(path, raw, place)}: not UTF-8 (byte 0x{byte:02x} at offset {place:,}); convert the file first"
        ) from None


def _line(path: Path, raw: bytes, place: int) -> str:
    """A file and the line of it in which a byte stands."""
    line = raw.count(b"\n", 0, place) + 1
    return f"{path}:{line}"


def _named(files: Sequence[Path]) -> str:
    return ", ".join(path.name for path in files[:3]) + (f" and {len(files) - 3} more" if len(files) > 3 else "")
