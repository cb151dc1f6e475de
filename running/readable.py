"""Ids as people read them: a tokenizer's pieces without its marks, characters that it cut apart told by their parts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any

from blockgraph.running.tokenizers import Bytes

if TYPE_CHECKING:
    from blockgraph.running.tokenizers import Tokenizer

SIGNS = {" ": "␣", "\n": "↵", "\t": "⇥", "\u3000": "␣"}
MARKS = ("Ġ", "▁")  # what begins a word, in files that do not say how their pieces are joined


@dataclass(frozen=True, slots=True)
class Piece:
    """What stands for one id. `glued`: no space is between it and the piece before."""

    text: str
    glued: bool = False


def pieces_of(tokenizer: Tokenizer, ids: Sequence[int]) -> list[Piece]:
    """A piece for each id. Special ids have their names; a character of several ids is `猫 1/3`, `猫 2/3`, `猫 3/3`."""
    names = {number: name for name, number in tokenizer.specials.items()}
    library = getattr(tokenizer, "library", None)
    alone = _single_bytes(library)
    found: list[Piece] = []
    for kind, group in groupby(ids, lambda token: "special" if token in names else "byte" if token in alone else ""):
        run = list(group)
        fresh = not found or kind == "special" or ids[len(found) - 1] in names
        if kind == "special":
            found += [Piece(names[token]) for token in run]
        elif kind == "byte":
            found += _ordinary(Bytes(), [alone[token] for token in run], (), fresh)
        elif getattr(tokenizer, "rewritten", False):
            found += _raw(library, run)
        else:
            found += _ordinary(tokenizer, run, ids[: len(found)], fresh)
    return found


def _single_bytes(library: Any) -> dict[int, int]:
    """Ids that stand for one byte where no piece has a character (`<0x0A>`), and the byte."""
    if not getattr(getattr(library, "model", None), "byte_fallback", False):
        return {}
    ids = {byte: library.token_to_id(f"<0x{byte:02X}>") for byte in range(256)}
    return {number: byte for byte, number in ids.items() if number is not None}


def _raw(library: Any, ids: Sequence[int]) -> Iterator[Piece]:
    """Pieces as the file writes them, for decoders that change a text when more follows."""
    suffix, glued = str(getattr(library.model, "end_of_word_suffix", None) or ""), False
    for token in ids:
        text, marked = _unmarked(library.id_to_token(token) or "")
        yield Piece(shown_as(text.removesuffix(suffix) or " "), marked or glued)
        glued = bool(suffix) and not text.endswith(suffix)


def _ordinary(tokenizer: Tokenizer, ids: Sequence[int], before: Sequence[int], fresh: bool) -> Iterator[Piece]:
    """Ids that follow `before`, without special ones between them; `fresh`: nothing is glued to the first."""
    stream, opened, after_space = tokenizer.stream(before), 0, fresh
    joined = getattr(getattr(tokenizer, "library", tokenizer), "decoder", tokenizer) is not None
    for token in ids:
        text = stream.push(token)
        if not text and "\ufffd" in tokenizer.decode([token]):
            opened += 1
            continue
        text, marked = (text, False) if joined else _unmarked(text)
        glued = not after_space and (marked or not text[:1].isspace())
        after_space = text[-1:].isspace()
        yield from _named(text or " ", glued, opened + 1)
        opened = 0
    if opened:
        yield from _named(stream.finish(), not after_space, opened)


def _named(text: str, glued: bool, parts: int) -> Iterator[Piece]:
    shown = shown_as(text)
    for part in range(1, parts + 1):
        yield Piece(shown if parts == 1 else f"{shown} {part}/{parts}", glued or part > 1)


def _unmarked(text: str) -> tuple[str, bool]:
    """A raw piece as text, and whether its mark says that it continues a word."""
    raw = text.strip()
    if raw.startswith("##") and len(raw) > 2:
        return raw[2:], True
    return (" " + raw[1:], False) if raw.startswith(MARKS) else (text, False)


def shown_as(text: str) -> str:
    """Text that can be seen: spaces around it are left out, what is only space has a sign, the rest its code."""
    kept = text.strip(" ") or text
    return "".join(SIGNS.get(c, c if c.isprintable() else f"\\x{ord(c):x}") for c in kept)
