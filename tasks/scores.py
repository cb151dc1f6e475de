"""Measures that no mean over rows gives: F1 of classes and of entities, correlations; BLEU and chrF of texts. Legend:
C classes, T positions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, ClassVar, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from blockgraph.tasks.task import IGNORED


class Score(Protocol):
    """Adds up over the batches of a split. `names` are the measures that it gives."""

    names: ClassVar[tuple[str, ...]]

    def add(self, output: torch.Tensor, targets: torch.Tensor) -> None: ...

    def result(self) -> dict[str, float]: ...


class ClassScore:
    """F1 = 2 · hits / (told + there) of each class. `macro_f1` is the mean over the classes that are there or told;
    `micro_f1` takes all targets together, which is the accuracy where each target has one class."""

    names: ClassVar[tuple[str, ...]] = ("macro_f1", "micro_f1")

    def __init__(self) -> None:
        self._counts = torch.zeros(3, 0, dtype=torch.int64)  # hits, told, there by class

    def add(self, output: torch.Tensor, targets: torch.Tensor) -> None:
        """Logits [..., C] and targets int64 [...]; those that are `IGNORED` count nothing."""
        counted, classes = targets != IGNORED, output.shape[-1]
        told, there = output.argmax(-1)[counted].cpu(), targets[counted].cpu()
        found = [torch.bincount(part, minlength=classes) for part in (there[told == there], told, there)]
        if not self._counts.shape[1]:
            self._counts = torch.zeros(3, classes, dtype=torch.int64)
        self._counts += torch.stack(found)

    def result(self) -> dict[str, float]:
        hits, told, there = self._counts.double()
        known = told + there > 0
        each = 2 * hits[known] / (told + there)[known]
        total = float((told + there).sum())
        return {
            "macro_f1": float(each.mean()) if len(each) else 0.0,
            "micro_f1": 2 * float(hits.sum()) / total if total else 0.0,
        }


# -- entities ----------------------------------------------------------------------------------------------------------

OUTSIDE = "O"  # the tag of a word that belongs to no entity
OPENING, CLOSING = "BSU", "ESLU"  # prefixes of an entity's first and last word: IOB, IOBES and BILOU


class EntityScore:
    """Precision, recall and F1 of whole entities (Tjong Kim Sang and De Meulder 2003): one is found where its first
    word, its last word and its type are. `tags` are the names of the classes."""

    names: ClassVar[tuple[str, ...]] = ("entity_precision", "entity_recall", "entity_f1")

    def __init__(self, tags: Sequence[str]) -> None:
        self.tags = tuple(tags)
        self._hits = self._told = self._there = 0

    def add(self, output: torch.Tensor, targets: torch.Tensor) -> None:
        """Logits [B, T, C] and targets int64 [B, T]; positions that are `IGNORED` are no words."""
        told = output[..., : len(self.tags)].argmax(-1).tolist()
        for row, right in zip(told, targets.tolist(), strict=True):
            words = [place for place, tag in enumerate(right) if tag != IGNORED]
            found, there = (set(entities(self.tags[side[place]] for place in words)) for side in (row, right))
            self._hits += len(found & there)
            self._told += len(found)
            self._there += len(there)

    def result(self) -> dict[str, float]:
        whole = (self._told, self._there, (self._told + self._there) / 2)
        shares = [self._hits / count if count else 0.0 for count in whole]
        return dict(zip(self.names, shares, strict=True))


def entities(tags: Iterable[str]) -> Iterator[tuple[int, int, str]]:
    """(first word, last word, type) of each entity. Tags are `B-PER`, `I-PER` and so on, or the type alone: then words
    of one type beside each other are one entity. An `I-` without a beginning begins one, as in CoNLL's own script."""
    before, begun = OUTSIDE, 0
    number = -1
    for number, tag in enumerate(tags):
        if not _goes_on(before, tag):
            if before != OUTSIDE:
                yield begun, number - 1, _parts(before)[1]
            begun = number
        before = tag
    if before != OUTSIDE:
        yield begun, number, _parts(before)[1]


def _goes_on(before: str, tag: str) -> bool:
    """Whether a word belongs to the entity of the word before."""
    (last, kind), (first, now) = _parts(before), _parts(tag)
    return OUTSIDE not in (before, tag) and kind == now and first not in OPENING and last not in CLOSING


def _parts(tag: str) -> tuple[str, str]:
    """Prefix and type; a tag without a prefix is as one with `I`."""
    prefix, line, kind = tag.partition("-")
    return (prefix, kind) if line and prefix in (*OPENING, *CLOSING, "I") else ("I", tag)


# -- numbers -----------------------------------------------------------------------------------------------------------


class CorrelationScore:
    """Pearson's correlation of the numbers, and Spearman's, which is that of their ranks (equal ones share the mean of
    theirs). 0 where one side is constant."""

    names: ClassVar[tuple[str, ...]] = ("pearson", "spearman")

    def __init__(self) -> None:
        self._pairs: list[torch.Tensor] = []

    def add(self, output: torch.Tensor, targets: torch.Tensor) -> None:
        self._pairs.append(torch.stack([output.float().reshape(targets.shape), targets]).cpu())

    def result(self) -> dict[str, float]:
        told, there = torch.cat([torch.zeros(2, 0), *self._pairs], 1).double().numpy()
        return {"pearson": _correlation(told, there), "spearman": _correlation(_ranks(told), _ranks(there))}


def _correlation(one: NDArray[Any], other: NDArray[Any]) -> float:
    if len(one) < 2 or np.ptp(one) == 0 or np.ptp(other) == 0:
        return 0.0
    return float(np.corrcoef(one, other)[0, 1])


def _ranks(values: NDArray[Any]) -> NDArray[Any]:
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[place]


# -- texts -------------------------------------------------------------------------------------------------------------


def text_scores(written: Sequence[str], references: Sequence[Sequence[str]]) -> dict[str, float]:
    """Exact match (a share), BLEU and chrF (0 to 100, by sacrebleu with its own tokenisation, over the whole set: for
    Chinese references that is `zh`, which takes every sign by itself).

    `references`: the right texts of each row; a row is exact where it is one of them, spaces around it apart.
    Without sacrebleu there is exact match alone.
    """
    exact = sum(text.strip() in {one.strip() for one in right} for text, right in zip(written, references, strict=True))
    return {"exact_match": exact / max(1, len(written)), **_sacrebleu(written, references)}


def _sacrebleu(written: Sequence[str], references: Sequence[Sequence[str]]) -> dict[str, float]:
    library = sacrebleu()
    if library is None:
        return {}
    most = max(map(len, references), default=0)
    columns = [[right[place] if place < len(right) else None for right in references] for place in range(most)]
    if not columns:
        return {}
    texts = list(written)
    tokenize = "zh" if _is_chinese("".join(right[0] for right in references)) else "13a"
    return {
        "bleu": float(library.corpus_bleu(texts, columns, tokenize=tokenize).score),
        "chrf": float(library.corpus_chrf(texts, columns).score),
    }


def _is_chinese(text: str) -> bool:
    """Whether most letters are Han signs, with hardly any of the kana that Japanese has beside them."""
    han = sum("\u4e00" <= letter <= "\u9fff" for letter in text)
    kana = sum("\u3041" <= letter <= "\u30fa" for letter in text)
    return 2 * han > sum(map(str.isalpha, text)) and 20 * kana < han


def sacrebleu() -> Any:
    """The library, None where it is not installed."""
    try:
        import sacrebleu as library
    except ImportError:
        return None
    return library
