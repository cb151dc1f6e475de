"""Pretrained vectors: rows by the tokenizer's words, in training and in `build`."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from click.testing import CliRunner, Result

import blockgraph
from blockgraph.cli.main import app
from blockgraph.running.runs import open_run
from blockgraph.running.tokenizers import Bytes, Characters, Pieces, read_tokenizer
from blockgraph.running.vectors import VectorsError, fill, words_of
from blockgraph.running.weights import read_weights
from blockgraph.specs.diagnostics import Diagnostics
from blockgraph.specs.load import load_spec
from blockgraph.training.train import train

SPEC = """\
blockgraph: 1
name: glove
inputs: {tokens: {tokens: 12, axis: T}}
nodes:
  embed: {type: embedding, width: 3, pretrained: vectors.txt, freeze: true}
  attn: {type: attention, heads: 1, causal: true}
  logits: {type: linear, width: 12}
train: {data: {train: text.txt}, tokenizer: words, batch: {size: 2, length: 4}, steps: 2}
"""
VECTORS = "the 1 2 3\ncat 4 5 6\nparis 7 8 9\nrare 0 0 1\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "glove.yaml").write_text(SPEC, "utf-8")
    (tmp_path / "vectors.txt").write_text(VECTORS, "utf-8")
    (tmp_path / "text.txt").write_text("the cat saw Paris , the cat saw it . " * 20, "utf-8")
    return tmp_path


def test_a_training_begins_with_the_vectors(folder: Path) -> None:
    diagnostics = Diagnostics()
    spec = load_spec(folder / "glove.yaml", diagnostics)
    assert spec is not None
    run = open_run(train(spec, out="run"))
    words = words_of(run.tokenizer)
    weight = run.model.get_submodule("embed").weight
    assert [weight[words[word]].tolist() for word in ("the", "cat", "Paris")] == [[1, 2, 3], [4, 5, 6], [7, 8, 9]]  # type: ignore[index]
    assert not weight.requires_grad and float(weight[words["saw"]].norm()) < 0.5  # type: ignore[index, arg-type, union-attr]
    built = blockgraph.build(folder / "glove.yaml", tokenizer=folder / "run" / "tokenizer.json")
    assert torch.equal(built.get_submodule("embed").weight[words["cat"]], torch.tensor([4.0, 5.0, 6.0]))  # type: ignore[index]
    with pytest.raises(blockgraph.SpecError, match="not-built"):
        blockgraph.build(folder / "glove.yaml")


def test_build_is_given_the_words(folder: Path) -> None:
    spec = load_spec(folder / "glove.yaml", Diagnostics())
    assert spec is not None
    words = train(spec, out="run") / "tokenizer.json"

    def built(*arguments: str) -> Result:
        return CliRunner().invoke(app, ["build", "glove.yaml", *arguments])

    done = built("--tokenizer", str(words), "--save", "w.safetensors")
    assert done.exit_code == 0 and "embed: 3 of 7 words have vectors in vectors.txt (42.9%)" in done.output
    rows = read_weights(folder / "w.safetensors")["embed.weight"]
    assert rows[words_of(read_tokenizer(words))["cat"]].tolist() == [4.0, 5.0, 6.0]
    assert built("--device", "meta").exit_code == 0
    refused = built()
    assert refused.exit_code == 2 and "give one: build --tokenizer tokenizer.json" in " ".join(refused.output.split())


def test_rows_are_exact_words_before_their_lower_case(tmp_path: Path) -> None:
    (tmp_path / "v.txt").write_text("5 2\nparis 1 1\nParis 2 2\n. . 3 3\nx y 4 4\n", "utf-8")
    weight = torch.zeros(4, 2)
    assert fill(weight, tmp_path / "v.txt", {"Paris": 0, "PARIS": 1, "none": 2, "x y": 3}) == 3
    assert weight.tolist() == [[2, 2], [1, 1], [0, 0], [4, 4]]


def test_what_does_not_fit(tmp_path: Path) -> None:
    (tmp_path / "v.txt").write_text("a 1 2\nb 1 x\n", "utf-8")
    with pytest.raises(VectorsError, match=r"v\.txt:1: a vector of 2 numbers, .* width is 3: write width: 2"):
        fill(torch.zeros(2, 3), tmp_path / "v.txt", {"a": 0})
    with pytest.raises(VectorsError, match=r"v\.txt:2: not all are numbers"):
        fill(torch.zeros(2, 2), tmp_path / "v.txt", {"b": 0})
    with pytest.raises(VectorsError, match="cannot be read"):
        fill(torch.zeros(2, 2), tmp_path / "none.txt", {})


def test_words_of_tokenizers() -> None:
    import tokenizers
    from tokenizers import models

    def pieces(*names: str) -> Pieces:
        return Pieces(tokenizers.Tokenizer(models.WordLevel({name: n for n, name in enumerate(names)}, names[0])))

    assert words_of(Characters("猫犬", specials=("<pad>",))) == {"猫": 1, "犬": 2}
    assert words_of(pieces("<unk>", "▁", "▁cat", "s")) == {"cat": 2}
    assert words_of(pieces("cat", "##s")) == {"cat": 0}
    with pytest.raises(VectorsError, match="bytes"):
        words_of(Bytes())
