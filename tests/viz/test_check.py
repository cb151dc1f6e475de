"""The checker finds every way in which we can spoil a drawing, and nothing in drawings that are right."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from random import Random

import pytest

from blockgraph.viz.check import _slanted, problems
from blockgraph.viz.checked import checked_layout
from blockgraph.viz.draw import compose
from blockgraph.viz.drawing import Drawing, Line, Panel, Placed, Words
from blockgraph.viz.faces import Face
from blockgraph.viz.sketch import sketch
from tests.viz.handmade import model, preset
from tests.viz.towers import towers


@pytest.fixture(scope="module")
def composed() -> Drawing:
    return compose(preset("transformer-base"))


@pytest.fixture
def drawn(composed: Drawing) -> Drawing:
    return Drawing(list(composed.items), list(composed.lines), list(composed.words))


def rules(drawn: Drawing) -> set[str]:
    return {problem.rule for problem in problems(drawn)}


def change(drawn: Drawing, id: str, spoil: Callable[[Placed], Placed]) -> None:
    """Replaces one box, wherever it is."""

    def item(it: Placed | Panel) -> Placed | Panel:
        if isinstance(it, Panel):
            return replace(it, inside=tuple(map(item, it.inside)))
        return spoil(it) if it.id == id else it

    drawn.items = list(map(item, drawn.items))


def reframe(drawn: Drawing, spoil: Callable[[Panel], Panel]) -> None:
    """Replaces the first frame."""
    at = next(number for number, item in enumerate(drawn.items) if isinstance(item, Panel))
    drawn.items[at] = spoil(drawn.items[at])  # type: ignore[arg-type]


def reline(drawn: Drawing, source: str, target: str, spoil: Callable[[Line], Line]) -> None:
    ends = (source, target)
    drawn.lines = [spoil(line) if (line.source, line.target) == ends else line for line in drawn.lines]


def test_a_clean_drawing_has_no_problems(drawn: Drawing) -> None:
    assert problems(drawn) == []


def test_a_box_moved_onto_another(drawn: Drawing) -> None:
    boxes = {box.id: box for box in drawn.boxes()}
    change(drawn, "encoder.ffn", lambda box: replace(box, y=boxes["encoder.norm1"].y + 5))
    found = problems(drawn)
    assert "encoder.norm1 overlaps encoder.ffn" in {str(problem) for problem in found if problem.rule == "overlap"}
    assert {"end", "through"} <= {problem.rule for problem in found}


@pytest.mark.parametrize("by", [1.0, -1.0, 40.0])
def test_a_box_moved_off_its_lines(drawn: Drawing, by: float) -> None:
    change(drawn, "logits", lambda box: replace(box, y=box.y + by))
    assert "end" in rules(drawn)


def test_a_box_moved_out_of_its_frame(drawn: Drawing) -> None:
    change(drawn, "encoder.norm2", lambda box: replace(box, x=box.x - 300))
    assert "encoder.norm2 sticks out of encoder" in map(str, problems(drawn))


def test_a_strange_box_in_a_frame(drawn: Drawing) -> None:
    frame = next(drawn.panels()).box
    drawn.items.append(Placed("stranger", Face("io", ("x",), shape="text"), frame[0] + 8, frame[3] - 8, 10, 14))
    assert "stranger overlaps the frame encoder" in map(str, problems(drawn))


@pytest.mark.parametrize("side", range(4))
def test_a_frame_made_smaller(drawn: Drawing, side: int) -> None:
    by = 40.0 if side < 2 else -40.0
    reframe(drawn, lambda it: replace(it, box=tuple(x + by * (n == side) for n, x in enumerate(it.box))))  # type: ignore[arg-type]
    assert "frame" in rules(drawn)


def test_a_frame_over_another(drawn: Drawing) -> None:
    reframe(drawn, lambda it: replace(it, box=(it.box[0], it.box[1], it.box[2] + 60, it.box[3])))
    assert "decoder overlaps the frame encoder" in map(str, problems(drawn))


def test_a_label_made_longer(drawn: Drawing) -> None:
    change(
        drawn, "encoder.norm1", lambda box: replace(box, face=replace(box.face, lines=("A name that is far too long",)))
    )
    assert "'A name that is far too long' does not fit into encoder.norm1" in map(str, problems(drawn))


def test_more_lines_than_a_box_holds(drawn: Drawing) -> None:
    change(drawn, "encoder.norm1", lambda box: replace(box, face=replace(box.face, lines=("Norm",) * 4)))
    assert rules(drawn) == {"leaves"}


def test_a_shape_on_a_box_on_another_shape_and_on_a_border(drawn: Drawing) -> None:
    box = next(box for box in drawn.boxes() if box.id == "logits")
    frame = next(drawn.panels()).box
    first = drawn.words[0]
    drawn.words += [
        Words("[B, T]", box.x, box.y),
        replace(first, x=first.x + 2),
        Words("[B]", frame[0] - 4, frame[1] + 60),
    ]
    found = set(map(str, problems(drawn)))
    assert {
        "logits overlaps '[B, T]'",
        f"'{first.text}' overlaps '{first.text}'",
        "'[B]' lies on the border of encoder",
    } <= found


def test_words_outside_a_frame_moved_onto_it(drawn: Drawing) -> None:
    reframe(drawn, lambda it: replace(it, words=it.box[0] + 4))
    assert {"frame", "through"} & rules(drawn)


def test_a_line_through_a_box(drawn: Drawing) -> None:
    boxes = {box.id: box for box in drawn.boxes()}
    middle = boxes["encoder.ffn"]

    def straight(line: Line) -> Line:
        return replace(line, points=((middle.x, line.points[0][1]), (middle.x, boxes[line.target].y)))

    reline(drawn, "encoder.norm1", "encoder.norm2", straight)
    assert "encoder.norm1 -> encoder.norm2 runs through encoder.ffn" in map(str, problems(drawn))


def test_a_line_through_a_label(drawn: Drawing) -> None:
    label = drawn.words[0]
    line = Line("src", "embed", ((label.x - 20, label.y), (label.x + 60, label.y)))
    drawn.lines.append(line)
    assert f"src -> embed runs through '{label.text}'" in map(str, problems(drawn))


def test_a_line_through_a_strange_frame(drawn: Drawing) -> None:
    left, bottom, right, top = next(drawn.panels()).box
    drawn.lines.append(Line("src", "embed", ((left - 9, top - 5), (right + 9, top - 5))))
    drawn.lines.append(Line("src", "embed", ((left, bottom - 9), (left, top + 9))))
    found = set(map(str, problems(drawn)))
    assert {"src -> embed runs through the frame encoder", "src -> embed runs along the border of encoder"} <= found


def test_a_slanted_line(drawn: Drawing) -> None:
    x, y = drawn.lines[0].points[0]
    drawn.lines[0] = replace(drawn.lines[0], points=((x + 1, y + 1), *drawn.lines[0].points[1:]))
    assert "slanted" in rules(drawn)


def test_lines_of_two_values_on_each_other(drawn: Drawing) -> None:
    line = next(line for line in drawn.lines if line.source == "encoder.norm1")
    drawn.lines.append(replace(line, source="encoder.ffn"))
    assert "along" in rules(drawn)
    drawn.lines[-1] = replace(line, value="other")
    assert "along" in rules(drawn)


def test_a_line_that_ends_early_or_starts_nowhere(drawn: Drawing) -> None:
    line = next(line for line in drawn.lines if (line.source, line.target) == ("logits", "logits:out"))
    (x, low), (_, high) = line.points
    for points in (((x, low), (x, high - 3)), ((x, low + 3), (x, high))):
        drawn.lines[drawn.lines.index(line)] = spoilt = replace(line, points=points)
        assert rules(drawn) == {"end"}
        drawn.lines[drawn.lines.index(spoilt)] = line
    drawn.lines.append(Line("nobody", "logits", line.points))
    assert "nobody -> logits has an end that is not there" in map(str, problems(drawn))


@pytest.mark.parametrize("number", [math.nan, math.inf])
def test_places_that_are_none(drawn: Drawing, number: float) -> None:
    drawn.words.append(Words("[B]", number, 0.0))
    assert rules(drawn) == {"number"}
    drawn.words.pop()
    change(drawn, "logits", lambda box: replace(box, width=number))
    reframe(drawn, lambda it: replace(it, words=number))
    drawn.lines.append(Line("src", "embed", ((number, 0.0), (0.0, 0.0))))
    assert {str(problem) for problem in problems(drawn)} == {
        "logits has no size or no place",
        "the frame encoder has no place",
        "src -> embed has no way",
    }


def test_crossing_lines_are_right() -> None:
    face = Face("io", ("a",), shape="text")
    boxes = [Placed(id, face, x, y, 20, 14) for id, x, y in (("a", 0, -40), ("b", 0, 40), ("c", -40, 0), ("d", 40, 0))]
    lines = [Line("a", "b", ((0, -33), (0, 33))), Line("c", "d", ((-30, 0), (30, 0)))]
    assert problems(Drawing(list(boxes), lines)) == []


@pytest.mark.parametrize("seed", range(8))
def test_whatever_is_moved_in_any_drawing_is_found(seed: int) -> None:
    """Each box with a line, moved along it; each corner of a line, moved off it."""
    drawn = checked_layout(sketch(model(towers(Random(seed)))))[0]
    assert problems(drawn) == []
    ends = {end for line in drawn.lines for end in (line.source, line.target)}
    for box in [box for box in drawn.boxes() if box.id in ends]:
        spoilt = Drawing(list(drawn.items), drawn.lines, drawn.words)
        change(spoilt, box.id, lambda it: replace(it, x=it.x + 0.7 * it.width, y=it.y + 0.7 * it.height))
        assert problems(spoilt), box.id
    for number, line in enumerate(drawn.lines):
        for at, (x, y) in enumerate(line.points):
            points = (*line.points[:at], (x + 3, y + 3), *line.points[at + 1 :])
            lines = [*drawn.lines[:number], replace(line, points=points), *drawn.lines[number + 1 :]]
            assert "slanted" in {problem.rule for problem in _slanted(Drawing(drawn.items, lines))}
