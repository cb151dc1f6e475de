"""The fine layout where it is right, and a plainer one where it is not: no picture leaves unchecked."""

from __future__ import annotations

from dataclasses import replace

from blockgraph.viz.check import Problem, problems
from blockgraph.viz.drawing import Drawing, drawing, kept
from blockgraph.viz.figure import Frame
from blockgraph.viz.place import layout
from blockgraph.viz.plain import plain
from blockgraph.viz.turn import lay, turned
from blockgraph.viz.view import DEFAULT, View


def checked_layout(frame: Frame, view: View = DEFAULT) -> tuple[Drawing, str]:
    """The figure with every place known, and a note for those who ask: empty, or why the picture is a plain one."""
    lay(frame, view.direction)
    fine = turned(drawing(layout(frame)), view.direction)
    found = problems(fine)
    if not found:
        return fine, ""
    simple = turned(_plain(frame), view.direction)
    left = problems(simple)
    if len(left) >= len(found):
        return fine, f"the layout breaks {_count(found)}, and a plainer one is no better; please report this"
    return simple, f"one block a row, because the fine layout breaks {_count(found)}"


def _plain(frame: Frame) -> Drawing:
    """The plainer layout; lying on its side it has no room of its own for words at lines, so some may be left out."""
    drawn = plain(frame)
    if frame.turned:
        drawn.words = [replace(words, turned=True) for words in drawn.words]
        drawn.words = kept(drawn)
    return drawn


def _count(found: list[Problem]) -> str:
    more = f" and {len(found) - 1} more" if len(found) > 1 else ""
    return f"a rule: {found[0]}{more}"
