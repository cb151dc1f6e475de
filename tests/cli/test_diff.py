"""`blockgraph diff`: its report word by word, its exit codes, its picture."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from blockgraph.cli.main import app

MODERN = """\
blockgraph: 1
extends: gpt2
name: modern
blocks:
  Layer:
    nodes:
      norm1: rms_norm
      attn: {type: attention, causal: true, rope: {theta: 10000.0}}
      norm2: rms_norm
      ffn: {type: ffn, hidden: 2048, activation: silu, gated: true}
nodes:
  positions: null
  norm: rms_norm
"""
REPORT = """\
gpt2 → modern.yaml: nodes: 1 removed, 5 changed

                 parameters  activations
- positions        -786,432     -3.15 MB  positions: embed → this → decoder
~ decoder.norm1      -9,216               type: layer_norm → rms_norm
                                          eps: 1e-05 → 1e-06
~ decoder.attn                            rope: none → {theta: 10000}
~ decoder.norm2      -9,216               type: layer_norm → rms_norm
                                          eps: 1e-05 → 1e-06
~ decoder.ffn       +12,288               hidden: 3072 → 2048
                                          activation: gelu_tanh → silu
                                          gated: false → true
~ norm                 -768               type: layer_norm → rms_norm
                                          eps: 1e-05 → 1e-06

in all, at B = 1, T = 1024 (fp32)
  parameters   124,439,808 → 123,646,464  -0.6%
  FLOPs/token        285 M →       285 M
  activations       442 MB →      439 MB  -0.7%
  state            75.5 MB →     75.5 MB
"""


def run(*arguments: object, **kwargs: Any) -> Any:
    return CliRunner().invoke(app, [str(a) for a in arguments], prog_name="blockgraph", **kwargs)


@pytest.fixture
def modern(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = Path("modern.yaml")
    path.write_text(MODERN, "utf-8")
    return path


def test_the_report(modern: Path) -> None:
    done = run("diff", "gpt2", modern)
    assert (done.exit_code, done.stdout) == (1, REPORT)


def test_equal_models_exit_with_0(modern: Path) -> None:
    Path("same.yaml").write_text(MODERN.replace("norm1: rms_norm", "norm1: {type: rms_norm}"), "utf-8")
    done = run("diff", modern, "same.yaml")
    assert (done.exit_code, done.stdout) == (0, "modern.yaml and same.yaml are the same model\n")


def test_json_holds_the_same(modern: Path) -> None:
    done = run("diff", "gpt2", modern, "--format", "json")
    data = json.loads(done.stdout)
    assert done.exit_code == 1 and data["equal"] is False
    assert [node["node"] for node in data["nodes"] if node["kind"] == "changed"] == [
        *("decoder.norm1", "decoder.attn", "decoder.norm2", "decoder.ffn", "norm"),
    ]
    assert data["nodes"][0] == {
        "node": "positions",
        "kind": "removed",
        "was": "positions",
        "now": None,
        "changes": [],
        "reads": ["embed"],
        "read_by": ["decoder"],
        "renamed": None,
        "delta": {"parameters": -786432, "flops_per_token": 0, "activation_bytes": -3145728, "state_bytes": 0},
    }
    assert data["totals"]["parameters"] == {"was": 124439808, "now": 123646464, "delta": -793344}


def test_overrides_for_one_side_or_both() -> None:
    assert run("diff", "gpt-nano", "gpt-nano", "--set", "vars.layers=2").exit_code == 0
    assert run("diff", "gpt-nano", "gpt-nano", "--set-a", "vars.layers=2", "--set-b", "vars.layers=2").exit_code == 0
    done = run("diff", "gpt-nano", "gpt-nano", "--set-b", "vars.layers=2")
    assert done.exit_code == 1 and "repeat: " in done.stdout


def test_other_settings_alone(modern: Path) -> None:
    done = run("diff", "gpt2", "gpt2", "--set-b", "train.steps=7")
    assert done.exit_code == 1
    assert "gpt2 → gpt2: the same nodes, other settings\n\ntrain\n  steps: 600000 → 7\n" in done.stdout


def test_a_new_name(modern: Path) -> None:
    Path("one.yaml").write_text(run("show", "gpt-nano").stdout, "utf-8")
    Path("two.yaml").write_text(Path("one.yaml").read_text("utf-8").replace("norm2", "before_ffn"), "utf-8")
    done = run("diff", "one.yaml", "two.yaml")
    assert "renamed? before_ffn is the same" in done.stdout
    assert "renamed? norm2 was the same" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("gpt2", "nothing.yaml"), "nothing.yaml"),
        (("gpt2", "library.yaml"), "library.yaml is a library"),
        (("gpt2", "gpt2", "-o", "out.txt"), "the suffix says what to draw"),
        (("-", "-"), "standard input can be read once"),
    ],
)
def test_what_cannot_be_compared_is_refused(modern: Path, arguments: tuple[str, ...], said: str) -> None:
    Path("library.yaml").write_text("blockgraph: 1\nblocks:\n  A: {nodes: {norm: layer_norm}}\n", "utf-8")
    done = run("diff", *arguments)
    assert (done.exit_code, said in done.stderr) == (2, True)


def test_a_picture(modern: Path) -> None:
    done = run("diff", "gpt2", modern, "-o", "new/both.svg", "--theme", "cvd")
    assert done.exit_code == 1 and done.stdout.endswith("wrote new/both.svg\n")
    svg = Path("new/both.svg").read_text("utf-8")
    assert svg.startswith("<?xml") and "was LayerNorm" in svg and "gpt2 → modern.yaml" in svg
