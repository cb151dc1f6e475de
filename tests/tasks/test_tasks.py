"""What each task makes of rows, and its loss by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from blockgraph.data.batch import Batch
from blockgraph.data.records import RowError
from blockgraph.running.specials import Specials
from blockgraph.running.tokenizers import Characters
from blockgraph.tasks.inputs import TextInput, shortened
from blockgraph.tasks.labels import Classification, Regression, TokenClassification
from blockgraph.tasks.language import MaskedLM
from blockgraph.tasks.lesson import Lesson
from blockgraph.tasks.pictures import NumbersInput
from blockgraph.tasks.seq2seq import Seq2Seq
from blockgraph.tasks.task import IGNORED, Task, Tools

LETTERS = Characters("abcdefghij ", specials=("<pad>", "<s>", "</s>", "<mask>"))
TOOLS = Tools(8, LETTERS, Specials(0, 1, 2, 3), {"classification": ("no", "yes")})


def columns(part: Any, values: dict[str, Any]) -> dict[str, list[int]]:
    return {column.name: np.asarray(column.encode(values)).tolist() for column in part.columns(TOOLS)}


def batch_of(task: Task, *rows: dict[str, Any]) -> Batch:
    encoded = [{column.name: column.encode(row) for column in task.columns(TOOLS)} for row in rows]
    batch = Batch()
    task.add({name: [row[name] for row in encoded] for name in encoded[0]}, batch, TOOLS, np.random.default_rng(0))
    return batch


def test_seq2seq_shifts_the_target_and_the_loss_skips_padding() -> None:
    task = Seq2Seq("seq2seq", "logits")
    batch = batch_of(task, {"target": "abc"}, {"target": "a"})
    assert batch.inputs["target"].tolist() == [[1, 4, 5, 6], [1, 4, 0, 0]]
    assert batch.inputs["target_mask"].tolist() == [[True] * 4, [True, True, False, False]]
    assert batch.targets["seq2seq"].tolist() == [[4, 5, 6, 2], [4, 2, IGNORED, IGNORED]]
    assert batch.counts["seq2seq"] == 6
    logits = torch.randn(2, 4, LETTERS.size, generator=torch.Generator().manual_seed(0))
    log_p = logits.double().log_softmax(-1)
    by_hand = -sum(log_p[b, t, id] for b, row in enumerate([[4, 5, 6, 2], [4, 2]]) for t, id in enumerate(row))
    assert float(task.loss(logits, batch.targets["seq2seq"])) == pytest.approx(float(by_hand), rel=1e-5)


def test_a_long_target_keeps_room_for_its_end() -> None:
    assert len(columns(Seq2Seq("seq2seq", "logits"), {"target": "abcdefghij"})["target"]) == 7
    with pytest.raises(RowError, match="target is empty"):
        columns(Seq2Seq("seq2seq", "logits"), {"target": ""})


def test_hidden_tokens_are_mostly_masks() -> None:
    task = MaskedLM("masked_lm", "logits", rate=0.3)
    rows = np.random.default_rng(1).integers(4, 15, (200, 51))
    batch = Batch()
    task.add({"text": list(rows)}, batch, TOOLS, np.random.default_rng(0))
    seen, targets = batch.inputs["tokens"].numpy(), batch.targets["masked_lm"].numpy()
    hidden = targets != IGNORED
    assert hidden.mean() == pytest.approx(0.3, abs=0.02) and batch.counts["masked_lm"] == hidden.sum()
    assert (targets[hidden] == rows[:, :-1][hidden]).all() and (seen[~hidden] == rows[:, :-1][~hidden]).all()
    assert (seen[hidden] == 3).mean() == pytest.approx(0.8, abs=0.03)
    assert (seen[hidden] == targets[hidden]).mean() == pytest.approx(0.1 + 0.1 / LETTERS.size, abs=0.02)


def test_texts_are_framed_and_pairs_have_segments() -> None:
    one = TextInput("tokens", ("text",))
    assert columns(one, {"text": "ab"})["tokens"] == [1, 4, 5, 2]
    assert columns(one, {"text": "abcdefghij"})["tokens"] == [1, 4, 5, 6, 7, 8, 9, 2]
    pair = TextInput("tokens", ("one", "two"), "segments")
    assert columns(pair, {"one": "ab", "two": "c"}) == {"tokens": [1, 4, 5, 2, 6, 2], "segments": [0, 0, 0, 0, 1, 1]}
    assert len(columns(pair, {"one": "abcdefghij", "two": "abc"})["tokens"]) == 8
    with pytest.raises(RowError, match="one and two are empty"):
        columns(pair, {"one": "", "two": ""})


@pytest.mark.parametrize(
    ("lengths", "room", "kept"), [((9, 2), 6, (4, 2)), ((5, 5), 6, (3, 3)), ((2, 1), 6, (2, 1)), ((9, 9), 5, (2, 3))]
)
def test_the_longer_text_is_cut_first(lengths: tuple[int, int], room: int, kept: tuple[int, int]) -> None:
    assert tuple(len(part) for part in shortened([np.arange(n) for n in lengths], room)) == kept


def test_padding_of_inputs() -> None:
    part, batch = TextInput("tokens", ("text",)), Batch()
    rows = [np.array([1, 4, 2]), np.array([1, 2])]
    part.add({"tokens": rows}, batch, TOOLS)
    assert batch.inputs["tokens"].tolist() == [[1, 4, 2], [1, 2, 0]] and batch.tokens == 5
    assert batch.inputs["tokens_mask"].tolist() == [[True, True, True], [True, True, False]]
    even = Batch()
    part.add({"tokens": rows[:1]}, even, TOOLS)
    assert "tokens_mask" not in even.inputs


def test_numbers() -> None:
    part = NumbersInput("x", ("a", "b"), (2,))
    assert columns(part, {"a": "1.5", "b": "2"})["x"] == [1.5, 2.0]
    with pytest.raises(RowError, match=r"a, b is no array of numbers \[2\]"):
        columns(part, {"a": "one", "b": "2"})


def test_classes() -> None:
    task = Classification("classification", "logits")
    batch = batch_of(task, {"label": "yes"}, {"label": "no"})
    assert batch.targets["classification"].tolist() == [1, 0]
    logits = torch.tensor([[0.0, 1.0], [0.5, 0.0]])
    assert float(task.loss(logits, batch.targets["classification"])) == pytest.approx(0.3133 + 0.4741, abs=1e-3)
    assert task.measures(logits, batch.targets["classification"])["accuracy"] == (2.0, 2)
    with pytest.raises(RowError, match="'maybe' is not among those of the training rows"):
        columns(task, {"label": "maybe"})
    for value in (None, "", [1], {"a": 1}, float("nan"), np.array([0, 1])):
        assert task.label_values({"label": value}) == []
        with pytest.raises(RowError, match=r"there is no label|is no class"):
            columns(task, {"label": value})


def test_classes_of_words_stand_at_their_first_token() -> None:
    task = TokenClassification("classification", "logits")
    row = {"text": "ab c", "label": ["yes", "no"]}
    assert columns(task, row)["classification"] == [IGNORED, 1, IGNORED, 0, IGNORED]
    assert columns(task, row | {"text": ["ab", "c"]}) == columns(task, row)
    with pytest.raises(RowError, match="1 labels in label, and 2 words in text"):
        columns(task, {"text": "ab c", "label": "yes"})


def test_regression() -> None:
    task = Regression("regression", "out")
    batch = batch_of(task, {"label": "1.5"}, {"label": -2})
    assert float(task.loss(torch.tensor([[1.0], [0.0]]), batch.targets["regression"])) == pytest.approx(0.25 + 4)
    for value in ("x", "nan", "inf", 1e39, "-1e39"):
        with pytest.raises(RowError, match=r"label is no number|label is -?(nan|inf|1e)"):
            columns(task, {"label": value})


def test_a_steps_loss_is_the_mean_over_all_its_targets() -> None:
    lesson = Lesson((Seq2Seq("seq2seq", "logits", weight=2.0),), tools=TOOLS)
    batches = [batch_of(lesson.tasks[0], {"target": text}) for text in ("abcd", "a")]
    logits = [torch.randn(1, len(text) + 1, LETTERS.size) for text in ("abcd", "a")]
    totals = lesson.totals(batches)
    parts = [float(lesson.loss({"logits": one}, batch, totals)) for one, batch in zip(logits, batches, strict=True)]
    losses = [float(lesson.tasks[0].loss(one, b.targets["seq2seq"])) for one, b in zip(logits, batches, strict=True)]
    assert totals == {"seq2seq": 7} and sum(parts) == pytest.approx(2.0 * sum(losses) / 7, rel=1e-5)
