"""Words: cleaned, cut, measured, wrapped."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blockgraph.viz.text import LONGEST, clean, count, spoken, width, wrap


def test_widths_are_those_of_the_letters() -> None:
    assert width("iiii", 10) < width("mmmm", 10)
    assert width("Feed Forward", 11) == pytest.approx(
        11 * sum((575, 615, 615, 635, 318, 575, 612, 411, 818, 613, 411, 635)) / 1000
    )
    assert width("词元", 10) == 20.0  # full width
    assert width("e\u0301", 10) == width("e", 10)  # a combining accent takes no room


def test_bold_text_is_wider() -> None:
    assert width("12×", 15, bold=True) > width("12×", 15)


@given(st.text(max_size=400))
def test_clean_text_fits_xml_and_one_line(text: str) -> None:
    cleaned = clean(text)
    assert len(cleaned) <= LONGEST
    assert not any(
        ord(c) < 32 or 0x7F <= ord(c) < 0xA0 or 0xD800 <= ord(c) < 0xE000 or ord(c) & 0xFFFE == 0xFFFE for c in cleaned
    )


@given(st.text(alphabet=st.characters(codec="ascii", categories=["L", "N", "P", "S"]), max_size=LONGEST))
def test_printable_text_stays_as_it_is(text: str) -> None:
    assert clean(text) == text


def test_long_text_is_cut_with_a_sign() -> None:
    assert clean("x" * 500) == "x" * (LONGEST - 1) + "…"


@given(st.text(max_size=LONGEST), st.floats(40, 200))
def test_wrapped_lines_fit_and_lose_no_letter(text: str, room: float) -> None:
    lines = wrap(text, room, 11)
    assert all(width(line, 11) <= room for line in lines)
    assert "".join(lines).replace(" ", "") == clean(text).replace(" ", "")


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (0, "0"),
        (768, "768"),
        (1536, "1.5K"),
        (65_536, "65.5K"),
        (262_656, "0.26M"),
        (786_432, "0.79M"),
        (1_050_624, "1.05M"),
        (18_944_000, "18.9M"),
        (524_288_000, "524M"),
        (1_557_611_200, "1.56B"),
        (671_026_419_200, "671B"),
    ],
)
def test_counts_have_three_figures(number: int, said: str) -> None:
    assert count(number) == said


def test_names_are_spoken_as_titles() -> None:
    assert [spoken(name) for name in ("tgt_embed", "EncoderLayer", "x", "GLUBlock")] == [
        "Tgt Embed",
        "Encoder Layer",
        "X",
        "GLUBlock",
    ]
