"""Measures by hand."""

from __future__ import annotations

import pytest
import torch

from blockgraph.tasks.asking import in_groups, likeliest
from blockgraph.tasks.scores import ClassScore, text_scores
from blockgraph.tasks.task import IGNORED


def told(*classes: int, of: int = 4) -> torch.Tensor:
    return torch.nn.functional.one_hot(torch.tensor(classes), of).float()


def test_f1_over_several_batches() -> None:
    score = ClassScore()
    score.add(told(0, 0, 1), torch.tensor([0, 1, 1]))
    score.add(told(2, 0).unsqueeze(0), torch.tensor([[1, IGNORED]]))
    # class 0: 1 hit, told 2, there 1; class 1: 1 hit, told 1, there 3; class 2: told 1; class 3: never
    assert score.result() == pytest.approx({"macro_f1": (2 / 3 + 2 / 4 + 0) / 3, "micro_f1": 2 / 4})


def test_f1_of_nothing_is_zero() -> None:
    assert ClassScore().result() == {"macro_f1": 0.0, "micro_f1": 0.0}


def test_texts_with_one_and_with_several_references() -> None:
    same = text_scores(["the cat sat on the mat", "a dog"], [["the cat sat on the mat"], ["a dog"]])
    assert same == pytest.approx({"exact_match": 1.0, "bleu": 100.0, "chrf": 100.0})
    mixed = text_scores([" k ae t ", "d ao g"], [["k aa t", "k ae t"], ["d aa g"]])
    assert mixed["exact_match"] == 0.5 and 0 < mixed["chrf"] < 100
    assert text_scores([], [])["exact_match"] == 0.0


def test_bleu_by_hand() -> None:
    # 1-grams 5/6, 2-grams 3/5, 3-grams 1/4, 4-grams 0/3 (sacrebleu halves a zero: 1/6), no brevity penalty
    found = text_scores(["the cat sat on a mat"], [["the cat sat on the mat"]])
    by_hand = 100 * (5 / 6 * 3 / 5 * 2 / 4 * 1 / 3) ** 0.25
    assert found["bleu"] == pytest.approx(by_hand, abs=0.01)


def test_bleu_of_chinese_counts_signs() -> None:
    # 1-grams 6/7, 2-grams 5/6, 3-grams 4/5, 4-grams 3/4
    found = text_scores(["他花很多时间。"], [["她花很多时间。"]])
    assert found["bleu"] == pytest.approx(100 * (6 / 7 * 5 / 6 * 4 / 5 * 3 / 4) ** 0.25, abs=0.01)
    kana = text_scores(["彼は時間をかける。"], [["彼女は時間をかける。"]])
    assert kana["bleu"] == 0.0  # one word for sacrebleu's own tokenisation, and it is another one


def test_the_likeliest_of_the_classes_with_names() -> None:
    found = likeliest(torch.tensor([0.0, 1.0, 9.0]), ("no", "yes"), 5)
    assert [name for name, _ in found] == ["yes", "no"]
    assert found[0][1] == pytest.approx(0.7311, abs=1e-4) and sum(share for _, share in found) == pytest.approx(1.0)


def test_groups() -> None:
    assert list(in_groups(range(5), 2)) == [[0, 1], [2, 3], [4]] and list(in_groups([], 2)) == []
