"""Pictures of trainings, and schedules told before they run."""

from __future__ import annotations

import sys
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from matplotlib import image

from blockgraph.api import load
from blockgraph.training import plots
from blockgraph.training.errors import TrainError
from blockgraph.training.forecast import POINTS, forecast
from blockgraph.training.metrics import Record
from blockgraph.training.plots import draw_run, draw_schedule, measure_groups

RECORDS = [Record(step, 4.0 / step, None, 0.01 * step, 100.0, float(step)) for step in range(1, 9)]
JUDGED = [
    replace(record, val_loss=1.0, measures={"accuracy": 0.1 * record.step, "bleu": 4.0 * record.step, "f1": 1.0})
    if record.step % 2 == 0
    else record
    for record in RECORDS
]


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The figures that were written."""
    kept: list[Any] = []
    written = plots._written
    monkeypatch.setattr(plots, "_written", lambda figure, kind: kept.append(figure) or written(figure, kind))
    return kept


def lines(axes: Any) -> dict[str, list[tuple[float, float]]]:
    return {line.get_label(): [(float(x), float(y)) for x, y in line.get_xydata()] for line in axes.get_lines()}


def test_a_run_has_three_panels_and_those_of_its_measures(tmp_path: Path, drawn: list[Any]) -> None:
    before = "matplotlib.pyplot" in sys.modules
    draw_run(JUDGED, tmp_path / "loss.png", "tiny $\\frac$ x")
    draw_run([], tmp_path / "empty.png", "", "nats per target")
    assert [figure.axes[0].get_ylabel() for figure in drawn] == ["loss", "loss (nats per target)"]
    assert all((tmp_path / name).read_bytes().startswith(b"\x89PNG") for name in ("loss.png", "empty.png"))
    assert before or "matplotlib.pyplot" not in sys.modules
    loss, rate, norm, shares, bleu = drawn[0].axes
    assert lines(loss)["training"] == [(r.step, r.train_loss) for r in RECORDS]
    assert lines(loss)["validation, whole split"] == [(step, 1.0) for step in (2, 4, 6, 8)]
    assert list(lines(rate).values()) == [[(r.step, r.lr) for r in RECORDS]]
    assert list(lines(norm).values()) == [[(r.step, r.grad_norm) for r in RECORDS]]
    assert list(lines(shares)) == ["accuracy", "f1"] and lines(shares)["f1"][0] == (2, 1.0)
    assert list(lines(bleu)) == ["bleu"] and len(drawn[1].axes) == 3


def test_a_single_record_is_seen(tmp_path: Path, drawn: list[Any]) -> None:
    draw_run(RECORDS[:1], tmp_path / "loss.png", "tiny")
    assert [line.get_marker() for axes in drawn[0].axes for line in axes.get_lines()] == ["o", "o", "o"]
    assert all(float(step).is_integer() for step in drawn[0].axes[-1].get_xticks())


def test_measures_that_are_no_shares_stand_alone() -> None:
    assert measure_groups(JUDGED) == [["accuracy", "f1"], ["bleu"]] and measure_groups(RECORDS) == []


# -- schedules --------------------------------------------------------------------------------------------------------

SPEC = """
blockgraph: 1
name: small
inputs: {tokens: {tokens: 50, axis: T}}
nodes: {embed: {type: embedding, width: 16}, logits: {type: linear, width: 50}}
train: {steps: 200, optimizer: {type: adamw, lr: 0.1}}
"""


def told(*sets: str, steps: int | None = None) -> Any:
    return forecast(load(SPEC, sets=list(sets)), steps)


@pytest.mark.parametrize(
    ("schedule", "peak", "final", "warmup"),
    [
        ("{type: cosine, warmup: 20, floor: 0.1}", (21, 0.1), 0.01, 20),
        ("{type: linear, warmup: 0.1, floor: 0.5}", (21, 0.1), 0.05, 20),
        ("{type: constant, warmup: 0}", (1, 0.1), 0.1, 0),
        ("{type: noam, warmup: 50}", (50, 0.1 * 16**-0.5 * 50**-0.5), 0.1 * 16**-0.5 * 200**-0.5, 50),
    ],
)
def test_every_schedule(schedule: str, peak: tuple[int, float], final: float, warmup: int) -> None:
    found = told(f"train.schedule={schedule}")
    assert found.warmup == warmup and (found.peak[0], pytest.approx(found.peak[1])) == peak
    assert found.final[0] == 200 and found.final[1] == pytest.approx(final, rel=0.02)
    assert [step for step, _ in found.curves["adamw"]] == list(range(1, 201))


def test_long_schedules_are_sampled_where_they_bend() -> None:
    found = told("train.schedule={type: linear, warmup: 12345}", steps=1_000_000)
    assert found.peak == (12346, 0.1) and POINTS <= len(found.curves["adamw"]) <= POINTS + 2
    assert found.final[0] == found.steps == 1_000_000


def test_the_second_optimizer_has_a_line_of_its_own(tmp_path: Path, drawn: list[Any]) -> None:
    found = told("train.optimizer={type: muon, lr: 0.02, others: {lr: 0.001}}")
    assert max(rate for _, rate in found.curves["adamw"]) == pytest.approx(0.001) and found.peak[1] == 0.02
    draw_schedule(found.curves, [found.peak, found.final], tmp_path / "x.png", "$ {x}")
    assert image.imread(BytesIO((tmp_path / "x.png").read_bytes())).shape[2] == 4
    assert lines(drawn[0].axes[0])["muon"] == found.curves["muon"]


def test_what_cannot_be_told() -> None:
    with pytest.raises(TrainError, match=r"the data decides: give their number, --steps 10000"):
        told("train.steps=null", "train.epochs=3")
    assert told("train.steps=null", "train.epochs=3", steps=7).final[0] == 7
    with pytest.raises(TrainError, match="no `train:` section"):
        forecast(load(SPEC.partition("train:")[0]))
