"""What commands that write texts share: how many new tokens, and how the best text is searched."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from blockgraph.specs.diagnostics import BlockgraphError

F = TypeVar("F", bound=Callable[..., Any])


def with_writing(most: int) -> Callable[[F], F]:
    """Adds `--max-new`, `most` where nothing else is said, `--beams` and `--length-penalty`."""
    options = (
        click.option("--max-new", type=click.IntRange(0), default=most, show_default=True, help="New tokens at most."),
        click.option(
            "--beams", type=click.IntRange(1), default=1, help="Search for the best text with that many beams."
        ),
        click.option(
            "--length-penalty", type=float, help="Beams: above 0 longer texts, below 0 shorter ones.  [default: 1]"
        ),
    )

    def add(command: F) -> F:
        for option in reversed(options):
            command = option(command)
        return command

    return add


def searching(beams: int, length_penalty: float | None) -> dict[str, Any]:
    """The options of a search; none where a text is written token by token. Raises `BlockgraphError` where the penalty
    has nothing to compare."""
    if length_penalty is not None and beams == 1:
        raise BlockgraphError("--length-penalty compares finished beams: give --beams 2 or more")
    return {} if beams == 1 else {"beams": beams, "length_penalty": 1.0 if length_penalty is None else length_penalty}
