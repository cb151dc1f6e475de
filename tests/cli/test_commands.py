"""Each command on real input: what it prints, what it writes, with which code it exits."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from blockgraph.cli.main import app
from blockgraph.viz.drawing import Drawing

SPEC = """\
blockgraph: 1
name: small
vars: {width: 16, heads: 2, layers: 2, vocab: 32}
blocks:
  Layer:
    nodes:
      norm: layer_norm
      attn: {type: attention, heads: =heads, causal: true}
      add: {type: add, in: [x, attn]}
inputs: {tokens: {tokens: =vocab, axis: T}}
nodes:
  embed: {type: embedding, width: =width}
  decoder: {type: Layer, repeat: =layers}
  logits: {type: linear, tie: embed, bias: false}
"""
PARAMETERS = 32 * 16 + 2 * (2 * 16 + 4 * (16 * 16 + 16))


def run(*arguments: object, **kwargs: Any) -> Any:
    return CliRunner().invoke(app, [str(a) for a in arguments], prog_name="blockgraph", **kwargs)


@pytest.fixture
def spec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "small.yaml"
    path.write_text(SPEC, "utf-8")
    return Path(path.name)


@pytest.fixture
def wrong(spec: Path) -> Path:
    path = Path("wrong.yaml")
    path.write_text(SPEC.replace("heads: 2", "heads: 3").replace("layer_norm", "layernorm"), "utf-8")
    return path


def test_validate_accepts(spec: Path) -> None:
    done = run("validate", spec, "gpt2")
    assert (done.exit_code, done.output.splitlines()) == (
        0,
        [f"small.yaml: valid, {PARAMETERS:,} parameters", "gpt2: valid, 124,439,808 parameters"],
    )


def test_validate_refuses_with_every_error_and_its_place(wrong: Path) -> None:
    done = run("validate", wrong)
    assert done.exit_code == 2
    assert "wrong.yaml:7:" in done.output and "error[unknown-type]" in done.output
    assert "did you mean 'layer_norm'?" in done.output
    assert "\x1b" not in done.output


def test_validate_prints_json(wrong: Path) -> None:
    done = run("validate", wrong, "--format", "json")
    assert done.exit_code == 2
    assert "unknown-type" in {one["code"] for one in json.loads(done.output)}


def test_validate_prints_empty_json_where_all_is_well(spec: Path) -> None:
    done = run("validate", spec, "--format", "json")
    assert (done.exit_code, json.loads(done.output)) == (0, [])


def test_validate_prints_github_annotations(wrong: Path) -> None:
    done = run("validate", wrong, "--format", "github")
    assert done.exit_code == 2
    assert any(line.startswith("::error file=wrong.yaml,line=7,") for line in done.output.splitlines())


def test_strict_refuses_warnings(spec: Path) -> None:
    spec.write_text(SPEC.replace("vocab: 32", "vocab: 32, spare: 1"), "utf-8")
    lax, strict = run("validate", spec), run("validate", spec, "--strict")
    assert (lax.exit_code, strict.exit_code) == (0, 2)
    assert "warning[unused-var]" in lax.output


def test_validate_reads_standard_input() -> None:
    done = run("validate", "-", input=SPEC)
    assert (done.exit_code, done.output) == (0, f"-: valid, {PARAMETERS:,} parameters\n")


def test_validate_knows_libraries(spec: Path) -> None:
    spec.write_text("blockgraph: 1\nblocks: {Two: {nodes: {a: layer_norm, b: layer_norm}}}\n", "utf-8")
    assert run("validate", spec).output == "small.yaml: valid, a library of 1 blocks\n"
    built = run("build", spec)
    assert built.exit_code == 2 and "is a library" in built.output


def test_validate_names_a_missing_file(tmp_path: Path) -> None:
    done = run("validate", tmp_path / "absent.yaml")
    assert done.exit_code == 2 and "missing-file" in done.output


def test_set_overrides(spec: Path) -> None:
    done = run("validate", spec, "--set", "vars.layers=1", "--set", "vars.vocab=64")
    assert f"{64 * 16 + 2 * 16 + 4 * (16 * 16 + 16):,} parameters" in done.output


def test_a_wrong_set_is_refused(spec: Path) -> None:
    assert run("validate", spec, "--set", "vars.layers").exit_code == 2


def test_show_prints_a_spec_that_builds_the_same_model(spec: Path) -> None:
    shown = run("show", spec, "--set", "vars.layers=3")
    again = run("validate", "-", input=shown.output)
    assert shown.exit_code == 0
    assert again.output == run("validate", spec, "--set", "vars.layers=3").output.replace("small.yaml", "-")


def test_show_flat_is_sorted(spec: Path) -> None:
    lines = run("show", spec, "--flat").output.splitlines()
    assert lines == sorted(lines) and any("decoder" in line for line in lines)


def test_fmt_writes_and_then_agrees(spec: Path) -> None:
    messy = SPEC.replace("name: small", "name:    small   # kept")
    spec.write_text(messy, "utf-8")
    assert run("fmt", "--check", spec).exit_code == 1
    assert spec.read_text("utf-8") == messy
    assert run("fmt", spec).exit_code == 0
    assert "# kept" in spec.read_text("utf-8")
    again = run("fmt", "--check", spec)
    assert (again.exit_code, again.output) == (0, "")


def test_fmt_refuses_what_is_not_yaml(spec: Path) -> None:
    spec.write_text("blockgraph: 1\nnodes: {a: [\n", "utf-8")
    done = run("fmt", spec)
    assert done.exit_code == 2 and "yaml-syntax" in done.output
    assert spec.read_text("utf-8") == "blockgraph: 1\nnodes: {a: [\n"


def test_explain_lists_and_explains_every_code() -> None:
    from blockgraph.specs.codes import CODES

    listed = [line.split()[0] for line in run("explain").output.splitlines()]
    assert listed == sorted(CODES)
    for code in CODES:
        done = run("explain", code)
        assert done.exit_code == 0 and done.output.startswith(f"{code}: ")


def test_explain_suggests() -> None:
    done = run("explain", "unknown-optoin")
    assert done.exit_code == 2 and "did you mean 'unknown-option'?" in done.output


def test_presets_lists_what_is_shipped() -> None:
    names = [line.split()[0] for line in run("presets").output.splitlines()]
    assert {"gpt2", "gpt2-xl", "llama3-8b", "transformer-base", "bert-base", "gpt-nano", "lstm-nano"} <= set(names)


def test_new_writes_a_preset_once(spec: Path) -> None:
    done = run("new", "gpt2", "-o", "mine.yaml")
    assert done.exit_code == 0 and run("validate", "mine.yaml").exit_code == 0
    again = run("new", "gpt2", "-o", "mine.yaml")
    assert again.exit_code == 2 and "--force" in again.output
    assert run("new", "gpt2", "-o", "mine.yaml", "--force").exit_code == 0


def test_new_suggests(spec: Path) -> None:
    assert "did you mean 'gpt2'?" in run("new", "gpt-2").output


def test_blocks_lists_and_describes_every_type() -> None:
    from blockgraph.specs.builtin import BUILTIN

    listed = [line.split()[0] for line in run("blocks").output.splitlines()]
    assert listed == list(BUILTIN)
    for name in BUILTIN:
        shown = run("blocks", name)
        assert shown.exit_code == 0 and "ports" in shown.output


def test_blocks_shows_ports_options_and_defaults() -> None:
    shown = run("blocks", "attention").output
    assert "query, key? (query), value? (key), mask?, bias?" in shown
    rows = {line.split()[0]: line.split() for line in shown.splitlines() if line.startswith("  ")}
    assert "required" in rows["heads"] and "false" in rows["causal"] and rows["rope.pairing"][-1] != "required"


def test_schema_is_json_schema_and_knows_own_blocks(spec: Path) -> None:
    plain, own = run("schema"), run("schema", spec)
    assert json.loads(plain.output)["$schema"].startswith("https://json-schema.org/")
    assert '"Layer"' in own.output and '"Layer"' not in plain.output


def test_draw_writes_and_checks(spec: Path) -> None:
    done = run("draw", spec)
    assert (done.exit_code, done.output) == (0, "wrote small.svg\n")
    assert Path("small.svg").read_bytes().startswith(b"<?xml") or b"<svg" in Path("small.svg").read_bytes()
    assert run("draw", spec, "--check").exit_code == 0
    assert run("draw", spec, "--check", "--set", "vars.layers=5").exit_code == 1


@pytest.mark.parametrize(
    ("suffix", "start"), [("png", b"\x89PNG"), ("pdf", b"%PDF"), ("dot", b"digraph"), ("mmd", b"---")]
)
def test_draw_writes_what_the_suffix_says(spec: Path, suffix: str, start: bytes) -> None:
    assert run("draw", spec, "-o", f"out.{suffix}").exit_code == 0
    assert Path(f"out.{suffix}").read_bytes().lstrip().startswith(start)
    assert run("draw", spec, "-o", f"out.{suffix}", "--check").exit_code == 0


def test_draw_says_which_characters_no_font_has(spec: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("blockgraph.viz.fonts._installed", lambda asked: [])
    done = run("draw", spec, "-o", "out.png", "--title", "词元")
    assert done.exit_code == 0 and "warning: no font on this machine has 元 词: install Noto Sans CJK" in done.stderr


def test_draw_says_where_a_plainer_layout_is_used(spec: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run("draw", spec, "--verbose").stderr == ""
    drawn = Drawing(note="one block a row")
    monkeypatch.setattr("blockgraph.viz.draw.checked_layout", lambda frame, view: (drawn, drawn.note))
    assert run("draw", spec, "-o", "out.dot", "--verbose").stderr == "out.dot: one block a row\n"
    assert run("draw", spec, "-o", "out.dot").stderr == ""


def test_draw_refuses_other_suffixes(spec: Path) -> None:
    done = run("draw", spec, "-o", "out.gif")
    assert done.exit_code == 2 and "the suffix says what to draw" in done.output


def test_build_lists_nodes_and_runs_the_model(spec: Path) -> None:
    done = run("build", spec, "--device", "cpu")
    assert done.exit_code == 0, done.output
    assert f"{PARAMETERS:,} parameters" in done.output
    assert "Layer × 2" in done.output
    assert "one forward pass on random input: tokens [1, 16] → logits [1, 16, 32]; all finite" in done.output


def test_build_prints_json(spec: Path) -> None:
    facts = json.loads(run("build", spec, "--json", "--device", "cpu").output)
    assert facts["parameters"] == PARAMETERS
    assert sum(node["parameters"] for node in facts["nodes"] if "." not in node["path"]) == PARAMETERS
    assert facts["check"]["finite"] is True


def test_build_on_meta_needs_no_memory() -> None:
    facts = json.loads(run("build", "llama3-8b", "--json", "--device", "meta").output)
    assert facts["parameters"] == 8_030_261_248 and facts["check"]["finite"] is None


def test_build_saves_weights_and_exports_source(spec: Path) -> None:
    done = run("build", spec, "--device", "cpu", "--save", "w.safetensors", "--export", "model.py")
    assert done.exit_code == 0, done.output
    from safetensors.torch import load_file

    assert load_file("w.safetensors")["decoder.1.attn.query.weight"].shape == (16, 16)
    assert not re.search(r"(from|import) blockgraph", Path("model.py").read_text("utf-8"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--device", "meta", "--save", "w.safetensors"), "--device meta has no weights to save"),
        (("--device", "cpu", "--export", "small.yaml/model.py"), "error: "),
        (("--device", "cpu", "--set", "vars.width=3e5", "--set", "vars.layers=20"), "and this machine has"),
    ],
)
def test_build_refuses_what_cannot_be(spec: Path, arguments: tuple[str, ...], message: str) -> None:
    done = run("build", spec, *arguments)
    assert done.exit_code == 2 and message in done.output and "bug" not in done.output


def test_build_refuses_what_is_not_built_yet(spec: Path) -> None:
    spec.write_text(SPEC.replace("{type: embedding,", "{type: embedding, pretrained: glove.txt,"), "utf-8")
    assert run("validate", spec).exit_code == 0
    done = run("build", spec, "--device", "cpu")
    assert done.exit_code == 2 and "not-built" in done.output


def test_plugins_bring_block_types(spec: Path) -> None:
    examples = Path(__file__).resolve().parent.parent.parent / "examples"
    without = run("validate", examples / "plugin.yaml")
    assert without.exit_code == 2 and "unknown-type" in without.output
    done = run("build", examples / "plugin.yaml", "--plugin", examples / "my_blocks.py", "--device", "cpu")
    assert done.exit_code == 0, done.output
    assert "maxout" in run("blocks", "--plugin", examples / "my_blocks.py").output


def test_generate_refuses_a_folder_that_is_no_run(tmp_path: Path) -> None:
    done = run("generate", tmp_path, "--prompt", "x")
    assert done.exit_code == 2 and "is not a run" in done.output
