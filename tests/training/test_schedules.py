import math

import pytest

from blockgraph.training.errors import TrainError
from blockgraph.training.schedules import Schedule, steps_of
from blockgraph.training.settings import Batch, Settings


def test_cosine_rises_then_falls_to_the_floor() -> None:
    schedule = Schedule("cosine", steps=110, warmup=10, floor=0.1)
    assert [schedule.factor(n) for n in (0, 4, 9)] == pytest.approx([1 / 11, 5 / 11, 10 / 11])
    assert schedule.factor(10) == 1.0
    assert schedule.factor(60) == pytest.approx(0.55)  # half of the way: the middle of 1 and 0.1
    assert schedule.factor(35) == pytest.approx(0.1 + 0.9 * (1 + math.cos(math.pi / 4)) / 2)
    assert schedule.factor(110) == pytest.approx(0.1)
    assert schedule.factor(10_000) == pytest.approx(0.1)


def test_linear_is_a_straight_line_to_the_floor() -> None:
    schedule = Schedule("linear", steps=100, warmup=0, floor=0.2)
    assert [schedule.factor(n) for n in (0, 25, 50, 100)] == pytest.approx([1.0, 0.8, 0.6, 0.2])


def test_constant_stays_after_the_warmup() -> None:
    schedule = Schedule("constant", steps=100, warmup=1)
    assert [schedule.factor(n) for n in (0, 1, 99)] == [0.5, 1.0, 1.0]


def test_wsd_stays_and_then_falls_in_a_line() -> None:
    schedule = Schedule("wsd", steps=100, warmup=3, floor=0.2, decay=20)
    assert [schedule.factor(n) for n in (0, 3, 50, 80, 90, 100)] == pytest.approx([0.25, 1, 1, 1, 0.6, 0.2])
    assert [Schedule("wsd", steps=9, warmup=0, decay=0).factor(n) for n in (0, 8)] == [1, 1]


def test_noam_is_equation_3() -> None:
    schedule = Schedule("noam", steps=100_000, warmup=4000, width=512)
    for step in (1, 100, 4000, 50_000):
        assert schedule.factor(step - 1) == pytest.approx(512**-0.5 * min(step**-0.5, step * 4000**-1.5))
    assert max(range(8000), key=schedule.factor) == 3999


def test_noam_needs_a_width() -> None:
    settings = Settings(Batch(1, 1), steps=10, schedule="noam")
    with pytest.raises(TrainError, match="needs the model's width"):
        settings.schedule_over(10, None)


@pytest.mark.parametrize(
    ("warmup", "steps", "expected"), [(0.02, 1000, 20), (0, 10, 0), (100, 2000, 100), (500, 100, 100), (1, 9, 1)]
)
def test_warmup_is_steps_or_a_share(warmup: float, steps: int, expected: int) -> None:
    assert steps_of(warmup, steps) == expected
