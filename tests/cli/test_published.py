"""Commands on a published model's config.json."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from blockgraph.cli.main import app

CONFIG = {
    "model_type": "gpt2", "architectures": ["GPT2LMHeadModel"], "n_embd": 48, "n_head": 4, "n_layer": 3,
    "n_positions": 64, "vocab_size": 96,
}  # fmt: skip
PARAMETERS = 92_592


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(a) for a in arguments], prog_name="blockgraph")


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = Path("tiny-gpt2/config.json")
    path.parent.mkdir()
    path.write_text(json.dumps(CONFIG), "utf-8")
    return path


def test_draw_names_the_picture_after_the_folder(config: Path) -> None:
    done = run("draw", config)
    assert (done.exit_code, done.output) == (0, "wrote tiny-gpt2.svg\n")
    assert "96 × 48" in Path("tiny-gpt2.svg").read_text("utf-8")


def test_validate_counts(config: Path) -> None:
    done = run("validate", "--strict", config)
    assert (done.exit_code, done.output) == (0, f"{config}: valid, {PARAMETERS:,} parameters\n")


def test_what_is_shown_validates_and_builds(config: Path) -> None:
    done = run("show", config)
    assert done.exit_code == 0 and "name: tiny-gpt2\n" in done.output and "train:" not in done.output
    Path("own.yaml").write_text(done.output, "utf-8")
    assert run("validate", "--strict", "own.yaml").output == f"own.yaml: valid, {PARAMETERS:,} parameters\n"


def test_build_on_meta(config: Path) -> None:
    done = run("build", "--json", "--device", "meta", config)
    assert done.exit_code == 0 and json.loads(done.output)["parameters"] == PARAMETERS


def test_a_refusal_is_shown_in_the_config(config: Path) -> None:
    config.write_text(json.dumps(CONFIG | {"add_cross_attention": True}, indent=2), "utf-8")
    done = run("draw", config)
    assert done.exit_code == 2
    assert "config.json:11:26: error[unsupported-model]: 'add_cross_attention' asks for" in done.output
    assert "1 error; nothing was built." in done.output and not list(Path().glob("*.svg"))


@pytest.mark.parametrize("text", ["", "{", "[]", '{"model_type": 3}', '{"model_type": "gpt2", "n_embd": {}}'])
def test_bad_files_are_messages(config: Path, text: str) -> None:
    config.write_text(text, "utf-8")
    done = run("validate", config)
    assert done.exit_code == 2 and "error[" in done.output


def test_torch_is_not_needed(config: Path) -> None:
    code = (
        "import sys; sys.modules.update(dict.fromkeys(['torch', 'transformers', 'safetensors']))\n"
        f"sys.argv[1:] = ['draw', {str(config)!r}, '-o', 'x.dot']\nfrom blockgraph.cli.main import main\nmain()"
    )
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run([sys.executable, "-c", code], check=False, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
