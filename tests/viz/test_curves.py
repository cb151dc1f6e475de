"""Lines: rounded corners, arrow heads, the same for Graphviz and SVG."""

from __future__ import annotations

import re

import pytest

from blockgraph.viz.curves import RADIUS, TIP, bezier, head, path, spline, wave, wave_path

BENT = [(0.0, 0.0), (0.0, 50.0), (30.0, 50.0)]


def numbers(text: str) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in re.findall(r"(-?[\d.]+),(-?[\d.]+)", text)]


def test_a_corner_is_a_quarter_turn_of_the_radius() -> None:
    controls = bezier(BENT)
    assert len(controls) == 3 * 3 + 1
    assert [controls[3], controls[6]] == [(0, 50 - RADIUS), (RADIUS, 50)]


def test_a_short_run_has_a_smaller_corner() -> None:
    controls = bezier([(0, 0), (0, 4), (30, 4)])
    assert [controls[3], controls[6]] == [(0, 2), (2, 4)]


def test_svg_and_graphviz_take_the_same_way() -> None:
    svg, dot = numbers(path(BENT)), numbers(spline(BENT))[1:]
    assert svg[0] == dot[0] and svg[1:5] == dot[3:7] and svg[-1] == dot[-1] == (30 - TIP, 50)


@pytest.mark.parametrize("end", [(9.0, 0.0), (-9.0, 0.0), (0.0, 9.0), (0.0, -9.0)])
def test_an_arrow_points_where_its_line_goes(end: tuple[float, float]) -> None:
    tip, one, other = numbers(head([(0, 0), end]))
    along = 0 if end[0] else 1
    assert abs(tip[along]) > abs(one[along]) == abs(other[along]) and tip[1 - along] == 0
    assert one[1 - along] == -other[1 - along] != 0
    assert abs(tip[along]) < 9 and tip[along] * end[along] > 0


def test_a_sinusoid_rises_first_in_both() -> None:
    up, down = numbers(wave(0, 0, 10)), numbers(wave_path(0, 0, 10))
    assert up[1][1] > 0 > down[1][1] and [x for x, _ in up] == [x for x, _ in down]
    assert [y for _, y in up] == [-y for _, y in down]
