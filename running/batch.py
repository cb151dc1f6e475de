"""Decoding many texts at once: greedy, sampled, or by beam search."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any, Literal

from blockgraph.running.beams import Search, search
from blockgraph.running.generate import begin, decode, limit_of, room
from blockgraph.running.reader import Ports, Reader, Texts, pads_left
from blockgraph.running.sampling import Allowed, Chooser, GenerateError, Sampling

if TYPE_CHECKING:
    import torch


def generate_batch(
    model: torch.nn.Module,
    inputs: Sequence[Sequence[int]],
    *,
    max_new: int = 256,
    min_new: int = 0,
    beams: int = 1,
    length_penalty: float = 1.0,
    temperature: float = 0.0,
    top_k: int | None = None,
    top_p: float | None = None,
    seed: int = 0,
    stop: Collection[int] = (),
    below: int | None = None,
    window: int | None = None,
    start: Sequence[int] | None = None,
    pad: int = 0,
    early_stopping: bool | Literal["never"] = False,
    output: str | None = None,
) -> list[list[int]]:
    """The new ids of every text, in the order of `inputs`, without prompts and without the id of `stop` that ended it.

    `inputs` are prompts, or an encoder-decoder model's sources; its texts begin with `start` (by default the `start` of
    the spec's input). Each text is what it would be alone: prompts are padded on the left and sources on the right with
    the id `pad`, which masks hide, and positions count from each prompt's own beginning. Text n draws with a generator
    of its own, started with `seed` + n. A text that has ended costs nothing any more.

    `beams` over 1: beam search, the best text by sum of log-probabilities / length^`length_penalty`, where the length
    is that of the new ids with the stop; `early_stopping`, as in `transformers`: False ends a search when the best
    running beam, by its present length, cannot beat the worst finished one; True as soon as `beams` have finished;
    "never" looks at the length that could still come. The search ends where the model has no more positions.
    The other options are those of `generate`. Raises `GenerateError`.
    """
    sampling, allowed = Sampling(temperature, top_k, top_p, seed), Allowed(frozenset(stop), below, min_new)
    plan = Search(beams, length_penalty, early_stopping, max_new, allowed)
    if beams > 1 and temperature:
        raise GenerateError(f"beams are searched, not drawn: with {beams} beams the temperature must be 0")
    if not inputs:
        return []
    ports, limit = Ports.of(model), limit_of(model, max_new, window)
    sources = None if ports.source is None else inputs
    texts, sources = begin(ports, inputs if sources is None else [start or ()] * len(inputs), sources)
    texts = [text if limit is None or sources is not None else text[-limit:] for text in texts]
    options: dict[str, Any] = {"limit": limit, "output": output, "pad": pad}
    chooser = Chooser(sampling, allowed, len(texts))
    if len({len(text) for text in texts}) == 1 or pads_left(model, ports):
        return _together(model, ports, texts, sources, range(len(texts)), plan, chooser, **options)
    alone: list[list[int]] = []
    for number, text in enumerate(texts):
        source = None if sources is None else [sources[number]]
        alone += _together(model, ports, [text], source, [number], plan, chooser, **options)
    return alone


def _together(
    model: torch.nn.Module,
    ports: Ports,
    texts: list[list[int]],
    sources: Texts | None,
    numbers: Sequence[int],
    plan: Search,
    chooser: Chooser,
    *,
    limit: int | None,
    output: str | None,
    pad: int,
) -> list[list[int]]:
    """The texts in one batch; `numbers` are theirs among all, by which they draw."""
    length, rows = room(texts, plan.max_new, limit), len(texts) * plan.beams
    reader = Reader(model, ports, length, rows=rows, steps=plan.max_new, sources=sources, output=output, pad=pad)
    if plan.beams > 1:
        return search(reader, texts, plan, limit)
    found: list[list[int]] = [[] for _ in texts]
    steps = decode(reader, texts, chooser, numbers, max_new=plan.max_new, limit=limit, slides=sources is None)
    for number, token in steps:
        found[number - numbers[0]].append(token)
    return found
