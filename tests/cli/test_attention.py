"""`blockgraph attention` as it is called: on runs and on published checkpoints."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from blockgraph.api import build, load
from blockgraph.cli.main import app
from blockgraph.running.manifests import MANIFEST, digest, manifest_text
from blockgraph.running.tokenizers import Characters
from blockgraph.running.weights import WEIGHTS, save_weights
from blockgraph.specs.show import show
from tests.running import parity
from tests.viz.test_html import Parsed

SEQ2SEQ = """
blockgraph: 1
extends: transformer-nano
name: tiny
vars: {width: 16, heads: 2, hidden: 16, layers: 2, vocab: 12}
train: {data: {type: reverse}, tokenizer: characters, steps: 1}
"""


def call(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["attention", *map(str, arguments), "--device", "cpu"])


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run of an encoder-decoder, not trained."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own.yaml").write_text(SEQ2SEQ)
    spec = load(tmp_path / "own.yaml")
    folder = tmp_path / "run"
    checkpoint = folder / "checkpoints" / "step-1"
    checkpoint.mkdir(parents=True)
    save_weights(build(spec, seed=7), checkpoint / WEIGHTS)
    (checkpoint / MANIFEST).write_text(manifest_text(1, {WEIGHTS: digest(checkpoint / WEIGHTS)}))
    (folder / "spec.yaml").write_text(show(spec), "utf-8")
    tokenizer = Characters("abcdefgh猫", specials=("<pad>", "<s>", "</s>"))
    (folder / "tokenizer.json").write_text(tokenizer.to_json(), "utf-8")
    return folder


def test_a_run_becomes_a_page(run: Path) -> None:
    done = call(run, "abc猫", "--target", "cba")
    assert done.exit_code == 0, done.output
    assert done.output == "wrote attention.html: 12 heads of 6 attentions\n"
    data = Parsed(Path("attention.html").read_text("utf-8")).data
    assert [[word for word, _ in text] for text in data["texts"]] == [
        ["a", "b", "c", "猫", "</s>"],
        ["<s>", "c", "b", "a"],
    ]
    assert [told["stack"] for told in data["maps"]] == ["encoder.attn"] * 2 + ["decoder.self", "decoder.cross"] * 2


def test_a_target_is_written_where_none_is_given(run: Path) -> None:
    done = call(run, "abc", "-o", "x.svg", "--layer", "-1", "--head", "0", "--head", "1")
    assert done.exit_code == 0, done.output
    assert (
        "note: tgt is what the model writes: " in done.output and "wrote x.svg: 6 heads of 3 attentions" in done.output
    )
    assert "<svg" in Path("x.svg").read_text("utf-8")


def test_a_published_checkpoint_becomes_a_picture(tmp_path: Path) -> None:
    parity.save("gpt2", tmp_path / "small")
    letters = Tokenizer(models.WordLevel({chr(97 + n): n + 2 for n in range(26)}, unk_token="z"))
    letters.pre_tokenizer, letters.decoder = pre_tokenizers.WhitespaceSplit(), decoders.WordPiece()
    letters.save(str(tmp_path / "small/tokenizer.json"))
    done = call(tmp_path / "small", "a b c", "-o", tmp_path / "x.png", "--layer", "1")
    assert done.exit_code == 0 and "4 heads of 1 attention\n" in done.output, done.output
    assert (tmp_path / "x.png").read_bytes()[:4] == b"\x89PNG"


def test_refusals_say_what_to_do(run: Path, tmp_path: Path) -> None:
    (tmp_path / "published").mkdir()
    (tmp_path / "published/config.json").write_text(json.dumps({"model_type": "gpt2"}))
    for arguments, said in (
        ((run, "abc", "-o", "x.gif"), "write one of .html, .png, .svg, .pdf"),
        ((run, "abc", "--layer", "2"), "--layer 2: there are layers 0 to 1"),
        ((run, "abc", "--head", "-3"), "--head -3: there are heads 0 to 1"),
        ((run, ""), "the text is empty"),
        ((run, "xyz"), "are not among those that this tokenizer was made from"),
        ((tmp_path, "abc"), "is neither a run"),
        ((tmp_path / "published", "abc"), "has no tokenizer: none of tokenizer.json"),
    ):
        done = call(*arguments)
        assert done.exit_code == 2 and said in done.output, done.output
        assert not Path("x.gif").exists() and not Path("attention.html").exists()
