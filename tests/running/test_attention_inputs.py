"""Texts for attention maps: framed as the model knows them, targets that the model writes itself."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors

from blockgraph.api import build
from blockgraph.running.attention_inputs import Frame, Seen, read_texts
from blockgraph.running.attention_maps import AttentionError
from blockgraph.running.readable import Piece
from blockgraph.running.tokenizers import Bytes, Characters, Pieces

ONE = "blockgraph: 1\ninputs: {tokens: {tokens: 300, axis: T}}\nnodes: {embed: {type: embedding, width: 4}}\n"
TWO = """
blockgraph: 1
inputs:
  src: {tokens: 9, axis: S}
  tgt: {tokens: 9, axis: T, start: 0, end: 1}
nodes:
  high: {type: embedding, in: src, width: 8}
  low: {type: embedding, in: tgt, width: 8}
  self: {type: attention, heads: 2, causal: true}
  cross: {type: attention, heads: 2, in: {query: self, key: high}}
  logits: {type: linear, width: 9}
"""
LETTERS = Characters("abcdefg", specials=("<s>", "</s>"))


def texts(seen: Seen, axis: str = "T") -> list[str]:
    return [piece.text for piece in seen.pieces[axis]]


def test_a_frame_stands_around_the_text() -> None:
    seen = read_texts(build(ONE), LETTERS, Frame(before=(0,), after=(1,)), "cab")
    assert seen.tensors["tokens"].tolist() == [[0, 4, 2, 3, 1]] and texts(seen) == ["<s>", "c", "a", "b", "</s>"]
    assert seen.notes == []


def test_a_file_that_frames_texts_itself() -> None:
    library = Tokenizer(models.WordLevel({"[CLS]": 0, "[SEP]": 1, "cat": 2, "[UNK]": 3}, unk_token="[UNK]"))
    library.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    library.decoder = decoders.WordPiece()
    library.post_processor = processors.BertProcessing(("[SEP]", 1), ("[CLS]", 0))
    library.add_special_tokens(["[CLS]", "[SEP]"])
    seen = read_texts(build(ONE), Pieces(library, framed=True), Frame(), "cat cat")
    assert texts(seen) == ["[CLS]", "cat", "cat", "[SEP]"]
    assert texts(read_texts(build(ONE), Pieces(library), Frame(), "cat cat")) == ["cat", "cat"]


def test_a_given_target_follows_the_start() -> None:
    seen = read_texts(build(TWO), LETTERS, Frame(after=(1,), start=0, end=1), "cab", "ba")
    assert seen.tensors["src"].tolist() == [[4, 2, 3, 1]] and seen.tensors["tgt"].tolist() == [[0, 3, 2]]
    assert texts(seen, "S") == ["c", "a", "b", "</s>"] and texts(seen) == ["<s>", "b", "a"] and seen.notes == []


def test_a_target_has_no_end_yet() -> None:
    class Framed(Characters):
        def encode(self, text: str) -> Any:
            return [*super().encode(text), 1]

    framed = Framed("abcdefg", specials=("<s>", "</s>"))
    seen = read_texts(build(TWO), framed, Frame(end=1), "cab", "ba")
    assert texts(seen, "S") == ["c", "a", "b", "</s>"] and texts(seen) == ["<s>", "b", "a"]


def scripted(answers: list[int]) -> Any:
    """An encoder-decoder that writes what it is told to."""
    model = build(TWO, seed=1)

    def answer(module: Any, args: Any, kwargs: Any, output: torch.Tensor) -> torch.Tensor:
        length = output.shape[1]
        return torch.nn.functional.one_hot(torch.tensor([answers[:length]]), 9).float()

    model.register_forward_hook(answer, with_kwargs=True)
    return model


def test_the_model_writes_a_missing_target() -> None:
    seen = read_texts(scripted([4, 2, 3, 1, 5]), LETTERS, Frame(after=(1,)), "bac")
    assert seen.tensors["tgt"].tolist() == [[0, 4, 2, 3]] and texts(seen) == ["<s>", "c", "a", "b"]
    assert seen.notes == ["tgt is what the model writes: 'cab'; --target gives it another text"]


def test_writing_ends_somewhere() -> None:
    seen = read_texts(scripted([2] * 200), LETTERS, Frame(), "bac")
    assert seen.tensors["tgt"].shape == (1, 65) and "tgt is cut after 64 tokens" in seen.notes


def test_a_start_that_the_tokenizer_does_not_know_has_a_name() -> None:
    seen = read_texts(build(TWO), Characters("abcdefg"), Frame(), "bac", "c")
    assert seen.pieces["T"] == [Piece("<start>"), Piece("c")]


def test_two_texts_of_which_none_is_written() -> None:
    model = build(TWO.replace(", start: 0, end: 1", ""))
    assert texts(read_texts(model, LETTERS, Frame(after=(1,)), "a", "bc")) == ["b", "c", "</s>"]
    with pytest.raises(AttentionError, match="no id to begin writing it with: give --target"):
        read_texts(model, LETTERS, Frame(), "a")


@pytest.mark.parametrize(
    ("text", "target", "said"),
    [
        ("", None, "the text is empty"),
        ("a", "b", "--target is for a second text"),
        ("a" * 256, None, "256 tokens, more than the 255 that can be shown"),
    ],
)
def test_refusals(text: str, target: str | None, said: str) -> None:
    with pytest.raises(AttentionError, match=said):
        read_texts(build(ONE), Bytes(), Frame(), text, target)


def test_texts_that_the_model_cannot_read() -> None:
    learned = ONE.replace("nodes: {", "nodes: {").replace(
        "width: 4}}", "width: 4}, p: {type: positions, kind: learned, length: 5}}"
    )
    with pytest.raises(AttentionError, match="6 tokens, more than the 5 that the model reads"):
        read_texts(build(learned), Bytes(), Frame(), "abcdef")
    with pytest.raises(AttentionError, match="makes the id 99, and the model has 50 only"):
        read_texts(build(ONE.replace("300", "50")), Bytes(), Frame(), "c")
    numbers = "blockgraph: 1\ninputs: {x: {shape: [T, 8]}}\nnodes: {f: {type: ffn, hidden: 8}}\n"
    with pytest.raises(AttentionError, match="no input that takes a text"):
        read_texts(build(numbers), Bytes(), Frame(), "c")
