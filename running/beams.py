"""Beam search: the continuation of highest log-probability for its length. Legend: V vocabulary, K beams."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

from blockgraph.running.sampling import Allowed, GenerateError

if TYPE_CHECKING:
    import torch

    from blockgraph.running.reader import Reader


@dataclass(frozen=True, slots=True)
class Search:
    """How a search runs and when it ends; see `generate_batch`."""

    beams: int
    length_penalty: float
    early_stopping: bool | Literal["never"]
    max_new: int
    allowed: Allowed

    def __post_init__(self) -> None:
        if self.beams < 1:
            raise GenerateError(f"beams is {self.beams}; it must be 1 or more")

    @property
    def candidates(self) -> int:
        """How many are looked at, so that K go on even where every beam could stop in every way."""
        return self.beams * max(2, 1 + len(self.allowed.stop))

    def score(self, total: float, length: int) -> float:
        """A text's score from the sum of its log-probabilities."""
        return total / float(length**self.length_penalty)


class Beam(NamedTuple):
    """New ids, and the sum of their log-probabilities, or the score of a finished text."""

    score: float
    ids: list[int]


class Hypotheses:
    """The search of one text: K beams that run, and the K best that have finished."""

    def __init__(self, plan: Search) -> None:
        self.plan = plan
        self.running = [Beam(0.0, [])]
        self.finished: list[Beam] = []
        self.done = False

    def advance(self, candidates: Sequence[tuple[float, int, int]], last: bool) -> list[int]:
        """`candidates` (total, beam, id), the best first; only the first K of them can finish. The beams that each new
        one continues."""
        plan, before = self.plan, self.running
        length, ended = len(before[0].ids) + 1, []
        parents: list[int] = []
        self.running = []
        for place, (total, parent, token) in enumerate(candidates):
            ids = [*before[parent].ids, token]
            if last or token in plan.allowed.stop:
                ended += [Beam(plan.score(total, length), ids)] if place < plan.beams else []
            elif len(parents) < plan.beams:
                self.running.append(Beam(total, ids))
                parents.append(parent)
        self.finished = sorted([*self.finished, *ended], key=lambda beam: -beam.score)[: plan.beams]
        self.done = last or not self.running or self._settled(length)
        return parents

    def _settled(self, length: int) -> bool:
        if len(self.finished) < self.plan.beams:
            return False
        if self.plan.early_stopping is True:
            return True
        if self.plan.early_stopping == "never" and self.plan.length_penalty > 0:
            length = self.plan.max_new
        return self.plan.score(self.running[0].score, length) <= self.finished[-1].score

    @property
    def best(self) -> list[int]:
        ids = self.finished[0].ids if self.finished else self.running[0].ids
        return ids[:-1] if ids and ids[-1] in self.plan.allowed.stop else ids


def search(reader: Reader, texts: Sequence[Sequence[int]], plan: Search, limit: int | None) -> list[list[int]]:
    """The best continuation of each text."""
    found = [Hypotheses(plan) for _ in texts]
    active = list(range(len(texts)))
    steps = plan.max_new if limit is None else min(plan.max_new, limit - max(map(len, texts)) + 1)
    with reader:
        for made in range(steps):
            rows = [[*texts[number], *beam.ids] for number in active for beam in found[number].running]
            totals = [beam.score for number in active for beam in found[number].running]
            logits = plan.allowed.of(reader.read(rows).float(), made)
            chosen, first = [], 0
            for number, candidates in zip(active, _candidates(logits, totals, len(active), plan), strict=True):
                beams = len(found[number].running)
                parents = found[number].advance(candidates, made + 1 == steps)
                chosen += [] if found[number].done else [first + parent for parent in parents]
                first += beams
            active = [number for number in active if not found[number].done]
            if not active:
                break
            reader.select(chosen)
    return [hypotheses.best for hypotheses in found]


def _candidates(
    logits: torch.Tensor, totals: list[float], texts: int, plan: Search
) -> list[list[tuple[float, int, int]]]:
    """For each text the best continuations of its beams, from logits [texts · beams, V]: (total, beam, id)."""
    import torch

    if logits.shape[1] < plan.candidates:
        raise GenerateError(f"{plan.beams} beams are too many for {logits.shape[1]} ids")
    if not torch.isfinite(logits.amax(1)).all():
        raise GenerateError("the model's logits are not finite: its weights are damaged, or its training diverged")
    scores = logits.log_softmax(1) + logits.new_tensor(totals).unsqueeze(1)
    best = scores.view(texts, -1).topk(plan.candidates)
    beam, token = best.indices // logits.shape[1], best.indices % logits.shape[1]
    rows = zip(best.values.tolist(), beam.tolist(), token.tolist(), strict=True)
    return [list(zip(*row, strict=True)) for row in rows]
