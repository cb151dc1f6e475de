"""`blockgraph trace` as it is called."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from blockgraph.cli.main import app

SMALL = ("--set", "vars.layers=3", "--set", "vars.width=16", "--set", "vars.heads=2", "--device", "cpu")


def call(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["trace", *arguments])


def test_table_masks_and_notes() -> None:
    done = call("gpt-nano", "I have a cat", *SMALL)
    assert done.exit_code == 0, done.output
    lines = done.output.splitlines()
    assert "note: the weights are not trained" in lines[0] and "there is no tokenizer" in lines[1]
    assert any("decoder.0.attn" in line and "[1, 12, 16]" in line for line in lines)
    assert "decoder.1.attn" not in done.output.split("causal:")[0]
    assert "causal: decoder.0.attn, decoder.1.attn, decoder.2.attn" in done.output
    assert lines[-1].endswith(" ".join("■" * 12))


def test_all_copies_and_json() -> None:
    done = call("gpt-nano", "cat", *SMALL, "--all", "--json")
    found = json.loads(done.stdout)
    assert done.exit_code == 0 and found["masks"][0]["rows"] == ["100", "110", "111"]
    assert [n["path"] for n in found["nodes"] if n["depth"] == 0] == [
        "embed", *(f"decoder.{i}" for i in range(3)), *[n["path"] for n in found["nodes"] if n["depth"] == 0][4:]
    ]  # fmt: skip


def test_a_report_in_a_folder(tmp_path: Path) -> None:
    done = call("transformer-nano", "a cat", "--target", "eine", "--pad", "2", "-o", str(tmp_path / "seen"))
    assert done.exit_code == 0, done.output
    assert sorted(path.name for path in (tmp_path / "seen").iterdir()) == [
        "mask-1-padding.png", "mask-2-causal-padding.png", "mask-3-cross-padding.png", "trace.html"
    ]  # fmt: skip
    assert "A trace of transformer-nano" in (tmp_path / "seen/trace.html").read_text("utf-8")


def test_a_run_brings_its_weights_and_its_tokenizer(tmp_path: Path) -> None:
    import torch

    from blockgraph.api import build, load
    from blockgraph.running.manifests import MANIFEST, digest, manifest_text
    from blockgraph.running.tokenizers import Characters
    from blockgraph.running.weights import WEIGHTS, save_weights
    from blockgraph.specs.show import show

    spec = load("gpt-nano", sets=["vars.layers=1", "vars.width=16", "vars.heads=2", "vars.vocab=4"])
    model = build(spec, seed=7)
    checkpoint = tmp_path / "checkpoints" / "step-1"
    checkpoint.mkdir(parents=True)
    save_weights(model, checkpoint / WEIGHTS)
    (checkpoint / MANIFEST).write_text(manifest_text(1, {WEIGHTS: digest(checkpoint / WEIGHTS)}))
    (tmp_path / "spec.yaml").write_text(show(spec), "utf-8")
    (tmp_path / "tokenizer.json").write_text(Characters(" act").to_json(), "utf-8")
    done = call(str(tmp_path), "a cat", "--json", "--device", "cpu")
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert found["inputs"] == {"tokens": list("a cat")} and found["notes"] == []
    with torch.no_grad():
        logits = model.eval()(torch.tensor([[1, 0, 2, 1, 3]]))
    assert found["outputs"]["logits"]["mean"] == pytest.approx(logits.mean().item(), abs=1e-6)
    assert "'o' is not among those" in call(str(tmp_path), "oo", "--device", "cpu").output


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("gpt-nano", ""), "the text is empty"),
        (("gpt-nano", "a", "--target", "b"), "--target is for a second input"),
        (("gpt-nano", "a", "--input", "x"), "write NAME=JSON"),
        (("nope", "a"), "there is no file and no preset 'nope'"),
        ((".", "a"), "is not a run"),
        ((".", "a", "--set", "vars.layers=1"), "--set is for a spec"),
    ],
)
def test_refusals_say_what_to_do(arguments: tuple[str, ...], said: str) -> None:
    done = call(*arguments, "--device", "cpu")
    assert done.exit_code == 2 and said in done.output
