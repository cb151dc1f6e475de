"""The words of a drawing, each line with the place of its middle: the same for every painter."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from blockgraph.viz.areas import Area
from blockgraph.viz.drawing import Drawing, Panel, Placed
from blockgraph.viz.measure import CAPTION, LINE, SMALL, SMALL_LEADING, TIMES, WORDS, leading
from blockgraph.viz.text import width

Role = Literal["line", "small", "note", "sign", "times", "caption", "shape", "title"]
SIGN = 15.0  # font size of what stands in a circle
BASELINE = 0.35  # of the font size, from the middle of a line down to its baseline
UNDER = 14.0  # from a picture down to the middle of its title


@dataclass(frozen=True)
class Said:
    """One line of words; x and y are its middle. `role` says what it is, hence its colour."""

    text: str
    x: float
    y: float
    size: float
    role: Role

    @property
    def bold(self) -> bool:
        return self.role == "times"

    @property
    def width(self) -> float:
        return width(self.text, self.size, bold=self.bold)

    @property
    def area(self) -> Area:
        half, high = self.width / 2, self.size * 0.6
        return self.x - half, self.y - high, self.x + half, self.y + high


def inside(box: Placed) -> Iterator[Said]:
    """The words in a block, from top to bottom: its lines, what is set smaller, what differs."""
    face = box.face
    if face.shape == "circle":
        yield from (Said(sign, box.x, box.y, SIGN, "sign") for sign in face.lines[:1])
        return
    step, size = leading(face), WORDS if face.shape == "text" else LINE
    small: list[tuple[str, Role]] = [*((line, "small") for line in face.small), *((n, "note") for n in face.notes)]
    y = box.y + (step * len(face.lines) + SMALL_LEADING * len(small)) / 2
    for line in face.lines:
        yield Said(line, box.x, y - step / 2, size, "line")
        y -= step
    for line, role in small:
        yield Said(line, box.x, y - SMALL_LEADING / 2, SMALL, role)
        y -= SMALL_LEADING


def outside(panel: Panel) -> Iterator[Said]:
    """How often a frame is stacked, bold, and below it what it is called."""
    left, bottom, right, top = panel.box
    x, y = ((left + right) / 2, panel.words) if panel.turned else (panel.words, (bottom + top) / 2)
    y += 5.5 * len(panel.caption)
    if panel.times:
        yield Said(panel.times, x, y, TIMES, "times")
        y -= 9
    for number, line in enumerate(panel.caption):
        yield Said(line, x, y - 11 * number - 5.5, CAPTION, "caption")


def loose(drawn: Drawing) -> Iterator[Said]:
    """What stands at lines: shapes, and which copy is read."""
    for words in drawn.words:
        yield Said(words.text, words.x + width(words.text, SMALL) / 2, words.y, SMALL, "shape")


def every(drawn: Drawing) -> Iterator[Said]:
    """All words of a drawing."""
    for box in drawn.boxes():
        yield from inside(box)
    for panel in drawn.panels():
        yield from outside(panel)
    yield from loose(drawn)


def title(drawn: Drawing, words: str) -> Said:
    """The picture's title, centred under it."""
    left, bottom, right, _ = extent(drawn)
    return Said(words, (left + right) / 2, bottom - UNDER, WORDS, "title")


def extent(drawn: Drawing, more: tuple[Said, ...] = ()) -> Area:
    """Left, bottom, right and top of all that is painted."""
    areas = [box.area for box in drawn.boxes()] + [panel.box for panel in drawn.panels()]
    areas += [(x, y, x, y) for line in drawn.lines for x, y in line.points]
    areas += [said.area for said in (*every(drawn), *more)]
    lefts, bottoms, rights, tops = zip(*(areas or [(0.0, 0.0, 0.0, 0.0)]), strict=True)
    return min(lefts), min(bottoms), max(rights), max(tops)
