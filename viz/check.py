"""What must hold of every drawing, whatever it shows, found from its places alone.

Not seen here: how a machine's own font is wider than our table of widths, what rounding a corner cuts off, how many
lines cross (they may, at a right angle), and whether every value of the model has its line: tests compare those with
the figure.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice, pairwise

from blockgraph.viz.areas import Area, Grid, meet
from blockgraph.viz.drawing import Drawing, Line, Panel, Placed, Point
from blockgraph.viz.lettering import inside, loose, outside

Piece = tuple[Line, Area]  # a straight piece of a line, a rectangle without width or without height

SLACK = 0.1  # points that rounding may move a thing by
NEAR = 2.0  # lines that are nearer than this look like one


@dataclass(frozen=True)
class Problem:
    """`rule` is what is broken (overlap, through, along, leaves, slanted, frame, end, number); `what` says where."""

    rule: str
    what: str

    def __str__(self) -> str:
        return self.what


def problems(drawn: Drawing) -> list[Problem]:
    """Every rule that the drawing breaks; empty for a clean one."""
    if odd := list(_numbers(drawn)):
        return odd  # nothing else can be said of such places
    return [
        *_overlaps(drawn),
        *_frames(drawn),
        *_fits(drawn),
        *_slanted(drawn),
        *_ends(drawn),
        *_through(drawn),
        *_along(drawn),
    ]


# -- areas, and where they are ----------------------------------------------------------------------------------------


def _holds(outer: Area, inner: Area) -> bool:
    low = outer[0] <= inner[0] + SLACK and outer[1] <= inner[1] + SLACK
    return low and outer[2] >= inner[2] - SLACK and outer[3] >= inner[3] - SLACK


def _words(drawn: Drawing) -> Iterator[tuple[Area, str]]:
    """Every text outside boxes."""
    for said in loose(drawn):
        yield said.area, f"'{said.text}'"
    for panel in drawn.panels():
        for said in outside(panel):
            yield said.area, f"'{said.text}' of {panel.id}"


def _pieces(drawn: Drawing) -> Iterator[Piece]:
    return ((line, piece) for line in drawn.lines for piece in _straights(line))


def _straights(line: Line) -> Iterator[Area]:
    for a, b in pairwise(line.points):
        yield min(a[0], b[0]), min(a[1], b[1]), max(a[0], b[0]), max(a[1], b[1])


def _called(line: Line) -> str:
    return f"{line.source} -> {line.target}"


# -- numbers, boxes, words --------------------------------------------------------------------------------------------


def _numbers(drawn: Drawing) -> Iterator[Problem]:
    """Places that are no places, and lines without length."""
    for box in drawn.boxes():
        if not all(map(math.isfinite, box.area)) or box.width <= 0 or box.height <= 0:
            yield Problem("number", f"{box.id} has no size or no place")
    for panel in drawn.panels():
        if not all(map(math.isfinite, (*panel.box, panel.words))):
            yield Problem("number", f"the frame {panel.id} has no place")
    for said in drawn.words:
        if not all(map(math.isfinite, (said.x, said.y))):
            yield Problem("number", f"'{said.text}' has no place")
    for line in drawn.lines:
        if len(line.points) < 2 or not all(math.isfinite(at) for point in line.points for at in point):
            yield Problem("number", f"{_called(line)} has no way")


def _overlaps(drawn: Drawing) -> Iterator[Problem]:
    """Boxes and words each have their place to themselves."""
    things = [*((box.area, box.id) for box in drawn.boxes()), *_words(drawn)]
    grid = Grid(things)
    for number, (place, name) in enumerate(things):
        for other, there, its in grid.near(place):
            if other > number and meet(place, there, SLACK):
                yield Problem("overlap", f"{name} overlaps {its}")


def _fits(drawn: Drawing) -> Iterator[Problem]:
    """The words in a box are inside it."""
    for box in drawn.boxes():
        for said in inside(box):
            left, _, right, _ = said.area
            if not _holds(box.area, (left, said.y - said.size / 2, right, said.y + said.size / 2)):
                yield Problem("leaves", f"'{said.text}' does not fit into {box.id}")


# -- frames -----------------------------------------------------------------------------------------------------------


def _frames(drawn: Drawing) -> Iterator[Problem]:
    """A frame holds what belongs to it, and nothing else: no other box, frame, text or line."""
    things = Grid([(box.area, box.id) for box in drawn.boxes()] + [(panel.box, panel.id) for panel in drawn.panels()])
    words, pieces = Grid(_words(drawn)), list(_pieces(drawn))
    for panel in drawn.panels():
        inside = {panel.id, *_ids(panel)}
        for place, name in _parts(panel):
            if not _holds(panel.box, place):
                yield Problem("frame", f"{name} sticks out of {panel.id}")
        for _, place, name in things.near(panel.box):
            if name not in inside and meet(panel.box, place, SLACK) and not _holds(place, panel.box):
                yield Problem("frame", f"{name} overlaps the frame {panel.id}")
        for _, place, name in words.near(panel.box):
            if meet(panel.box, place, SLACK) and not _holds(panel.box, place):
                yield Problem("frame", f"{name} lies on the border of {panel.id}")
    yield from _foreign(drawn, pieces)


def _parts(panel: Panel) -> Iterator[tuple[Area, str]]:
    for item in panel.inside:
        yield (item.area if isinstance(item, Placed) else item.box), item.id


def _ids(panel: Panel) -> Iterator[str]:
    """Everything below a frame."""
    for item in panel.inside:
        yield item.id
        if isinstance(item, Panel):
            yield from _ids(item)


def _foreign(drawn: Drawing, pieces: list[Piece]) -> Iterator[Problem]:
    """Lines in frames that they neither come from nor go to, and whose value these do not hand on."""
    panels = list(drawn.panels())
    around: dict[str, set[str]] = {}
    for panel in panels:
        for id in _ids(panel):
            around.setdefault(id, set()).add(panel.id)
    grid = Grid((panel.box, panel.id) for panel in panels)
    for line, piece in pieces:
        own = around.get(line.source, set()) | around.get(line.target, set()) | set(line.through)
        for _, place, name in grid.near(piece):
            if name not in own and _crosses(piece, place):
                yield Problem("frame", f"{_called(line)} runs through the frame {name}")
            elif _on_border(piece, place):
                yield Problem("frame", f"{_called(line)} runs along the border of {name}")


def _crosses(piece: Area, place: Area) -> bool:
    """Whether a piece of a line is strictly inside an area somewhere."""
    flat = piece[0] < place[2] - SLACK and piece[2] > place[0] + SLACK
    return flat and piece[1] < place[3] - SLACK and piece[3] > place[1] + SLACK


def _on_border(piece: Area, place: Area) -> bool:
    for axis in (0, 1):
        beside = min(abs(piece[axis] - place[axis]), abs(piece[axis] - place[axis + 2])) < NEAR
        low = max(piece[1 - axis], place[1 - axis])
        high = min(piece[3 - axis], place[3 - axis])
        if piece[axis] == piece[axis + 2] and beside and high - low > NEAR:
            return True
    return False


# -- lines ------------------------------------------------------------------------------------------------------------


def _slanted(drawn: Drawing) -> Iterator[Problem]:
    for line, (left, bottom, right, top) in _pieces(drawn):
        if right - left > SLACK / 2 and top - bottom > SLACK / 2:
            yield Problem("slanted", f"{_called(line)} is slanted")


def _ends(drawn: Drawing) -> Iterator[Problem]:
    """Every line ends at the rim of its target, and starts at its source's or on a line of the same value."""
    boxes = {box.id: box for box in drawn.boxes()}
    trunks: dict[tuple[str, str], list[Line]] = {}
    for line in drawn.lines:
        trunks.setdefault((line.source, line.value), []).append(line)
    for line in drawn.lines:
        if line.source not in boxes or line.target not in boxes:
            yield Problem("end", f"{_called(line)} has an end that is not there")
            continue
        if not _on_rim(line.points[-1], boxes[line.target]):
            yield Problem("end", f"{_called(line)} does not end at its target")
        others = trunks[line.source, line.value]
        if not _on_rim(line.points[0], boxes[line.source]) and not _on_one(line, others):
            yield Problem("end", f"{_called(line)} does not start at its source")


def _on_rim(point: Point, box: Placed) -> bool:
    if box.face.shape in ("circle", "wave"):
        return abs(math.hypot(point[0] - box.x, point[1] - box.y) - box.width / 2) < 5 * SLACK
    left, bottom, right, top = box.area
    inside = left - SLACK <= point[0] <= right + SLACK and bottom - SLACK <= point[1] <= top + SLACK
    deep = min(point[0] - left, right - point[0], point[1] - bottom, top - point[1])
    return inside and deep < SLACK


def _on_one(line: Line, others: list[Line]) -> bool:
    x, y = line.points[0]
    spot = (x, y, x, y)
    return any(meet(spot, piece, -SLACK) for other in others if other is not line for piece in _straights(other))


def _through(drawn: Drawing) -> Iterator[Problem]:
    """No line runs through a box or a text."""
    boxes = Grid((box.area, box) for box in drawn.boxes())
    words = Grid(_words(drawn))
    for line, piece in _pieces(drawn):
        for _, place, box in boxes.near(piece):
            if _pierces(piece, place, box):
                yield Problem("through", f"{_called(line)} runs through {box.id}")
        for _, place, name in words.near(piece):
            if _crosses(piece, place):
                yield Problem("through", f"{_called(line)} runs through {name}")


def _pierces(piece: Area, place: Area, box: Placed) -> bool:
    if box.face.shape not in ("circle", "wave"):
        return _crosses(piece, place)
    near_x = min(max(box.x, piece[0]), piece[2])
    near_y = min(max(box.y, piece[1]), piece[3])
    return math.hypot(near_x - box.x, near_y - box.y) < box.width / 2 - NEAR


def _along(drawn: Drawing) -> Iterator[Problem]:
    """Lines of different values may cross, but never run on top of each other."""
    for axis in (0, 1):
        straight = [
            (piece[axis], piece[1 - axis], piece[3 - axis], line)
            for line, piece in _pieces(drawn)
            if piece[axis] == piece[axis + 2]
        ]
        for rail in _rails(sorted(straight, key=lambda found: found[0])):
            yield from _on_each_other(sorted(rail, key=lambda found: found[1]))


Run = tuple[float, float, float, Line]  # where a straight piece is, from where, to where


def _rails(straight: list[Run]) -> Iterator[list[Run]]:
    """Parallel pieces, sorted, in groups that are further apart than lines may be."""
    rail: list[Run] = []
    for run in straight:
        if rail and run[0] - rail[-1][0] >= NEAR:
            yield rail
            rail = []
        rail.append(run)
    if rail:
        yield rail


def _on_each_other(rail: list[Run]) -> Iterator[Problem]:
    for number, (at, _, high, line) in enumerate(rail):
        for there, low, to, other in islice(rail, number + 1, None):
            if low > high - 10 * SLACK:
                break
            same = (line.source, line.value) == (other.source, other.value)
            if not same and abs(at - there) < NEAR and min(high, to) - low > 10 * SLACK:
                yield Problem("along", f"{_called(line)} runs on {_called(other)}")
