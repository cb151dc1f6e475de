"""Drawings that flow another way than up: down is up mirrored; sideways is laid out with every block lying on its side,
then stood up again, so that words stay level and have the room that they need."""

from __future__ import annotations

from dataclasses import replace

from blockgraph.viz.drawing import Drawing, Panel, Placed, Words
from blockgraph.viz.faces import Face
from blockgraph.viz.figure import Box, Frame
from blockgraph.viz.view import Direction

SIDEWAYS: tuple[Direction, ...] = ("right", "left")


def lay(frame: Frame, direction: Direction) -> Frame:
    """The figure as the layout wants it for that direction; changed in place."""
    for item in (frame, *frame.walk()) if direction in SIDEWAYS else ():
        if isinstance(item, Box):
            item.face = _face(item.face, True)
        else:
            item.turned = True
    return frame


def _face(face: Face, turned: bool) -> Face:
    return replace(face, turned=turned, beside=_face(face.beside, turned) if face.beside is not None else None)


def turned(drawn: Drawing, direction: Direction) -> Drawing:
    """A drawing that was laid out upwards, flowing in that direction. What was left is above if it flows sideways."""
    if direction == "up":
        return drawn
    items = [_item(item, direction) for item in drawn.items]
    lines = [replace(line, points=tuple(_point(x, y, direction) for x, y in line.points)) for line in drawn.lines]
    return Drawing(items, lines, [_words(words, direction) for words in drawn.words], drawn.note)


def _point(x: float, y: float, direction: Direction) -> tuple[float, float]:
    match direction:
        case "down":
            return x, -y
        case "right":
            return y, -x
        case "left":
            return -y, -x
    return x, y


def _item(item: Placed | Panel, direction: Direction) -> Placed | Panel:
    side = direction in SIDEWAYS
    if isinstance(item, Placed):
        x, y = _point(item.x, item.y, direction)
        wide, high = (item.height, item.width) if side else (item.width, item.height)
        return Placed(item.id, _face(item.face, False), x, y, wide, high)
    left, bottom, right, top = item.box
    (a, b), (c, d) = _point(left, bottom, direction), _point(right, top, direction)
    inside = tuple(_item(inner, direction) for inner in item.inside)
    box = (min(a, c), min(b, d), max(a, c), max(b, d))
    return replace(item, box=box, words=-item.words if side else item.words, inside=inside, turned=side)


def _words(words: Words, direction: Direction) -> Words:
    if direction not in SIDEWAYS:
        return replace(words, y=-words.y, low=-words.high, high=-words.low)
    across, along = words.size
    x, y = _point(words.x + across / 2, words.y, direction)
    return Words(words.text, x - along / 2, y)
