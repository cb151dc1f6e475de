from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from blockgraph.running.tokenizers import read_tokenizer
from blockgraph.training.errors import TrainError
from blockgraph.data.texts import Texts
from blockgraph.data.vocabulary import tokenizer_for

TEXT = Texts("the cat sat on the mat\n" * 50, "the dog sät\n")


def section(kind: str, **options: Any) -> SimpleNamespace:
    return SimpleNamespace(type=kind, **options)


def test_bytes() -> None:
    assert tokenizer_for(section("bytes"), TEXT, 256, None).size == 256
    with pytest.raises(
        TrainError, match="has 256 ids, the model's input has room for 100: write 256 as the input's `tokens`"
    ):
        tokenizer_for(section("bytes"), TEXT, 100, None)


def test_characters_of_both_texts() -> None:
    made = tokenizer_for(section("characters", size=None, lowercase=False), TEXT, 128, None)
    assert made.decode(range(made.size)) == "".join(sorted(set(TEXT.train + TEXT.valid)))
    with pytest.raises(TrainError, match=f"write {made.size} as"):
        tokenizer_for(section("characters", size=None, lowercase=False), TEXT, made.size - 1, None)
    with pytest.raises(TrainError, match="empty"):
        tokenizer_for(section("characters", size=None), Texts("", ""), 10, None)


def test_byte_bpe_learns_words_and_knows_every_byte() -> None:
    made = tokenizer_for(section("byte_bpe", size=None, lowercase=False), TEXT, 270, None)
    assert 256 < made.size <= 270
    assert len(made.encode("the mat")) < 4
    assert made.decode(made.encode("日本 ü\n").tolist()) == "日本 ü\n"
    assert tokenizer_for(section("byte_bpe", size=258, lowercase=False), TEXT, 270, None).size == 258
    with pytest.raises(TrainError, match="at least 256"):
        tokenizer_for(section("byte_bpe", size=None), TEXT, 200, None)


def test_byte_bpe_is_the_same_every_time() -> None:
    made = [tokenizer_for(section("byte_bpe", size=None), TEXT, 270, None).to_json() for _ in range(2)]
    assert made[0] == made[1]


def test_lowercase() -> None:
    for kind in ("characters", "byte_bpe"):
        made = tokenizer_for(section(kind, size=None, lowercase=True), Texts("ABC abc", ""), 300, None)
        assert made.decode(made.encode("CAB").tolist()) == "cab"


def test_a_file_relative_to_the_spec(tmp_path: Path) -> None:
    made = tokenizer_for(section("byte_bpe", size=None), TEXT, 262, None)
    (tmp_path / "own.json").write_text(made.to_json())
    found = tokenizer_for(section("file", path="own.json"), TEXT, 262, tmp_path)
    assert found.encode("the mat").tolist() == made.encode("the mat").tolist()
    assert read_tokenizer(tmp_path / "own.json").size == found.size


def test_what_is_not_there_yet() -> None:
    with pytest.raises(
        TrainError, match="wordpiece is not there yet; this version has bytes, characters, byte_bpe, file"
    ):
        tokenizer_for(section("wordpiece"), TEXT, 100, None)
