"""Ids as people read them: a tokenizer's pieces without its marks, characters that it cut apart told by their parts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

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
    found: list[Piece] = []
    run: list[int] = []
    for token in ids:
        if token in names:
            found += [*_ordinary(tokenizer, run), Piece(names[token])]
            run = []
        else:
            run.append(token)
    return [*found, *_ordinary(tokenizer, run)]


def _ordinary(tokenizer: Tokenizer, ids: Sequence[int]) -> Iterator[Piece]:
    """Ids without special ones between them."""
    stream, opened, after_space = tokenizer.stream(), 0, True
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
