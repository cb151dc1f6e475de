"""A small language model and texts for the tests of the loop: not a test itself."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import nn

from blockgraph.data.feeds import WholeText, Windows
from blockgraph.data.ids import Ids
from blockgraph.tasks.language import CausalLM
from blockgraph.tasks.lesson import Lesson
from blockgraph.training.checkpoints import Checkpoints
from blockgraph.training.loop import Trainer
from blockgraph.training.progress import Silent
from blockgraph.training.settings import Batch, Optimizer, Settings

VOCABULARY = 11


class Tiny(nn.Module):
    """Embedding, a causal mean, a hidden matrix with dropout, a norm and a head."""

    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.embed = nn.Embedding(VOCABULARY, width)
        self.hidden = nn.Linear(width, width)
        self.drop = nn.Dropout(0.2)
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, VOCABULARY, bias=False)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        x = self.embed(tokens)
        counts = torch.arange(1, x.shape[1] + 1)[:, None]
        x = x + self.drop(torch.relu(self.hidden(x.cumsum(1) / counts)))
        return self.head(self.norm(x))


def ids(count: int, seed: int = 0) -> Ids:
    """A sequence that can be learned: each id is mostly the one before plus three."""
    generator = np.random.default_rng(seed)
    steps = np.where(generator.random(count) < 0.9, 3, generator.integers(0, VOCABULARY, count))
    return (np.cumsum(steps) % VOCABULARY).astype(np.uint16)


SETTINGS = Settings(
    batch=Batch(size=3, length=8, accumulate=2),
    steps=24,
    optimizer=Optimizer("adamw", lr=1e-2, weight_decay=0.1),
    warmup=3,
    evaluate_every=6,
    checkpoint_every=5,
)


def lesson(smoothing: float = 0.0) -> Lesson:
    return Lesson((CausalLM("causal_lm", "logits", smoothing=smoothing),), stream=True)


def windows(settings: Settings, text: Ids | None = None) -> Windows:
    batch, by_epochs = settings.batch, settings.steps is None
    text = ids(300) if text is None else text
    return Windows(text, batch.windows, batch.length, batch.accumulate, settings.seed, lesson().collate, by_epochs)


def whole(text: Ids, settings: Settings | None = None) -> WholeText:
    batch = (settings or SETTINGS).batch
    return WholeText(text, batch.windows, batch.length, lesson().collate)


def trainer(folder: Path, settings: Settings = SETTINGS, *, resume: bool = False, valid: Ids | None = None) -> Trainer:
    torch.manual_seed(0)
    model = Tiny()
    checkpoints = Checkpoints(folder / "checkpoints", settings.keep)
    checkpoints.recover()
    made = Trainer(
        model,
        lesson(),
        windows(settings),
        whole(ids(100, seed=1) if valid is None else valid, settings),
        settings,
        checkpoints,
        folder / "metrics.jsonl",
        reporter=Silent(),
    )
    loaded = checkpoints.latest() if resume else None
    if loaded is not None:
        made.restore(loaded)
    return made


def weights(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def same_weights(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)
