"""What a terminal shows while it trains."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from blockgraph.training.progress import LiveBar, PlainLines


@pytest.mark.parametrize("width", [40, 80])
def test_a_narrow_terminal_shows_how_far_it_is(width: int) -> None:
    """Also after an evaluation with many measures: what is cut comes last."""
    out = io.StringIO()
    bar = LiveBar(Console(file=out, width=width, force_terminal=True, color_system=None, legacy_windows=False))
    bar.start(0, 10_000)
    bar.evaluation(0, {"loss": 1.25, "accuracy": 0.5, "macro_f1": 0.3, "micro_f1": 0.2}, best=True)
    bar.step(10_000, 4.1, 3e-4, 100)
    bar.close()
    assert "10,000/10,000 · 0:00 left · loss" in out.getvalue()
    assert ("validation 1.2500 · lr 3.0e-04" in out.getvalue()) == (width == 80)


@pytest.mark.parametrize("unit", ["ids", "rows"])
def test_the_rate_is_of_what_the_model_reads(unit: str) -> None:
    out = io.StringIO()
    lines = PlainLines(Console(file=out, width=200))
    lines.start(0, 1, unit)
    lines.step(1, 4.1, 3e-4, 100)
    assert f" {unit}/s · 0:00 left" in out.getvalue()
