"""`train`, `generate` and `demo` from the command line, on models so small that they take seconds."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from blockgraph.cli.main import app

ROOT = Path(__file__).resolve().parent.parent.parent
SPEC = """\
blockgraph: 1
name: tiny
inputs: {tokens: {tokens: 256, axis: T}}
nodes:
  embed: {type: embedding, width: 16}
  attn: {type: attention, heads: 2, causal: true}
  add: {type: add, in: [embed, attn]}
  logits: {type: linear, tie: embed, bias: false}
train:
  data: {type: text, train: text.txt, valid: 0.2}
  batch: {size: 4, length: 16}
  steps: 6
  evaluate: {every: 3}
  checkpoint: {every: 3}
"""


def run(*arguments: object, **kwargs: Any) -> Any:
    return CliRunner().invoke(app, [str(a) for a in arguments], prog_name="blockgraph", **kwargs)


@pytest.fixture
def spec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    Path("text.txt").write_text("a rose is a rose is a rose\n" * 40, "utf-8")
    Path("tiny.yaml").write_text(SPEC, "utf-8")
    return "tiny.yaml"


def test_train_names_its_folder_first_and_last_and_generate_samples_from_it(spec: str) -> None:
    done = run("train", spec, "--device", "cpu")
    lines = done.output.splitlines()
    folder = Path("runs/tiny-1")
    assert done.exit_code == 0, done.output
    assert lines[0] == lines[-1] == f"run: {folder}"
    assert {"metrics.jsonl", "loss.png", "diagram.svg", "spec.yaml"} <= {path.name for path in folder.iterdir()}
    records = [json.loads(line) for line in (folder / "metrics.jsonl").read_text("utf-8").splitlines()]
    assert {"step", "train_loss", "val_loss", "lr", "tokens_per_s"} <= set(records[-1])

    asked = ("generate", folder, "--prompt", "a rose", "--max-new", "12", "--device", "cpu")
    first, again, other = run(*asked), run(*asked), run(*asked, "--seed", "5")
    assert first.exit_code == 0, first.output
    assert first.output.startswith("a rose") and first.output == again.output != other.output
    greedy = [run(*asked, *flags).output for flags in (("--greedy",), ("--temperature", "0"), ("--top-k", "1"))]
    assert greedy[0] == greedy[1] == greedy[2]
    piped = run("generate", folder, "--prompt", "-", "--max-new", "12", "--device", "cpu", input="a rose")
    assert piped.output == first.output


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--temperature", "-1"), "temperature is -1.0"),
        (("--top-p", "2"), "top_p is 2.0"),
        (("--prompt", ""), "the prompt is empty"),
    ],
)
def test_generate_refuses_what_makes_no_sense(spec: str, flags: tuple[str, ...], message: str) -> None:
    assert run("train", spec, "--out", "r", "--set", "train.steps=1", "--device", "cpu").exit_code == 0
    done = run("generate", "r", "--prompt", "a", "--device", "cpu", *flags)
    assert done.exit_code == 2 and message in done.output


def test_train_takes_other_data_and_settings(spec: str, tmp_path: Path) -> None:
    other = tmp_path / "other.txt"
    other.write_text("to be or not to be\n" * 50, "utf-8")
    Path("text.txt").unlink()
    assert run("train", spec, "--device", "cpu").exit_code == 2
    done = run("train", spec, "--data", other, "--set", "train.steps=2", "--out", "r", "--device", "cpu")
    assert done.exit_code == 0, done.output


def test_train_refuses_without_a_section(spec: str) -> None:
    done = run("train", spec, "--set", "train=null")
    assert done.exit_code == 2 and "train" in done.output


def test_train_does_not_overwrite_a_run(spec: str) -> None:
    assert run("train", spec, "--out", "r", "--device", "cpu").exit_code == 0
    assert run("train", spec, "--out", "r", "--device", "cpu").exit_code == 2


@pytest.mark.skipif(os.name == "nt", reason="signals differ there")
def test_an_interrupt_saves_exits_with_3_and_can_be_resumed(spec: str) -> None:
    command = [sys.executable, "-m", "blockgraph", "train", spec, "--out", "r", "--device", "cpu"]
    env = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    training = subprocess.Popen(
        [*command, "--set", "train.steps=100000"], env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 300
    while not list(Path().glob("r/checkpoints/*")) and training.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    training.send_signal(signal.SIGINT)
    out, err = training.communicate(timeout=300)
    assert training.returncode == 3, out + err
    assert "--resume" in err and "Traceback" not in err
    steps = [json.loads(line)["step"] for line in Path("r/metrics.jsonl").read_text("utf-8").splitlines()]
    again = subprocess.Popen(
        [*command, "--set", "train.steps=100000", "--resume"],
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert again.stdout
    shown = ""
    # Only the loop answers signals by saving: wait for its first line.
    while "step " not in shown.partition("goes on from")[2].partition("\n")[2] and again.poll() is None:
        shown += again.stdout.readline()
    again.send_signal(signal.SIGINT)
    again.communicate(timeout=300)
    assert "goes on from" in shown and again.returncode == 3
    assert steps == sorted(steps)


def test_demo_does_everything_and_says_where_it_lies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    done = run("demo", "--steps", "2", "--prompt", "If ")
    assert done.exit_code == 0, done.output
    for text in ("pydoc_data.topics", "PSF", "is valid", "diagram.svg", "loss.png", "checkpoints", "Try next", "\nIf "):
        assert text in done.output
    folder = tmp_path / "blockgraph-demo"
    assert (folder / "diagram.png").read_bytes().startswith(b"\x89PNG")
    for line in done.output.split("Try next:")[0].splitlines()[-8:]:
        words = line.split()
        assert not words or "blockgraph-demo" not in words[-1] or (tmp_path / words[-1]).exists(), line
    again = run("demo", "--steps", "1")
    assert again.exit_code == 0 and (folder / "run-2").is_dir()
    assert run("validate", folder / "demo.yaml").exit_code == 0


@pytest.mark.slow
def test_demo_fits_the_time_it_is_given(tmp_path: Path) -> None:
    start = time.monotonic()
    done = run("demo", "--seconds", "15", "--out", tmp_path / "demo")
    assert done.exit_code == 0, done.output
    assert time.monotonic() - start < 90
