"""Small tokenizers in every published layout, trained on Python's own documentation: folders as people download them."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from pydoc_data.topics import topics
from typing import Any

import tokenizers
from tokenizers import models, normalizers, pre_tokenizers, trainers

LINES = [line for topic in list(topics.values())[:12] for line in topic.splitlines() if line.strip()]
LINES += ["世界和平,机器学习", "東京は日本の首都です。", "naïve café Grüße"] * 8
TEXTS = [
    "Hello  world, it's  naïve!",
    " leading and trailing ",
    "世界和平 東京は 🙂 x",
    "The cat's and I've don't , yes . no",
    "def f(x):\n\treturn 12345\r\n\n",
    "a <|endoftext|></s> [MASK] b <mask>.<pad> <unk> [SEP]x",
    "user <turn>he said",
    ">>fra<< Hello",
    " ``quoted'' ﬁ ½ \u3000wide\u00a0nb",
    " ",
]


@cache
def byte_level(*special: str, end: str = "") -> dict[str, str]:
    """vocab.json and merges.txt."""
    suffix = {"end_of_word_suffix": end} if end else {}
    library = tokenizers.Tokenizer(models.BPE(**suffix))
    library.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    options: dict[str, Any] = {"vocab_size": 400, "special_tokens": list(special), "show_progress": False}
    library.train_from_iterator(LINES, trainers.BpeTrainer(initial_alphabet=alphabet, **options, **suffix))
    model = json.loads(library.to_str())["model"]
    merges = "".join(f"{left} {right}\n" for left, right in model["merges"])
    return {"vocab.json": json.dumps(model["vocab"]), "merges.txt": f"#version: 0.2\n{merges}"}


@cache
def word_pieces() -> dict[str, str]:
    library = tokenizers.Tokenizer(models.WordPiece(unk_token="[UNK]"))
    library.normalizer = normalizers.BertNormalizer(lowercase=True)
    library.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    trainer = trainers.WordPieceTrainer(vocab_size=400, special_tokens=special, show_progress=False)
    library.train_from_iterator(LINES, trainer)
    words = sorted(library.get_vocab(), key=library.get_vocab().__getitem__)
    return {"vocab.txt": "".join(f"{word}\n" for word in words)}


def trained(**options: Any) -> bytes:
    """A SentencePiece model."""
    import sentencepiece

    written = io.BytesIO()
    options = {"vocab_size": 400, "hard_vocab_limit": False, "minloglevel": 2} | options
    sentencepiece.SentencePieceTrainer.train(sentence_iterator=iter(LINES), model_writer=written, **options)
    return written.getvalue()


_T5 = {"pad_id": 0, "eos_id": 1, "unk_id": 2, "bos_id": -1}
_LLAMA = {
    "model_type": "bpe", "byte_fallback": True, "normalization_rule_name": "identity",
    "remove_extra_whitespaces": False, "split_digits": True, "allow_whitespace_only_pieces": True,
}  # fmt: skip
_GEMMA = _LLAMA | {
    "add_dummy_prefix": False, "pad_id": 0, "eos_id": 1, "bos_id": 2, "unk_id": 3, "pad_piece": "<pad>",
    "eos_piece": "<eos>", "bos_piece": "<bos>", "user_defined_symbols": ["<mask>", "<turn>"],
}  # fmt: skip
_ALBERT = {
    "pad_id": 0, "unk_id": 1, "bos_id": -1, "eos_id": -1, "control_symbols": ["[CLS]", "[SEP]"],
    "user_defined_symbols": ["[MASK]"], "pad_piece": "<pad>",
}  # fmt: skip


def marian() -> dict[str, Any]:
    """Two models and one list of numbers, in which the models' order does not matter."""
    import sentencepiece

    model = trained()
    processor = sentencepiece.SentencePieceProcessor(model_proto=model)
    pieces = [processor.id_to_piece(number) for number in range(3, processor.get_piece_size())]
    words = ["</s>", "<unk>", *reversed(pieces), ">>fra<<", "<pad>"]
    numbers = json.dumps({word: number for number, word in enumerate(words)})
    return {"source.spm": model, "target.spm": model, "vocab.json": numbers}


_OPT = {"add_bos_token": True, "bos_token": "</s>", "eos_token": "</s>", "unk_token": "</s>", "pad_token": "<pad>"}
_NO_CJK = {"tokenize_chinese_chars": False, "strip_accents": False, "clean_up_tokenization_spaces": True}
_MARKS = ("<s>", "<pad>", "</s>", "<unk>", "<mask>")
_MASK = {
    "content": "<mask>",
    "lstrip": True,
    "rstrip": False,
    "normalized": False,
    "single_word": False,
    "special": True,
}
_TURN = _MASK | {"content": "<turn>", "lstrip": False}
_OPUS = {"source_lang": "en", "target_lang": "de", "clean_up_tokenization_spaces": True}
_BOS = {"add_bos_token": True, "add_eos_token": False}

# name: its model_type, what tokenizer_config.json says (None: no such file), what makes the other files
FOLDERS: dict[str, tuple[str, dict[str, Any] | None, Callable[[], dict[str, Any]]]] = {
    "gpt2": ("gpt2", None, lambda: byte_level("<|endoftext|>")),
    "gpt2-prefix": ("gpt2", _BOS | {"add_prefix_space": True}, lambda: byte_level("<|endoftext|>")),
    "opt": ("opt", _OPT | {"tokenizer_class": "GPT2Tokenizer"}, lambda: byte_level("<pad>", "</s>")),
    "roberta": ("roberta", None, lambda: byte_level(*_MARKS)),
    "roberta-marks": (
        "roberta", {"tokenizer_class": "RobertaTokenizer", "added_tokens_decoder": {"4": _MASK}}, lambda: byte_level(*_MARKS),
    ),
    "clip": (
        "clip",
        {"tokenizer_class": "CLIPTokenizer"},
        lambda: byte_level("<|startoftext|>", "<|endoftext|>", end="</w>"),
    ),
    "qwen2": ("qwen2", {"tokenizer_class": "Qwen2TokenizerFast"}, lambda: byte_level("<|endoftext|>", "<|im_start|>")),
    "bert": ("bert", None, word_pieces),
    "bert-cased": ("bert", {"do_lower_case": False, "tokenizer_class": "BertTokenizer"}, word_pieces),
    "bert-other": ("bert", _NO_CJK, word_pieces),
    "t5": ("t5", None, lambda: {"spiece.model": trained(**_T5)}),
    "t5-tidy": ("t5", {"extra_ids": 5, "clean_up_tokenization_spaces": True}, lambda: {"spiece.model": trained(**_T5)}),
    "llama": ("llama", _BOS | {"tokenizer_class": "LlamaTokenizer"}, lambda: {"tokenizer.model": trained(**_LLAMA)}),
    "gemma": ("gemma", _BOS | {"tokenizer_class": "GemmaTokenizer"}, lambda: {"tokenizer.model": trained(**_GEMMA)}),
    "gemma-marks": (
        "gemma", {"tokenizer_class": "GemmaTokenizer", "added_tokens_decoder": {"5": _TURN}},
        lambda: {"tokenizer.model": trained(**_GEMMA)},
    ),
    "xlm-roberta": ("xlm-roberta", None, lambda: {"sentencepiece.bpe.model": trained()}),
    "albert": ("albert", None, lambda: {"spiece.model": trained(**_ALBERT)}),
    "albert-other": (
        "albert",
        {"do_lower_case": False, "keep_accents": True},
        lambda: {"spiece.model": trained(**_ALBERT)},
    ),
    "marian": ("marian", _OPUS, marian),
}  # fmt: skip
WITH_SENTENCEPIECE = {
    "t5",
    "t5-tidy",
    "llama",
    "gemma",
    "gemma-marks",
    "xlm-roberta",
    "albert",
    "albert-other",
    "marian",
}


def write(name: str, folder: Path) -> Path:
    """The tokenizer's files and a config.json with its model_type."""
    model_type, says, files = FOLDERS[name]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps({"model_type": model_type}), "utf-8")
    if says is not None:
        (folder / "tokenizer_config.json").write_text(json.dumps(says), "utf-8")
    for file, content in files().items():
        (folder / file).write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder
