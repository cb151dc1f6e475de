"""Ids as people read them, in every kind of tokenizer."""

from __future__ import annotations

from pathlib import Path

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from blockgraph.data.vocabulary import Corpus, Wanted, tokenizer_for
from blockgraph.running.readable import Piece, pieces_of, shown_as
from blockgraph.running.tokenizers import Bytes, Characters, Pieces
from blockgraph.specs.train import Train

TEXT = "I have a cat. 我爱猫 猫が好き"


def joined(pieces: list[Piece]) -> str:
    """The text that they were, as far as they tell."""
    whole = ""
    for piece in pieces:
        name, _, part = piece.text.rpartition(" ") if "/" in piece.text else (piece.text, "", "1/1")
        if part.startswith("1/"):
            whole += ("" if piece.glued else " ") + name
    return " ".join(whole.replace("␣", " ").split())


@pytest.mark.parametrize("kind", ["byte_bpe", "bpe", "unigram", "wordpiece"])
def test_pieces_of_trained_tokenizers_are_the_text(kind: str) -> None:
    corpus = Corpus(lambda: [TEXT, "the cat has a hat", "having cats"], lambda: [TEXT], "here")
    section = Train.model_validate({"steps": 1, "tokenizer": {"type": kind, "size": 300 if kind == "byte_bpe" else 60}})
    tokenizer = tokenizer_for(section.tokenizer, corpus, Wanted(400, ("pad", "start", "end")), Path("."))
    ids = [int(token) for token in tokenizer.encode(TEXT)]
    found = pieces_of(tokenizer, ids)
    wanted = TEXT.replace("猫 猫", "猫猫") if kind == "wordpiece" else TEXT  # there each is a word, and none has blanks
    assert len(found) == len(ids) and joined(found) == wanted
    assert not any(mark in piece.text for piece in found for mark in ("Ġ", "▁", "##", "\ufffd"))


def test_bytes_tell_the_parts_of_a_character() -> None:
    tokenizer = Bytes(("<s>", "</s>"))
    ids = [0, *map(int, tokenizer.encode("a 猫é")), 1]
    assert pieces_of(tokenizer, ids) == [
        Piece("<s>"), Piece("a"), Piece("␣"), Piece("猫 1/3"), Piece("猫 2/3", True), Piece("猫 3/3", True),
        Piece("é 1/2", True), Piece("é 2/2", True), Piece("</s>"),
    ]  # fmt: skip


def test_a_character_that_is_never_finished_is_still_two_pieces() -> None:
    ids = [int(token) for token in Bytes().encode("猫")][:2]
    assert [piece.text for piece in pieces_of(Bytes(), ids)] == ["\ufffd 1/2", "\ufffd 2/2"]


def test_spaces_and_line_ends_can_be_seen() -> None:
    tokenizer = Characters("\n\tab c")
    assert [(p.text, p.glued) for p in pieces_of(tokenizer, [int(t) for t in tokenizer.encode("ab c\n\t")])] == [
        ("a", False), ("b", True), ("␣", False), ("c", False), ("↵", False), ("⇥", False)
    ]  # fmt: skip
    assert shown_as("\x07") == "\\x7"


def test_files_that_do_not_say_how_pieces_are_joined() -> None:
    vocabulary = {"Ġcat": 0, "un": 1, "##known": 2, "▁dog": 3}
    library = Tokenizer(models.WordLevel(vocabulary, unk_token="un"))
    library.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    assert [(p.text, p.glued) for p in pieces_of(Pieces(library), [0, 1, 2, 3])] == [
        ("cat", False), ("un", False), ("known", True), ("dog", False)
    ]  # fmt: skip


def test_pieces_of_decoders_that_rewrite_texts() -> None:
    library = Tokenizer(models.WordPiece({"cat": 0, "##s": 1, ",": 2, "[CLS]": 3}, unk_token="cat"))
    library.add_special_tokens(["[CLS]"])
    assert [(p.text, p.glued) for p in pieces_of(Pieces(library, rewritten=True), [3, 0, 1, 2, 0])] == [
        ("[CLS]", False), ("cat", False), ("s", True), (",", False), ("cat", False)
    ]  # fmt: skip


def test_bytes_of_characters_that_no_piece_has() -> None:
    vocabulary = {"▁a": 0, "b": 1, "<unk>": 2} | {f"<0x{byte:02X}>": byte + 3 for byte in range(256)}
    library = Tokenizer(models.BPE(vocabulary, [], byte_fallback=True, unk_token="<unk>"))
    library.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    ids = [0, *(byte + 3 for byte in "猫".encode()), 1]
    assert [p.text for p in pieces_of(Pieces(library), ids)] == ["a", "猫 1/3", "猫 2/3", "猫 3/3", "b"]
