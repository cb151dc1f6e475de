"""Measuring and asking runs of every task: small ones, trained once for all tests."""

from __future__ import annotations

import csv
import json
import math
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from blockgraph.builder.analyse import analyse
from blockgraph.data.feeds import gathered
from blockgraph.data.records import BadRow
from blockgraph.running.writing import of_run
from blockgraph.specs.diagnostics import Diagnostics
from blockgraph.specs.load import load_spec
from blockgraph.tasks import scores
from blockgraph.tasks.answers import exact_match, f1
from blockgraph.tasks.asking import Answer, Choices
from blockgraph.training import recall
from blockgraph.training.errors import TrainError
from blockgraph.training.evaluate import evaluate
from blockgraph.training.metrics import read_metrics
from blockgraph.training.predict import predict, rows_of_file, rows_of_texts
from blockgraph.training.recall import similarity_of
from blockgraph.training.run_data import RunData
from blockgraph.training.trained import Trained, open_trained
from tests.training.trained_runs import Runs

KINDS = (
    "language",
    "masked",
    "pairs",
    "classes",
    "pair of texts",
    "words",
    "numbers",
    "two tasks",
    "vectors",
    "answers",
    "two towers",
)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    return Runs(tmp_path_factory.mktemp("runs"))


def opened(runs: Runs, name: str) -> Trained:
    return open_trained(runs.of(name), device="cpu")


def ask(trained: Trained, *texts: str, **choices: object) -> list[Answer]:
    found = list(predict(trained, rows_of_texts(trained, texts), Choices(**choices)))  # type: ignore[arg-type]
    assert all(isinstance(told, Answer) for told in found), found
    return [told for told in found if isinstance(told, Answer)]


@pytest.mark.parametrize("name", KINDS)
def test_what_training_validated_is_measured_again(name: str, runs: Runs) -> None:
    trained = opened(runs, name)
    record = next(one for one in read_metrics(trained.run.folder / "metrics.jsonl") if one.step == trained.run.step)
    found = evaluate(trained, split="valid")
    assert found.measures["loss"] == record.val_loss and found.step == record.step
    assert {key: found.measures[key] for key in record.measures} == record.measures
    assert {"loss", *record.measures} == set(trained.lesson.measured)
    if name in ("language", "masked", "pairs"):
        assert found.measures["perplexity"] == pytest.approx(math.exp(found.measures["loss"]))


def test_the_test_split_is_taken_where_there_is_one(runs: Runs) -> None:
    assert evaluate(opened(runs, "language")).split == "test"
    trained = opened(runs, "classes")
    assert evaluate(trained).split == "valid"
    with pytest.raises(TrainError, match=r"--split test: the data of .* has none; there is train, valid"):
        evaluate(trained, split="test")


def test_classes_by_hand(runs: Runs) -> None:
    trained, path = opened(runs, "classes"), runs.folder / "t.csv"
    found = evaluate(trained, data=path)
    with path.open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["label"]]
    told = [str(answer.values["label"]) for answer in ask(trained, *(row["text"] for row in rows))]
    there = [row["label"] for row in rows]
    hits = sum(one == other for one, other in zip(told, there, strict=True))
    each = []
    for name in ("no", "yes"):
        right = sum(one == other == name for one, other in zip(told, there, strict=True))
        each.append(2 * right / (told.count(name) + there.count(name)))
    assert found.rows == len(rows) == 200 and [str(bad) for bad in found.bad] == ["t.csv:202: there is no label"]
    assert found.measures["accuracy"] == pytest.approx(hits / 200)
    assert found.measures["micro_f1"] == pytest.approx(hits / 200)
    assert found.measures["macro_f1"] == pytest.approx(sum(each) / 2)


def test_what_is_written_is_compared_with_the_rows_texts(runs: Runs, tmp_path: Path) -> None:
    trained = opened(runs, "pairs")
    sources = ["ab", "cab", "bb a"]
    written = [str(answer.values["text"]) for answer in ask(trained, *sources, max_new=8)]
    rows = [{"source": one, "target": other} for one, other in zip(sources, [written[0], "CCC", "BA"], strict=True)]
    path = tmp_path / "new.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)), "utf-8")
    found = evaluate(trained, data=path, choices=Choices(max_new=8))
    wrong = written[1:] != ["CCC", "BA"]
    assert found.measures["exact_match"] == pytest.approx(1 / 3) if wrong else 1.0
    assert found.rows == 3 and 0 <= found.measures["bleu"] <= 100 and 0 < found.measures["chrf"] <= 100
    path.write_text(json.dumps({"source": "ab", "target": f"AC|{written[0]}"}), "utf-8")
    assert evaluate(trained, data=path, choices=Choices(max_new=8), alternatives="|").measures["exact_match"] == 1.0
    whole, first = (
        evaluate(trained, split="test", choices=Choices(max_new=4), alternatives=sign) for sign in (None, "|")
    )
    assert first.measures == whole.measures and first.split == whole.split == "test"
    assert evaluate(trained, alternatives="A", choices=Choices(max_new=4)).measures["loss"] != whole.measures["loss"]


def test_several_right_texts_may_be_a_list(runs: Runs, tmp_path: Path) -> None:
    trained, path = opened(runs, "pairs"), tmp_path / "new.jsonl"
    (written,) = ask(trained, "ab", max_new=8)
    path.write_text(json.dumps({"source": "ab", "target": ["AC", written.values["text"]]}), "utf-8")
    several = evaluate(trained, data=path, choices=Choices(max_new=8))
    path.write_text(json.dumps({"source": "ab", "target": "AC"}), "utf-8")
    first = evaluate(trained, data=path, choices=Choices(max_new=8))
    assert several.measures["exact_match"] == 1.0 and several.measures["loss"] == first.measures["loss"]


def test_answers_are_compared_with_every_right_one(runs: Runs, tmp_path: Path) -> None:
    trained, path = opened(runs, "answers"), tmp_path / "new.jsonl"
    rows = [{"other": "cab", "text": "ab c " * 8 + "b"}, {"other": "a", "text": "cab b"}, {"other": "b", "text": "c a"}]
    told = [answer.text for answer in ask(trained, *("\t".join(row.values()) for row in rows))]
    right: list[object] = [{"text": ["c", told[0]], "answer_start": [3, 0]}, "cab", []]
    lines = [json.dumps({**row, "last": one}) for row, one in zip(rows, right, strict=True)]
    path.write_text("\n".join([*lines, json.dumps({**rows[1], "last": "no such words"})]), "utf-8")
    found = evaluate(trained, data=path)
    golds = (["c", told[0]], ["cab"], [], ["no such words"])
    pairs = list(zip([*told, told[1]], golds, strict=True))
    assert found.answered == 4 and found.rows > 3 and [bad.place for bad in found.bad] == ["new.jsonl:4"]
    assert found.measures["exact_match"] == pytest.approx(sum(exact_match(*pair) for pair in pairs) / 4)
    assert found.measures["f1"] == pytest.approx(sum(f1(*pair) for pair in pairs) / 4)


def test_recall_is_over_the_whole_split(runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    trained = opened(runs, "two towers")
    found = evaluate(trained, split="train")
    rows = RunData(trained.run.folder)._examples("train", trained.lesson)[0]
    batch = trained.lesson.collate(gathered(rows, np.arange(len(rows))), np.random.default_rng(0), False)
    with torch.no_grad():
        logits = trained.run.model(**batch.inputs)
    own = torch.arange(len(rows))
    assert found.rows == len(rows) > 2 * 8  # more than a batch
    assert found.measures["recall_at_1"] == pytest.approx(float((logits.argmax(1) == own).double().mean()), abs=0.02)
    assert found.measures["recall_at_1_back"] == pytest.approx(
        float((logits.argmax(0) == own).double().mean()), abs=0.02
    )
    assert found.measures["recall_at_1"] < found.measures["accuracy"]
    monkeypatch.setattr(recall, "ROWS", 16)
    assert evaluate(trained, split="train").measures == found.measures
    monkeypatch.setattr(recall, "similarity_of", lambda root, output: None)
    unknown = evaluate(trained, split="train")
    with pytest.raises(TrainError, match="contrastive has nothing to predict: `blockgraph evaluate` measures it"):
        ask(trained, "a")
    assert "recall_at_1" not in unknown.measures and "no recall over all rows: 'logits'" in unknown.notes[0]


@pytest.mark.parametrize("name", ["clip-base-32", "siglip-base-16"])
def test_the_similarity_of_published_towers_is_found(name: str) -> None:
    diagnostics = Diagnostics()
    spec = load_spec(name, diagnostics)
    assert spec is not None
    model = analyse(spec, diagnostics)
    assert model is not None and similarity_of(model.root, "logits") == "cosine"


def test_a_run_whose_files_are_gone_measures_what_it_has(runs: Runs, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(runs.of("pairs"), run)
    facts = json.loads((run / "data" / "data.json").read_text())
    (run / "data" / "data.json").write_text(json.dumps({**facts, "folder": str(tmp_path)}))
    found = evaluate(open_trained(run, device="cpu"))
    assert "loss" in found.measures and "exact_match" not in found.measures
    assert "no answer was compared" in found.notes[0]


def test_without_sacrebleu_there_is_exact_match(runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "sacrebleu", None)
    assert scores.sacrebleu() is None
    found = evaluate(opened(runs, "pairs"), choices=Choices(max_new=4))
    assert "exact_match" in found.measures and "bleu" not in found.measures
    assert found.notes == ("BLEU and chrF need sacrebleu: pip install 'blockgraph[metrics]'",)


def test_new_text_and_folders(runs: Runs, tmp_path: Path) -> None:
    trained = opened(runs, "language")
    (tmp_path / "new.txt").write_text("abc abc ab", "utf-8")
    found = evaluate(trained, data=tmp_path / "new.txt")
    assert found.rows == 1 and found.targets == {"causal_lm": 9} and found.split == "new.txt"
    with pytest.raises(TrainError, match="is one file, all of which is judged"):
        evaluate(trained, data=tmp_path / "new.txt", split="test")
    (tmp_path / "short.txt").write_text("a", "utf-8")
    with pytest.raises(TrainError, match="there is nothing to judge"):
        evaluate(trained, data=tmp_path / "short.txt")
    with pytest.raises(TrainError, match="does not exist"):
        evaluate(trained, data=tmp_path / "none.txt")
    assert evaluate(opened(runs, "pairs"), data=runs.folder, split="valid", choices=Choices(max_new=4)).split == "valid"


ASKED = {
    "pairs": 'generate {run} --prompt "…"',
    "masked": 'predict {run} "… <mask> …"',
    "pair of texts": 'predict {run} "text …" --second "other …"',
    "classes": 'predict {run} "…"',
    "vectors": 'predict {run} "p …" --second "q …"',
}


@pytest.mark.parametrize("name", ASKED)
def test_the_page_of_a_run_says_how_to_ask_it(name: str, runs: Runs) -> None:
    run = runs.of(name)
    page = (run / "README.md").read_text("utf-8")
    assert f"    blockgraph {ASKED[name].format(run=run)} " in page
    assert f"measures over the {'test' if name == 'pairs' else 'valid'} split" in page


# -- predict -----------------------------------------------------------------------------------------------------------


def test_a_text_goes_on(runs: Runs) -> None:
    trained = opened(runs, "language")
    one, other = ask(trained, "abc", "a", max_new=5)
    assert one.text == "abc" + one.values["continuation"] and len(one.values["continuation"]) == 5
    assert ask(trained, "a", max_new=5) == [other]


def test_masks_are_filled(runs: Runs) -> None:
    trained = opened(runs, "masked")
    (found,) = ask(trained, "ab<mask>c [MASK]a", top=3)
    first, second = found.values["masks"]
    assert len(first) == len(second) == 3
    assert found.values["filled"] == f"ab{first[0]['token']}c {second[0]['token']}a"
    tools = trained.lesson.tools
    ids = torch.tensor([[*tools.encode("ab"), 0, *tools.encode("c "), 0, *tools.encode("a")]])
    ids[ids == 0] = tools.specials.mask
    with torch.no_grad():
        logits = trained.run.model(tokens=ids)[0, 2, : trained.run.tokenizer.size]
    logits[tools.specials.mask] = -torch.inf
    best = logits.softmax(-1).max()
    assert first[0]["probability"] == pytest.approx(float(best), rel=1e-4)
    told = list(predict(trained, rows_of_texts(trained, ["abc", "a<mask>"]), Choices()))
    assert isinstance(told[0], BadRow) and "nothing is hidden" in told[0].reason and isinstance(told[1], Answer)


def test_a_translator_answers_as_generate_does(runs: Runs) -> None:
    trained = opened(runs, "pairs")
    writer = of_run(trained.run)
    texts = ["ab", "c a"]
    assert [answer.text for answer in ask(trained, *texts, max_new=8)] == writer.batch(texts, max_new=8)
    assert "".join(writer.stream("c a", max_new=8, temperature=0.0)) == ask(trained, "c a", max_new=8)[0].text
    assert len(ask(trained, *texts, max_new=8, beams=3)) == 2


def test_classes_with_probabilities(runs: Runs) -> None:
    (found,) = ask(opened(runs, "classes"), "abc", top=5)
    shares = [one["probability"] for one in found.values["top"]]
    assert sum(shares) == pytest.approx(1.0) and shares == sorted(shares, reverse=True)
    assert found.text.split("\t")[0] == found.values["label"] in ("yes", "no")


def test_pairs_words_numbers_and_vectors(runs: Runs) -> None:
    assert ask(opened(runs, "pair of texts"), "abc\tcab")[0].values["label"] in ("yes", "no")
    (words,) = ask(opened(runs, "words"), "ab c " + "b " * 30)
    labels = [one["label"] for one in words.values["words"]]
    assert labels[0] in "abc" and labels[-1] is None and words.text.startswith(f"ab/{labels[0]} c/")
    (number,) = ask(opened(runs, "numbers"), "abc")
    assert float(number.text) == pytest.approx(number.values["value"], rel=1e-5)
    assert ask(opened(runs, "vectors"), "3\t1")[0].values["label"] in ("up", "down")
    (both,) = ask(opened(runs, "two tasks"), "abc")
    assert set(both.values) == {"kind", "size"}


def test_rows_of_files(runs: Runs, tmp_path: Path) -> None:
    trained = opened(runs, "pair of texts")
    (tmp_path / "in.csv").write_text("other,text\ncab,abc\ncab,a!\n", "utf-8")
    one, bad = predict(trained, rows_of_file(trained, tmp_path / "in.csv"), Choices())
    assert one == ask(trained, "abc\tcab")[0]
    assert isinstance(bad, BadRow) and bad.place == "in.csv:3" and "!" in bad.reason
    (tmp_path / "in.txt").write_text("abc\tcab\nabc\n", "utf-8")
    first, second = predict(trained, rows_of_file(trained, tmp_path / "in.txt"), Choices())
    assert first == one and isinstance(second, BadRow) and "write tabs between them" in second.reason


def test_rows_of_arrays_and_of_tables_without_names(runs: Runs, tmp_path: Path) -> None:
    trained = opened(runs, "vectors")
    np.savez(tmp_path / "in.npz", p=[3.0, -3.0], q=[1.0, 1.0])
    found = list(predict(trained, rows_of_file(trained, tmp_path / "in.npz"), Choices()))
    assert found == ask(trained, "3\t1", "-3\t1")


def test_a_run_without_text_has_no_tokenizer(runs: Runs) -> None:
    run = opened(runs, "vectors").run
    assert run.encodes is None
    with pytest.raises(Exception, match=r"has no tokenizer\.json: its model reads numbers"):
        of_run(run)
