from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from blockgraph.data.feeds import WholeText, Windows
from blockgraph.data.ids import map_ids, write_documents, write_ids
from blockgraph.data.records import BadRow, Record
from blockgraph.running.tokenizers import Bytes
from blockgraph.training.errors import TrainError
from tests.training.tiny import lesson

IDS = np.arange(1000, dtype=np.uint16)
COLLATE = lesson().collate


def test_batches_follow_from_seed_step_and_part() -> None:
    windows, again = Windows(IDS, 4, 16, 2, seed=7, collate=COLLATE), Windows(IDS, 4, 16, 2, seed=7, collate=COLLATE)
    for step, part in [(5, 1), (0, 0), (5, 0)]:  # in any order
        assert np.array_equal(windows.rows(step, part), again.rows(step, part))
    first = windows.rows(0, 0)
    others = [windows.rows(0, 1), windows.rows(1, 0), Windows(IDS, 4, 16, 2, seed=8, collate=COLLATE).rows(0, 0)]
    assert not any(np.array_equal(first, other) for other in others)


def test_targets_are_one_further_on() -> None:
    batch = Windows(IDS, 4, 16, 1, seed=0, collate=COLLATE).batch(3, 0)
    tokens, targets = batch.inputs["tokens"], batch.targets["causal_lm"]
    assert tokens.dtype == torch.int64 and tokens.shape == targets.shape == (4, 16)
    assert torch.equal(targets, tokens + 1)


def test_random_windows_reach_both_ends() -> None:
    windows = Windows(IDS[:20], 64, 16, 1, seed=0, collate=COLLATE)
    starts = {int(row[0]) for step in range(8) for row in windows.rows(step, 0)}
    assert starts == {0, 1, 2, 3}


def test_an_epoch_sees_each_window_once() -> None:
    windows = Windows(IDS[:101], size=5, length=10, accumulate=2, seed=3, collate=COLLATE, epochs=True)
    assert windows.count == 10
    epochs = [[int(row[0]) for part in (0, 1) for row in windows.rows(step, part)] for step in range(2)]
    assert sorted(epochs[0]) == sorted(epochs[1]) == list(range(0, 100, 10))
    assert epochs[0] != epochs[1]


def test_epochs_become_steps() -> None:
    windows = Windows(IDS[:801], size=4, length=8, accumulate=2, seed=0, collate=COLLATE, epochs=True)
    assert windows.count == 100 and windows.steps(3) == 38  # 300 windows, 8 a step


def test_an_epoch_may_end_inside_a_batch() -> None:
    windows = Windows(IDS[:71], size=4, length=10, accumulate=1, seed=3, collate=COLLATE, epochs=True)
    starts = [int(row[0]) for step in range(7) for row in windows.rows(step, 0)]
    assert sorted(starts) == sorted(list(range(0, 70, 10)) * 4)


@pytest.mark.parametrize("count", [2, 9, 10, 11, 30, 31, 37])
def test_the_whole_split_is_seen_once(count: int) -> None:
    batches = list(WholeText(IDS[:count], 2, 10, COLLATE).batches())
    targets = torch.cat([batch.targets["causal_lm"].flatten() for batch in batches])
    assert targets.tolist() == list(range(1, count))
    assert all(torch.equal(batch.inputs["tokens"] + 1, batch.targets["causal_lm"]) for batch in batches)


def test_too_short_a_text_says_how_short() -> None:
    with pytest.raises(TrainError, match=r"has 16 ids, and a window needs 17"):
        Windows(IDS[:16], 4, 16, 1, seed=0, collate=COLLATE)


@pytest.mark.parametrize(("vocabulary", "width"), [(256, 2), (65536, 2), (65537, 4)])
def test_ids_take_as_many_bytes_as_they_need(tmp_path: Path, vocabulary: int, width: int) -> None:
    ids = np.array([0, 1, vocabulary - 1], dtype=np.int64)
    tokenizer: Any = SimpleNamespace(size=vocabulary, encode=lambda text: ids[[int(text)]])
    assert write_ids(tmp_path / "ids.bin", ["0", "1", "2"], tokenizer) == 3
    assert (tmp_path / "ids.bin").stat().st_size == 3 * width
    mapped = map_ids(tmp_path / "ids.bin", vocabulary)
    assert isinstance(mapped, np.memmap) and mapped.tolist() == ids.tolist()


def test_an_empty_text_is_an_empty_file(tmp_path: Path) -> None:
    assert write_ids(tmp_path / "ids.bin", [""], Bytes()) == len(map_ids(tmp_path / "ids.bin", 256)) == 0


def test_texts_of_rows_are_packed_with_an_end_behind_each(tmp_path: Path) -> None:
    rows = [Record("t:1", {"a": "x", "b": "yz"}), BadRow("t:2", "why"), Record("t:3", {"a": "", "b": ""})]
    tokenizer = Bytes(("</s>",))
    count, bad = write_documents(tmp_path / "ids.bin", rows, ("a", "b"), tokenizer, 0)
    ids = map_ids(tmp_path / "ids.bin", tokenizer.size)
    assert count == 5 and [tokenizer.decode([id]) if id else "|" for id in ids.tolist()] == ["x", "|", "y", "z", "|"]
    assert [str(row) for row in bad] == ["t:2: why", "t:3: a, b: no text"]
    with pytest.raises(TrainError, match="t:2: why; mend it"):
        write_documents(tmp_path / "ids.bin", rows, ("a", "b"), tokenizer, 0, strict=True)
