"""The tokenizers of published folders: ids and texts are those of `transformers.AutoTokenizer`."""

from __future__ import annotations

import json
import random
import struct
import warnings
from pathlib import Path
from typing import Any

import pytest

from blockgraph.running.checkpoint_tokenizer import read_checkpoint_tokenizer
from blockgraph.running.sentencepiece_model import read_sentencepiece
from blockgraph.running.tokenizers import Tokenizer, TokenizerError
from tests.running.tokenizer_folders import FOLDERS, TEXTS, WITH_SENTENCEPIECE, byte_level, word_pieces, write


def reference(folder: Path) -> Any:
    """Warnings are its own: sacremoses is not installed, which changes no ids here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from transformers import AutoTokenizer

        return AutoTokenizer.from_pretrained(folder, local_files_only=True)


def made(name: str, folder: Path) -> Path:
    if name in WITH_SENTENCEPIECE:
        pytest.importorskip("sentencepiece")
        pytest.importorskip("google.protobuf")
    return write(name, folder)


def agree(ours: Tokenizer, theirs: Any) -> None:
    for text in TEXTS:
        ids = theirs(text)["input_ids"]
        assert ours.encode(text).tolist() == ids, text
        assert ours.decode(ids) == theirs.decode(ids, skip_special_tokens=True)
        stream = ours.stream()
        assert "".join(map(stream.push, ids)) + stream.finish() == ours.decode(ids)
    chance = random.Random(0)
    for _ in range(30):
        ids = [chance.randrange(ours.size) for _ in range(12)]
        text = theirs.decode(ids, skip_special_tokens=True)
        stream = ours.stream()
        assert ours.decode(ids) == text == "".join(map(stream.push, ids)) + stream.finish()


@pytest.mark.parametrize("name", FOLDERS)
def test_ids_and_texts_equal_the_references(name: str, tmp_path: Path) -> None:
    folder = made(name, tmp_path / name)
    agree(read_checkpoint_tokenizer(folder), reference(folder))


@pytest.mark.parametrize("name", ["gpt2-prefix", "bert", "roberta", "t5", "llama", "gemma"])
def test_folders_that_the_reference_has_saved(name: str, tmp_path: Path) -> None:
    theirs = reference(made(name, tmp_path / "old"))
    theirs.save_pretrained(tmp_path / "new")
    (tmp_path / "new" / "config.json").write_bytes((tmp_path / "old" / "config.json").read_bytes())
    assert (tmp_path / "new" / "tokenizer.json").is_file()
    agree(read_checkpoint_tokenizer(tmp_path / "new"), reference(tmp_path / "new"))


def test_tokens_that_were_added_later(tmp_path: Path) -> None:
    """added_tokens.json and special_tokens_map.json, as older versions of the library wrote them."""
    folder = write("gpt2", tmp_path)
    (folder / "added_tokens.json").write_text(json.dumps({"<tool>": 400, "<end>": 401}))
    (folder / "special_tokens_map.json").write_text(json.dumps({"eos_token": "<end>", "bos_token": "<|endoftext|>"}))
    ours, theirs = read_checkpoint_tokenizer(folder), reference(folder)
    assert ours.encode("a <tool> b<end>").tolist() == theirs("a <tool> b<end>")["input_ids"]
    assert ours.decode([400, 401, 30]) == theirs.decode([400, 401, 30], skip_special_tokens=True)
    assert ours.size == 402


# --- without the sentencepiece package --------------------------------------------------------------------------------


def field(number: int, value: int | bytes) -> bytes:
    """A protocol-buffers field; sizes and numbers below 128 only."""
    if isinstance(value, int):
        return bytes([number << 3 & 127 | (128 if number > 15 else 0), *([number >> 4] if number > 15 else []), value])
    return bytes([number << 3 | 2, len(value)]) + value


def handmade(path: Path, *, algorithm: int = 1, prefix: int = 1, kinds: tuple[int, ...] = (2, 3, 3)) -> Path:
    """<unk>, <s>, </s> and pieces of "the cat"; longer pieces score higher, so that the longest are taken."""
    texts = ["<unk>", "<s>", "</s>", *"▁theca", "▁t", "he", "▁the", "▁c", "at", "▁cat"]
    data = b""
    for number, text in enumerate(texts):
        kind = kinds[number] if number < len(kinds) else 1
        score = bytes([2 << 3 | 5]) + struct.pack("<f", -10.0 / len(text))
        data += field(1, field(1, text.encode()) + score + field(3, kind))
    data += field(2, field(3, algorithm)) + field(3, field(3, prefix))
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("algorithm", [1, 2])
def test_sentencepiece_files_are_read_without_the_package(tmp_path: Path, algorithm: int) -> None:
    handmade(tmp_path / "tokenizer.model", algorithm=algorithm)
    says = {"add_bos_token": True, "bos_token": "<s>"}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(says))
    ours = read_checkpoint_tokenizer(tmp_path)
    ids = ours.encode("the cat").tolist()
    assert ids == [1, 11, 14] and ours.decode(ids) == "the cat" and ours.size == 15
    stream = ours.stream(ids[:2])
    assert stream.push(14) + stream.finish() == " cat"


def test_what_a_sentencepiece_file_says_of_spaces(tmp_path: Path) -> None:
    model = read_sentencepiece(handmade(tmp_path / "a.model", prefix=0))
    assert not model.prefix and model.squeezed and model.unknown == 0 and model.charsmap == b""
    assert [piece.kind for piece in model.pieces[:4]] == [2, 3, 3, 1]
    assert model.pieces[11].text == "▁the" and model.pieces[11].score == pytest.approx(-2.5)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 a zip", b"\x0a\xff", b"\xff" * 20, b"\x80\x04\x95pickle"])
def test_other_files_are_no_sentencepiece_models(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "tokenizer.model").write_bytes(content)
    with pytest.raises(TokenizerError, match="not a SentencePiece model"):
        read_checkpoint_tokenizer(tmp_path)
    with pytest.raises(TokenizerError, match="of the kinds unigram or bpe"):
        read_sentencepiece(handmade(tmp_path / "words.model", algorithm=3))


# --- refusals ---------------------------------------------------------------------------------------------------------


def test_a_folder_without_a_tokenizer_names_what_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(TokenizerError, match=r"none of tokenizer\.json, vocab\.json with merges\.txt, vocab\.txt"):
        read_checkpoint_tokenizer(tmp_path)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (
            word_pieces() | {"tokenizer_config.json": '{"tokenizer_class": "MPNetTokenizer"}'},
            "a MPNetTokenizer numbers",
        ),
        (word_pieces() | {"tokenizer_config.json": "no"}, "not JSON"),
        (word_pieces() | {"tokenizer_config.json": "[]"}, "not what a tokenizer's tokenizer_config.json holds"),
        (byte_level("<|endoftext|>") | {"merges.txt": "a b c\n"}, "is not two pieces"),
        ({"source.spm": "", "vocab.json": "{}"}, "not a SentencePiece model"),
        ({"source.spm": "", "vocab.json": "{}", "tokenizer_config.json": '{"separate_vocabs": true}'}, "each language"),
    ],
)
def test_files_that_cannot_be_read(tmp_path: Path, files: dict[str, str], message: str) -> None:
    for name, content in files.items():
        (tmp_path / name).write_text(content, "utf-8")
    with pytest.raises(TokenizerError, match=message):
        read_checkpoint_tokenizer(tmp_path)


def test_numbers_need_an_unknown_piece_and_an_end(tmp_path: Path) -> None:
    handmade(tmp_path / "source.spm")
    (tmp_path / "vocab.json").write_text('{"<unk>": 0}')
    with pytest.raises(TokenizerError, match="it has no '</s>'"):
        read_checkpoint_tokenizer(tmp_path)


def test_numbered_pieces(tmp_path: Path) -> None:
    handmade(tmp_path / "source.spm")
    numbers = {"</s>": 0, "<unk>": 1, "▁cat": 2, "▁the": 3, ">>fra<<": 4, "<pad>": 5}
    (tmp_path / "vocab.json").write_text(json.dumps(numbers))
    ours = read_checkpoint_tokenizer(tmp_path)
    assert ours.encode(">>fra<<the cat").tolist() == [4, 3, 2, 0] and ours.encode("hat").tolist()[-1] == 0
    assert ours.decode([4, 5, 3, 2, 0]) == ">>fra<< the cat" and ours.size == 6
    with pytest.raises(TokenizerError, match="beyond the tokenizer's 6"):
        ours.decode([6])
