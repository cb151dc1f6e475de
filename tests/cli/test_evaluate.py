"""`evaluate`, `predict` and `compare` from the command line: what they print, what they refuse, never a traceback."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from blockgraph.cli.main import app
from tests.training.trained_runs import Runs


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    return Runs(tmp_path_factory.mktemp("runs"))


def run(*arguments: object, **kwargs: Any) -> Any:
    return CliRunner().invoke(app, [str(a) for a in arguments], prog_name="blockgraph", **kwargs)


def test_evaluate_prints_a_table_or_json(runs: Runs) -> None:
    folder = runs.of("classes")
    done = run("evaluate", folder, "--device", "cpu")
    assert done.exit_code == 0, done.output
    assert done.output.startswith("valid: 10 rows; step ") and "macro_f1" in done.output
    found = json.loads(run("evaluate", folder, "--data", runs.folder / "t.csv", "--json", "--last").stdout)
    assert found["step"] == 40 and found["rows"] == 200 and found["left_out"] == 1 and found["split"] == "t.csv"
    assert set(found["measures"]) == {"loss", "accuracy", "macro_f1", "micro_f1"}


def test_evaluate_writes_translations(runs: Runs) -> None:
    done = run("evaluate", runs.of("pairs"), "--max-new", 8, "--beams", 2, "--json")
    measures = json.loads(done.stdout)["measures"]
    assert {"loss", "perplexity", "token_accuracy", "exact_match", "bleu", "chrf"} == set(measures)


def test_predict_prints_lines_or_json(runs: Runs) -> None:
    folder = runs.of("classes")
    lines = run("predict", folder, "abc", "cab", "--top", 2).output.splitlines()
    assert len(lines) == 2 and all(len(line.split("\t")) == 4 for line in lines)
    answers = [
        json.loads(line) for line in run("predict", folder, "-", "--json", input="abc\ncab\n").stdout.splitlines()
    ]
    assert [answer["label"] for answer in answers] == [line.split("\t")[0] for line in lines]
    second = run("predict", runs.of("pair of texts"), "abc", "--second", "cab").output
    assert second == run("predict", runs.of("pair of texts"), "abc\tcab").output and second.startswith(("yes", "no"))


def test_rows_of_a_file_keep_their_lines(runs: Runs, tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    path.write_text('{"text": "abc"}\n{"text": ""}\n{"text": "b"}\n', "utf-8")
    done = run("predict", runs.of("classes"), "--data", path)
    assert done.exit_code == 0 and [bool(line) for line in done.stdout.splitlines()] == [True, False, True]
    assert "in.jsonl:2: text is empty" in done.stderr
    found = [
        json.loads(line) for line in run("predict", runs.of("classes"), "--data", path, "--json").stdout.splitlines()
    ]
    assert found[1] == {"place": "in.jsonl:2", "error": "text is empty"}


def test_generate_translates_with_a_run(runs: Runs) -> None:
    folder = runs.of("pairs")
    asked = run("generate", folder, "--prompt", "ab", "--max-new", 8, "--device", "cpu")
    assert asked.exit_code == 0 and asked.output == run("predict", folder, "ab", "--max-new", 8).output


def test_compare_tables_and_plots(runs: Runs, tmp_path: Path) -> None:
    folders = [runs.of("classes"), runs.of("numbers")]
    done = run("compare", *folders, "-o", tmp_path / "losses.png")
    assert done.exit_code == 0, done.output
    assert "absolute_error" in done.output and (tmp_path / "losses.png").read_bytes().startswith(b"\x89PNG")
    one, other = (json.loads(line) for line in run("compare", *folders, "--json").stdout.splitlines())
    records = [json.loads(line) for line in (folders[0] / "metrics.jsonl").read_text("utf-8").splitlines()]
    assert one["steps"] == other["steps"] == 40 and one["tokens"] == records[-1]["tokens"] > 40
    assert one["seconds"] == records[-1]["seconds"] > 0
    assert one["best"]["loss"] == min(r["val_loss"] for r in records if r["val_loss"] is not None)
    from blockgraph.training.trained import open_trained

    model = open_trained(folders[0], device="cpu").run.model
    assert one["parameters"] == sum(parameter.numel() for parameter in model.parameters())


REFUSED = {
    "no run": (["evaluate", "{folder}"], "is not a run"),
    "no split": (["evaluate", "{classes}", "--split", "test"], "has none; there is train, valid"),
    "no data": (["evaluate", "{classes}", "--data", "{folder}/none.csv"], "none.csv does not exist"),
    "no table": (["evaluate", "{classes}", "--data", "{folder}/a.txt"], "is no table"),
    "no column": (["evaluate", "{classes}", "--data", "{folder}/v.csv"], "there is no column 'text'"),
    "nothing": (["predict", "{classes}"], "give a TEXT or more, or --data FILE"),
    "both": (["predict", "{classes}", "a", "--data", "x"], "not both"),
    "no file": (["predict", "{classes}", "--data", "{folder}/none"], "is not a file"),
    "two seconds": (["predict", "{classes}", "a", "b", "--second", "c"], "--second is the other text of one TEXT"),
    "a pair": (["predict", "{pair of texts}", "a"], "it has one part, and the model reads text, other"),
    "character": (["predict", "{pair of texts}", "!\tb"], "text:1: the character '!' is not"),
    "no beams": (["evaluate", "{classes}", "--length-penalty", "2"], "--length-penalty compares finished beams"),
    "no search": (["predict", "{classes}", "a", "--length-penalty", "2"], "give --beams 2 or more"),
    "compare": (["compare", "{folder}"], "is not a run"),
}  # fmt: skip


@pytest.mark.parametrize("what", REFUSED)
def test_what_cannot_be_done_is_said(what: str, runs: Runs) -> None:
    arguments, message = REFUSED[what]
    places = {"{folder}": runs.folder, **{f"{{{name}}}": runs.of(name) for name in ("classes", "pair of texts")}}
    for name, place in places.items():
        arguments = [argument.replace(name, str(place)) for argument in arguments]
    refused = run(*arguments)
    said = " ".join(refused.stderr.split())
    assert refused.exit_code == 2 and message in said, refused.output
    assert "Traceback" not in refused.output
