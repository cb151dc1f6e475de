"""Tokenizers made from the training texts. What they do afterwards stands in `running/tokenizers.py`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from blockgraph.data.errors import TrainError
from blockgraph.running.specials import NAMES, Specials
from blockgraph.running.tokenizers import UNKNOWN, Bytes, Characters, Pieces, Tokenizer, read_tokenizer

BYTES = 256
LONGEST_LINE = 10_000  # characters
BEGIN = "▁"
SIGNS = r"ー\u3000-\u303f\uff00-\uffef"  # their punctuation, and wide forms
WITHOUT_SPACES = r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}]"


@dataclass(frozen=True)
class Corpus:
    """What a tokenizer is made from. `learn` gives the training texts anew at each call, `alphabet` all texts: which
    characters there are tells nothing about the text that is judged."""

    learn: Callable[[], Iterable[str]]
    alphabet: Callable[[], Iterable[str]]
    origin: str


@dataclass(frozen=True)
class Wanted:
    """How many ids the model's input has, which special ones are needed, and where the input fixes them."""

    vocabulary: int
    roles: Sequence[str] = ()
    fixed: Specials = field(default_factory=Specials)

    def names(self) -> list[str]:
        """The special tokens in the order of their ids, 0 first. Raises `TrainError` where fixed ids leave a gap."""
        roles = list(dict.fromkeys([*self.roles, *(role for role in NAMES if getattr(self.fixed, role) is not None)]))
        places = {role: getattr(self.fixed, role) for role in roles}
        free = (number for number in range(len(roles)) if number not in places.values())
        found = {role: place if place is not None else next(free) for role, place in places.items()}
        for role, place in found.items():
            if place >= len(roles):
                raise TrainError(
                    f"the input's {role} is {place}; a tokenizer made from the data has its special ids first: "
                    f"write one below {len(roles)}, or leave it out"
                )
        return [NAMES[role][0] for role in sorted(found, key=lambda role: found[role])]


def tokenizer_for(section: Any, corpus: Corpus, wanted: Wanted, folder: Path | None) -> Tokenizer:
    """The tokenizer that a spec's `tokenizer` section asks for.

    Raises `TrainError` where it would need more ids than the model's input has: the message names the number to write.
    """
    lowercase = bool(getattr(section, "lowercase", False))
    size = getattr(section, "size", None) or wanted.vocabulary
    if section.type == "file":
        tokenizer = read_tokenizer(_path(section, folder))
    elif section.type == "bytes":
        tokenizer = Bytes(tuple(wanted.names()))
    elif section.type == "characters":
        tokenizer = characters(corpus, getattr(section, "size", None), lowercase, wanted.names())
    else:
        tokenizer = trained(section.type, corpus, size, lowercase, wanted.names())
    check_fits(tokenizer, wanted.vocabulary)
    return tokenizer


def check_fits(tokenizer: Tokenizer, vocabulary: int) -> None:
    """Raises `TrainError` where the tokenizer has more ids than the model's input."""
    if tokenizer.size > vocabulary:
        raise TrainError(
            f"the tokenizer ({tokenizer.kind}) has {tokenizer.size:,} ids, the model's input has room "
            f"for {vocabulary:,}: write {tokenizer.size} as the input's `tokens`"
        )


def characters(corpus: Corpus, size: int | None, lowercase: bool, specials: list[str]) -> Characters:
    """Every character of all texts; with a `size` the most frequent of the training texts, so that there are as many
    ids, and `<unk>` for all others."""
    counts: Counter[str] = Counter()
    for text in corpus.alphabet() if size is None else corpus.learn():
        counts.update(text.lower() if lowercase else text)
    if not counts:
        raise TrainError(f"{corpus.origin}: the text is empty")
    if size is None:
        return Characters("".join(sorted(counts)), lowercase, tuple(specials))
    names = (*specials, UNKNOWN)
    if size <= len(names):
        raise TrainError(f"train: tokenizer: characters needs more than {len(names)} ids; it was given {size}")
    often = sorted(counts, key=lambda character: (-counts[character], character))[: size - len(names)]
    return Characters("".join(sorted(often)), lowercase, names)


def trained(kind: str, corpus: Corpus, size: int, lowercase: bool, specials: list[str]) -> Pieces:
    """A tokenizer of the `tokenizers` library with at most `size` ids, the special ones first."""
    if kind == "wordpiece":
        return wordpiece(corpus, size, lowercase, specials)
    library, trainer = _MAKERS[kind](size, specials)
    if lowercase:
        _lower(library)
    try:
        library.train_from_iterator(_lines(corpus), trainer=trainer)
    except Exception as error:
        if type(error) is not Exception:  # the library's own have no class of their own
            raise
        raise TrainError(
            f"train: tokenizer: {kind} with {size} ids cannot be made from {corpus.origin}: {error}"
        ) from None
    return Pieces(library, kind)


def wordpiece(corpus: Corpus, size: int, lowercase: bool, specials: list[str]) -> Pieces:
    """WordPiece as BERT has it (Devlin et al. 2018): Chinese characters are words of their own.

    The library's own trainer gives another vocabulary each time; so the pieces are those of byte-pair encoding over
    words that begin with ▁, which is the same every time, and ▁ tells which of them begin a word.
    """
    import tokenizers
    from tokenizers import decoders, models, normalizers, pre_tokenizers, trainers

    normal, split = normalizers.BertNormalizer(lowercase=lowercase), pre_tokenizers.BertPreTokenizer()
    merged = tokenizers.Tokenizer(models.BPE())
    merged.normalizer = normal
    merged.pre_tokenizer = pre_tokenizers.Sequence([split, pre_tokenizers.Metaspace(prepend_scheme="always")])
    merged.train_from_iterator(_lines(corpus), trainer=trainers.BpeTrainer(vocab_size=size, show_progress=False))
    found = sorted(merged.get_vocab(with_added_tokens=False).items(), key=lambda item: item[1])
    signs = [text for text, _ in found if len(text) == 1 and text != BEGIN]
    pieces = [text.removeprefix(BEGIN) if text.startswith(BEGIN) else f"##{text}" for text, _ in found if text != BEGIN]
    names = list(dict.fromkeys([*specials, UNKNOWN, *signs, *(f"##{sign}" for sign in signs), *pieces]))[:size]
    library = tokenizers.Tokenizer(models.WordPiece({name: n for n, name in enumerate(names)}, unk_token=UNKNOWN))
    library.normalizer, library.pre_tokenizer = normal, split
    library.decoder = _joined(decoders.WordPiece())
    library.add_special_tokens([*specials, UNKNOWN])
    return Pieces(library, "wordpiece")


def _lines(corpus: Corpus) -> Iterator[str]:
    """The lines of all texts; longer ones in parts, as a word without end takes the library quadratic time."""
    for text in corpus.learn():
        for line in text.splitlines(keepends=True) if "\n" in text else [text]:
            yield from (line[first : first + LONGEST_LINE] for first in range(0, len(line), LONGEST_LINE))


def _lower(library: Any) -> None:
    from tokenizers import normalizers

    before = [library.normalizer] if library.normalizer is not None else []
    library.normalizer = normalizers.Sequence([*before, normalizers.Lowercase()])


def _byte_bpe(size: int, specials: list[str]) -> tuple[Any, Any]:
    """Byte-level byte-pair encoding (Radford et al. 2019)."""
    import tokenizers
    from tokenizers import decoders, models, pre_tokenizers, trainers

    if size < BYTES + len(specials):
        room = BYTES + len(specials)
        raise TrainError(
            f"train: tokenizer: byte_bpe needs at least {room} ids, one for each byte; it was given {size}"
        )
    library = tokenizers.Tokenizer(models.BPE())
    library.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    library.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=size, initial_alphabet=alphabet, show_progress=False, special_tokens=specials
    )
    return library, trainer


def _bpe(size: int, specials: list[str]) -> tuple[Any, Any]:
    """Byte-pair encoding of characters (Sennrich et al. 2016); ▁ stands for a space."""
    import tokenizers
    from tokenizers import decoders, models, pre_tokenizers, trainers

    library = tokenizers.Tokenizer(models.BPE(unk_token=UNKNOWN))
    library.pre_tokenizer = pre_tokenizers.Metaspace()
    library.decoder = decoders.Metaspace()
    return library, trainers.BpeTrainer(vocab_size=size, show_progress=False, special_tokens=[*specials, UNKNOWN])


def _unigram(size: int, specials: list[str]) -> tuple[Any, Any]:
    """A unigram language model of pieces (Kudo 2018); ▁ stands for a space."""
    import tokenizers
    from tokenizers import decoders, models, pre_tokenizers, trainers

    library = tokenizers.Tokenizer(models.Unigram())
    library.pre_tokenizer = pre_tokenizers.Metaspace()
    library.decoder = decoders.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=size, show_progress=False, special_tokens=[*specials, UNKNOWN], unk_token=UNKNOWN
    )
    return library, trainer


def _words(size: int, specials: list[str]) -> tuple[Any, Any]:
    """Words and signs as they stand between spaces; characters of scripts without spaces are words of their own."""
    import tokenizers
    from tokenizers import Regex, decoders, models, pre_tokenizers, trainers

    library = tokenizers.Tokenizer(models.WordLevel(unk_token=UNKNOWN))
    library.decoder = _joined(decoders.WordPiece(cleanup=False))
    alone = pre_tokenizers.Split(Regex(WITHOUT_SPACES), "isolated")
    library.pre_tokenizer = pre_tokenizers.Sequence([alone, pre_tokenizers.BertPreTokenizer()])
    return library, trainers.WordLevelTrainer(vocab_size=size, show_progress=False, special_tokens=[*specials, UNKNOWN])


def _joined(decoder: Any) -> Any:
    """Words with blanks between, but none between signs of scripts that have no blanks."""
    from tokenizers import Regex, decoders

    sign = f"[{WITHOUT_SPACES}{SIGNS}]"
    return decoders.Sequence([decoder, decoders.Fuse(), decoders.Replace(Regex(f"(?<={sign}) (?={sign})"), "")])


_MAKERS: Mapping[str, Callable[[int, list[str]], tuple[Any, Any]]] = {
    "byte_bpe": _byte_bpe,
    "bpe": _bpe,
    "unigram": _unigram,
    "words": _words,
}


def _path(section: Any, folder: Path | None) -> Path:
    path = Path(getattr(section, "path", None) or "")
    if not path.name:
        raise TrainError("train: tokenizer: file needs its path: {type: file, path: tokenizer.json}")
    return path if path.is_absolute() or folder is None else folder / path
