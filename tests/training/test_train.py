"""From a YAML file and a text to a run folder and back."""

import io
import json
import os
import re
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console

from blockgraph.data.texts import Texts
from blockgraph.running.generate import continue_text
from blockgraph.running.manifests import DamagedCheckpoint, verify
from blockgraph.running.runs import find_checkpoint, open_run
from blockgraph.running.weights import read_weights
from blockgraph.specs.diagnostics import BlockgraphError, Diagnostics
from blockgraph.specs.load import load_spec
from blockgraph.specs.spec import Spec
from blockgraph.training import loop, session
from blockgraph.training.errors import DiskFull, Stopped, TrainError
from blockgraph.training.session import Session
from blockgraph.training.train import train

SPEC = """\
blockgraph: 1
name: tiny
vars: {width: 16, vocab: 64}
blocks:
  Layer:
    nodes:
      norm: rms_norm
      attn: {type: attention, heads: 2, causal: true, rope: {}, dropout: 0.1}
      add:  {type: add, in: [x, attn]}
inputs: {tokens: {tokens: =vocab, axis: T}}
nodes:
  embed:   {type: embedding, width: =width}
  decoder: {type: Layer, repeat: 2}
  logits:  {type: linear, width: =vocab, bias: false}
train:
  data: {type: text, train: "*.txt", valid: 0.1}
  tokenizer: characters
  batch: {size: 4, length: 16}
  steps: 12
  optimizer: {type: muon, lr: 0.02, others: {lr: 0.01}}
  evaluate: {every: 4}
  checkpoint: {every: 5}
"""
TEXT = "how much wood would a woodchuck chuck, if a woodchuck could chuck wood?\n" * 30


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny.yaml").write_text(SPEC)
    (tmp_path / "corpus.txt").write_text(TEXT)
    return tmp_path


def spec(path: str | Path = "tiny.yaml", *sets: str) -> Spec:
    diagnostics = Diagnostics()
    found = load_spec(str(path), diagnostics, sets=sets)
    diagnostics.raise_errors()
    assert found is not None
    return found


def losses(run: Path) -> list[tuple[Any, ...]]:
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [(line["step"], line["train_loss"], line["val_loss"], line["lr"]) for line in lines]


def stop_at(
    monkeypatch: pytest.MonkeyPatch, step: int, action: Any = lambda: os.kill(os.getpid(), signal.SIGINT)
) -> None:
    plain = loop.Trainer._step

    def one(self: loop.Trainer) -> None:
        plain(self)
        if self.progress.step == step:
            action()

    monkeypatch.setattr(loop.Trainer, "_step", one)


def test_a_training_keeps_freed_memory(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Kept(Exception):  # noqa: N818
        """Before anything that allocates."""

    def keep() -> bool:
        raise Kept

    monkeypatch.setattr("blockgraph.training.train.keep_freed_memory", keep)
    with pytest.raises(Kept):
        train(spec())


def test_a_run_folder_has_everything(folder: Path) -> None:
    drawn: list[Path] = []
    run = train(spec(), draw=lambda spec, path: (drawn.append(path), path.write_text("<svg/>"))[0])
    assert run == Path("runs/tiny-1")
    names = sorted(path.name for path in run.iterdir() if not path.name.startswith("."))
    assert names == [
        "README.md", "checkpoints", "data", "diagram.svg", "environment.json",
        "loss.png", "metrics.jsonl", "spec.yaml", "tokenizer.json",
    ]  # fmt: skip
    assert sorted(path.name for path in (run / "checkpoints").iterdir()) == ["best", "step-10", "step-12", "step-5"]
    assert (run / "loss.png").read_bytes().startswith(b"\x89PNG") and drawn == [run / "diagram.svg"]
    assert [step for step, _, valid, _ in losses(run) if valid is not None] == [4, 8, 12]
    page, best = (run / "README.md").read_text("utf-8"), find_checkpoint(run)[1]
    assert "Step 12 of 12: finished." in page and "--resume" not in page and "- **Began from**: weights drawn" in page
    rows = re.findall(r"\| `checkpoints/(\S+)/` \| (\d+) \|", page)
    assert rows == [("best", str(best)), ("step-12", "12"), ("step-10", "10"), ("step-5", "5")]
    valid_loss = next(valid for step, _, valid, _ in losses(run) if step == best)
    assert f"Best validation loss: **{valid_loss:.4f}** at step {best}" in page
    assert all((run / name).exists() for name in re.findall(r"^\| `([^`]+)` \| [^|]+ \|$", page, re.MULTILINE))
    assert "decoder.1.attn.query.weight" in read_weights(run / "checkpoints" / "best" / "model.safetensors")
    assert train(spec()) == Path("runs/tiny-2")


def test_the_page_of_a_run_that_was_killed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def kill() -> None:
        raise KeyboardInterrupt

    for step, said in ((1, "Begun; no checkpoint was written yet."), (9, "Step 8 of 12 when this page was written.")):
        with monkeypatch.context() as patched:
            stop_at(patched, step, kill)
            with pytest.raises(Stopped, match="stopped at once"):
                train(spec(), out=f"killed-{step}")
        page = Path(f"killed-{step}/README.md").read_text("utf-8")
        assert said in page and f"    blockgraph train killed-{step}/spec.yaml --out killed-{step} --resume\n" in page
    assert "`checkpoints/step-5/` | 5 |" in page and "`checkpoints/best/` | 8 |" in page
    train(spec("tiny.yaml", "train.start=killed-9", "train.steps=1"), out="after")
    assert "- **Began from**: `" in Path("after/README.md").read_text("utf-8")


def test_a_run_opens_with_its_weights(folder: Path) -> None:
    run = train(spec(), out="run")
    for which in ("best", "last"):
        opened = open_run(run, which=which)  # type: ignore[arg-type]
        assert not opened.model.training and opened.step == verify(opened.checkpoint)
        saved = read_weights(opened.checkpoint / "model.safetensors")
        for name, value in opened.model.state_dict().items():
            assert torch.equal(value, saved[name]), name
    assert opened.window == 16
    text = "".join(continue_text(opened, "how much ", max_new=30, seed=1))
    assert len(text) == 30 and set(text) <= set(TEXT)
    assert "".join(continue_text(opened, "how much ", max_new=30, seed=1)) == text


def test_resuming_is_exact(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = train(spec(), out="whole")
    with monkeypatch.context() as patched:
        stop_at(patched, 7)
        with pytest.raises(
            Stopped, match=r"at step 7 of 12, and saved; go on: blockgraph train cut/spec\.yaml --out cut --resume"
        ):
            train(spec(), out="cut")
    page = Path("cut/README.md").read_text("utf-8")
    assert "Step 7 of 12 when this page was written." in page and "`checkpoints/step-7/` | 7 |" in page
    assert "    blockgraph train cut/spec.yaml --out cut --resume\n" in page
    cut = train(spec(), out="cut", resume=True)
    assert losses(cut) == losses(whole)
    last = [read_weights(find_checkpoint(run, "last")[0] / "model.safetensors") for run in (whole, cut)]
    assert all(torch.equal(last[0][name], last[1][name]) for name in last[0])
    sessions = json.loads((cut / "environment.json").read_text())["sessions"]
    assert [session["from_step"] for session in sessions] == [0, 7]


def test_an_interrupt_before_the_first_step_saves(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From the moment in which it says that it goes on, an interrupt is a request to save."""
    train(spec(), out="runs/a")
    plain = Session._restore

    def interrupted(self: Session, trainer: loop.Trainer, loaded: Any) -> None:
        plain(self, trainer, loaded)
        os.kill(os.getpid(), signal.SIGINT)

    for old in ("step-10", "step-12"):
        shutil.rmtree(f"runs/a/checkpoints/{old}")
    before = losses(Path("runs/a"))
    with monkeypatch.context() as patched, pytest.raises(Stopped, match="SIGINT at step 5 of 12, and saved"):
        patched.setattr(Session, "_restore", interrupted)
        train(spec(), out="runs/a", resume=True)
    assert losses(train(spec(), out="runs/a", resume=True)) == before


def test_an_interrupt_before_anything_is_learned(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(session, "source_of", interrupted)
        train(spec(), out="a")
    assert not Path("a").exists()
    with monkeypatch.context() as patched, pytest.raises(Stopped, match="begin again: the same command with --resume"):
        patched.setattr(session, "tokenizer_for", interrupted)
        train(spec(), out="a")
    assert losses(train(spec(), out="a", resume=True)) == losses(train(spec(), out="b"))


def test_a_run_folder_that_is_removed_is_not_made_again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stop_at(monkeypatch, 2, lambda: shutil.rmtree("a"))
    with pytest.raises(FileNotFoundError, match="a/checkpoints"):
        train(spec(), out="a")
    assert not Path("a").exists()


def test_a_run_resumes_from_its_own_spec_and_a_killed_start(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "elsewhere").mkdir()
    (folder / "elsewhere" / "other.txt").write_text(TEXT[::-1])
    with monkeypatch.context() as patched:
        stop_at(patched, 2, lambda: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(Stopped, match="stopped at once"):
            train(spec(), out="cut", data="elsewhere")
    whole = train(spec(), out="whole", data="elsewhere")
    again = train(spec("cut/spec.yaml"), out="cut", resume=True)  # it remembers `data`
    assert losses(again) == losses(whole)
    own = train(spec(), out="own")
    (own / "checkpoints" / "step-12").rename(folder / "gone")
    assert losses(train(spec("own/spec.yaml"), out="own", resume=True))[-1][0] == 12


def test_resuming_refuses_what_has_changed(folder: Path) -> None:
    train(spec(), out="run")
    with pytest.raises(
        TrainError, match=r"the spec has changed since run was begun:\n  -  steps: 12\n  \+  steps: 13\n"
    ):
        train(spec("tiny.yaml", "train.steps=13"), out="run", resume=True)
    (folder / "corpus.txt").write_text(TEXT + "more")
    with pytest.raises(TrainError, match=r"the data has changed .*corpus\.txt, [\d,]+ ids or rows then"):
        train(spec(), out="run", resume=True)
    (folder / "corpus.txt").write_text(TEXT)
    tokenizer = (folder / "run" / "tokenizer.json").read_text()
    (folder / "run" / "tokenizer.json").write_text(tokenizer.replace("how", "who"))
    (folder / "run" / "tokenizer.json").write_text(tokenizer + "\n")
    with pytest.raises(TrainError, match=r"tokenizer\.json has changed"):
        train(spec(), out="run", resume=True)
    (folder / "run" / "tokenizer.json").write_text(tokenizer)
    with pytest.raises(TrainError, match="holds no run"):
        train(spec(), out="nowhere", resume=True)


def test_a_default_may_be_written_or_left_out(folder: Path) -> None:
    """As it is where the language gets a new word: a run that was begun before it goes on."""
    run, begun = train(spec(), out="run"), (folder / "run" / "spec.yaml").read_text()
    shutil.rmtree(run / "checkpoints" / "step-12")
    before = losses(run)
    train(spec("tiny.yaml", "train.ema=null", "train.evaluate.samples=0", "train.clip=1"), out="run", resume=True)
    assert losses(run) == before and (run / "spec.yaml").read_text() == begun
    for other in ("train.clip=null", "train.optimizer.others.eps=1e-7", "nodes.embed.about=words"):
        with pytest.raises(TrainError, match="the spec has changed"):
            train(spec("tiny.yaml", other), out="run", resume=True)
    (run / "spec.yaml").write_text(begun.replace("steps: 12", "steps: 13"))
    with pytest.raises(TrainError, match="was written with another spec"):
        train(spec("run/spec.yaml"), out="run", resume=True)


def test_damaged_ids_are_found(folder: Path) -> None:
    run = train(spec(), out="run")
    data = bytearray((run / "data" / "train.bin").read_bytes())
    data[100] ^= 1
    (run / "data" / "train.bin").write_bytes(data)
    with pytest.raises(DamagedCheckpoint, match=r"run/data/train\.bin has changed since it was written"):
        train(spec(), out="run", resume=True)


def test_a_damaged_checkpoint_is_said_and_passed_over(folder: Path) -> None:
    run = train(spec(), out="run")
    expected = losses(run)
    weights = run / "checkpoints" / "step-12" / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-3] ^= 4
    weights.write_bytes(data)
    out = io.StringIO()
    train(spec(), out="run", resume=True, console=Console(file=out, width=200))
    assert "damaged: run/checkpoints/step-12/model.safetensors has changed" in out.getvalue()
    assert "goes on from step-10" in out.getvalue()
    assert losses(run) == expected and verify(weights.parent) == 12


def test_one_writer_at_a_time(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    caught: list[str] = []

    def second() -> None:
        with pytest.raises(TrainError, match="is being trained") as error:
            train(spec(), out="run", resume=True)
        caught.append(str(error.value))

    stop_at(monkeypatch, 3, second)
    train(spec(), out="run")
    assert len(caught) == 1


def test_a_full_disk(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full() -> None:
        raise OSError(28, "No space left on device")

    stop_at(monkeypatch, 7, full)
    with pytest.raises(DiskFull, match=r"the disk is full: run cannot be written .* go on with --resume"):
        train(spec(), out="run")
    assert verify(folder / "run" / "checkpoints" / "step-5") == 5


BAD: dict[str, tuple[list[str], str]] = {
    "no room for the tokenizer": (["vars.vocab=8"], r"has \d+ ids, the model's input has room for 8: write \d+"),
    "too little text": (["train.batch.length=4000"], "has 1,944 ids, and a window needs 4,001"),
    "no mask": (["train.task=masked_lm", "train.tokenizer=bytes", "vars.vocab=256"], "has 257 ids"),
    "rows": (["train.task=regression"], "regression learns from rows: pairs, a table or images"),
    "no text": (["train.data.train=none.txt"], "none.txt does not exist"),
    "no such output": (["train.task={type: causal_lm, output: scores}"], "no output 'scores'; there is logits"),
    "nothing trained": (['train.freeze=["*"]'], "every weight is frozen"),
    "no start": (["train.start=nowhere"], "start: nowhere does not exist"),
    "padding": (["inputs.tokens.pad=7"], "the input's pad is 7; .* write one below 1"),
}


@pytest.mark.parametrize("what", BAD)
def test_what_cannot_start_says_why_and_leaves_nothing(folder: Path, what: str) -> None:
    sets, message = BAD[what]
    with pytest.raises(TrainError, match=message) as caught:
        train(spec("tiny.yaml", *sets), out="run")
    assert caught.value.exit_code == 2
    assert not Path("run").exists()


def test_out_must_be_free(folder: Path) -> None:
    train(spec(), out="run")
    with pytest.raises(TrainError, match="holds a run: go on with --resume"):
        train(spec(), out="run")
    with pytest.raises(TrainError, match="is a file"):
        train(spec(), out="tiny.yaml")
    (folder / "full").mkdir()
    (folder / "full" / "mine.txt").write_text("keep")
    with pytest.raises(TrainError, match="is not empty"):
        train(spec(), out="full")
    assert (folder / "full" / "mine.txt").read_text() == "keep"


def test_starting_from_a_run(folder: Path) -> None:
    first = train(spec(), out="first")
    out = io.StringIO()
    wider = spec("tiny.yaml", "train.start=first", "train.steps=1", "nodes.decoder.repeat=3", "train.tokenizer=bytes")
    run = train(wider, out="second", console=Console(file=out, width=400))
    said = out.getvalue()
    assert "starts from first/checkpoints/best/model.safetensors: 20 of 29 weights" in said.replace("\n", " ")
    assert "drawn afresh: decoder.2.norm.weight, decoder.2.attn.query.weight" in said
    assert (run / "tokenizer.json").read_text() == (first / "tokenizer.json").read_text()
    with pytest.raises(
        TrainError, match=r"no weight that fits .*: embed\.weight \(\[64, 16\] there, \[64, 32\] here\)"
    ):
        train(spec("tiny.yaml", "train.start=first", "vars.width=32"), out="third")


def test_texts_may_be_given(folder: Path) -> None:
    out = io.StringIO()
    run = train(spec(), out="run", data=Texts(TEXT, "", "a rhyme"), console=Console(file=out, width=200))
    assert "nothing to validate on" in out.getvalue()
    assert not (run / "checkpoints" / "best").exists()
    assert find_checkpoint(run)[0].name == "step-12"
    assert json.loads((run / "data" / "data.json").read_text())["origin"] == "a rhyme"


def test_recomputing_and_stochastic_depth(folder: Path) -> None:
    """A branch that rows skip by chance learns; computing it again in the backward pass changes no loss."""
    text = SPEC.replace("in: [x, attn]", "in: [x, path]").replace(
        "      add:", "      path: {type: dropout, p: 0.5, per: sample}\n      add:"
    )
    (folder / "deep.yaml").write_text(text.replace("name: tiny", "name: deep"))
    found = [losses(train(spec("deep.yaml", f"nodes.decoder.recompute={again}"))) for again in ("false", "true")]
    assert found[0] == found[1] != losses(train(spec()))


def test_epochs_and_frozen_parts(folder: Path) -> None:
    sets = ["train.steps=null", "train.epochs=2", 'train.freeze=[embed, "*.attn.key"]', "train.optimizer=adamw"]
    run = train(spec("tiny.yaml", *sets), out="run")
    from blockgraph.builder.build import build

    start = build(spec(), seed=0).state_dict()
    saved = read_weights(find_checkpoint(run, "last")[0] / "model.safetensors")
    kept = {name for name in saved if torch.equal(saved[name], start[name])}
    assert {name for name in kept if "norm" not in name} == {
        "embed.weight", "decoder.0.attn.key.weight", "decoder.0.attn.key.bias",
        "decoder.1.attn.key.weight", "decoder.1.attn.key.bias",
    }  # fmt: skip
    windows = (1944 - 1) // 16
    assert find_checkpoint(run, "last")[1] == -(-2 * windows // 4)


def test_progress_is_told(folder: Path) -> None:
    plain, live = io.StringIO(), io.StringIO()
    train(spec(), out="one", console=Console(file=plain, width=200))
    assert plain.getvalue().startswith("run: one\n") and plain.getvalue().endswith("run: one\n")
    assert "step 12 of 12 · loss " in plain.getvalue() and "validation loss" in plain.getvalue()
    train(spec(), out="two", console=Console(file=live, width=120, force_terminal=True))
    assert "12/12" in live.getvalue() and "ids/s" in live.getvalue() and "validation" in live.getvalue()


def test_paths_are_relative_to_the_file_that_writes_them(folder: Path) -> None:
    (folder / "own").mkdir()
    (folder / "own" / "base.yaml").write_text(SPEC)
    (folder / "own" / "mine.txt").write_text(TEXT)
    (folder / "corpus.txt").unlink()
    (folder / "derived.yaml").write_text("extends: own/base.yaml\nname: derived\ntrain: {steps: 2}\n")
    run = train(spec("derived.yaml"), out="run")
    assert json.loads((run / "data" / "data.json").read_text())["origin"] == "mine.txt"
    train(spec("run/spec.yaml"), out="run", resume=True)


def test_a_picture_that_cannot_be_drawn_stops_nothing(folder: Path) -> None:
    def refuse(spec: Spec, path: Path) -> None:
        raise BlockgraphError("no engine")

    out = io.StringIO()
    train(spec("tiny.yaml", "train.steps=1"), out="run", draw=refuse, console=Console(file=out, width=200))
    assert "no diagram: no engine" in out.getvalue()
