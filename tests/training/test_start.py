"""Fine-tuning: a published checkpoint becomes a classifier with a head of its own."""

import io
import json
from pathlib import Path

import pytest
import torch
from rich.console import Console
from safetensors.torch import save_file

from blockgraph.running.published import read_published
from blockgraph.running.runs import open_run
from blockgraph.specs.diagnostics import Diagnostics
from blockgraph.specs.load import load_spec
from blockgraph.specs.spec import Spec
from blockgraph.training.errors import TrainError
from blockgraph.training.start import load_start, start_tokenizer
from blockgraph.training.train import train
from tests.running.parity import CASES, save

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "good", "bad", "a", "very", "film", "##s"]
SPEC = """\
blockgraph: 1
extends: bert-base-classify
name: judge
vars: {vocab: 61, width: 24, heads: 4, hidden: 36, layers: 2, max_len: 64, segments: 3, classes: 2, p: 0.0}
train:
  data: {type: table, train: train.jsonl, valid: 0.2, columns: {tokens: sentence}, label: label}
  start: bert/
  batch: {size: 8, length: 12}
  epochs: null
  steps: 6
  optimizer: {lr: 1e-3}
  evaluate: {every: 3}
  checkpoint: {every: 3}
"""


def bert_case() -> str:
    return next(n for n, (config, model, _) in CASES.items() if model == "BertForMaskedLM" and config == "BertConfig")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny BERT as its library saves it, with its word list, and sentences to judge."""
    folder = tmp_path_factory.mktemp("tuned")
    save(bert_case(), folder / "bert")
    (folder / "bert/vocab.txt").write_text("\n".join(WORDS) + "\n")
    (folder / "bert/tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "BertTokenizer"}))
    (folder / "judge.yaml").write_text(SPEC)
    rows = [{"sentence": f"a very {word} films", "label": word} for word in ("good", "bad") * 20]
    (folder / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def spec(path: Path, *sets: str) -> Spec:
    diagnostics = Diagnostics()
    found = load_spec(str(path), diagnostics, sets=sets)
    diagnostics.raise_errors()
    assert found is not None
    return found


def test_a_published_checkpoint_becomes_a_classifier(home: Path, tmp_path: Path) -> None:
    said = io.StringIO()
    run = train(
        spec(home / "judge.yaml", "train.freeze=['encoder']"),
        out=tmp_path / "run",
        console=Console(file=said, width=9999),
    )
    lines = said.getvalue().splitlines()
    assert any(line.startswith(f"starts from {home / 'bert'}: ") for line in lines)
    fresh = next(line for line in lines if line.startswith("drawn afresh: "))
    assert fresh == "drawn afresh: pooled.weight, pooled.bias, logits.weight, logits.bias ([61] there, [2] here)"
    assert "dense.weight" in next(line for line in lines if line.startswith("not used: "))
    there, ours = read_published(home / "bert", dtype=torch.float32).model.state_dict(), open_run(run)
    frozen = {name: tensor for name, tensor in ours.model.state_dict().items() if name.startswith("encoder.")}
    assert frozen and all(torch.equal(tensor, there[name]) for name, tensor in frozen.items())
    assert ours.tokenizer.encode("a good films").tolist() == [7, 5, 9, 10]  # the task adds start and end


def test_a_file_of_weights_is_a_start_too(home: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    model, weight = torch.nn.Sequential(torch.nn.Linear(3, 2)), torch.randn(2, 3)
    file = tmp_path / "some.safetensors"
    save_file({"0.weight": weight, "0.bias": torch.ones(4), "1.weight": weight.clone()}, str(file))
    started = load_start(model, file)
    assert torch.equal(model[0].weight, weight)
    assert started.fresh == ["0.bias"]
    assert started.notes == [
        f"starts from {file}: 1 of 2 weights",
        "drawn afresh: 0.bias ([4] there, [2] here)",
        "not used: 1.weight",
    ]


def test_what_is_drawn_afresh_and_frozen_is_told(home: Path, tmp_path: Path) -> None:
    said = io.StringIO()
    lora = "train.lora={rank: 2, on: ['*.attn.query']}"
    judge = spec(home / "judge.yaml", lora, "train.train_only=[logits]", "train.steps=2")
    train(judge, out=tmp_path / "run", console=Console(file=said, width=9999))
    assert "careful: drawn afresh and not trained: pooled.weight, pooled.bias (see train_only)" in said.getvalue()
    assert "low-rank updates of 2 weights and 50 parameters beside them" in said.getvalue()


def test_texts_are_framed_once(home: Path, tmp_path: Path) -> None:
    import numpy as np

    run = train(spec(home / "judge.yaml", "train.steps=1"), out=tmp_path / "run")
    stored = next((run / "data").glob("train.tokens*.bin"), None)
    assert stored is not None, sorted(path.name for path in (run / "data").iterdir())
    first = np.fromfile(stored, np.int32)[:7].tolist()
    assert first in ([2, 7, 8, 5, 9, 10, 3], [2, 7, 8, 6, 9, 10, 3])


def test_without_a_tokenizer_the_section_counts(home: Path, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    assert start_tokenizer(tmp_path) is None and start_tokenizer(home / "bert") is not None


def test_nothing_that_fits_is_refused(home: Path, tmp_path: Path) -> None:
    other = spec(
        home / "judge.yaml", "vars.width=20", "vars.hidden=44", "vars.vocab=60", "vars.max_len=63", "vars.segments=2"
    )
    with pytest.raises(TrainError, match=r"no weight that fits this model: .*\[61, 24\] there, \[60, 20\] here"):
        train(other, out=tmp_path / "run")
