"""Tasks on one long text, such as the texts of all rows: the next token, and hidden tokens. Legend: B rows,
T positions, V vocabulary."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import torch

from blockgraph.data.batch import Batch
from blockgraph.data.records import RowError, text_of
from blockgraph.running.specials import NAMES
from blockgraph.tasks.asking import Answer, Asked, likeliest
from blockgraph.tasks.losses import cross_entropy, hits
from blockgraph.tasks.task import IGNORED, Columns, Task, Tools

if TYPE_CHECKING:
    from blockgraph.data.examples import Array


TEXT = "text"  # the field that holds a text to go on from, or one with hidden tokens
HIDDEN = re.compile("|".join(map(re.escape, NAMES["mask"])))


def windows(rows: Columns) -> Array:
    return np.asarray(rows["text"], dtype=np.int64)


@dataclass
class CausalLM(Task):
    """The next token at every position: cross-entropy of [B, T, V]."""

    kind: ClassVar[str] = "causal_lm"
    looks_ahead: ClassVar[bool] = True
    has_perplexity: ClassVar[bool] = True
    input: str = "tokens"
    texts: tuple[str, ...] = ()

    @property
    def text_fields(self) -> tuple[str, ...]:
        return self.texts

    def add(self, rows: Columns, batch: Batch, tools: Tools, random: np.random.Generator) -> None:
        ids = torch.from_numpy(windows(rows))  # [B, T+1]
        batch.inputs[self.input] = ids[:, :-1].contiguous()
        batch.targets[self.name] = ids[:, 1:].contiguous()
        batch.counts[self.name] = batch.tokens = batch.targets[self.name].numel()

    def loss(self, output: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return cross_entropy(output, targets, self.smoothing)

    def answers(self, asked: Asked) -> list[Answer]:
        """Each text goes on."""
        texts = [text_of(row, TEXT) for row in asked.rows]
        prompts = [asked.ids(text) for text in texts]
        end = asked.tools.specials.end
        made = asked.write(prompts, stop=() if end is None else (end,))
        rest = [asked.decoded(ids, after) for ids, after in zip(made, prompts, strict=True)]
        return [
            Answer(text + more, {"text": text, "continuation": more}) for text, more in zip(texts, rest, strict=True)
        ]


@dataclass
class MaskedLM(Task):
    """Hidden tokens (Devlin et al. 2018, §3.1): of a share `rate`, 80% become the mask, 10% any token, 10% stay."""

    kind: ClassVar[str] = "masked_lm"
    has_perplexity: ClassVar[bool] = True
    input: str = "tokens"
    rate: float = 0.15
    texts: tuple[str, ...] = ()

    @property
    def text_fields(self) -> tuple[str, ...]:
        return self.texts

    def add(self, rows: Columns, batch: Batch, tools: Tools, random: np.random.Generator) -> None:
        ids = windows(rows)[:, :-1]  # [B, T]
        hidden = random.random(ids.shape) < self.rate
        if not hidden.any():  # a short window: there must be something to learn
            hidden[..., random.integers(ids.shape[-1])] = True
        assert tools.specials.mask is not None
        kinds = random.random(ids.shape)
        seen = np.where(hidden & (kinds < 0.8), tools.specials.mask, ids)
        seen = np.where(hidden & (kinds >= 0.9), random.integers(0, self._ordinary(tools), ids.shape), seen)
        batch.inputs[self.input] = torch.from_numpy(seen)
        batch.targets[self.name] = torch.from_numpy(np.where(hidden, ids, IGNORED))
        batch.counts[self.name], batch.tokens = int(hidden.sum()), ids.size

    @staticmethod
    def _ordinary(tools: Tools) -> int:
        assert tools.tokenizer is not None
        return tools.tokenizer.size

    def loss(self, output: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return cross_entropy(output, targets)

    def measures(self, output: torch.Tensor, targets: torch.Tensor) -> dict[str, tuple[float, int]]:
        return {"accuracy": hits(output, targets)}

    def answers(self, asked: Asked) -> list[Answer]:
        """Each text with its masks filled, and the words that were likeliest there."""
        return [self._filled(text_of(row, TEXT), asked) for row in asked.rows]

    def _filled(self, text: str, asked: Asked) -> Answer:
        pieces, mask = HIDDEN.split(text), asked.tools.specials.mask
        if len(pieces) == 1:
            raise RowError(f"nothing is hidden in the text: write {NAMES['mask'][0]} where a token is to be found")
        assert mask is not None
        ids: list[int] = []
        for number, piece in enumerate(pieces):
            ids += [*([mask] if number else []), *(asked.tools.encode(piece).tolist() if piece else [])]
        if len(ids) > asked.tools.length:
            raise RowError(
                f"the text has {len(ids)} tokens, and the model learned from {asked.tools.length}: shorten it"
            )
        batch = Batch({self.input: torch.tensor([ids])})
        logits = asked.run(batch)[self.output][0]  # [T, V]
        found = [self._words(logits[place], asked) for place, token in enumerate(ids) if token == mask]
        filled = pieces[0] + "".join(words[0][0] + piece for words, piece in zip(found, pieces[1:], strict=True))
        shown = [", ".join(f"{word} {share:.3f}" for word, share in words) for words in found]
        masks = [[{"token": word, "probability": share} for word, share in words] for words in found]
        return Answer("\t".join([filled, *shown]), {"text": text, "filled": filled, "masks": masks})

    @staticmethod
    def _words(logits: torch.Tensor, asked: Asked) -> Sequence[tuple[str, float]]:
        """The likeliest tokens that stand for text; logits [V]."""
        tokenizer = asked.tools.tokenizer
        assert tokenizer is not None
        special = torch.tensor(sorted(tokenizer.specials.values()), dtype=torch.int64)
        known = logits[: tokenizer.size].index_fill(0, special, -torch.inf)
        best = likeliest(known, range(tokenizer.size), asked.choices.top)
        return [(tokenizer.decode([token]), share) for token, share in best]
