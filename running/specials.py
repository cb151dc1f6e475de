"""Ids that stand for no text: padding, the start and the end of a sequence, a hidden token."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from blockgraph.running.tokenizers import Tokenizer

# What published tokenizers call them; the first of each is what ours do.
NAMES: Mapping[str, tuple[str, ...]] = {
    "pad": ("<pad>", "[PAD]", "<|pad|>"),
    "start": ("<s>", "[CLS]", "<bos>", "<|startoftext|>"),
    "end": ("</s>", "[SEP]", "<eos>", "<|endoftext|>"),
    "mask": ("<mask>", "[MASK]"),
}


@dataclass(frozen=True, slots=True)
class Specials:
    """The ids, None for those that there are not."""

    pad: int | None = None
    start: int | None = None
    end: int | None = None
    mask: int | None = None

    def over(self, other: Specials) -> Specials:
        """These, and those of `other` where these are not."""
        return Specials(
            *(mine if (mine := getattr(self, f.name)) is not None else getattr(other, f.name) for f in fields(self))
        )


def specials_of(tokenizer: Tokenizer) -> Specials:
    """A tokenizer's own."""
    known = tokenizer.specials
    return Specials(
        **{role: next((known[name] for name in names if name in known), None) for role, names in NAMES.items()}
    )
