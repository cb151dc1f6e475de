"""How answers are compared: SQuAD's exact match and F1 (Rajpurkar et al. 2016, §6.1)."""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Sequence

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_SIGNS = str.maketrans("", "", string.punctuation)


def normalised(text: str) -> str:
    """Lower case, without ASCII punctuation and articles, single spaces."""
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_SIGNS)).split())


def exact_match(found: str, answers: Sequence[str]) -> float:
    """1 where it is one of the answers, else 0; without answers, 1 where it is empty."""
    return float(normalised(found) in {normalised(answer) for answer in answers or [""]})


def f1(found: str, answers: Sequence[str]) -> float:
    """The harmonic mean of precision and recall of words, with the answer that it fits best."""
    return max(_overlap(normalised(found).split(), normalised(answer).split()) for answer in answers or [""])


def _overlap(found: list[str], answer: list[str]) -> float:
    if not found or not answer:
        return float(found == answer)
    common = sum((Counter(found) & Counter(answer)).values())
    return 2 * common / (len(found) + len(answer))


def squad(found: Sequence[str], answers: Sequence[Sequence[str]]) -> dict[str, float]:
    """Both measures of all rows, as shares; `answers` are each row's right ones."""
    pairs = list(zip(found, answers, strict=True))
    means = {"exact_match": exact_match, "f1": f1}
    return {name: sum(one(*pair) for pair in pairs) / max(1, len(pairs)) for name, one in means.items()}
