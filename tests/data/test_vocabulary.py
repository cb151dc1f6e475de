from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from blockgraph.data.texts import Texts
from blockgraph.data.vocabulary import LONGEST_LINE, Corpus, Wanted, _lines
from blockgraph.data.vocabulary import tokenizer_for as make
from blockgraph.running.specials import Specials, specials_of
from blockgraph.running.tokenizers import Tokenizer, read_tokenizer
from blockgraph.training.errors import TrainError

TEXT = Texts("the cat sat on the mat\n" * 50, "the dog sät\n")


def section(kind: str, **options: Any) -> SimpleNamespace:
    return SimpleNamespace(type=kind, **options)


def tokenizer_for(section: Any, texts: Texts, vocabulary: int, folder: Path | None) -> Tokenizer:
    corpus = Corpus(lambda: [texts.train], lambda: [texts.train, texts.valid], texts.origin)
    return make(section, corpus, Wanted(vocabulary), folder)


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


def test_the_commonest_characters_and_one_id_for_all_others(tmp_path: Path) -> None:
    made = tokenizer_for(section("characters", size=6, lowercase=False), TEXT, 6, None)
    ids = made.encode("the dät").tolist()  # after the space: t, h, e, a stand oftenest in the training text
    assert made.size == 6 and made.specials == {"<unk>": 0}
    assert made.decode(ids) == "the t" and ids[4:6] == [0, 0]
    (tmp_path / "tokenizer.json").write_text(made.to_json())
    assert read_tokenizer(tmp_path / "tokenizer.json").encode("the dät").tolist() == ids
    with pytest.raises(TrainError, match="more than 1 ids; it was given 1"):
        tokenizer_for(section("characters", size=1), TEXT, 6, None)


def test_byte_bpe_learns_words_and_knows_every_byte() -> None:
    made = tokenizer_for(section("byte_bpe", size=None, lowercase=False), TEXT, 270, None)
    assert 256 < made.size <= 270
    assert len(made.encode("the mat")) < 4
    assert made.decode(made.encode("日本 ü\n").tolist()) == "日本 ü\n"
    assert tokenizer_for(section("byte_bpe", size=258, lowercase=False), TEXT, 270, None).size == 258
    with pytest.raises(TrainError, match="at least 256"):
        tokenizer_for(section("byte_bpe", size=None), TEXT, 200, None)


@pytest.mark.parametrize("kind", ["bytes", "characters", "words", "bpe", "byte_bpe", "wordpiece"])
def test_tokenizers_are_the_same_every_time(kind: str) -> None:
    """But for unigram, whose training in the library is not."""
    made = {tokenizer_for(section(kind, size=None), TEXT, 270, None).to_json() for _ in range(5)}
    assert len(made) == 1


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


KINDS = ["bytes", "characters", "words", "bpe", "byte_bpe", "wordpiece", "unigram"]
TEXTS = ["the cat sat on the mat", "春眠不觉晓，处处闻啼鸟。", "ねこが すきです。", "Straße und Käse"] * 20
CORPUS = Corpus(lambda: TEXTS, lambda: TEXTS, "texts")


@pytest.mark.parametrize("kind", KINDS)
def test_special_ids_come_first_and_are_no_text(kind: str, tmp_path: Path) -> None:
    made = make(section(kind, size=400), CORPUS, Wanted(400, ("pad", "start", "end")), None)
    (tmp_path / "tokenizer.json").write_text(made.to_json(), encoding="utf-8")
    for tokenizer in (made, read_tokenizer(tmp_path / "tokenizer.json")):
        assert specials_of(tokenizer) == Specials(pad=0, start=1, end=2)
        ids = tokenizer.encode("the cat sat").tolist()
        assert min(ids) > 2 and tokenizer.decode([1, *ids, 2, 0]).strip() == "the cat sat"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("text", ["春眠不觉晓", "ねこがすき"])
def test_texts_without_spaces(kind: str, text: str) -> None:
    made = make(section(kind, size=400), CORPUS, Wanted(400), None)
    ids = made.encode(text).tolist()
    assert ids and made.decode(ids).replace(" ", "").replace("#", "") == text


def test_fixed_ids_keep_their_places() -> None:
    wanted = Wanted(300, ("pad", "start", "end"), Specials(pad=2, start=0))
    assert specials_of(make(section("bytes"), CORPUS, wanted, None)) == Specials(pad=2, start=0, end=1)
    with pytest.raises(TrainError, match=r"the input.s pad is 7; .* write one below 1"):
        make(section("bytes"), CORPUS, Wanted(300, (), Specials(pad=7)), None)


def test_a_word_without_end_is_learned_from_in_parts() -> None:
    """As one word, a megabyte takes the library hours: the time grows with the square of its length."""
    text = "ab" * 30_000 + "\nab\n"
    parts = list(_lines(Corpus(lambda: [text], lambda: [text], "given")))
    assert "".join(parts) == text and max(map(len, parts)) == LONGEST_LINE and parts[-1] == "ab\n"


@pytest.mark.parametrize("kind", ["words", "wordpiece"])
def test_signs_without_spaces_are_decoded_without(kind: str, tmp_path: Path) -> None:
    text = "床前明月光，疑是 love 霜。カタカナー。สวัส and more\n"
    made = tokenizer_for(section(kind), Texts(text * 3, ""), 300, None)
    (tmp_path / "tokenizer.json").write_text(made.to_json(), encoding="utf-8")
    for one in (made, read_tokenizer(tmp_path / "tokenizer.json")):
        assert one.decode(one.encode("床前月光，是 love 霜。カー").tolist()) == "床前月光，是 love 霜。カー"


def test_too_small_a_vocabulary_for_its_signs_says_so() -> None:
    with pytest.raises(TrainError, match=r"unigram with 3 ids cannot be made from texts: .*large enough"):
        make(section("unigram", size=3), CORPUS, Wanted(400), None)
