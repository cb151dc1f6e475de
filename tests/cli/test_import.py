"""`blockgraph import`: what it says and writes."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from click.testing import CliRunner, Result

import blockgraph
from blockgraph.cli.main import app
from blockgraph.running.weights import load_weights, read_weights
from tests.running.parity import BAR, distance, save


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(a) for a in arguments], prog_name="blockgraph")


def test_the_spec_and_the_weights_that_are_written_make_the_same_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    reference = save("pythia", Path("tiny"))
    done = run("import", "tiny", "-o", "own.yaml", "--save", "own.safetensors")
    assert done.exit_code == 0, done.output
    first, *rest = done.output.splitlines()
    assert first.startswith("tiny: 28 tensors of 1 file (") and first.endswith("parameters (float32)")
    assert rest == ["wrote own.yaml", "wrote own.safetensors"]
    model = blockgraph.build("own.yaml")
    load_weights(model, read_weights(Path("own.safetensors")), Path("own.safetensors"))
    assert distance("pythia", model.eval(), reference) <= BAR


def test_weights_are_converted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    save("gpt2", Path("tiny"))
    done = run("import", "tiny", "--dtype", "bf16", "--save", "own.safetensors")
    assert done.exit_code == 0 and "(bfloat16)" in done.output
    assert {tensor.dtype for tensor in read_weights(Path("own.safetensors")).values()} == {torch.bfloat16}


OWN = """
extends: gpt2
blocks: {Layer: {nodes: {norm1: null, attn: {in: x}}}}
huggingface:
  model_type: mine
  architectures: {MineModel: {hidden: norm}}
  tensors: {h.N: {to: decoder.N, tensors: {ln_1: null}}}
  ignore: ["*.ln_1.*", "*.attn.bias"]
"""


def test_a_family_of_ones_own_is_a_file(tmp_path: Path) -> None:
    save("gpt2", tmp_path / "tiny")
    config = tmp_path / "tiny" / "config.json"
    text = config.read_text("utf-8").replace('"gpt2"', '"mine"')
    (tmp_path / "mine.yaml").write_text(OWN, "utf-8")
    for head, output in (("MineLM", "logits"), ("MineModel", "hidden")):
        config.write_text(text.replace("GPT2LMHeadModel", head), "utf-8")
        assert "no preset draws a model of type 'mine'" in run("import", tmp_path / "tiny").output
        done = run("import", tmp_path / "tiny", "--spec", tmp_path / "mine.yaml")
        assert done.exit_code == 0, done.output
        model = blockgraph.from_huggingface(tmp_path / "tiny", spec=tmp_path / "mine.yaml")
        assert list(model(input_ids=torch.arange(6)[None])) == [output]
    (tmp_path / "bare.yaml").write_text("extends: gpt2\nhuggingface: null\n", "utf-8")
    done = run("import", tmp_path / "tiny", "--spec", tmp_path / "bare.yaml")
    assert done.exit_code == 2 and "there is no `huggingface:` section" in done.output


def test_refusals_are_not_tracebacks(tmp_path: Path) -> None:
    done = run("import", tmp_path / "nothing")
    assert done.exit_code == 2 and "is not a folder" in done.output
    save("gpt2", tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"no header")
    done = run("import", tmp_path)
    assert done.exit_code == 2 and "cannot read the weights" in done.output
