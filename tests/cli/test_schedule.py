"""`blockgraph schedule` as it is called."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from blockgraph.cli.main import app


def call(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["schedule", *arguments])


def test_numbers_to_look_at() -> None:
    done = call("transformer-base")
    assert done.exit_code == 0 and done.output.splitlines() == [
        "steps         100,000",
        "schedule      noam",
        "warm-up ends  step 4,000",
        "peak          0.0006988 at step 4,000",
        "final         0.0001398 at step 100,000",
    ]
    assert "peak of adamw" in call("gpt-nano").output


def test_json_and_a_plot(tmp_path: Path) -> None:
    done = call("gpt-nano", "--json", "--steps", "50", "-o", str(tmp_path / "x.svg"))
    found = json.loads(done.stdout)
    assert done.exit_code == 0 and found["steps"] == 50 and len(next(iter(found["curves"].values()))) == 50
    assert found["final"]["step"] == 50 and found["peak"]["lr"] == max(lr for _, lr in found["curves"]["muon"])
    assert "<svg" in (tmp_path / "x.svg").read_text("utf-8")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("gpt-nano", "-o", "x.gif"), "write one of .png, .svg, .pdf"),
        (("gpt-nano", "--set", "train.steps=null", "--set", "train.epochs=3"), "the data decides"),
        (("bert-base",), "has no `train:` section"),
    ],
)
def test_refusals_say_what_to_do(arguments: tuple[str, ...], said: str) -> None:
    done = call(*arguments)
    assert done.exit_code == 2 and said in done.output, done.output
