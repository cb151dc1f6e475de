"""Text files, packed (.gz) or not, opened so that what is wrong with them is told with its place."""

from __future__ import annotations

import gzip
import io
import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, cast

from blockgraph.data.errors import TrainError

PACKED = b"\x1f\x8b"
UTF16 = (b"\xff\xfe", b"\xfe\xff")
NO_TEXT = re.compile("[\0\ud800-\udfff]")


def open_text(path: Path) -> IO[str]:
    """A text file, packed or not. Raises `TrainError` where there is none, where it is UTF-16, and, as it is read,
    where it cannot be unpacked any further; bytes that are no UTF-8 become what `no_text` tells of."""
    packed = path.suffix == ".gz"
    try:
        file = _Packed(path) if packed else path.open("rb")
    except OSError as error:
        raise TrainError(f"{path} cannot be read: {error.strerror}") from None
    try:
        if kind := of_another_kind(file.peek(2)[:2], packed):
            raise TrainError(f"{path} {kind}")
    except BaseException:
        file.close()
        raise
    return io.TextIOWrapper(cast(Any, file), encoding="utf-8-sig", errors="surrogateescape", newline="\n")


class _Packed(gzip.GzipFile):
    """A gzip file that says where it is damaged."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, "rb")
        self.path = path

    def read1(self, size: int = -1) -> bytes:
        with self._told():
            return super().read1(size)

    def peek(self, n: int) -> bytes:
        with self._told():
            return super().peek(n)

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            reason = f"{error}".rstrip(".")
            raise TrainError(
                f"{self.path} cannot be unpacked beyond byte {self.tell():,} of its text: {reason}"
            ) from None


def of_another_kind(start: bytes, unpacked: bool = False) -> str | None:
    """What a file is that begins with these two bytes, and how to make a text of it; None: it may be one."""
    if start in UTF16:
        return "is UTF-16, not UTF-8; convert it first: iconv -f UTF-16 -t UTF-8"
    if start == PACKED and not unpacked:
        return "is packed (gzip); unpack it first"
    return None


def no_text(text: str) -> str | None:
    """Why this is no text; None: it is one."""
    found = NO_TEXT.search(text)
    if found is None:
        return None
    sign = ord(found[0])
    if sign == 0:
        return "it holds a NUL character: is it text?"
    if 0xDC80 <= sign <= 0xDCFF:
        return f"it is not UTF-8 (byte 0x{sign - 0xDC00:02x})"
    return f"it holds half a character (U+{sign:04X})"
