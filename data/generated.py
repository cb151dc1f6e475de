"""Pairs that need no file: a text and its copy, or the same backwards. What a first sequence model is tried on."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping

import numpy as np

from blockgraph.data.records import BadRow, Record, Records

KINDS: Mapping[str, Callable[[list[str]], list[str]]] = {
    "copy": lambda symbols: symbols,
    "reverse": lambda symbols: symbols[::-1],
}
JUDGED = 1000  # rows each for validation and test
SEEDS = {"train": 0, "valid": 1, "test": 2}


class Generated(Records):
    """`count` training rows of 1 to `longest` of the `symbols`; validation and test have rows of their own."""

    def __init__(self, kind: str, count: int, longest: int, symbols: str) -> None:
        self.kind, self.count, self.longest, self.symbols = kind, count, longest, symbols
        self.origin = f"{kind} ({count:,} generated rows)"

    def has(self, split: str) -> bool:
        return split in SEEDS

    def rows(self, split: str) -> Iterator[Record | BadRow]:
        random = np.random.default_rng(SEEDS[split])
        made = KINDS[self.kind]
        for number in range(self.count if split == "train" else JUDGED):
            length = int(random.integers(1, self.longest + 1))
            symbols = [self.symbols[place] for place in random.integers(0, len(self.symbols), length)]
            yield Record(f"{self.kind}:{number + 1}", {"source": "".join(symbols), "target": "".join(made(symbols))})

    @property
    def sha256(self) -> str:
        facts = (self.kind, self.count, self.longest, self.symbols)
        return hashlib.sha256(repr(facts).encode()).hexdigest()
