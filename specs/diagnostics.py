"""A diagnostic is data; text, JSON and GitHub annotations are renderings of it (`render.py`)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from blockgraph.specs.places import Span

Severity = Literal["error", "warning"]


@dataclass(frozen=True, slots=True)
class Related:
    """A second place that explains the first: `the width comes from gpt.yaml:3:15`."""

    message: str
    span: Span


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One thing that is wrong: what (`code`, `message`), where (`span`), how to mend it (`help`).

    `context` says which node of the built graph it is about (`in decoder (Layer × 12) → attn`), where that is not plain
    from the place. `code` is one of `codes.CODES`.
    """

    code: str
    message: str
    span: Span | None = None
    help: str | None = None
    context: str | None = None
    related: tuple[Related, ...] = ()
    severity: Severity = "error"


@dataclass(slots=True)
class Diagnostics:
    """Collects diagnostics; the same code at the same place counts once (copies of a block repeat its errors)."""

    found: dict[tuple[object, ...], Diagnostic] = field(default_factory=dict)

    def add(self, diagnostic: Diagnostic) -> None:
        span = diagnostic.span
        place = (id(span.source), span.line, span.column) if span else (diagnostic.message,)
        self.found.setdefault((diagnostic.code, *place), diagnostic)

    def error(
        self,
        code: str,
        message: str,
        span: Span | None = None,
        *,
        help: str | None = None,
        context: str | None = None,
        related: tuple[Related, ...] = (),
    ) -> None:
        self.add(Diagnostic(code, message, span, help, context, related))

    def warning(self, code: str, message: str, span: Span | None = None, *, help: str | None = None) -> None:
        self.add(Diagnostic(code, message, span, help, severity="warning"))

    def __iter__(self) -> Iterator[Diagnostic]:
        """By source in the order in which it was first seen, then by line and column."""
        order: dict[int, int] = {}
        for diagnostic in self.found.values():
            order.setdefault(id(diagnostic.span.source) if diagnostic.span else 0, len(order))

        def place(diagnostic: Diagnostic) -> tuple[int, int, int]:
            span = diagnostic.span
            return (order[id(span.source)], span.line, span.column) if span else (order[0], 0, 0)

        return iter(sorted(self.found.values(), key=place))

    @property
    def has_errors(self) -> bool:
        return any(d.severity == "error" for d in self.found.values())

    def raise_errors(self) -> None:
        """Raises `SpecError` with everything found so far, if an error is among it."""
        if self.has_errors:
            raise SpecError(list(self))


class BlockgraphError(Exception):
    """Every error that blockgraph raises on purpose. The command line prints it and exits with `exit_code`."""

    exit_code = 2


class SpecError(BlockgraphError):
    """A spec was refused. `diagnostics` holds all that was found, warnings too."""

    def __init__(self, diagnostics: list[Diagnostic]) -> None:
        self.diagnostics = diagnostics
        super().__init__(diagnostics)

    def __str__(self) -> str:
        from blockgraph.specs.render import render_text

        return render_text(self.diagnostics)
