"""A SentencePiece model file (`*.model`, `*.spm`): its pieces and how it treats spaces.

The file is one protocol-buffers message; the few fields that matter are read here, so that nothing need be installed.
Source: sentencepiece_model.proto of github.com/google/sentencepiece; Kudo & Richardson 2018.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from blockgraph.running.tokenizers import TokenizerError

CONTROL, USER_DEFINED = 3, 4  # kinds of pieces: never part of a text (<s>), always cut out of it whole
UNIGRAM, BPE = 1, 2

Fields = dict[int, list[Any]]  # a message: its values by the numbers of its fields


@dataclass(frozen=True, slots=True)
class Piece:
    text: str
    score: float
    kind: int


@dataclass(frozen=True, slots=True)
class SentencePieceModel:
    """`algorithm` is UNIGRAM or BPE. `prefix`: a text begins with a space that it does not have. `squeezed`: spaces at
    either end go and several become one. `charsmap` is the file's table of normalisation, as `tokenizers` reads it."""

    pieces: tuple[Piece, ...]
    algorithm: int
    unknown: int
    byte_fallback: bool
    prefix: bool
    squeezed: bool
    charsmap: bytes

    @property
    def scored(self) -> list[tuple[str, float]]:
        return [(piece.text, piece.score) for piece in self.pieces]


def read_sentencepiece(path: Path) -> SentencePieceModel:
    """Raises `TokenizerError` where the file cannot be read or holds another kind of model."""
    try:
        message = _message(path.read_bytes())
        pieces = tuple(_piece(_message(each)) for each in message.get(1, []))
        trainer, normalizer = (_message(message.get(number, [b""])[-1]) for number in (2, 3))
        last = {"trainer": _last(trainer), "normalizer": _last(normalizer)}
    except OSError as error:
        raise TokenizerError(f"{path}: cannot read the tokenizer: {error.strerror}") from None
    except (ValueError, IndexError, TypeError, struct.error):
        raise TokenizerError(f"{path}: not a SentencePiece model") from None
    algorithm = last["trainer"].get(3, UNIGRAM)
    if not pieces or algorithm not in (UNIGRAM, BPE):
        raise TokenizerError(f"{path}: not a SentencePiece model of the kinds unigram or bpe")
    return SentencePieceModel(
        pieces,
        algorithm,
        unknown=last["trainer"].get(40, 0),
        byte_fallback=bool(last["trainer"].get(35, 0)),
        prefix=bool(last["normalizer"].get(3, 1)),
        squeezed=bool(last["normalizer"].get(4, 1)),
        charsmap=last["normalizer"].get(2, b""),
    )


def _piece(fields: Fields) -> Piece:
    (score,) = struct.unpack("<f", fields.get(2, [b"\0\0\0\0"])[-1])
    return Piece(fields[1][-1].decode("utf-8"), score, fields.get(3, [1])[-1]) if 1 in fields else Piece("", score, 1)


def _last(fields: Fields) -> Mapping[int, Any]:
    return {number: values[-1] for number, values in fields.items()}


def _message(data: bytes) -> Fields:
    found: Fields = {}
    for number, value in _fields(memoryview(data)):
        found.setdefault(number, []).append(value)
    return found


def _fields(data: memoryview) -> Iterator[tuple[int, int | bytes]]:
    """A message's fields: whole numbers as they are, everything else as its bytes."""
    place = 0
    while place < len(data):
        key, place = _number(data, place)
        kind = key & 7
        if kind == 0:
            value, place = _number(data, place)
            yield key >> 3, value
            continue
        if kind == 2:
            size, place = _number(data, place)
        elif kind in (1, 5):
            size = 8 if kind == 1 else 4
        else:
            raise ValueError(kind)
        if place + size > len(data):
            raise ValueError("cut off")
        yield key >> 3, bytes(data[place : place + size])
        place += size


def _number(data: memoryview, place: int) -> tuple[int, int]:
    """A number of 7 bits a byte, the lowest first, and where it ends; negative ones fill ten bytes."""
    value = 0
    for count in range(10):
        byte = data[place + count]
        value |= (byte & 127) << (7 * count)
        if byte < 128:
            return (value - (1 << 64) if value >> 63 else value), place + count + 1
    raise ValueError("a number without an end")
