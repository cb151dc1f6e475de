"""Sizes of what is drawn, in points, from the words in it."""

from __future__ import annotations

from blockgraph.viz.faces import Face
from blockgraph.viz.figure import Frame
from blockgraph.viz.text import width

LINE, SMALL, WORDS, TIMES, CAPTION = 11.0, 8.0, 12.0, 15.0, 9.0  # font sizes
STANDARD = 126.0  # width of a box whose words fit
CIRCLE, WAVE = 18.72, 25.92  # diameters
BESIDE = 14.0  # from a block to the one beside it


def size(face: Face, least: float = STANDARD) -> tuple[float, float]:
    """Width and height of one block, at least `least` wide if it is a box."""
    if face.shape == "circle":
        return CIRCLE, CIRCLE
    if face.shape == "wave":
        return WAVE, WAVE
    if face.shape == "text":
        return max((width(line, WORDS) for line in face.lines), default=0) + 4, 13.7 * max(len(face.lines), 1)
    wide = max([width(line, LINE) for line in face.lines] + [width(line, SMALL) for line in face.small], default=0)
    return max(least, even(wide + 22)), 12.5 + 12 * len(face.lines) + 10.5 * len(face.small)


def even(length: float) -> float:
    """Rounded up to an even number of points, so that halves stay whole."""
    return 2.0 * -(-length // 2)


def beside_size(face: Face) -> tuple[float, float]:
    return size(face, least=56.0)


def outside(frame: Frame) -> float:
    """Width of what stands outside a frame: how often it is stacked, and what it is called."""
    words = [width(line, CAPTION) for line in frame.caption]
    times = [width(frame.times, TIMES, bold=True)] if frame.times else []
    return max(words + times, default=0)
