"""Rows of unlike length as one tensor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch

if TYPE_CHECKING:
    from blockgraph.data.examples import Array


def padded(rows: Sequence[Array], fill: int) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Rows of ids as int64 [B, longest], filled up on the right, and where they are real, bool [B, longest] (None: all
    are). An empty row keeps one position, so that no row is without any."""
    lengths = np.array([len(row) for row in rows])
    longest = max(1, int(lengths.max()))
    ids = np.full((len(rows), longest), fill, dtype=np.int64)
    for row, values in zip(ids, rows, strict=True):
        row[: len(values)] = values
    if (lengths == longest).all():
        return torch.from_numpy(ids), None
    return torch.from_numpy(ids), torch.from_numpy(np.arange(longest) < np.maximum(lengths, 1)[:, None])
