"""Decoding: a model's own continuation of one text, id by id as it comes. Batches and beams: `running.batch`."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal

from blockgraph.running.reader import Ports, Reader, Texts, logits_of, longest
from blockgraph.running.sampling import Allowed, Chooser, GenerateError, Sampling, distribution

if TYPE_CHECKING:
    import torch

    from blockgraph.running.runs import Run
    from blockgraph.running.tokenizers import Tokenizer

__all__ = [
    "GenerateError",
    "Sampling",
    "continue_text",
    "distribution",
    "generate",
    "logits_of",
    "longest",
    "stream_text",
    "vocabulary_of",
]


def generate(
    model: torch.nn.Module,
    ids: Iterable[int] = (),
    *,
    source: Sequence[int] | None = None,
    max_new: int = 256,
    min_new: int = 0,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    seed: int = 0,
    stop: Collection[int] = (),
    below: int | None = None,
    window: int | None = None,
    output: str | None = None,
    recompute: bool = False,
    when_full: Literal["slide", "stop"] = "slide",
) -> Iterator[int]:
    """Yields up to `max_new` ids that continue `ids`; an id of `stop` ends the text and is not yielded, and cannot come
    before `min_new` others. `below` is the tokenizer's size, where the model has more ids than that: the others are
    never chosen. An encoder-decoder model reads `source` once and continues `ids`, by default the `start` of its input.

    Keys and values are kept in the model's state, so that each id costs one position; `recompute` runs the model over
    the whole text instead (what tests compare with, and what models do that keep no state).
    At most `window` positions are read, and no more than the model has learned: rotary and other computed positions run
    on, but a model that was trained on short texts writes nonsense beyond their length (`Run.window`). Of a longer
    prompt the last ones are read. Once they are used up, `when_full`: `slide` goes on with the later half of them as
    the text, `stop` ends; a text with a source ends. `output` names the logits where the model has several outputs.
    Raises `GenerateError`.
    """
    sampling, allowed = Sampling(temperature, top_k, top_p, seed), Allowed(frozenset(stop), below, min_new)
    ports = Ports.of(model)
    texts, sources = begin(ports, [[int(token) for token in ids]], None if source is None else [source])
    limit = limit_of(model, max_new, window)
    texts = [text if limit is None else text[-limit:] for text in texts]
    length = room(texts, max_new, limit)
    reader = Reader(model, ports, length, steps=max_new, sources=sources, output=output, recompute=recompute)
    slides = when_full == "slide" and sources is None
    steps = decode(reader, texts, Chooser(sampling, allowed), max_new=max_new, limit=limit, slides=slides)
    return (token for _, token in steps)


def begin(ports: Ports, texts: Texts, sources: Texts | None) -> tuple[list[list[int]], Texts | None]:
    """The texts to continue, checked; an empty one that has a source begins with the model's `start`."""
    begun = [list(text) for text in texts]
    if sources is not None and ports.source is not None and ports.start is not None:
        begun = [text or [ports.start] for text in begun]
    if sources is not None and not all(begun):
        raise GenerateError(f"nothing says how a text begins: give '{ports.text}' a start in the spec, or `start` here")
    ports.check(begun, sources)
    return begun, sources


def limit_of(model: torch.nn.Module, max_new: int, window: int | None) -> int | None:
    """How many positions may be read at once; None: any number."""
    if max_new < 0:
        raise GenerateError(f"max_new is {max_new}; it must be 0 or more")
    if window is not None and window < 1:
        raise GenerateError(f"window is {window}; it must be 1 or more")
    return min((length for length in (longest(model), window) if length is not None), default=None)


def room(texts: Texts, max_new: int, limit: int | None) -> int:
    """How many positions the state must hold."""
    needed = max(map(len, texts)) + max_new
    return needed if limit is None else min(limit, needed)


def decode(
    reader: Reader,
    texts: Texts,
    chooser: Chooser,
    numbers: Sequence[int] = (0,),
    *,
    max_new: int,
    limit: int | None,
    slides: bool,
) -> Iterator[tuple[int, int]]:
    """Each new id with the number of its text, step by step. A text that has ended costs nothing any more."""
    growing = [list(text) for text in texts]
    with reader:
        for made in range(max_new):
            if limit is not None and any(len(text) > limit for text in growing):
                if not slides:
                    return
                growing = [text if len(text) <= limit else text[-max(1, limit // 2) :] for text in growing]
                reader.restart()
            elif reader.full:  # shorter texts were filled up to the length of one that has ended
                reader.restart()
            tokens = chooser.choose(reader.read(growing), numbers, made)
            going = [row for row, token in enumerate(tokens) if token not in chooser.allowed.stop]
            for row in going:
                growing[row].append(tokens[row])
                yield numbers[row], tokens[row]
            if not going:
                return
            if len(going) < len(growing):
                growing, numbers = [growing[row] for row in going], [numbers[row] for row in going]
                reader.select(going)


def vocabulary_of(model: torch.nn.Module) -> int | None:
    """How many ids the model's first token input has, from its definition; None where it has no definition."""
    definition = getattr(model, "definition", None)
    root = getattr(definition, "root", definition)
    values = [item.value for item in root.inputs.values()] if root is not None else []
    return next((value.vocabulary for value in values if value.vocabulary is not None), None)


def stream_text(tokenizer: Tokenizer, ids: Iterable[int]) -> Iterator[str]:
    """Text as its ids come, never half a character."""
    stream = tokenizer.stream()
    for token in ids:
        if text := stream.push(token):
            yield text
    if text := stream.finish():
        yield text


def continue_text(run: Run, prompt: str, **options: Any) -> Iterator[str]:
    """What a run's model writes after `prompt`, as it comes; `options` are those of `generate`."""
    ids = run.tokenizer.encode(prompt).tolist()
    limits = {"below": run.tokenizer.size, "window": run.window}
    yield from stream_text(run.tokenizer, generate(run.model, ids, **(limits | options)))
