"""Every task from a YAML file and its data to a run folder: it learns, and going on from a break is exact."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from blockgraph.builder.analyse import analyse
from blockgraph.running.runs import open_run
from blockgraph.running.weights import read_weights
from blockgraph.specs.diagnostics import Diagnostics
from blockgraph.specs.load import load_text
from blockgraph.specs.spec import Spec
from blockgraph.tasks.plan import lesson_for
from blockgraph.training import loop
from blockgraph.training.errors import Stopped, TrainError
from blockgraph.training.samples import _as_written
from blockgraph.training.train import train

LAYERS = """\
blockgraph: 1
name: tiny
vars: {width: 16, vocab: 40}
blocks:
  Layer:
    nodes:
      attn: {type: attention, heads: 2, dropout: 0.1}
      norm: {type: add_norm, in: [x, attn]}
  DecoderLayer:
    inputs: [x, memory]
    nodes:
      self:  {type: attention, heads: 2, causal: true}
      norm1: {type: add_norm, in: [x, self]}
      cross: {type: attention, heads: 2, in: {key: memory}}
      norm2: {type: add_norm, in: [norm1, cross]}
"""
ENCODER = """\
inputs: {tokens: {tokens: =vocab, axis: T}, segments: {tokens: 2, axis: T, default: 0}}
nodes:
  embed: {type: embedding, in: tokens, width: =width}
  kinds: {type: embedding, in: segments, width: =width}
  sum: {type: add, in: [embed, kinds]}
  encoder: {type: Layer, repeat: 2}
"""
TRANSLATOR = """\
inputs: {source: {tokens: =vocab, axis: S}, target: {tokens: =vocab, axis: T}}
nodes:
  embed: {type: embedding, in: source, width: =width}
  encoder: {type: Layer, repeat: 1}
  target_embed: {share: embed, in: target}
  decoder: {type: DecoderLayer, repeat: 1, in: {memory: encoder}}
  logits: {type: linear, width: =vocab}
"""
PICTURES = """\
inputs: {image: {shape: [1, 4, 4]}}
nodes:
  patches: {type: patches, width: =width, size: 2}
  encoder: {type: Layer, repeat: 1}
  pooled: {type: pool, take: mean}
  logits: {type: linear, width: 2}
"""
TOWERS = """\
inputs: {left: {tokens: =vocab, axis: S}, right: {tokens: =vocab, axis: T, batch: C}}
nodes:
  embed: {type: embedding, in: left, width: =width}
  encoder: {type: Layer, repeat: 1}
  vector: {type: pool, take: mean}
  other_embed: {share: embed, in: right}
  other_encoder: {share: encoder}
  other_vector: {share: vector}
  logits: {type: similarity, in: [vector, other_vector]}
"""
LANGUAGE = """\
inputs: {tokens: {tokens: =vocab, axis: T}}
nodes:
  embed: {type: embedding, in: tokens, width: =width}
  attn: {type: attention, heads: 2, causal: true}
  norm: {type: add_norm, in: [embed, attn]}
  logits: {type: linear, width: =vocab}
"""
POOLED = "  pooled: {type: pool, take: mean}\n"
STEPS = "  steps: 60\n  optimizer: {lr: 2e-2}\n  evaluate: {every: 20}\n  checkpoint: {every: 25}\n"
TASKS = {
    "copy": TRANSLATOR + "train:\n  task: {type: seq2seq, label_smoothing: 0.1}\n  data: {type: copy, count: 2000, longest: 4, symbols: abc}\n"
    "  tokenizer: characters\n  batch: {tokens: 160, length: 16, accumulate: 2}\n",
    "pairs": TRANSLATOR + "train:\n  task: seq2seq\n  data: {type: pairs, train: [a.txt, b.txt], valid: 0.2, test: 0.1}\n"
    "  tokenizer: characters\n  batch: {size: 8, length: 16}\n",
    "masked": ENCODER + "  logits: {type: linear, width: =vocab}\n"
    "train:\n  task: {type: masked_lm, rate: 0.3}\n  data: {type: text, train: a.txt}\n  tokenizer: characters\n"
    "  batch: {size: 8, length: 16}\n",
    "classes": ENCODER + POOLED + "  logits: {type: linear, width: 2}\n"
    "train:\n  task: classification\n  data: {type: table, train: t.csv, columns: {tokens: text}, label: label}\n"
    "  tokenizer: wordpiece\n  batch: {size: 8, length: 16}\n",
    "pair of texts": ENCODER + POOLED + "  logits: {type: linear, width: 2}\n"
    "train:\n  task: classification\n  data: {type: table, train: t.csv, columns: {tokens: [text, other]}, label: label}\n"
    "  tokenizer: characters\n  batch: {size: 8, length: 32}\n",
    "words": ENCODER + "  logits: {type: linear, width: 3}\n"
    "train:\n  task: classification\n  data: {type: table, train: t.csv, columns: {tokens: text}, label: tags}\n"
    "  tokenizer: characters\n  batch: {size: 8, length: 32}\n",
    "numbers": ENCODER + POOLED + "  out: {type: linear, width: 1}\n"
    "train:\n  task: regression\n  data: {type: table, train: t.csv, columns: {tokens: text}, label: size}\n"
    "  tokenizer: bytes\n  batch: {size: 8, length: 16}\n",
    "two tasks": ENCODER + POOLED + "  logits: {type: linear, width: 2}\n  out: {type: linear, in: pooled, width: 1}\n"
    "outputs: {kind: logits, size: out}\n"
    "train:\n  task: [{type: classification, output: kind}, {type: regression, output: size, label: size, weight: 0.1}]\n"
    "  data: {type: table, train: t.csv, columns: {tokens: text}, label: label}\n  tokenizer: characters\n"
    "  batch: {size: 8, length: 16}\n",
    "pictures": PICTURES + "train:\n  task: {type: classification, mixup: 0.2}\n"
    "  data: {type: table, train: pixels.csv, header: ['p*', label], columns: {image: 'p*'}, scale: 9, augment: shift}\n"
    "  batch: {size: 8}\n",
    "answers": ENCODER + "  logits: {type: linear, width: 2}\n"
    "train:\n  task: {type: spans, stride: 4, label: last}\n"
    "  data: {type: table, train: t.csv, columns: {tokens: [other, text]}}\n  tokenizer: characters\n"
    "  batch: {size: 8, length: 13}\n",
    "two towers": TOWERS + "train:\n  task: contrastive\n  data: {type: pairs, train: [a.txt, b.txt]}\n"
    "  tokenizer: characters\n  batch: {size: 8, length: 16}\n",
    "texts of rows": LANGUAGE + "train:\n  task: causal_lm\n"
    "  data: {type: table, train: t.csv, columns: {tokens: text}}\n  tokenizer: characters\n"
    "  batch: {size: 8, length: 16}\n",
    "prefixed": TRANSLATOR + "train:\n  task: seq2seq\n  data: {type: table, train: t.csv, prefix: 'tags: ',\n"
    "    columns: {source: text, target: tags}}\n  tokenizer: bytes\n  batch: {size: 8, length: 24}\n",
}  # fmt: skip
LANGUAGE = """\
inputs: {tokens: {tokens: =vocab, axis: T}}
nodes:
  embed: {type: embedding, width: =width}
  attn: {type: attention, heads: 2, causal: true, dropout: 0.1}
  add: {type: add, in: [embed, attn]}
  logits: {type: linear, width: =vocab}
train:
  data: {type: text, train: a.txt, valid: 0.2, test: 0.1}
  tokenizer: characters
  batch: {size: 8, length: 16}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    draw = random.Random(3)
    lines = ["".join(draw.choice("abc ") for _ in range(draw.randint(2, 9))).strip() or "a" for _ in range(200)]
    (tmp_path / "a.txt").write_text("\n".join(lines), "utf-8")
    (tmp_path / "b.txt").write_text("\n".join(line.upper() for line in lines), "utf-8")
    rows = ["text,other,label,tags,size,last"]
    for line in lines:
        tags = " ".join(word[0] for word in line.split())
        rows.append(f"{line},cab,{'yes' if line[0] == 'a' else 'no'},{tags},{len(line)},{line.split()[-1]}")
    (tmp_path / "t.csv").write_text("\n".join([*rows, "a,b,,a,1,a"]), "utf-8")
    pixels = [[draw.randint(0, most) for _ in range(16)] for most in draw.choices((3, 9), k=200)]
    lines = [",".join(map(str, [*row, "light" if sum(row) > 48 else "dark"])) for row in pixels]
    (tmp_path / "pixels.csv").write_text("\n".join(lines), "utf-8")
    return tmp_path


def spec(name: str, *sets: str) -> Spec:
    diagnostics = Diagnostics()
    text = LAYERS + TASKS[name] + STEPS
    found = load_text(text.replace("vocab: 40", "vocab: 300") if "bytes" in text else text, diagnostics, sets=sets)
    diagnostics.raise_errors()
    assert found is not None
    return found


def records(run: Path) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [{key: value for key, value in line.items() if key not in ("tokens_per_s", "seconds")} for line in lines]


@pytest.mark.parametrize("name", TASKS)
def test_a_task_is_learned_and_resumed_exactly(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    vocabulary = ["vars.vocab=60"] if name in ("pairs", "classes") else []
    whole = train(spec(name, *vocabulary), out="whole")
    losses = [record["val_loss"] for record in records(whole) if record["val_loss"] is not None]
    assert min(losses[1:]) < losses[0]
    plain = loop.Trainer._step

    def stopping(self: loop.Trainer) -> None:
        plain(self)
        if self.progress.step == 33:
            self.stop.requested = "SIGINT"

    with monkeypatch.context() as patched:
        patched.setattr(loop.Trainer, "_step", stopping)
        with pytest.raises(Stopped):
            train(spec(name, *vocabulary), out="parts")
    parts = train(spec(name, *vocabulary), out="parts", resume=True)
    assert records(parts) == records(whole)
    for path in ("best", "step-60"):
        one, other = (read_weights(run / "checkpoints" / path / "model.safetensors") for run in (whole, parts))
        assert all(one[key].equal(other[key]) for key in one)


def test_measures_stand_in_the_metrics_and_choose_the_best(folder: Path) -> None:
    run = train(spec("classes", "train.evaluate.best=accuracy", "vars.vocab=60"), out="run")
    judged = [record for record in records(run) if record["val_loss"] is not None]
    best = max(judged, key=lambda record: record["measures"]["accuracy"])
    assert open_run(run).step == best["step"]
    facts = json.loads((run / "data" / "data.json").read_text())
    assert facts["labels"] == {"classification": ["no", "yes"]}
    assert facts["bad"] == {"count": 1, "first": ["t.csv:202: there is no label"]}


@pytest.mark.parametrize(
    "name, counted, unit",
    [
        ("pairs", "ids", "nats per target"),
        ("pictures", "rows", "nats per target"),
        ("numbers", "ids", "squared error"),
        ("two tasks", "ids", None),
    ],
)
def test_what_is_counted_and_in_what_losses_are(name: str, counted: str, unit: str | None, folder: Path) -> None:
    model, section = analyse(spec(name, "vars.vocab=60"), Diagnostics()), spec(name, "vars.vocab=60").train
    assert model is not None
    lesson = lesson_for(model, section)
    assert (lesson.counted, lesson.loss_unit) == (counted, unit)


BAD = {
    "columns": ("classes", ["train.data.columns={words: text}"], "there is no input 'words'; there is tokens, segments"),
    "column": ("classes", ["train.data.columns={tokens: texts}"], "there is no column 'texts'"),
    "room": ("classes", ["nodes.logits.width=1"], "has 2 classes for classification, .* room for 1: write 2"),
    "files": ("pairs", ["train.data.train=[a.txt, none.txt]"], "none.txt does not exist"),
    "measure": ("classes", ["train.evaluate.best=f2"], "no measure 'f2'; there is loss, accuracy"),
    "mixup": ("classes", ["train.task.mixup=0.2"], "mixup mixes numbers, and this model reads ids"),
    "ends": ("classes", ["train.task={type: spans}"], r"spans needs logits \[B, T, 2\], or two outputs"),
    "logits": ("classes", ["train.task=seq2seq"], r"train: task: seq2seq needs logits \[B, T, ids\].* write the task that fits"),
    "alike": ("words", ["train.task=contrastive"], r"contrastive needs similarities \[B, B\]"),
    "language": ("texts of rows", ["train.data={type: copy}"], "causal_lm learns from text, pairs, or the texts of a table"),
    "folder": ("pictures", ["train.data={type: images, train: none}"], "train: none does not exist"),
    "levels": ("pictures", ["train.data.mean=[1, 2]"], "mean and std: one number, or 1, one for each channel of 'image'"),
    "strict": ("classes", ["train.data.bad_rows=stop"], "t.csv:202: there is no label; mend it"),
    "kind": ("copy", ["train.task=classification"], r"copy:1: 0 labels in label, and 1 words in source"),
}  # fmt: skip


@pytest.mark.parametrize("what", BAD)
def test_what_does_not_fit_says_why(what: str, folder: Path) -> None:
    name, sets, message = BAD[what]
    with pytest.raises(TrainError, match=message):
        train(spec(name, *sets, "vars.vocab=60"), out="run")


@pytest.mark.parametrize("name", ["pairs", "language"])
def test_samples_change_nothing_of_the_training(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(TASKS, "language", LANGUAGE)
    sets = ("vars.vocab=60", "train.steps=40", "train.checkpoint.every=10")
    plain = train(spec(name, *sets), out="plain")
    told = train(spec(name, *sets, "train.evaluate.samples=2"), out="told")
    assert records(plain) == records(told)
    one, other = (read_weights(run / "checkpoints" / "step-40" / "model.safetensors") for run in (plain, told))
    assert all(one[key].equal(other[key]) for key in one)
    lines = (told / "samples.txt").read_text("utf-8").splitlines()
    assert [line.partition(":")[0] for line in lines] == ["step 20", "step 20", "step 40", "step 40"]
    assert all(" → " in line for line in lines) and not (plain / "samples.txt").exists()
    shutil.rmtree(told / "checkpoints" / "step-40")
    train(spec(name, *sets, "train.evaluate.samples=2"), out="told", resume=True)
    assert (told / "samples.txt").read_text("utf-8").splitlines() == lines


def test_only_texts_are_samples(folder: Path) -> None:
    with pytest.raises(TrainError, match="classification writes no texts; causal_lm and seq2seq do"):
        train(spec("classes", "vars.vocab=60", "train.evaluate.samples=1"), out="run")


def test_texts_are_written_without_compiled_calls() -> None:
    model = torch.nn.Sequential(torch.nn.Linear(2, 2))
    call = model[0]._compiled_call_impl = model[0].forward  # as `compile` sets it
    with _as_written(model):
        assert model[0]._compiled_call_impl is None
    assert model[0]._compiled_call_impl is call
