"""Did you mean …? The nearest word to one that is not known."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

LONGEST = 40  # comparing costs the product of the lengths; no name is that long
MOST = 200


def closest(word: str, words: Iterable[str]) -> str | None:
    """The word nearest to `word`, if one is near enough to be a slip of the pen; ties go to the first by spelling."""
    if not word or len(word) > LONGEST:
        return None
    known = sorted({known for known in words if known != word and len(known) <= LONGEST})[:MOST]
    folded = _folded(word)
    alike = [known_word for known_word in known if _folded(known_word) == folded]
    swapped = {folded[:i] + folded[i + 1] + folded[i] + folded[i + 2 :] for i in range(len(folded) - 1)}
    alike += [known_word for known_word in known if _folded(known_word) in swapped]
    return alike[0] if alike else _most_alike(folded, known)


def _most_alike(folded: str, known: list[str]) -> str | None:
    """Cheap upper bounds of the likeness come first, since one file can have hundreds of unknown words."""
    matcher = difflib.SequenceMatcher(None, "", folded, autojunk=False)
    best, most = None, _least(folded)
    for candidate in known:
        matcher.set_seq1(_folded(candidate))
        if matcher.real_quick_ratio() < most or matcher.quick_ratio() < most:
            continue
        ratio = matcher.ratio()
        if ratio > most or (ratio == most and best is None):
            best, most = candidate, ratio
    return best


def did_you_mean(word: str, words: Iterable[str]) -> str | None:
    """`did you mean 'hidden'?`, or None where nothing is near."""
    best = closest(word, words)
    return f"did you mean {best!r}?" if best is not None else None


def _folded(word: str) -> str:
    """Case and the separators between words do not tell names apart."""
    return word.lower().replace("-", "").replace("_", "") or word


def _least(word: str) -> float:
    """Short words are alike by accident: two of three letters is not yet a slip."""
    return 0.75 if len(word) <= 3 else 0.65 if len(word) == 4 else 0.6
