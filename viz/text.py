"""Text as a picture needs it: cleaned, cut, measured and wrapped by our own table, never by the machine's fonts."""

from __future__ import annotations

import unicodedata
from functools import lru_cache

LONGEST = 200  # characters that a label may have; more is cut

# Advance widths of DejaVu Sans, in thousandths of the font size, from U+0020 to U+007E. Helvetica, which SVG viewers
# use where they have it, is narrower by 5 to 10 %: what fits here fits there.
_ASCII = (
    "318 401 460 838 636 950 780 275 390 390 500 838 318 361 318 337 636 636 636 636 636 636 636 636 636 636 "
    "337 337 838 838 838 531 1000 684 686 698 770 632 575 775 752 295 295 656 557 863 748 787 603 787 695 "
    "635 611 732 684 989 685 611 685 390 337 390 838 500 500 613 635 550 635 615 352 635 634 278 278 579 278 "
    "974 634 612 635 635 411 521 392 634 592 818 592 592 525 636 337 636 838"
)
_WIDTHS = dict(zip(map(chr, range(32, 127)), map(int, _ASCII.split()), strict=True))
_WIDTHS |= {"·": 318, "→": 838, "…": 1000, "×": 838, "−": 838, "–": 500, "°": 500, "²": 401, "³": 401}
_OTHER = 700  # Latin, Greek and Cyrillic letters beyond ASCII: 633 to 687 on average
_BOLD = 1.1


@lru_cache(maxsize=4096)
def _advance(character: str) -> int:
    if character in _WIDTHS:
        return _WIDTHS[character]
    if unicodedata.combining(character) or unicodedata.category(character) in ("Mn", "Me", "Cf"):
        return 0
    return 1000 if unicodedata.east_asian_width(character) in "WF" else _OTHER


def width(text: str, size: float, *, bold: bool = False) -> float:
    """Width in points of `text` on one line at font size `size` (points)."""
    return sum(map(_advance, text)) * size / 1000 * (_BOLD if bold else 1.0)


def clean(text: str) -> str:
    """`text` as one line that any XML may hold: runs of white space become a space, what cannot be printed U+FFFD,
    and at most `LONGEST` characters are kept."""
    line = printable(" ".join(text[: 4 * LONGEST].split()))
    return line if len(line) <= LONGEST else line[: LONGEST - 1] + "…"


def printable(text: str) -> str:
    """`text` with U+FFFD for every character that XML may not hold or that is a control sign."""
    return text if text.isascii() and text.isprintable() else "".join(c if _printable(c) else "\ufffd" for c in text)


def _printable(character: str) -> bool:
    code = ord(character)
    return (
        unicodedata.category(character) not in ("Cc", "Cs") and code & 0xFFFE != 0xFFFE and not 0xFDD0 <= code <= 0xFDEF
    )


def wrap(text: str, room: float, size: float) -> tuple[str, ...]:
    """`text` on as few lines of at most `room` points as its words allow; a word that is wider is cut between
    characters."""
    lines: list[str] = []
    words = (word for word in clean(text).split(" ") if word)
    for piece in (piece for word in words for piece in _pieces(word, room, size)):
        if lines and width(f"{lines[-1]} {piece}", size) <= room:
            lines[-1] += f" {piece}"
        else:
            lines.append(piece)
    return tuple(lines)


def _pieces(word: str, room: float, size: float) -> list[str]:
    pieces = [""]
    for character in word:
        if pieces[-1] and width(pieces[-1] + character, size) > room:
            pieces.append("")
        pieces[-1] += character
    return pieces


def spoken(name: str) -> str:
    """A node's name as a title: `tgt_embed` is `Tgt Embed`, `EncoderLayer` is `Encoder Layer`."""
    apart = "".join(f" {c}" if c.isupper() and i and not name[i - 1].isupper() else c for i, c in enumerate(name))
    return " ".join(word[:1].upper() + word[1:] for word in apart.replace("_", " ").split())


def count(number: int) -> str:
    """A number of parameters in three figures: 768, 1.5K, 0.79M, 18.9M, 525M, 1.05B."""
    for limit, unit in ((10**5 * 1000, "B"), (10**5, "M")):
        if number >= limit * (10 if unit == "B" else 1):
            amount = number / (10**9 if unit == "B" else 10**6)
            return f"{amount:.{2 if amount < 9.995 else 1 if amount < 99.95 else 0}f}{unit}"
    return f"{number / 1000:.1f}K" if number >= 1000 else str(number)
