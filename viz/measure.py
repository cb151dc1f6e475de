"""Sizes of what is drawn, in points, from the words in it."""

from __future__ import annotations

from blockgraph.viz.faces import Face
from blockgraph.viz.figure import Frame
from blockgraph.viz.text import width

LINE, SMALL, WORDS, TIMES, CAPTION = 11.0, 8.0, 12.0, 15.0, 9.0  # font sizes
STANDARD = 126.0  # width of a box whose words fit
CIRCLE, WAVE = 18.72, 25.92  # diameters
SMALL_LEADING = 10.5  # from one small line to the next
BESIDE = 14.0  # from a block to the one beside it


def size(face: Face, least: float = STANDARD) -> tuple[float, float]:
    """Width and height of one block as it is laid out; at least `least` wide if it is a box."""
    wide, high = _upright(face, least)
    return (high, wide) if face.turned else (wide, high)


def _upright(face: Face, least: float) -> tuple[float, float]:
    if face.shape == "circle":
        return CIRCLE, CIRCLE
    if face.shape == "wave":
        return WAVE, WAVE
    small = (*face.small, *face.notes)
    high = leading(face) * len(face.lines) + SMALL_LEADING * len(small)
    if face.shape == "text":
        wide = [width(line, WORDS) for line in face.lines] + [width(line, SMALL) for line in small]
        return max(wide, default=0) + 4, max(high, leading(face))
    wide = [width(line, LINE) for line in face.lines] + [width(line, SMALL) for line in small]
    return max(least, even(max(wide, default=0) + 22)), 12.5 + high


def leading(face: Face) -> float:
    """From one line of a block's words to the next."""
    return 13.7 if face.shape == "text" else 12.0


def even(length: float) -> float:
    """Rounded up to an even number of points, so that halves stay whole."""
    return 2.0 * -(-length // 2)


def beside_size(face: Face) -> tuple[float, float]:
    return size(face, least=56.0)


def outside(frame: Frame) -> float:
    """Width of what stands outside a frame: how often it is stacked, and what it is called; its height where the
    frame is turned."""
    if frame.turned:
        return (TIMES * 1.2 if frame.times else 0.0) + CAPTION * 1.25 * len(frame.caption)
    words = [width(line, CAPTION) for line in frame.caption]
    times = [width(frame.times, TIMES, bold=True)] if frame.times else []
    return max(words + times, default=0)
