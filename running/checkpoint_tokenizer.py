"""The tokenizer of a published checkpoint's folder, from whichever of its files say it.

Ids are those that the reference library gives: with the special ids that it puts around a text. No code of the folder
is run and nothing is downloaded.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from blockgraph.running.library_tokenizers import CLASSES, MODEL_TYPES, byte_level, sentencepiece, wordpiece
from blockgraph.running.sentencepiece_model import SentencePieceModel, read_sentencepiece
from blockgraph.running.tokenizers import (
    Pieces,
    RewrittenStream,
    TextStream,
    Tokenizer,
    TokenizerError,
    known,
    read_tokenizer,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

NAMES = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")
LOOKED_FOR = "tokenizer.json, vocab.json with merges.txt, vocab.txt, *.model, or source.spm with vocab.json"


@dataclass
class Folder:
    """What a folder's JSON files say about its tokenizer. `kind` is the reference library's class, by its name."""

    path: Path
    kind: str
    says: dict[str, Any]
    added: list[tuple[int, str, dict[str, Any]]] = field(default_factory=list)

    def token(self, name: str) -> str | None:
        """A special token by its role (`eos_token`): the folder's, else the class's."""
        found = self.says.get(name, CLASSES[self.kind].tokens.get(name) if self.kind in CLASSES else None)
        return found.get("content") if isinstance(found, dict) else found

    def named(self) -> dict[str, str]:
        return {name: token for name in NAMES if (token := self.token(name)) is not None}


def read_checkpoint_tokenizer(path: Path) -> Tokenizer:
    """The tokenizer of the folder `path`. Raises `TokenizerError` where it has none, or one that cannot be read."""
    folder = _folder(path)
    if (path / "source.spm").is_file() and (path / "vocab.json").is_file():
        return _two_models(folder)
    if (path / "tokenizer.json").is_file():
        found = read_tokenizer(path / "tokenizer.json")
        return _finished(found.library, folder, template=False) if isinstance(found, Pieces) else found
    models = sorted([*path.glob("*.model"), *path.glob("*.spm")])
    if models:
        _check_class(folder, models[0], "sentencepiece")
        return _finished(sentencepiece(read_sentencepiece(models[0]), folder.kind, folder.says), folder)
    if (path / "vocab.json").is_file() and (path / "merges.txt").is_file():
        _check_class(folder, path / "vocab.json", "byte_level")
        vocabulary, merges = _json(path / "vocab.json"), _merges(path / "merges.txt")
        return _finished(byte_level(vocabulary, merges, folder.kind, folder.says, folder.named()), folder)
    if (path / "vocab.txt").is_file():
        _check_class(folder, path / "vocab.txt", "wordpiece")
        words = {word: number for number, word in enumerate(_lines(path / "vocab.txt"))}
        return _finished(wordpiece(words, folder.says, folder.named()), folder)
    raise TokenizerError(f"{path} has no tokenizer: none of {LOOKED_FOR} is there. Save the model's tokenizer with it")


def _folder(path: Path) -> Folder:
    says = _json(path / "tokenizer_config.json") if (path / "tokenizer_config.json").is_file() else {}
    config = _json(path / "config.json") if (path / "config.json").is_file() else {}
    if "added_tokens_decoder" not in says and (path / "special_tokens_map.json").is_file():
        says |= _json(path / "special_tokens_map.json")
    kind = says.get("tokenizer_class") or config.get("tokenizer_class")
    kind = kind or MODEL_TYPES.get(str(config.get("model_type")), "")
    folder = Folder(path, str(kind).removesuffix("Fast"), says)
    for number, token in says.get("added_tokens_decoder", {}).items():
        folder.added.append((int(number), token["content"], {k: v for k, v in token.items() if k != "content"}))
    if not folder.added and (path / "added_tokens.json").is_file():
        special = set(folder.named().values())
        for token, number in _json(path / "added_tokens.json").items():
            folder.added.append((number, token, {"special": token in special, "normalized": token not in special}))
    folder.added.sort(key=lambda item: item[0])
    return folder


def _check_class(folder: Folder, file: Path, files: str) -> None:
    known_ = [name for name, each in CLASSES.items() if each.files == files]
    if folder.kind and folder.kind not in known_:
        raise TokenizerError(
            f"{file}: a {folder.kind} numbers its pieces in a way of its own; known here are {', '.join(known_)}. "
            "Save the tokenizer with a tokenizer.json, which says all of it"
        )


def _finished(library: Any, folder: Folder, *, template: bool = True) -> Tokenizer:
    """The library's tokenizer with the folder's special tokens, and around texts those of its class."""
    import tokenizers

    there = library.get_added_tokens_decoder()
    for number, text, how in folder.added:
        token = tokenizers.AddedToken(text, **how)
        if repr(there.get(number)) != repr(token):  # not there, or there with other properties
            library.add_tokens([token])
    found = {token.content: token.special for token in library.get_added_tokens_decoder().values()}
    special = [token for token in folder.named().values() if not found.get(token)]
    special += [token for token in _extra(folder.says) if token not in found]
    library.add_special_tokens([tokenizers.AddedToken(token, special=True, normalized=False) for token in special])
    if template:
        library.post_processor = _template(library, folder)
    model = type(library.model).__name__
    tidy = bool(folder.says.get("clean_up_tokenization_spaces", False)) and model != "BPE"
    if tidy or getattr(library.model, "end_of_word_suffix", None):
        return TidyPieces(library, tidy=tidy)
    return Pieces(library, framed=True, rewritten=model == "WordPiece")


def _extra(says: dict[str, Any]) -> list[str]:
    found = says.get("extra_special_tokens") or says.get("additional_special_tokens") or []
    values = found.values() if isinstance(found, dict) else found
    return [value["content"] if isinstance(value, dict) else str(value) for value in values]


def _template(library: Any, folder: Folder) -> Any:
    """What stands around a text: the class's, or beginning and end where tokenizer_config.json asks for them."""
    from tokenizers import processors

    how = CLASSES.get(folder.kind)
    before, after = (how.before, how.after) if how is not None else ("", "")
    before = "bos_token" if folder.says.get("add_bos_token") else before
    after = "eos_token" if folder.says.get("add_eos_token") else after
    names = [name for name in (before, after) if name and folder.token(name) is not None]
    tokens = {name: str(folder.token(name)) for name in names}
    single = [tokens[name] for name in names if name == before] + ["$A"] + [tokens[n] for n in names if n == after]
    special = sorted({(token, library.token_to_id(token)) for token in tokens.values()})
    return processors.TemplateProcessing(single=single, pair=[*single, "$B"], special_tokens=special)


class TidyPieces(Pieces):
    """Texts as the reference library tidies them: no space before punctuation (`tidy`), none for an end of word."""

    def __init__(self, library: Any, *, tidy: bool) -> None:
        super().__init__(library, framed=True, rewritten=True)
        self._tidy = tidy

    def decode(self, ids: Sequence[int]) -> str:
        text = super().decode(ids)
        if suffix := getattr(self.library.model, "end_of_word_suffix", None):
            text = text.replace(suffix, " ").strip()
        return _tidied(text) if self._tidy else text


def _tidied(text: str) -> str:
    for before, after in _TIDY:
        text = text.replace(before, after)
    return text


_TIDY = [(f" {mark}", mark) for mark in (".", "?", "!", ",")] + [(" ' ", "'")]
_TIDY += [(f" {end}", end) for end in ("n't", "'m", "'s", "'ve", "'re")]


def _two_models(folder: Folder) -> Tokenizer:
    """Marian's files: a SentencePiece model per language cuts texts, vocab.json numbers the pieces of both."""
    if folder.says.get("separate_vocabs"):
        raise TokenizerError(f"{folder.path}: a vocabulary for each language (separate_vocabs) is not read here")
    words = _json(folder.path / "vocab.json")
    return Numbered(read_sentencepiece(folder.path / "source.spm"), words, folder)


class Numbered:
    """Pieces of a SentencePiece model under the numbers of another list; a text ends with the end's id.

    A text may begin with the code of a language, `>>fra<<`, which is one piece.
    """

    kind = "file"

    def __init__(self, model: SentencePieceModel, numbers: dict[str, int], folder: Folder) -> None:
        self._library = sentencepiece(model, "", {})
        self._tidy = bool(folder.says.get("clean_up_tokenization_spaces", False))
        self._numbers = numbers
        self._pieces = {number: piece for piece, number in numbers.items()}
        self._unknown, self._end, pad = (folder.token(f"{n}_token") or d for n, d in _MARIAN)
        for token in (self._unknown, self._end):
            if token not in numbers:
                raise TokenizerError(f"{folder.path / 'vocab.json'}: it has no '{token}'")
        special = [token for token in (self._unknown, self._end, pad) if token in numbers]
        self._special = {numbers[token] for token in special}
        self._library.add_special_tokens(special)

    @property
    def specials(self) -> Mapping[str, int]:
        return {self._pieces[number]: number for number in self._special}

    @property
    def size(self) -> int:
        return max(self._pieces) + 1

    def encode(self, text: str) -> NDArray[np.integer[Any]]:
        import numpy as np

        code, rest = "", text
        if text.startswith(">>") and "<<" in text:
            code, rest = text[: text.find("<<") + 2], text[text.find("<<") + 2 :]
        pieces = [code] * bool(code) + self._library.encode(rest, add_special_tokens=False).tokens + [self._end]
        unknown = self._numbers[self._unknown]
        return np.asarray([self._numbers.get(piece, unknown) for piece in pieces], dtype=np.int64)

    def offsets(self, text: str) -> NDArray[np.integer[Any]]:
        raise TokenizerError("a tokenizer of two SentencePiece models does not tell where its pieces stand in a text")

    def decode(self, ids: Sequence[int]) -> str:
        pieces = [self._pieces.get(n, "") for n in known(ids, self.size) if n not in self._special]
        text = "".join(pieces).replace("▁", " ").strip()
        return _tidied(text) if self._tidy else text

    def stream(self, after: Sequence[int] = ()) -> TextStream:
        return RewrittenStream(self)

    def to_json(self) -> str:
        raise TokenizerError("a tokenizer of two SentencePiece models is not one file: copy its folder")


_MARIAN = (("unk", "<unk>"), ("eos", "</s>"), ("pad", "<pad>"))


def _json(path: Path) -> dict[str, Any]:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise TokenizerError(f"{path}: cannot read it: {error.strerror}") from None
    except ValueError:
        raise TokenizerError(f"{path}: not JSON") from None
    if not isinstance(data, dict):
        raise TokenizerError(f"{path}: not what a tokenizer's {path.name} holds")
    return data


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").rstrip("\n").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise TokenizerError(f"{path}: cannot read the tokenizer: {error}") from None


def _merges(path: Path) -> list[tuple[str, str]]:
    pairs = [tuple(line.split(" ")) for line in _lines(path) if line and not line.startswith("#version")]
    if any(len(pair) != 2 for pair in pairs):
        raise TokenizerError(f"{path}: a line of it is not two pieces")
    return pairs  # type: ignore[return-value]
