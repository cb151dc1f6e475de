"""Pretrained word vectors (GloVe, word2vec as text): a line is a word and its numbers, with blanks between."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from blockgraph.running.tokenizers import Characters, Pieces, Tokenizer
from blockgraph.specs.diagnostics import BlockgraphError

if TYPE_CHECKING:
    from blockgraph.blocks.model import Model
    from blockgraph.builder.graph import Definition
    from blockgraph.specs.spec import Spec

BEGINS = ("▁", "Ġ")  # before pieces that begin a word
GOES_ON = "##"  # before pieces that do not


class VectorsError(BlockgraphError):
    """A file of vectors cannot be read, or does not fit the embedding."""


@dataclass(frozen=True)
class Wanted:
    """An embedding whose rows come from a file: its module, where the spec says so, the file."""

    module: str
    path: tuple[str, ...]
    file: str


def wanted_vectors(definition: Definition, before: str = "", path: tuple[str, ...] = ()) -> Iterator[Wanted]:
    """Every embedding with `pretrained` that has weights of its own."""
    for name, call in definition.calls.items():
        if call.weights_of is not None:
            continue
        for number, step in enumerate(call.steps):
            module = f"{before}{name}" if call.repeat is None else f"{before}{name}.{number}"
            if hasattr(step.body, "calls"):
                yield from wanted_vectors(step.body, f"{module}.", ("blocks", step.body.name))  # type: ignore[arg-type, union-attr]
            elif file := getattr(step.body.options, "pretrained", None):
                yield Wanted(module, (*path, "nodes", name, "pretrained"), file)


def load_vectors(model: Model, spec: Spec, tokenizer: Tokenizer, folder: Callable[..., Path]) -> list[str]:
    """Fills the rows of every embedding with `pretrained` by the tokenizer's words; what it has no vector for keeps its
    draw. `folder` tells what a path that is written at a place of the spec is relative to. What to tell: how many words
    were found. Raises `VectorsError`."""
    notes = []
    for wanted in wanted_vectors(model.definition.root):
        file = Path(wanted.file) if Path(wanted.file).is_absolute() else folder(*wanted.path) / wanted.file
        words = words_of(tokenizer)
        found = fill(model.get_submodule(wanted.module).weight, file, words)
        share = f"{found:,} of {len(words):,} words" if words else "no words"
        notes.append(f"{wanted.module}: {share} have vectors in {file.name} ({100 * found / max(1, len(words)):.1f}%)")
    return notes


def fill(weight: Any, file: Path, words: Mapping[str, int]) -> int:
    """Sets the rows of `weight` [rows, width] whose words the file has; how many. A word that only its lower case
    has a vector for takes that."""
    import numpy as np
    import torch

    lowered: dict[str, list[str]] = {}
    for word in words:
        lowered.setdefault(word.lower(), []).append(word)
    exact: dict[str, bool] = {}
    with torch.no_grad():
        for place, word, cells in _lines(file, weight.shape[1]):
            for name in lowered.get(word.lower(), ()):
                if (name != word and word != name.lower()) or exact.get(name):
                    continue
                try:
                    values = np.array(cells, dtype=np.float32)
                except ValueError:
                    raise VectorsError(f"{place}: not all are numbers") from None
                weight[words[name]] = torch.from_numpy(values).to(weight)
                exact[name] = name == word
    return len(exact)


def _lines(file: Path, width: int) -> Iterator[tuple[str, str, list[str]]]:
    """Place, word and cells of each line; word2vec's first line, which counts words and numbers, is skipped."""
    try:
        with file.open(encoding="utf-8", errors="replace") as lines:
            for number, line in enumerate(lines, 1):
                word, *cells = line.rstrip().rsplit(" ", width)
                has = len(line.split()) - 1
                if number == 1 and has == 1:
                    continue
                if len(cells) != width or (number < 3 and has != width):
                    raise VectorsError(
                        f"{file}:{number}: a vector of {has} numbers, and the embedding's width is {width}: "
                        f"write width: {has}"
                    )
                yield f"{file}:{number}", word, cells
    except OSError as error:
        raise VectorsError(f"{file} cannot be read: {error.strerror}") from None


def words_of(tokenizer: Tokenizer) -> dict[str, int]:
    """The ids that are whole words. Raises `VectorsError` for a tokenizer that has none."""
    specials = set(tokenizer.specials)
    if isinstance(tokenizer, Characters):
        first = len(tokenizer.specials)
        return {character: first + number for number, character in enumerate(tokenizer.characters)}
    if not isinstance(tokenizer, Pieces):
        raise VectorsError(f"pretrained vectors belong to words, and the tokenizer ({tokenizer.kind}) has none")
    pieces = tokenizer.library.get_vocab(with_added_tokens=True)
    begins = next((sign for sign in BEGINS if any(piece.startswith(sign) for piece in pieces)), None)
    if begins is not None:
        return {piece.removeprefix(begins): n for piece, n in pieces.items() if piece.startswith(begins) and piece[1:]}
    return {piece: n for piece, n in pieces.items() if not piece.startswith(GOES_ON) and piece not in specials}
