"""Data sets of the Hub, by a stand-in for its library: no network."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import pytest

from blockgraph.data.errors import TrainError
from blockgraph.data.hub import Hub
from blockgraph.data.records import Record

SQUAD = {
    "train": [{"question": f"q{n}", "answers": {"text": [str(n)], "answer_start": [n]}, "id": n} for n in range(10)],
    "validation": [{"question": "v", "answers": None, "id": 0}],
}


class Rows(list[Any]):
    column_names = ("question", "answers", "id")


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    calls: list[Any] = []

    def load_dataset(path: str, name: str | None, *, split: str) -> Rows:
        calls.append((path, name, split))
        if split not in SQUAD:
            raise ValueError(f'Unknown split "{split}"')
        return Rows(SQUAD[split])

    monkeypatch.setitem(sys.modules, "datasets", SimpleNamespace(load_dataset=load_dataset))
    return calls


def values(data: Hub, split: str) -> list[Any]:
    return [dict(row.values) if isinstance(row, Record) else str(row) for row in data.rows(split)]


def test_columns_of_its_splits(library: list[Any]) -> None:
    data = Hub("squad", "plain", ["question", "answers"], valid="validation")
    assert values(data, "train")[3] == {"question": "q3", "answers": {"text": ["3"], "answer_start": [3]}}
    assert values(data, "valid") == ["squad:validation:0: there is no answers"] and not data.has("test")
    assert library == [("squad", "plain", "train"), ("squad", "plain", "validation")]  # each is loaded once


def test_shares_and_what_a_run_is_known_by(library: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    data = Hub("squad", None, ["question"], valid=0.2, test=0.1)
    assert [len(values(data, split)) for split in ("train", "valid", "test")] == [7, 2, 1]
    assert data.sha256 == Hub("squad", None, ["question"], valid=0.2, test=0.1).sha256
    monkeypatch.setitem(SQUAD["train"][4], "question", "other")
    assert data.sha256 != Hub("squad", None, ["question"], valid=0.2).sha256


def test_what_is_missing_is_said(library: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(TrainError, match="squad: there is no column 'text'; there is question, answers, id"):
        Hub("squad", None, ["text"])
    with pytest.raises(TrainError, match='squad, split test: Unknown split "test"'):
        Hub("squad", None, ["id"], "test")
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(TrainError, match=r"pip install 'blockgraph\[datasets\]'"):
        Hub("squad", None, ["id"])
