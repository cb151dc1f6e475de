"""How much of a model a picture shows, and in which look."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Direction = Literal["up", "down", "right", "left"]
DIRECTIONS: tuple[Direction, ...] = ("up", "down", "right", "left")
THEMES = ("paper", "dark", "cvd", "mono", "auto")
ALL = 1_000_000  # a depth that opens everything, built-in blocks too


@dataclass(frozen=True, slots=True)
class View:
    """`depth`: how many blocks inside blocks are opened; 0 leaves the outermost nodes closed, `ALL` opens everything,
    built-in blocks too (None: what reads best, which is every block of the spec's own). `open` and `close`: paths of
    nodes that are, or are not, whatever the depth says; a built-in block opens into its own parts. A path holds for all
    copies of a repeated block; with `unroll`, which draws copies one by one, `decoder.0.attn` is one copy's. `prefix`:
    what the ids in an SVG start with, so that several figures can share a page."""

    depth: int | None = None
    open: tuple[str, ...] = ()
    close: tuple[str, ...] = ()
    unroll: bool = False
    shapes: bool = True
    params: bool = True
    direction: Direction = "up"
    theme: str = "paper"
    font: str | None = None
    title: str | None = None
    prefix: str | None = None


DEFAULT = View()
