"""One long sequence of ids in a memory-mapped file."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from blockgraph.data.records import BadRow, Record, RowError, bad_row, text_of

if TYPE_CHECKING:
    from blockgraph.running.tokenizers import Tokenizer

Ids = NDArray[np.integer[Any]]
READ_AHEAD = 1 << 22  # ids converted at once when a file is written


def write_ids(path: Path, pieces: Iterable[str], tokenizer: Tokenizer) -> int:
    """The ids of a text's pieces as a flat little-endian file: two bytes each where the vocabulary allows, else four;
    how many there are."""
    dtype, count = _dtype(tokenizer.size), 0
    with path.open("wb") as file:
        for piece in pieces:
            ids = tokenizer.encode(piece)
            count += len(ids)
            for start in range(0, len(ids), READ_AHEAD):
                file.write(ids[start : start + READ_AHEAD].astype(dtype).tobytes())
    return count


def map_ids(path: Path, vocabulary: int) -> Ids:
    """The file's ids [N], read from the disk as they are used."""
    dtype = _dtype(vocabulary)
    if path.stat().st_size == 0:  # nothing cannot be mapped
        return np.zeros(0, dtype)
    return np.memmap(path, dtype=dtype, mode="r")


def _dtype(vocabulary: int) -> np.dtype[Any]:
    return np.dtype("<u2" if vocabulary <= 1 << 16 else "<u4")


def write_documents(
    path: Path,
    rows: Iterable[Record | BadRow],
    fields: Sequence[str],
    tokenizer: Tokenizer,
    end: int,
    strict: bool = False,
) -> tuple[int, list[BadRow]]:
    """The texts of all rows one behind the other, `end` after each, in a flat file; how many ids there are, and the
    rows that were left out. `strict`: raises `TrainError` at the first that is bad."""
    dtype, count = _dtype(tokenizer.size), 0
    bad: list[BadRow] = []
    with path.open("wb") as file:
        for row in rows:
            texts = row if isinstance(row, BadRow) else _texts(row, fields)
            if isinstance(texts, BadRow):
                if strict:
                    raise bad_row(texts)
                bad.append(texts)
                continue
            for text in texts:
                ids = np.append(tokenizer.encode(text), end).astype(dtype)
                file.write(ids.tobytes())
                count += len(ids)
    return count, bad


def _texts(row: Record, fields: Sequence[str]) -> list[str] | BadRow:
    try:
        texts = [text_of(row.values, field) for field in fields]
    except RowError as error:
        return BadRow(row.place, str(error))
    return texts if any(texts) else BadRow(row.place, f"{', '.join(fields)}: no text")
