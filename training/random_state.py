"""All the random states that a training can touch: torch's on every device, NumPy's, Python's."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import torch


def seed_all(seed: int) -> None:
    torch.manual_seed(seed)  # every device's too
    np.random.seed(seed % (1 << 32))
    random.seed(seed)


def capture() -> dict[str, Any]:
    """Everything as tensors, numbers and text: readable by `torch.load(weights_only=True)`."""
    kind, keys, place, has_gauss, gauss = np.random.get_state(legacy=True)
    version, numbers, extra = random.getstate()
    return {
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        "mps": torch.mps.get_rng_state() if torch.backends.mps.is_available() else None,
        "numpy": [kind, torch.from_numpy(np.asarray(keys).astype(np.int64)), int(place), int(has_gauss), float(gauss)],
        "python": [version, list(numbers), extra],
    }


def restore(state: dict[str, Any]) -> None:
    torch.set_rng_state(state["torch"])
    if state["cuda"] and len(state["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(state["cuda"])
    if state["mps"] is not None and torch.backends.mps.is_available():
        torch.mps.set_rng_state(state["mps"])
    kind, keys, place, has_gauss, gauss = state["numpy"]
    np.random.set_state((kind, keys.numpy().astype(np.uint32), place, has_gauss, gauss))
    version, numbers, extra = state["python"]
    random.setstate((version, tuple(numbers), extra))
