"""Measures that no mean over rows gives: F1 of classes; BLEU and chrF of texts. Legend: C classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import torch

from blockgraph.tasks.task import IGNORED


class Score(Protocol):
    """Adds up over the batches of a split."""

    def add(self, output: torch.Tensor, targets: torch.Tensor) -> None: ...

    def result(self) -> dict[str, float]: ...


class ClassScore:
    """F1 = 2 · hits / (told + there) of each class. `macro_f1` is the mean over the classes that are there or told;
    `micro_f1` takes all targets together, which is the accuracy where each target has one class."""

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
