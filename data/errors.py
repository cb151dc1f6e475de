"""What keeps a training from starting."""

from __future__ import annotations

from blockgraph.specs.diagnostics import BlockgraphError


class TrainError(BlockgraphError):
    """The training cannot start as asked: data, tokenizer, task, settings or run folder. Nothing was trained."""
