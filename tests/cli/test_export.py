"""`blockgraph export`: from a spec, a run and a published folder; what goes wrong is a sentence and exit code 2."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner, Result
from safetensors.torch import load_file

import blockgraph
from blockgraph.cli.main import app
from blockgraph.running.manifests import MANIFEST, digest, manifest_text
from blockgraph.running.tokenizers import FORMAT
from blockgraph.running.weights import WEIGHTS, save_weights
from blockgraph.specs.show import show
from tests.running.parity import save

SMALL = ["vars.layers=1", "vars.width=16", "vars.heads=2", "vars.hidden=20", "vars.vocab=29", "vars.max_len=32"]


def export(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["export", *map(str, arguments)], prog_name="blockgraph")


def small(*sets: str) -> list[str]:
    return [part for value in [*SMALL, *sets] for part in ("--set", value)]


def make_run(folder: Path, tokenizer: str) -> blockgraph.Model:
    """A run as training leaves it, of a gpt2 that nobody trained."""
    model = blockgraph.build("gpt2", sets=SMALL, seed=7)
    best = folder / "checkpoints/best"
    best.mkdir(parents=True)
    (folder / "spec.yaml").write_text(show(model.spec), "utf-8")
    (folder / "tokenizer.json").write_text(tokenizer, "utf-8")
    save_weights(model, best / WEIGHTS)
    (best / MANIFEST).write_text(manifest_text(3, {WEIGHTS: digest(best / WEIGHTS)}), "utf-8")
    return model


def library_file() -> str:
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel

    text: str = Tokenizer(WordLevel({"a": 0, "b": 1}, unk_token="a")).to_str()
    return text


@pytest.mark.parametrize("form", ["python", "huggingface"])
@pytest.mark.parametrize("own", [True, False])
def test_a_run_with_its_weights(form: str, own: bool, tmp_path: Path) -> None:
    text = json.dumps({FORMAT: 1, "type": "bytes"}) if own else library_file()
    model = make_run(tmp_path / "run", text)
    out = tmp_path / ("model.py" if form == "python" else "model")
    done = export(tmp_path / "run", "--to", form, "-o", out)
    assert done.exit_code == 0 and done.output.startswith(f"wrote {out}: "), done.output
    if form == "python":
        assert all(
            torch.equal(weight, model.state_dict()[name]) for name, weight in load_file(tmp_path / WEIGHTS).items()
        )
        return
    again = blockgraph.from_huggingface(out).state_dict()
    assert all(torch.equal(weight, again[name]) for name, weight in model.state_dict().items())
    beside = [] if own else ["tokenizer.json", "tokenizer_config.json"]
    assert sorted(path.name for path in out.iterdir()) == ["config.json", WEIGHTS, *beside]


def test_a_preset_without_weights_beside_its_source(tmp_path: Path) -> None:
    done = export("gpt2", *small(), "--to", "python", "-o", tmp_path / "deep/model.py")
    assert done.exit_code == 0 and done.output.endswith("the model as Python that needs only torch\n")
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["model.py"]


def test_a_published_folder_and_its_config_alone(tmp_path: Path) -> None:
    save("gpt2", tmp_path / "theirs")
    done = export(tmp_path / "theirs", "--to", "huggingface", "-o", tmp_path / "ours")
    assert done.exit_code == 0 and "28 tensors in 1 file, config.json, generation_config.json" in done.output
    done = export(tmp_path / "theirs/config.json", "--seed", 5, "--to", "huggingface", "-o", tmp_path / "fresh")
    assert done.exit_code == 0, done.output
    ours, fresh = (load_file(tmp_path / folder / WEIGHTS) for folder in ("ours", "fresh"))
    assert ours.keys() == fresh.keys() and not torch.equal(*(each["transformer.wte.weight"] for each in (ours, fresh)))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("gpt2", "--to", "torch", "-o", "x.bin"), "x.bin: torch reads its programs from files that end in .pt2"),
        (("gpt2", "--to", "huggingface", "-o", "full"), "full is not empty: --force replaces it"),
        (("gpt2", "--to", "python", "-o", "full"), "full is a folder: python is written as a file"),
        (("full", "--to", "python", "-o", "x.py"), "full is neither a run (spec.yaml, checkpoints/) nor a checkpoint"),
        (("run", "--to", "python", "-o", "x.py"), "run is a run: its weights fit the spec that it was trained with"),
        (("gpt-nano", "--to", "huggingface", "-o", "x"), "gpt-nano has no `huggingface:` section"),
        (("gpt3", "--to", "tensorflow", "-o", "x"), "'tensorflow' is not one of"),
        (("nothing", "--to", "python", "-o", "x.py"), "nothing"),
    ],
)
def test_refusals(arguments: tuple[str, ...], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("full").mkdir()
    Path("full/file").write_text("", "utf-8")
    make_run(Path("run"), "{}")
    sets = small() if arguments[0] in ("gpt2", "run") else []
    done = export(*arguments, *sets)
    assert done.exit_code == 2 and message in " ".join(done.output.split()) and "bug" not in done.output, done.output
    assert sorted(path.name for path in tmp_path.iterdir()) == ["full", "run"]


def test_force_replaces_a_folder(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out/old").write_text("", "utf-8")
    done = export("gpt2", *small(), "--to", "huggingface", "-o", tmp_path / "out", "--force")
    assert done.exit_code == 0, done.output
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["config.json", WEIGHTS]
