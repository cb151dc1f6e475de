"""Answers in a text, and things that belong together."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from blockgraph.data.batch import Batch
from blockgraph.data.records import BadRow, Record
from blockgraph.running.specials import Specials
from blockgraph.running.tokenizers import Bytes, Characters
from blockgraph.tasks.answers import exact_match, f1, normalised, squad
from blockgraph.tasks.asking import Asked
from blockgraph.tasks.contrastive import Contrastive
from blockgraph.tasks.inputs import TextInput
from blockgraph.tasks.spans import Spans, best_spans
from blockgraph.tasks.task import Tools

LETTERS = Characters("abcdefghijklmnopqrstuvwxyz ?", specials=("<pad>", "<s>", "</s>"))
PART = TextInput("tokens", ("question", "context"))


def tools(length: int) -> Tools:
    return Tools(length, LETTERS, Specials(0, 1, 2))


def encoded(task: Spans, values: dict[str, Any], length: int) -> list[tuple[list[int], str]]:
    """Of each window: (the task's numbers, the text that they choose)."""
    found = []
    for row in task.split(Record("t:1", values), tools(length)):
        assert isinstance(row, Record)
        numbers = task.columns(tools(length))[0].encode(row.values).tolist()
        ids = np.concatenate(PART.pieces(row.values, tools(length)))
        assert len(ids) <= length and ids[numbers[3]] == 2  # the context's end
        found.append((numbers, LETTERS.decode(ids[numbers[0] : numbers[1] + 1].tolist())))
    return found


def test_the_answer_is_where_its_tokens_are() -> None:
    task = Spans("spans", "logits", part=PART)
    row = {"question": "who?", "context": "the cat sat", "answer": "cat"}
    assert encoded(task, row, 40) == [([10, 12, 6, 17], "cat")]
    said = Spans("spans", "logits", part=PART, start="at")
    assert encoded(said, {**row, "context": "cat or cat", "at": "7"}, 40)[0][0][:2] == [13, 15]
    squad = {**row, "answer": {"text": ["cat"], "answer_start": [4]}}
    assert encoded(task, squad, 40) == [([10, 12, 6, 17], "cat")]
    assert encoded(task, {**row, "answer": {"text": [], "answer_start": []}}, 40)[0][0] == [0, 0, 6, 17]


def test_a_long_context_becomes_windows() -> None:
    task = Spans("spans", "logits", part=PART, stride=4)
    context = "abcdefghij klmno pqr"
    windows = encoded(task, {"question": "w", "context": context, "answer": "klmno"}, 14)
    assert [text for _, text in windows if text] == ["klmno"]  # in the others the answer is not whole
    seen = [
        row.values["context"]
        for row in task.split(Record("t:1", {"question": "w", "context": context, "answer": "a"}), tools(14))
        if isinstance(row, Record)
    ]
    assert seen == [context[first : first + 10] for first in (0, 4, 8, 12)]
    assert seen[-1].endswith("pqr") and len(seen[-1]) <= 10


@given(st.integers(1, 60), st.integers(1, 40), st.integers(8, 40))
@settings(max_examples=60, deadline=None)
def test_windows_cover_every_token(size: int, stride: int, length: int) -> None:
    context = "".join("abcdefghij"[n % 10] for n in range(size))
    task = Spans("spans", "logits", part=PART, stride=stride)
    rows = list(task.split(Record("t:1", {"question": "w", "context": context, "answer": ""}), tools(length)))
    room, place = length - 4, 0
    for row in rows:
        assert isinstance(row, Record) and 0 < len(row.values["context"]) <= room
        assert row.values["context"] == context[place : place + room]
        place += min(stride, room)
    assert place - min(stride, room) + room >= size and (len(rows) == 1) == (size <= room)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"answer": "dog"}, "t:1: the answer 'dog' is not in the context"),
        ({"question": "a" * 60}, "t:1: question leaves no room within 40 ids"),
        ({"context": None}, "t:1: there is no context"),
    ],
)
def test_bad_rows_say_why(change: dict[str, Any], message: str) -> None:
    task = Spans("spans", "logits", part=PART)
    rows = list(
        task.split(Record("t:1", {"question": "who?", "context": "a cat", "answer": "cat", **change}), tools(40))
    )
    assert [str(row) for row in rows] == [message] and isinstance(rows[0], BadRow)


def test_the_loss_reads_the_context_alone() -> None:
    task = Spans("spans", "logits")
    targets = torch.tensor([[3, 4, 2, 5], [0, 0, 3, 6]])
    output = torch.randn(2, 7, 2, generator=torch.Generator().manual_seed(0))
    by_hand = 0.0
    for row, (start, end, first, stop) in zip(output.double(), targets.tolist(), strict=True):
        places = [0, *range(first, stop)]
        for side, target in ((0, start), (1, end)):
            by_hand -= float(row[places, side].log_softmax(0)[places.index(target)]) / 2
    assert float(task.loss(output, targets)) == pytest.approx(by_hand, rel=1e-5)
    changed = output.clone()
    changed[:, 6:] = 50.0  # padding
    changed[0, 1] = 50.0  # the question
    assert torch.allclose(task.loss(changed, targets), task.loss(output, targets))


def test_the_best_span_is_the_likeliest_that_may_be() -> None:
    output = torch.full((3, 6, 2), -1.0)
    output[0, 4, 0], output[0, 2, 1], output[0, 4, 1] = 5.0, 4.0, 1.0  # an end before its start is none
    output[1, 0] = 9.0
    output[2, 2, 0], output[2, 3, 1] = 2.0, 2.0
    targets = torch.tensor([[4, 5, 2, 6], [0, 0, 2, 6], [2, 2, 2, 6]])
    found, scores = best_spans(output, targets)
    assert found.tolist() == [[4, 4], [0, 0], [2, 3]] and scores.tolist() == [6.0, 18.0, 4.0]
    measures = Spans("spans", "logits").measures(output, targets)
    assert measures["window_exact_match"] == (1.0, 3) and measures["window_f1"][0] == pytest.approx(2 / 3 + 1 + 2 / 3)


def test_two_outputs_are_one() -> None:
    start, end = torch.randn(2, 5), torch.randn(2, 5)
    task = Spans("spans", "start", last="end")
    assert torch.equal(task.taken({"start": start, "end": end}), torch.stack([start, end], -1))


def test_answers_are_compared_as_squad_does() -> None:
    assert normalised("The  U.S. Army, a force!") == "us army force"
    assert exact_match("the Cat.", ["a cat", "dog"]) == 1.0 and exact_match("cats", ["cat"]) == 0.0
    assert exact_match("", []) == 1.0 and f1("", []) == 1.0 and f1("x", []) == 0.0
    assert f1("the big cat", ["a cat", "dog"]) == pytest.approx(2 / 3)
    found = squad(["the big cat", "", "Dog."], [["a cat", "dog"], [], ["a dog"]])
    assert found == pytest.approx({"exact_match": 2 / 3, "f1": 8 / 9}) and squad([], [])["f1"] == 0.0


def test_offsets_are_characters() -> None:
    assert Bytes().offsets("aé").tolist() == [[0, 1], [1, 2], [1, 2]]
    assert LETTERS.offsets("ab").tolist() == [[0, 1], [1, 2]]


def test_contrastive_is_symmetric() -> None:
    task = Contrastive("contrastive", "logits")
    batch = Batch()
    task.add({"left": [np.zeros(1)] * 3}, batch, tools(8), np.random.default_rng(0))
    targets = batch.targets["contrastive"]
    logits = torch.tensor([[2.0, 0.0, 0.0], [3.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    by_hand = -(logits.log_softmax(1).diagonal().sum() + logits.log_softmax(0).diagonal().sum()) / 2
    assert float(task.loss(logits, targets)) == pytest.approx(float(by_hand))
    assert task.measures(logits, targets) == {"accuracy": (2.0, 3), "accuracy_back": (2.0, 3)}
    assert batch.counts == {"contrastive": 3}


def test_what_it_answers_is_the_text_itself() -> None:
    task = Spans("spans", "logits", part=PART, stride=4)
    context = "abcdefghij klmno pqr"

    def read(inputs: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """The likeliest first and last are k and o; where they are not, the first position."""
        logits = torch.zeros(*inputs["tokens"].shape, 2)
        logits[:, 0] = 1.0
        for side, letter in ((0, "k"), (1, "o")):
            logits[..., side][inputs["tokens"] == int(LETTERS.encode(letter)[0])] = 5.0
        return {"logits": logits}

    rows = [{"question": "w", "context": context}, {"question": "w", "context": "abc"}]
    found = task.answers(Asked(torch.nn.Linear(1, 1), read, (PART,), tools(14), rows))
    assert [answer.text for answer in found] == ["klmno", ""] and found[0].values["score"] == 10.0
