"""A text made into a model's inputs, for looking at: what is not text is filled in, and every filling-in is said."""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from blockgraph.builder.graph import Input
from blockgraph.specs.diagnostics import BlockgraphError

if TYPE_CHECKING:
    from blockgraph.blocks.model import Model
    from blockgraph.running.tokenizers import Tokenizer

SHORT = 16  # the length of an axis that no text gives


class TraceError(BlockgraphError):
    """The text, or what was given beside it, does not fit the model."""


@dataclass
class Fed:
    """What a model is called with, batch 1. `labels` names the positions of an axis by its symbol, `pieces` the ids of
    an input by its name; `notes` say what was made up."""

    tensors: dict[str, Tensor] = field(default_factory=dict)
    labels: dict[str, list[str]] = field(default_factory=dict)
    pieces: dict[str, list[str]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Asked:
    """What the user gave: `text` for the first input of ids, `target` for the next one that has an axis of its own;
    `values` (plain data) for inputs by name; `pad` positions of padding behind the texts; `seed` for random numbers."""

    text: str
    target: str | None = None
    values: Mapping[str, Any] = field(default_factory=dict)
    pad: int = 0
    seed: int = 0


def feed(model: Model, asked: Asked, tokenizer: Tokenizer | None = None) -> Fed:
    """Inputs for `model`. Without a tokenizer a character's id is its code point modulo the vocabulary.

    Raises `TraceError` where something was given that the model has no place for.
    """
    return _Feeder(model, asked, tokenizer).run()


def values_of(pairs: tuple[str, ...]) -> dict[str, Any]:
    """`NAME=JSON` pairs as data. Raises `TraceError`."""
    found = {}
    for pair in pairs:
        name, _, text = pair.partition("=")
        try:
            found[name] = json.loads(text)
        except ValueError:
            raise TraceError(f"--input {pair}: write NAME=JSON, such as --input 'documents=[0, 0, 1, 1]'") from None
    return found


def text_inputs(model: Model) -> list[str]:
    """Inputs of ids, the first of each axis; one that has a default stays at it."""
    axes: dict[str, str] = {}
    for name, given in model.definition.root.inputs.items():
        if given.value.vocabulary is not None and given.value.rank == 2 and given.default is None:
            axes.setdefault(str(given.value.shape[1]), name)
    return list(axes.values())


class _Feeder:
    def __init__(self, model: Model, asked: Asked, tokenizer: Tokenizer | None) -> None:
        self.model, self.asked, self.tokenizer = model, asked, tokenizer
        self.given: dict[str, Input] = model.definition.root.inputs
        self.sizes: dict[str, int] = {}
        self.fed = Fed()

    def run(self) -> Fed:
        self._check_names()
        texts = text_inputs(self.model)
        if self.asked.target is not None and len(texts) < 2:
            raise TraceError("--target is for a second input of ids with an axis of its own: this model has none")
        for name in self.asked.values:
            self._take_values(name)
        for number, name in enumerate(texts[:2]):
            if name not in self.fed.tensors:
                self._take_text(name, number)
        if not texts:
            self.fed.notes.append("no input takes ids: the text is not used")
        for name, given in self.given.items():
            if name not in self.fed.tensors and given.default is None:
                self._make_up(name, given)
        return self.fed

    def _check_names(self) -> None:
        for name in self.asked.values:
            if name not in self.given:
                raise TraceError(f"--input {name}: there is no such input; the model has {', '.join(self.given)}")

    # -- texts -------------------------------------------------------------------------------------------------------

    def _take_text(self, name: str, number: int) -> None:
        text = self.asked.text
        if number == 1:
            text = self.asked.text if self.asked.target is None else self.asked.target
            if self.asked.target is None:
                self.fed.notes.append(f"{name} gets the same text; --target gives it another")
        given = self.given[name]
        ids, pieces = self._encoded(text, given)
        if number == 1 and given.start is not None:
            ids, pieces = [given.start, *ids], ["<start>", *pieces]
        if not ids:
            raise TraceError("the text is empty: give at least one character")
        self._pad(name, given, ids, pieces)
        symbol = str(given.value.shape[1])
        self.sizes[symbol] = len(ids)
        self.fed.tensors[name] = torch.tensor([ids], device=self.model.device)
        self.fed.pieces[name] = self.fed.labels[symbol] = pieces

    def _encoded(self, text: str, given: Input) -> tuple[list[int], list[str]]:
        size = given.value.vocabulary or 1
        if self.tokenizer is None:
            note = f"there is no tokenizer: a character's id is its code point modulo {size:,}"
            if note not in self.fed.notes:
                self.fed.notes.append(note)
            return [_character(letter, size, given.value.pad) for letter in text], list(text)
        ids = [int(token) for token in self.tokenizer.encode(text)]
        if ids and max(ids) >= size:
            raise TraceError(f"the tokenizer makes the id {max(ids)}, and the model has {size} only")
        return ids, [self.tokenizer.decode([token]) for token in ids]

    def _pad(self, name: str, given: Input, ids: list[int], pieces: list[str]) -> None:
        """Padding behind the text; the mask says so where the model takes one."""
        if not self.asked.pad:
            return
        if f"{name}_mask" not in inspect.signature(type(self.model).forward).parameters:
            raise TraceError(f"--pad: the input {name} takes no padding mask")
        mask = [True] * len(ids) + [False] * self.asked.pad
        self.fed.tensors[f"{name}_mask"] = torch.tensor([mask], device=self.model.device)
        ids += [given.value.pad or 0] * self.asked.pad
        pieces += ["<pad>"] * self.asked.pad

    # -- the other inputs --------------------------------------------------------------------------------------------

    def _take_values(self, name: str) -> None:
        value = self.given[name].value
        kinds = {"int": torch.int64, "bool": torch.bool, "float": torch.float32}
        try:
            tensor = torch.tensor(self.asked.values[name], dtype=kinds[value.dtype], device=self.model.device)
        except (TypeError, ValueError, RuntimeError) as error:
            raise TraceError(f"--input {name}: {error}") from None
        tensor = tensor.unsqueeze(0) if tensor.dim() == value.rank - 1 else tensor
        fits = tensor.dim() == value.rank and all(s.known in (None, n) for s, n in zip(value.shape, tensor.shape))  # noqa: B905 (checked)
        ids = value.vocabulary is None or (bool((tensor >= 0).all()) and bool((tensor < value.vocabulary).all()))
        if not fits or not ids:
            limit = f", ids below {value.vocabulary}" if value.vocabulary else ""
            raise TraceError(f"--input {name}: takes {value}{limit}, and this is {list(tensor.shape)}")
        for size, length in zip(value.shape[1:], tensor.shape[1:], strict=True):
            self.sizes.setdefault(str(size), length)
        self.fed.tensors[name] = tensor

    def _make_up(self, name: str, given: Input) -> None:
        """Zeros for ids, true for masks, random numbers for the rest."""
        sizes = {"B": 1, **{s: min(n, SHORT) for s, n in self.model.definition.sizes.items() if s != "B"}, **self.sizes}
        symbols = {symbol for size in given.value.shape for symbol in size.symbols}
        shape = [int(size) for size in given.value.at({s: sizes.get(s, SHORT) for s in symbols}).shape]
        shape[0] = 1
        random = torch.Generator().manual_seed(self.asked.seed)
        if given.value.dtype == "float":
            tensor, what = torch.randn(shape, generator=random), f"random numbers, seed {self.asked.seed}"
        elif given.value.dtype == "bool":
            tensor, what = torch.ones(shape, dtype=torch.bool), "true everywhere"
        else:
            tensor, what = torch.zeros(shape, dtype=torch.int64), "zeros"
        self.fed.tensors[name] = tensor.to(self.model.device)
        self.fed.notes.append(f"{name} {shape} is {what}; --input {name}=JSON gives it values")


def _character(letter: str, size: int, pad: int | None) -> int:
    number = ord(letter) % size
    return number if number != pad else (number + 1) % size  # a letter is no padding
