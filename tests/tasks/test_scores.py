"""Measures by hand."""

from __future__ import annotations

import pytest
import torch

from blockgraph.tasks.asking import in_groups, likeliest
from blockgraph.tasks.scores import ClassScore, CorrelationScore, EntityScore, entities, text_scores
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


ENTITIES = {
    "B-PER I-PER O B-LOC": [(0, 1, "PER"), (3, 3, "LOC")],
    "B-PER B-PER I-LOC": [(0, 0, "PER"), (1, 1, "PER"), (2, 2, "LOC")],
    "O I-PER I-PER I-LOC O": [(1, 2, "PER"), (3, 3, "LOC")],  # IOB1: a beginning is written where it must be
    "S-LOC B-PER I-PER E-PER I-PER": [(0, 0, "LOC"), (1, 3, "PER"), (4, 4, "PER")],
    "U-LOC B-PER L-PER O": [(0, 0, "LOC"), (1, 2, "PER")],
    "PER PER O LOC PER": [(0, 1, "PER"), (3, 3, "LOC"), (4, 4, "PER")],
    "B-GEO-CITY I-GEO-CITY I-GEO": [(0, 1, "GEO-CITY"), (2, 2, "GEO")],
    "O O": [],
}


@pytest.mark.parametrize("tags", ENTITIES)
def test_entities_of_tags(tags: str) -> None:
    assert list(entities(tags.split())) == ENTITIES[tags]


def test_no_tags_have_no_entities() -> None:
    assert list(entities([])) == []


def test_entities_are_right_as_a_whole() -> None:
    tags = ("O", "B-PER", "I-PER", "B-LOC")
    score = EntityScore(tags)
    # told: PER 0-1, LOC 3; there: PER 0-1, LOC 3 as PER: one of two. The second row tells half of a name.
    score.add(told(1, 2, 0, 3).unsqueeze(0), torch.tensor([[1, 2, 0, 1]]))
    score.add(told(1, 0, 0, 3).unsqueeze(0), torch.tensor([[1, 2, 0, 3]]))
    assert score.result() == pytest.approx({"entity_precision": 0.5, "entity_recall": 0.5, "entity_f1": 0.5})


def test_pieces_that_are_no_words_do_not_break_an_entity() -> None:
    score = EntityScore(("O", "B-PER", "I-PER"))
    score.add(told(1, 0, 2, 1, of=3).unsqueeze(0), torch.tensor([[1, IGNORED, 2, IGNORED]]))
    assert score.result()["entity_f1"] == 1.0 and EntityScore(("O",)).result()["entity_f1"] == 0.0


def test_correlations_by_hand() -> None:
    score = CorrelationScore()
    score.add(torch.tensor([[1.0], [2.0]]), torch.tensor([1.0, 2.0]))
    score.add(torch.tensor([[2.0], [10.0]]), torch.tensor([3.0, 4.0]))
    # deviations told (-2.75, -1.75, -1.75, 6.25), there (-1.5, -0.5, 0.5, 1.5); ranks told (1, 2.5, 2.5, 4)
    pearson = 13.5 / (52.75 * 5) ** 0.5
    assert score.result() == pytest.approx({"pearson": pearson, "spearman": 4.5 / (4.5 * 5) ** 0.5})


def test_what_does_not_vary_correlates_with_nothing() -> None:
    score = CorrelationScore()
    assert score.result() == {"pearson": 0.0, "spearman": 0.0}
    score.add(torch.tensor([1.0, 1.0]), torch.tensor([1.0, 2.0]))
    assert score.result() == {"pearson": 0.0, "spearman": 0.0}
