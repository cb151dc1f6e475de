"""Texts made into a model's inputs for looking at attention: framed as the model learned them, the target filled in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from blockgraph.running.attention_maps import AttentionError
from blockgraph.running.readable import Piece, pieces_of
from blockgraph.running.reader import logits_of, longest
from blockgraph.running.trace_inputs import Asked, Fed, feed, text_inputs

if TYPE_CHECKING:
    from blockgraph.blocks.model import Model
    from blockgraph.running.tokenizers import Tokenizer

LONGEST = 255  # tokens: more cannot be told apart, and windows are computed in blocks from 256 on
WRITTEN = 64  # new tokens that greedy decoding writes at most


@dataclass(frozen=True, slots=True)
class Frame:
    """Ids that a model expects around its texts, beside those that its tokenizer adds: `before` and `after` the first
    one; a target begins with `start` and ends with `end`."""

    before: tuple[int, ...] = ()
    after: tuple[int, ...] = ()
    start: int | None = None
    end: int | None = None


@dataclass
class Seen:
    """What a model is called with, one row; what stands at the positions of an axis, by its symbol; and what was made
    up, in words."""

    tensors: dict[str, Tensor]
    pieces: dict[str, list[Piece]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def read_texts(model: Model, tokenizer: Tokenizer, frame: Frame, text: str, target: str | None = None) -> Seen:
    """Inputs for `text`, and of an encoder-decoder for `target`; without one, the model writes it, greedily.

    Raises `AttentionError`, `TokenizerError`, `TraceError` where texts and model do not fit.
    """
    names = text_inputs(model)
    if not names:
        raise AttentionError(f"{model.definition.name} has no input that takes a text")
    if target is not None and len(names) < 2:
        raise AttentionError("--target is for a second text, of an encoder-decoder: this model has none")
    ids = {names[0]: _source(tokenizer, frame, text)}
    _check(model, names[0], ids[names[0]])
    if len(names) > 1:
        ids[names[1]] = _target(model, tokenizer, frame, names[1], target)
        _check(model, names[1], ids[names[1]])
    fed = feed(model, Asked("", values=ids))
    seen = Seen(fed.tensors, notes=fed.notes)
    if len(names) > 1 and target is None:
        ids[names[1]] = _written(model, tokenizer, frame, fed, names[1])
        told = tokenizer.decode(ids[names[1]][1:])
        seen.notes.append(f"{names[1]} is what the model writes: {told!r}; --target gives it another text")
    _name(model, tokenizer, frame, ids, seen)
    return seen


def _source(tokenizer: Tokenizer, frame: Frame, text: str) -> list[int]:
    ids = [*frame.before, *(int(token) for token in tokenizer.encode(text)), *frame.after]
    if not text or not ids:
        raise AttentionError("the text is empty: give at least one character")
    return ids


def _target(model: Model, tokenizer: Tokenizer, frame: Frame, name: str, target: str | None) -> list[int]:
    """The second text behind the id that it starts with; a model that has none reads it like the first."""
    own = model.definition.root.inputs[name].start
    start = own if own is not None else frame.start
    if start is not None:
        ids = [] if target is None else [int(token) for token in tokenizer.encode(target)]
        return [start, *(ids[:-1] if ids[-1:] == [frame.end] else ids)]  # the end is for the model to write
    if target is None:
        raise AttentionError(f"the model has a second text, {name}, and no id to begin writing it with: give --target")
    return _source(tokenizer, frame, target)


def _check(model: Model, name: str, ids: Sequence[int]) -> None:
    size, limit = model.definition.root.inputs[name].value.vocabulary or 1, longest(model)
    if max(ids) >= size:
        raise AttentionError(f"{name}: the tokenizer makes the id {max(ids)}, and the model has {size:,} only")
    most = LONGEST if limit is None else min(limit, LONGEST)
    if len(ids) > most:
        why = "that the model reads" if limit == most else "that can be shown"
        raise AttentionError(f"{name} has {len(ids)} tokens, more than the {most} {why}: give a shorter text")


def _written(model: Model, tokenizer: Tokenizer, frame: Frame, fed: Fed, name: str) -> list[int]:
    """Writes into `fed` what the model finds likeliest, token by token, and returns the ids."""
    own, limit = model.definition.root.inputs[name].end, longest(model)
    end = own if own is not None else frame.end
    room = WRITTEN if limit is None else min(WRITTEN, limit - 1)
    with torch.inference_mode():
        for _ in range(room):
            logits = logits_of(model(**fed.tensors))[0, -1, : tokenizer.size]
            token = int(logits.argmax())
            if token == end:
                break
            fed.tensors[name] = torch.cat((fed.tensors[name], fed.tensors[name].new_tensor([[token]])), dim=1)
        else:
            fed.notes.append(f"{name} is cut after {room} tokens")
    return [int(token) for token in fed.tensors[name][0]]


def _name(model: Model, tokenizer: Tokenizer, frame: Frame, ids: dict[str, list[int]], seen: Seen) -> None:
    for number, (name, tokens) in enumerate(ids.items()):
        given, known = model.definition.root.inputs[name], tokenizer.specials.values()
        nameless = number == 1 and tokens[0] not in known and tokens[0] in (given.start, frame.start)
        begin, rest = ([Piece("<start>")], tokens[1:]) if nameless else ([], tokens)
        seen.pieces[str(given.value.shape[1])] = [*begin, *pieces_of(tokenizer, rest)]
