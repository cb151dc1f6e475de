"""Tokenizers of the `tokenizers` library made from older files: byte-level BPE, WordPiece, SentencePiece.

What the reference library's classes assume beside their files is the table `CLASSES`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from blockgraph.running.sentencepiece_model import BPE, CONTROL, USER_DEFINED, SentencePieceModel

SPACE = "▁"  # stands for a space in SentencePiece's pieces
# How Qwen2 and CLIP cut texts into words (their published tokenizer.json).
QWEN2_WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
CLIP_WORDS = r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"


@dataclass(frozen=True)
class Assumed:
    """What a tokenizer class assumes: which files it reads, the special tokens and those around a text (by role)."""

    files: str
    tokens: Mapping[str, str] = field(default_factory=dict)
    before: str = ""
    after: str = ""


_ANGLED = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
_ROBERTA = _ANGLED | {"cls_token": "<s>", "sep_token": "</s>", "pad_token": "<pad>", "mask_token": "<mask>"}
_T5 = {"eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>"}
_END = dict.fromkeys(("bos_token", "eos_token", "unk_token"), "<|endoftext|>")
_BERT = {f"{name}_token": f"[{name.upper()}]" for name in ("unk", "sep", "pad", "cls", "mask")}
_ALBERT = _BERT | {"unk_token": "<unk>", "pad_token": "<pad>", "bos_token": "[CLS]", "eos_token": "[SEP]"}
_GEMMA = {f"{name}_token": f"<{name}>" for name in ("bos", "eos", "unk", "pad", "mask")}
_CLIP = _END | {"bos_token": "<|startoftext|>", "pad_token": "<|endoftext|>"}
_QWEN2 = {"unk_token": "<|endoftext|>", "eos_token": "<|endoftext|>", "pad_token": "<|endoftext|>"}

CLASSES: dict[str, Assumed] = {
    "GPT2Tokenizer": Assumed("byte_level", _END),
    "Qwen2Tokenizer": Assumed("byte_level", _QWEN2),
    "CLIPTokenizer": Assumed("byte_level", _CLIP, "bos_token", "eos_token"),
    **dict.fromkeys(
        ("RobertaTokenizer", "BartTokenizer", "LongformerTokenizer", "LEDTokenizer"),
        Assumed("byte_level", _ROBERTA, "cls_token", "sep_token"),
    ),
    **dict.fromkeys(
        ("BertTokenizer", "DistilBertTokenizer", "ElectraTokenizer", "MobileBertTokenizer"),
        Assumed("wordpiece", _BERT, "cls_token", "sep_token"),
    ),
    "T5Tokenizer": Assumed("sentencepiece", _T5, after="eos_token"),
    "LlamaTokenizer": Assumed("sentencepiece", _ANGLED),
    "GemmaTokenizer": Assumed("sentencepiece", _GEMMA),
    "XLMRobertaTokenizer": Assumed("sentencepiece", _ROBERTA, "bos_token", "eos_token"),
    "AlbertTokenizer": Assumed("sentencepiece", _ALBERT, "cls_token", "sep_token"),
}

# Which class a folder means that names none.
MODEL_TYPES = {
    **dict.fromkeys(("gpt2", "gpt_neo", "gptj", "opt", "phi", "codegen"), "GPT2Tokenizer"),
    **dict.fromkeys(("roberta", "bart", "longformer"), "RobertaTokenizer"),
    **dict.fromkeys(("bert", "distilbert", "electra", "mobilebert"), "BertTokenizer"),
    **dict.fromkeys(("t5", "mt5"), "T5Tokenizer"),
    **dict.fromkeys(("gemma", "gemma2", "gemma3_text"), "GemmaTokenizer"),
    **dict.fromkeys(("qwen2", "qwen3"), "Qwen2Tokenizer"),
    "llama": "LlamaTokenizer",
    "clip": "CLIPTokenizer",
    "xlm-roberta": "XLMRobertaTokenizer",
    "albert": "AlbertTokenizer",
}


def byte_level(
    vocabulary: dict[str, int],
    merges: Sequence[tuple[str, str]],
    kind: str,
    says: Mapping[str, Any],
    special: Mapping[str, str],
) -> Any:
    """GPT-2's byte-level BPE (Radford et al. 2019, §2.2) and its variants."""
    import tokenizers
    from tokenizers import decoders, models, normalizers, pre_tokenizers

    clip = kind == "CLIPTokenizer"
    suffix: dict[str, Any] = {"end_of_word_suffix": "</w>", "unk_token": special["unk_token"]} if clip else {}
    library = tokenizers.Tokenizer(models.BPE(vocab=vocabulary, merges=list(merges), **suffix))
    prefix = bool(says.get("add_prefix_space", False)) and not clip
    words = {"CLIPTokenizer": CLIP_WORDS, "Qwen2Tokenizer": QWEN2_WORDS}.get(kind)
    bytes_ = pre_tokenizers.ByteLevel(add_prefix_space=prefix, use_regex=kind != "Qwen2Tokenizer")
    library.pre_tokenizer = bytes_
    if words is not None:
        behavior = "removed" if clip else "isolated"
        split = pre_tokenizers.Split(tokenizers.Regex(words), behavior=behavior, invert=clip)
        library.pre_tokenizer = pre_tokenizers.Sequence([split, bytes_])
        nfc, spaces = normalizers.NFC(), normalizers.Replace(tokenizers.Regex(r"\s+"), " ")
        library.normalizer = normalizers.Sequence([nfc, spaces, normalizers.Lowercase()]) if clip else nfc
    library.decoder = decoders.ByteLevel()
    return library


def wordpiece(vocabulary: dict[str, int], says: Mapping[str, Any], special: Mapping[str, str]) -> Any:
    """BERT's WordPiece: the longest piece first, `##` inside a word (Devlin et al. 2019, §3)."""
    import tokenizers
    from tokenizers import decoders, models, normalizers, pre_tokenizers

    library = tokenizers.Tokenizer(models.WordPiece(vocabulary, unk_token=special.get("unk_token", "[UNK]")))
    library.normalizer = normalizers.BertNormalizer(
        clean_text=True,
        handle_chinese_chars=says.get("tokenize_chinese_chars", True),
        strip_accents=says.get("strip_accents"),
        lowercase=says.get("do_lower_case", True),
    )
    library.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    library.decoder = decoders.WordPiece(prefix="##")
    return library


def sentencepiece(model: SentencePieceModel, kind: str, says: Mapping[str, Any]) -> Any:
    """SentencePiece's unigram or BPE pieces; `kind` may number them anew or prepare texts in a way of its own."""
    import tokenizers

    library = _bpe(model, kind, says) if model.algorithm == BPE else _unigram(model, kind, says)
    for want in (CONTROL, USER_DEFINED):
        pieces = [piece.text for piece in model.pieces if piece.kind == want]
        known = [text for text in pieces if library.token_to_id(text) is not None]
        library.add_tokens([tokenizers.AddedToken(text, normalized=False, special=want == CONTROL) for text in known])
    if kind == "T5Tokenizer":
        library.add_special_tokens(_sentinels(says))
    return library


def _sentinels(says: Mapping[str, Any]) -> list[str]:
    """T5's marks for gaps, the last one first, as they are numbered (Raffel et al. 2020, §3.1.4)."""
    return [f"<extra_id_{number}>" for number in reversed(range(int(says.get("extra_ids", 100))))]


def _bpe(model: SentencePieceModel, kind: str, says: Mapping[str, Any]) -> Any:
    import tokenizers
    from tokenizers import decoders, models, normalizers, pre_tokenizers

    numbers = {piece.text: number for number, piece in enumerate(model.pieces)}
    unknown = model.pieces[model.unknown].text
    library = tokenizers.Tokenizer(
        models.BPE(numbers, merges_of(numbers), unk_token=unknown, fuse_unk=True, byte_fallback=model.byte_fallback)
    )
    prefix = bool(says.get("add_prefix_space", True)) if kind == "LlamaTokenizer" else model.prefix
    steps = [decoders.Replace(SPACE, " "), decoders.ByteFallback(), decoders.Fuse()]
    if prefix:
        scheme = "always" if says.get("legacy") else "first"
        library.pre_tokenizer = pre_tokenizers.Metaspace(replacement=SPACE, prepend_scheme=scheme, split=False)
        steps.append(decoders.Strip(content=" ", left=1))
    else:
        library.normalizer = normalizers.Replace(" ", SPACE)
    library.decoder = decoders.Sequence(steps)
    return library


def merges_of(numbers: Mapping[str, int]) -> list[tuple[str, str]]:
    """The merges that a list of pieces implies: a piece that two others make, the earlier piece first."""
    ordered = sorted(numbers, key=numbers.__getitem__)
    cuts = ((piece[:cut], piece[cut:]) for piece in ordered for cut in range(1, len(piece)))
    return [(left, right) for left, right in cuts if left in numbers and right in numbers]


def _unigram(model: SentencePieceModel, kind: str, says: Mapping[str, Any]) -> Any:
    import tokenizers
    from tokenizers import decoders, models, normalizers, pre_tokenizers

    pieces, unknown = _numbered(model, kind, says)
    library = tokenizers.Tokenizer(models.Unigram(pieces, unk_id=unknown, byte_fallback=model.byte_fallback))
    steps = _albert(says) if kind == "AlbertTokenizer" else []
    steps += [normalizers.Precompiled(model.charsmap)] if model.charsmap else []
    if steps:
        library.normalizer = normalizers.Sequence(steps)
    scheme = "always" if model.prefix else "never"
    spaces: list[Any] = [pre_tokenizers.WhitespaceSplit()] if model.squeezed else []
    spaces.append(pre_tokenizers.Metaspace(replacement=SPACE, prepend_scheme=scheme))
    library.pre_tokenizer = pre_tokenizers.Sequence(spaces)
    library.decoder = decoders.Metaspace(replacement=SPACE, prepend_scheme=scheme)
    return library


def _numbered(model: SentencePieceModel, kind: str, says: Mapping[str, Any]) -> tuple[list[tuple[str, float]], int]:
    """Pieces by number, and the unknown one's: T5 has sentinels behind them, XLM-R others before and one behind."""
    if kind == "T5Tokenizer":
        return model.scored + [(mark, 0.0) for mark in _sentinels(says)], model.unknown
    if kind == "XLMRobertaTokenizer":
        first = [(token, 0.0) for token in ("<s>", "<pad>", "</s>", "<unk>")]
        return [*first, *model.scored[3:], ("<mask>", 0.0)], 3
    return model.scored, model.unknown


def _albert(says: Mapping[str, Any]) -> list[Any]:
    from tokenizers import normalizers

    steps: list[Any] = [normalizers.Replace("``", '"'), normalizers.Replace("''", '"')]
    if not says.get("keep_accents", False):
        steps += [normalizers.NFKD(), normalizers.StripAccents()]
    return steps + ([normalizers.Lowercase()] if says.get("do_lower_case", True) else [])
