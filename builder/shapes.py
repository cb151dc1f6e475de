"""Symbolic sizes and the values that flow along edges. No torch.

A size is an integer or a sum of terms such as `T`, `T+16`, `(T-1)//2+1`: enough for what concat, split and strided
convolutions do to an axis. Legend of axes: B batch, S source positions, T target positions, and what a spec names.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal, Union


@dataclass(frozen=True, slots=True)
class Floor:
    """`size // by`, a term that cannot be split further."""

    size: Size
    by: int

    def __str__(self) -> str:
        return f"({self.size})//{self.by}"


Term = Union[str, Floor]  # noqa: UP007 (Floor refers to Size, which refers to Term)


@dataclass(frozen=True, slots=True)
class Size:
    """`constant + Σ factor · term`, kept in one canonical order, so that equal sizes compare equal."""

    constant: int = 0
    terms: tuple[tuple[Term, int], ...] = ()

    @classmethod
    def of(cls, value: int | str | Size) -> Size:
        if isinstance(value, Size):
            return value
        return cls(0, ((value, 1),)) if isinstance(value, str) else cls(value)

    @property
    def known(self) -> int | None:
        """The integer, where no symbol is left."""
        return None if self.terms else self.constant

    @property
    def symbols(self) -> frozenset[str]:
        found: set[str] = set()
        for term, _ in self.terms:
            found |= {term} if isinstance(term, str) else term.size.symbols
        return frozenset(found)

    def __add__(self, other: int | Size) -> Size:
        other = Size.of(other)
        factors: dict[Term, int] = dict(self.terms)
        for term, factor in other.terms:
            factors[term] = factors.get(term, 0) + factor
        terms = tuple(sorted(((t, f) for t, f in factors.items() if f), key=lambda pair: str(pair[0])))
        return Size(self.constant + other.constant, terms)

    def __sub__(self, other: int | Size) -> Size:
        return self + Size.of(other) * -1

    def __mul__(self, by: int) -> Size:
        return Size(self.constant * by, tuple((t, f * by) for t, f in self.terms) if by else ())

    def __floordiv__(self, by: int) -> Size:
        if self.constant % by == 0 and all(f % by == 0 for _, f in self.terms):
            return Size(self.constant // by, tuple((t, f // by) for t, f in self.terms))
        return Size(0, ((Floor(self, by), 1),)) if self.terms else Size(self.constant // by)

    def at(self, sizes: Mapping[str, Size | int]) -> Size:
        """The size with symbols replaced; symbols that `sizes` lacks stay."""
        result = Size(self.constant)
        for term, factor in self.terms:
            value = term.size.at(sizes) // term.by if isinstance(term, Floor) else Size.of(sizes.get(term, term))
            result = result + value * factor
        return result

    def __int__(self) -> int:
        if self.terms:
            raise ValueError(f"{self} is symbolic")
        return self.constant

    def __str__(self) -> str:
        text = ""
        for term, factor in self.terms:
            sign = ("-" if factor < 0 else "+") if text else ("-" if factor < 0 else "")
            name = str(term)
            text += sign + (name if abs(factor) == 1 else f"{abs(factor)}*{name}")
        if self.constant or not text:
            text += f"{self.constant:+d}" if text else str(self.constant)
        return text


DType = Literal["float", "int", "bool"]


@dataclass(frozen=True, slots=True)
class Value:
    """What an edge carries: a tensor known by shape and type only.

    `mask` names the padding mask of its position axis (None: no padding); ids also carry how many different ones there
    are (`vocabulary`) and which one is padding (`pad`).
    """

    shape: tuple[Size, ...]
    dtype: DType = "float"
    mask: str | None = None
    vocabulary: int | None = None
    pad: int | None = None

    @classmethod
    def of(cls, *shape: int | str | Size, dtype: DType = "float", mask: str | None = None) -> Value:
        return cls(tuple(Size.of(size) for size in shape), dtype, mask)

    @property
    def rank(self) -> int:
        return len(self.shape)

    @property
    def width(self) -> int:
        """The feature size, the last axis. Raises ValueError where it is symbolic or the value is a scalar."""
        if not self.shape:
            raise ValueError("a scalar has no features")
        return int(self.shape[-1])

    def widened(self, width: int | Size) -> Value:
        """The same positions with another feature size."""
        return replace(self, shape=(*self.shape[:-1], Size.of(width)), dtype="float", vocabulary=None, pad=None)

    def at(self, sizes: Mapping[str, Size | int]) -> Value:
        return replace(self, shape=tuple(size.at(sizes) for size in self.shape))

    @property
    def numbers(self) -> int:
        """How many numbers it holds. Raises ValueError while an axis is symbolic."""
        count = 1
        for size in self.shape:
            count *= int(size)
        return count

    def __str__(self) -> str:
        return "[" + ", ".join(map(str, self.shape)) + "]"
