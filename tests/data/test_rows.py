"""Pairs, tables and generated texts: their rows, their splits, and what is wrong with them."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blockgraph.data.errors import TrainError
from blockgraph.data.examples import Column, Examples, write_examples
from blockgraph.data.feeds import AllRows, Measure, Rows
from blockgraph.data.generated import Generated
from blockgraph.data.pairs import Pairs
from blockgraph.data.records import BadRow, Record, Records, RowError
from blockgraph.data.tables import Layout, Table


def values(data: Records, split: str = "train") -> list[Any]:
    return [dict(row.values) if isinstance(row, Record) else str(row) for row in data.rows(split)]


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    (tmp_path / "a.en").write_text("one\ntwo\n\nfour\n", "utf-8")
    with gzip.open(tmp_path / "a.de.gz", "wt", encoding="utf-8") as file:
        file.write("eins\nzwei\ndrei\nvier\n")
    return tmp_path / "a.en", tmp_path / "a.de.gz"


def test_pairs_are_lines_of_two_files(files: tuple[Path, Path]) -> None:
    assert values(Pairs(files)) == [
        {"source": "one", "target": "eins"},
        {"source": "two", "target": "zwei"},
        "a.en:3: the source is empty",
        {"source": "four", "target": "vier"},
    ]


def test_files_of_unlike_length_are_refused(files: tuple[Path, Path]) -> None:
    files[0].write_text("one\n", "utf-8")
    with pytest.raises(TrainError, match=r"a\.en has 1 lines, .*a\.de\.gz has more"):
        values(Pairs(files))


@given(st.integers(0, 60), st.floats(0, 0.6), st.floats(0, 0.39))
@settings(max_examples=60, deadline=None)
def test_shares_take_every_row_once(count: int, valid: float, test: float) -> None:
    from blockgraph.data.records import shares

    taken = shares(count, valid, test)
    rows = [number for numbers in taken.values() for number in numbers]
    assert len(rows) == len(set(rows)) and set(rows) <= set(range(count))
    assert count == 0 or len(rows) < max(count, 1) or count == 0
    if count > 20 and valid > 0.1:
        assert abs(len(taken["valid"]) - count * valid) <= 2


def test_a_share_is_the_same_every_time(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("text,label\n" + "".join(f"row {n},x\n" for n in range(50)), "utf-8")
    tables = [Table([tmp_path / "t.csv"], ["text"], 0.2, 0.1) for _ in range(2)]
    splits = [[values(table, split) for split in ("train", "valid", "test")] for table in tables]
    assert splits[0] == splits[1] and [len(rows) for rows in splits[0]] == [35, 10, 5]
    assert tables[0].sha256 == tables[1].sha256 != Table([tmp_path / "t.csv"], ["text"], 0.1).sha256


def test_tables_of_three_kinds(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text('text,label\n"a, ""b""",1\n"two\nlines",2\n', "utf-8")
    (tmp_path / "t.tsv").write_text('text\tlabel\na "quote\t1\n', "utf-8")
    (tmp_path / "t.jsonl").write_text('{"text": ["a", "b"], "label": 1, "more": 0}\n\n{"text": "x"}\n[1]\n{\n', "utf-8")
    assert values(Table([tmp_path / "t.csv"], ["text", "label"])) == [
        {"text": 'a, "b"', "label": "1"}, {"text": "two\nlines", "label": "2"},
    ]  # fmt: skip
    assert values(Table([tmp_path / "t.tsv"], ["text"])) == [{"text": 'a "quote'}]
    found = values(Table([tmp_path / "t.jsonl"], ["text", "label"]))
    assert found[:3] == [
        {"text": ["a", "b"], "label": 1},
        "t.jsonl:3: there is no label",
        "t.jsonl:4: not an object in braces",
    ]
    assert found[3].startswith("t.jsonl:5: not JSON")


def test_what_is_wrong_with_a_table(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("text,label\na,1\nb\n\nc,2\n", "utf-8")
    assert values(Table([tmp_path / "t.csv"], ["text"]))[1] == "t.csv:3: 1 cells, and 2 columns"
    with pytest.raises(TrainError, match=r"t\.csv:1: there is no column 'sentence'; there is text, label"):
        values(Table([tmp_path / "t.csv"], ["sentence"]))
    (tmp_path / "empty.csv").write_text("", "utf-8")
    with pytest.raises(TrainError, match="is empty"):
        values(Table([tmp_path / "empty.csv"], ["text"]))


def test_generated_rows() -> None:
    data = Generated("reverse", 50, 7, "abc")
    rows = values(data)
    assert len(rows) == 50 and all(
        row["target"] == row["source"][::-1] and 1 <= len(row["source"]) <= 7 for row in rows
    )
    assert values(data) == rows != values(data, "valid")[:50]
    assert values(Generated("copy", 3, 7, "abc"))[0]["source"] == values(Generated("copy", 3, 7, "abc"))[0]["target"]


# --- encoded rows -----------------------------------------------------------------------------------------------------


def encoded(folder: Path, lengths: list[int]) -> tuple[Examples, Any]:
    def ids(values: Any) -> Any:
        if values["n"] is None:
            raise RowError("there is no n")
        return np.arange(values["n"]) + values["n"]

    columns = [Column("ids", ids), Column("label", lambda values: np.array(values["n"]), "<i4", ())]
    rows: list[Record | BadRow] = [Record(f"r:{n}", {"n": length}) for n, length in enumerate(lengths)]
    count, bad = write_examples(folder, "train", [*rows, Record("r:bad", {"n": None})], columns)
    assert count == len(lengths) and [str(row) for row in bad] == ["r:bad: there is no n"]
    examples = Examples(folder, "train", columns, count)
    return examples, examples.lengths("ids")


def test_rows_come_back_as_they_were(tmp_path: Path) -> None:
    lengths = [3, 0, 5, 1]
    examples, found = encoded(tmp_path, lengths)
    assert found.tolist() == lengths
    for number, length in enumerate(lengths):
        row = examples.row(number)
        assert row["ids"].tolist() == list(range(length, 2 * length)) and int(row["label"]) == length


def collate(rows: Any, random: Any, learning: bool) -> Any:
    return rows["label"]


@pytest.mark.parametrize("measure", [Measure(7, None), Measure(None, 60)])
def test_every_epoch_sees_every_row_once(tmp_path: Path, measure: Measure) -> None:
    lengths = np.random.default_rng(0).integers(1, 30, 200).tolist()
    examples, found = encoded(tmp_path, lengths)
    rows = Rows(examples, found[:, None], measure, 2, 5, collate)
    batches = rows.steps(3) * 2
    seen = [rows.numbers(*divmod(number, 2)) for number in range(batches)]
    for epoch in range(3):
        start, stop = rows._batches_before(epoch), rows._batches_before(epoch + 1)
        assert sorted(np.concatenate(seen[start:stop]).tolist()) == list(range(200))
    again = Rows(examples, found[:, None], measure, 2, 5, collate)
    assert [n.tolist() for n in seen[::-1]] == [again.numbers(*divmod(b, 2)).tolist() for b in range(batches)][::-1]
    if measure.tokens is not None:
        assert all(max(lengths[n] for n in batch) * len(batch) <= 60 for batch in seen)
        padded = sum(max(lengths[n] for n in batch) * len(batch) for batch in seen[: rows._batches_before(1)])
        assert padded < 1.15 * sum(lengths)


def test_batches_of_pairs_count_the_padding_of_both_sides(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    sources = random.integers(1, 40, 3000)
    pairs = np.stack([sources, np.maximum(1, sources + random.integers(-6, 6, 3000))], axis=1)
    examples, _ = encoded(tmp_path, sources.tolist())
    rows = Rows(examples, pairs, Measure(None, 500), 1, 0, collate)
    epoch = [rows.numbers(step, 0) for step in range(rows.steps(1))]
    padded = [int(pairs[batch].max(axis=0).sum()) * len(batch) for batch in epoch]
    assert max(padded) <= 500 and sum(padded) < 1.2 * pairs.sum()


def test_a_judged_split_has_every_row_once(tmp_path: Path) -> None:
    examples, found = encoded(tmp_path, [4, 9, 2, 2, 7])
    split = AllRows(examples, found[:, None], Measure(2, None), collate)
    assert len(split) == 5 and sorted(int(label) for batch in split.batches() for label in batch) == [2, 2, 4, 7, 9]  # type: ignore[attr-defined]


def test_json_lists_of_numbers_are_kept(tmp_path: Path) -> None:
    (tmp_path / "t.jsonl").write_text(json.dumps({"x": [1.5, 2]}) + "\n", "utf-8")
    assert values(Table([tmp_path / "t.jsonl"], ["x"])) == [{"x": [1.5, 2]}]


def test_tables_without_a_header_and_with_other_delimiters(tmp_path: Path) -> None:
    (tmp_path / "s.txt").write_text("1 a fine , fine film\n\n0 dull\nx\n", "utf-8")
    layout = Layout(("label", "sentence"), ("label", "sentence"), " ")
    assert values(Table([tmp_path / "s.txt"], layout)) == [
        {"label": "1", "sentence": "a fine , fine film"},
        {"label": "0", "sentence": "dull"},
        "s.txt:4: 1 cells, and 2 columns",
    ]
    with gzip.open(tmp_path / "s.csv.gz", "wt", encoding="utf-8") as file:
        file.write('text;n\n"a;b";1\n')
    assert values(Table([tmp_path / "s.csv.gz"], Layout(("text",), delimiter=";"))) == [{"text": "a;b"}]
    with pytest.raises(TrainError, match="needs a header"):
        values(Table([tmp_path / "s.txt"], Layout(("label",), delimiter=" ")))


def test_a_bad_row_may_be_an_error(tmp_path: Path) -> None:
    rows = [Record("a:1", {}), BadRow("a:2", "there is no label")]
    with pytest.raises(TrainError, match=r"a:2: there is no label; mend it, or write bad_rows: skip"):
        write_examples(tmp_path, "train", rows, [], strict=True)
