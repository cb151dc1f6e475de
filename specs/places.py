"""Where something is written: a source text and a span inside it."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property


@dataclass(frozen=True, eq=False)
class Source:
    """One text that was read: a file, a preset, or a `--set` on the command line.

    `name` is what messages show (the path as the user gave it); `extended_by` is the place of the `extends:` that
    brought this text in, or None for the text that the user named.
    """

    name: str
    text: str = field(repr=False)
    extended_by: Span | None = field(default=None, repr=False)

    @cached_property
    def lines(self) -> list[str]:
        return self.text.splitlines()

    def line(self, number: int) -> str:
        """Line `number` (1-based) without its line end; empty beyond the end."""
        return self.lines[number - 1] if 0 < number <= len(self.lines) else ""


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of a source. Lines and columns are 1-based, the end is exclusive, columns count characters."""

    source: Source
    line: int
    column: int
    end_line: int
    end_column: int

    def __str__(self) -> str:
        return f"{self.source.name}:{self.line}:{self.column}"
