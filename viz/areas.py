"""Rectangles, and what is near one: found without a look at all the rest."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from itertools import product
from typing import Generic, TypeVar

T = TypeVar("T")
Area = tuple[float, float, float, float]  # left, bottom, right, top


def meet(a: Area, b: Area, slack: float = 0.0) -> bool:
    """Whether two areas overlap by more than `slack` (points); below zero: whether they are nearer than that."""
    return a[0] < b[2] - slack and b[0] < a[2] - slack and a[1] < b[3] - slack and b[1] < a[3] - slack


class Grid(Generic[T]):
    """Things by the cells that their areas lie in."""

    CELL = 100.0

    def __init__(self, things: Iterable[tuple[Area, T]] = ()) -> None:
        self._held: dict[tuple[int, int], list[tuple[int, Area, T]]] = {}
        self._count = 0
        for place, thing in things:
            self.add(place, thing)

    def add(self, place: Area, thing: T) -> None:
        for cell in self._cells(place):
            self._held.setdefault(cell, []).append((self._count, place, thing))
        self._count += 1

    def near(self, place: Area) -> Iterator[tuple[int, Area, T]]:
        """Number, area and thing of all that may meet `place`, each once."""
        seen: set[int] = set()
        for cell in self._cells(place):
            for found in self._held.get(cell, ()):
                if found[0] not in seen:
                    seen.add(found[0])
                    yield found

    def _cells(self, place: Area) -> Iterator[tuple[int, int]]:
        left, bottom, right, top = (math.floor(edge / self.CELL) for edge in place)
        return product(range(left, right + 1), range(bottom, top + 1))
