import json
from pathlib import Path

import pytest
import tokenizers
from tokenizers import decoders, models, pre_tokenizers, trainers

from blockgraph.running.tokenizers import Bytes, Characters, Pieces, Tokenizer, TokenizerError, read_tokenizer

TEXT = "Grüße, 世界! 🙂 naïve café\r\n\ttab"


def byte_bpe() -> Pieces:
    library = tokenizers.Tokenizer(models.BPE())
    library.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    library.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=280, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    library.train_from_iterator(["the cat and the hat " * 20], trainer=trainer)
    return Pieces(library)


KINDS: dict[str, Tokenizer] = {
    "bytes": Bytes(),
    "characters": Characters("".join(sorted(set(TEXT)))),
    "byte_bpe": byte_bpe(),
}


@pytest.mark.parametrize("kind", KINDS)
def test_there_and_back(kind: str, tmp_path: Path) -> None:
    tokenizer = KINDS[kind]
    ids = tokenizer.encode(TEXT)
    assert ids.max() < tokenizer.size and ids.min() >= 0
    assert tokenizer.decode(ids.tolist()) == TEXT
    assert len(tokenizer.encode("")) == 0
    (tmp_path / "tokenizer.json").write_text(tokenizer.to_json(), encoding="utf-8")
    again = read_tokenizer(tmp_path / "tokenizer.json")
    assert again.size == tokenizer.size and again.encode(TEXT).tolist() == ids.tolist()


@pytest.mark.parametrize("kind", KINDS)
def test_streams_never_give_half_a_character(kind: str) -> None:
    tokenizer = KINDS[kind]
    stream = tokenizer.stream()
    pieces = [stream.push(token) for token in tokenizer.encode(TEXT).tolist()]
    assert "\ufffd" not in "".join(pieces)
    assert "".join(pieces) + stream.finish() == TEXT


@pytest.mark.parametrize("kind", ["bytes", "byte_bpe"])
def test_an_open_character_at_the_end_is_marked(kind: str) -> None:
    tokenizer = KINDS[kind]
    stream = tokenizer.stream()
    ids = tokenizer.encode("a🙂").tolist()[:-1]
    assert "".join(map(stream.push, ids)) == "a"
    assert stream.finish() == "\ufffd"


def test_a_stream_of_bytes_that_are_no_text_goes_on() -> None:
    stream = byte_bpe().stream()
    broken = byte_bpe().encode("é").tolist()[1]  # a continuation byte without its start
    pieces = [stream.push(token) for token in [broken] * 9 + byte_bpe().encode("the end").tolist()]
    assert "".join(pieces).endswith("the end")


def test_bytes_are_utf8() -> None:
    assert Bytes().encode("é").tolist() == [0xC3, 0xA9]


def test_unknown_characters_are_named() -> None:
    with pytest.raises(TokenizerError, match="the character '\\\\xe9' is not among"):
        Characters("abc").encode("aéb")
    with pytest.raises(TokenizerError, match=r"the characters 'd', 'e', .*, … are not among"):
        Characters("abc").encode("abcdefghijklmn")


def test_ids_beyond_the_tokenizer() -> None:
    for tokenizer in KINDS.values():
        with pytest.raises(TokenizerError, match="is beyond the tokenizer's"):
            tokenizer.decode([tokenizer.size])


def test_long_texts_are_encoded_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    from blockgraph.running import tokenizers as module

    text = "the cat and the hat\n" * 50
    whole = KINDS["byte_bpe"].encode(text).tolist()
    monkeypatch.setattr(module, "PIECE", 30)
    assert KINDS["byte_bpe"].encode(text).tolist() == whole
    assert KINDS["byte_bpe"].encode("no line end " * 20).tolist() == byte_bpe().encode("no line end " * 20).tolist()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("not json", "no JSON"),
        ("[1]", "not a tokenizer file"),
        (json.dumps({"blockgraph_tokenizer": 1, "type": "morse"}), "a kind that this version does not know"),
        (json.dumps({"version": "1.0"}), "the tokenizers library cannot read it"),
    ],
)
def test_files_that_are_no_tokenizer(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "tokenizer.json").write_text(content)
    with pytest.raises(TokenizerError, match=message):
        read_tokenizer(tmp_path / "tokenizer.json")


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(TokenizerError, match="cannot read the tokenizer"):
        read_tokenizer(tmp_path / "nowhere.json")
