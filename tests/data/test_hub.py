"""Data sets of the Hub, by a stand-in for its library: no network."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from blockgraph.data.errors import TrainError
from blockgraph.data.hub import Hub
from blockgraph.data.records import Record
from blockgraph.tasks.pictures import NumbersInput
from blockgraph.tasks.task import Tools

SQUAD = {
    "train": [{"question": f"q{n}", "answers": {"text": [str(n)], "answer_start": [n]}, "id": n} for n in range(10)],
    "validation": [{"question": "v", "answers": None, "id": 0}],
}


class DatasetsError(Exception):
    """The library's own, which is none of Python's."""


EXCEPTIONS = SimpleNamespace(DatasetsError=DatasetsError)


class Rows(list[Any]):
    column_names = ("question", "answers", "id")


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    calls: list[Any] = []

    def load_dataset(path: str, name: str | None, *, split: str) -> Rows:
        calls.append((path, name, split))
        if split not in SQUAD:
            raise ValueError(f'Unknown split "{split}"')
        if path == "broken":
            raise DatasetsError("it could not be made") from UnicodeDecodeError(
                "utf-8", b"\x8e", 0, 1, "invalid start byte"
            )
        return Rows(SQUAD[split])

    monkeypatch.setitem(sys.modules, "datasets", SimpleNamespace(load_dataset=load_dataset, exceptions=EXCEPTIONS))
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


def test_pictures_and_the_names_of_classes(monkeypatch: pytest.MonkeyPatch) -> None:
    image = pytest.importorskip("PIL.Image")
    made = image.new("RGB", (6, 4), (10, 20, 30))
    features = {
        "label": SimpleNamespace(names=["cat", "dog"]),
        "tags": SimpleNamespace(feature=SimpleNamespace(names=["O", "B-X"])),
    }

    class Pictures(list[Any]):
        column_names = ("image", "label", "tags")

    Pictures.features = features  # type: ignore[attr-defined]
    rows = [{"image": made.copy(), "label": label, "tags": [0, 1]} for label in (1, 0, -1)]
    library = SimpleNamespace(load_dataset=lambda *_, **__: Pictures(rows))
    monkeypatch.setitem(sys.modules, "datasets", library)
    data = Hub("pets", None, ["image", "label", "tags"])
    one, other, none = values(data, "train")
    assert [one["label"], other["label"], none] == ["dog", "cat", "pets:train:2: there is no label"]
    assert one["tags"] == ["O", "B-X"]
    column = NumbersInput("image", ("image",), (3, 2, 2)).columns(Tools(8))[0]
    assert column.encode(one)[:, 0, 0].tolist() == [10, 20, 30]
    before = data.sha256
    assert before == Hub("pets", None, ["image", "label", "tags"]).sha256
    rows[0]["image"].putpixel((0, 0), (0, 0, 0))
    assert before != Hub("pets", None, ["image", "label", "tags"]).sha256


def test_what_is_missing_is_said(library: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(TrainError, match="squad: there is no column 'text'; there is question, answers, id"):
        Hub("squad", None, ["text"])
    with pytest.raises(TrainError, match='squad, split test: Unknown split "test"'):
        Hub("squad", None, ["id"], "test")
    with pytest.raises(TrainError, match="broken, split train: it could not be made: 'utf-8' codec can't decode"):
        Hub("broken", None, ["id"])
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(TrainError, match=r"pip install 'blockgraph\[datasets\]'"):
        Hub("squad", None, ["id"])


def test_the_library_itself(tmp_path: Path) -> None:
    """Where it is installed: a folder of Parquet files, with classes that have names."""
    datasets = pytest.importorskip("datasets")
    features = datasets.Features({"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["no", "yes"])})
    rows = {"text": ["a", "b", "c"], "label": [1, 0, -1]}
    datasets.Dataset.from_dict(rows, features).to_parquet(tmp_path / "train.parquet")
    data = Hub(str(tmp_path), None, ["text", "label"])
    assert values(data, "train") == [
        {"text": "a", "label": "yes"},
        {"text": "b", "label": "no"},
        f"{tmp_path}:train:2: there is no label",
    ]
    with pytest.raises(TrainError, match="split test"):
        Hub(str(tmp_path), None, ["text"], "test")
    with pytest.raises(TrainError, match="nowhere"):
        Hub(str(tmp_path / "nowhere"), None, ["text"])
