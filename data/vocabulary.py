"""Tokenizers made from the training text. What they do afterwards stands in `running/tokenizers.py`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from blockgraph.running.tokenizers import Bytes, Characters, Pieces, Tokenizer, read_tokenizer
from blockgraph.data.errors import TrainError
from blockgraph.data.texts import Texts

BYTES = 256


def tokenizer_for(section: Any, texts: Texts, vocabulary: int, folder: Path | None) -> Tokenizer:
    """The tokenizer that a spec's `tokenizer` section asks for; `vocabulary` is how many ids the model's input has.

    Raises `TrainError` where it would need more ids than that: the message names the number to write.
    """
    makers: dict[str, Callable[[], Tokenizer]] = {
        "bytes": Bytes,
        "characters": lambda: characters(texts, _option(section, "lowercase", False)),
        "byte_bpe": lambda: byte_bpe(
            texts, _option(section, "size", None) or vocabulary, _option(section, "lowercase", False)
        ),
        "file": lambda: read_tokenizer(_path(section, folder)),
    }
    if section.type not in makers:
        raise TrainError(f"train: tokenizer: {section.type} is not there yet; this version has {', '.join(makers)}")
    tokenizer = makers[section.type]()
    check_fits(tokenizer, vocabulary)
    return tokenizer


def check_fits(tokenizer: Tokenizer, vocabulary: int) -> None:
    """Raises `TrainError` where the tokenizer has more ids than the model's input."""
    if tokenizer.size > vocabulary:
        raise TrainError(
            f"the tokenizer ({tokenizer.kind}) has {tokenizer.size:,} ids, the model's input has room "
            f"for {vocabulary:,}: write {tokenizer.size} as the input's `tokens`"
        )


def characters(texts: Texts, lowercase: bool = False) -> Characters:
    """Every character of both texts: which ones there are tells nothing about the text that is judged."""
    whole = texts.train + texts.valid
    found = "".join(sorted(set(whole.lower() if lowercase else whole)))
    if not found:
        raise TrainError(f"{texts.origin}: the text is empty")
    return Characters(found, lowercase)


def byte_bpe(texts: Texts, size: int, lowercase: bool = False) -> Pieces:
    """Byte-level byte-pair encoding (Radford et al. 2019) of at most `size` ids, learned from the training text."""
    import tokenizers
    from tokenizers import decoders, models, normalizers, pre_tokenizers, trainers

    if size < BYTES:
        raise TrainError(
            f"train: tokenizer: byte_bpe needs at least {BYTES} ids, one for each byte; it was given {size}"
        )
    library = tokenizers.Tokenizer(models.BPE())
    library.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    library.decoder = decoders.ByteLevel()
    if lowercase:
        library.normalizer = normalizers.Lowercase()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=size, initial_alphabet=alphabet, show_progress=False, special_tokens=[])
    library.train_from_iterator(texts.train.splitlines(keepends=True), trainer=trainer)
    return Pieces(library, "byte_bpe")


def _option(section: Any, name: str, default: Any) -> Any:
    return getattr(section, name, default)


def _path(section: Any, folder: Path | None) -> Path:
    path = Path(_option(section, "path", None) or "")
    if not path.name:
        raise TrainError("train: tokenizer: file needs its path: {type: file, path: tokenizer.json}")
    return path if path.is_absolute() or folder is None else folder / path
