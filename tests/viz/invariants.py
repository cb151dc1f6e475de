"""What must hold of every drawing, whatever it shows."""

from __future__ import annotations

from itertools import combinations

from blockgraph.viz.drawing import Drawing, Panel, Placed

Area = tuple[float, float, float, float]


def area(box: Placed) -> Area:
    return box.x - box.width / 2, box.y - box.height / 2, box.x + box.width / 2, box.y + box.height / 2


def overlap(a: Area, b: Area) -> bool:
    return a[0] < b[2] - 0.1 and b[0] < a[2] - 0.1 and a[1] < b[3] - 0.1 and b[1] < a[3] - 0.1


def problems(drawn: Drawing) -> list[str]:
    """Every rule that the drawing breaks, in words; empty for a clean one."""
    return [*_boxes(drawn), *_frames(drawn), *_lines(drawn), *_shared(drawn), *_words(drawn)]


def _boxes(drawn: Drawing) -> list[str]:
    return [f"{a.id} overlaps {b.id}" for a, b in combinations(drawn.boxes(), 2) if overlap(area(a), area(b))]


def _frames(drawn: Drawing) -> list[str]:
    found = []
    for panel in drawn.panels():
        inner = {item.id for item in _inside(panel)}
        for box in drawn.boxes():
            if box.id in inner and not _holds(panel.box, area(box)):
                found.append(f"{box.id} sticks out of {panel.id}")
            if box.id not in inner and overlap(panel.box, area(box)):
                found.append(f"{box.id} overlaps the frame {panel.id}")
    return found


def _inside(panel: Panel) -> list[Placed]:
    return [box for item in panel.inside for box in ([item] if isinstance(item, Placed) else _inside(item))]


def _holds(outer: Area, inner: Area) -> bool:
    return outer[0] <= inner[0] and outer[1] <= inner[1] and outer[2] >= inner[2] and outer[3] >= inner[3]


def _lines(drawn: Drawing) -> list[str]:
    found = []
    boxes = {box.id: box for box in drawn.boxes()}
    for line in drawn.lines:
        name = f"{line.source} -> {line.target}"
        for a, b in zip(line.points, line.points[1:], strict=False):
            if abs(a[0] - b[0]) > 0.05 and abs(a[1] - b[1]) > 0.05:
                found.append(f"{name} is slanted")
            segment = (min(a[0], b[0]), min(a[1], b[1]), max(a[0], b[0]), max(a[1], b[1]))
            found += [f"{name} runs through {box.id}" for box in boxes.values() if _pierces(segment, area(box))]
        x, y = line.points[-1]
        left, bottom, right, top = area(boxes[line.target])
        if not (left - 0.1 <= x <= right + 0.1 and bottom - 0.1 <= y <= top + 0.1):
            found.append(f"{name} does not end at its target")
    return found


def _pierces(segment: Area, box: Area) -> bool:
    """Strictly through the inside; ending on the rim (or, on a circle, a little within the square around it) is
    fine."""
    left, bottom, right, top = box[0] + 4, box[1] + 4, box[2] - 4, box[3] - 4
    return segment[0] < right and segment[2] > left and segment[1] < top and segment[3] > bottom


def _shared(drawn: Drawing) -> list[str]:
    """Lines of different sources may cross, but never run on top of each other."""
    found = []
    pieces = [(line, a, b) for line in drawn.lines for a, b in zip(line.points, line.points[1:], strict=False)]
    for (line, a, b), (other, c, d) in combinations(pieces, 2):
        if line.source == other.source:
            continue
        for axis in (0, 1):
            if abs(a[axis] - b[axis]) < 0.05 and abs(c[axis] - d[axis]) < 0.05 and abs(a[axis] - c[axis]) < 2:
                low, high = (
                    max(min(a[1 - axis], b[1 - axis]), min(c[1 - axis], d[1 - axis])),
                    min(max(a[1 - axis], b[1 - axis]), max(c[1 - axis], d[1 - axis])),
                )
                if high - low > 1:
                    found.append(f"{line.source} -> {line.target} runs on {other.source} -> {other.target}")
    return found


def _words(drawn: Drawing) -> list[str]:
    from blockgraph.viz.measure import SMALL
    from blockgraph.viz.text import width

    areas = [
        (words.text, (words.x, words.y - 4, words.x + width(words.text, SMALL), words.y + 4)) for words in drawn.words
    ]
    return [f"{text} lies on {box.id}" for text, at in areas for box in drawn.boxes() if overlap(at, area(box))]
