"""Decoding: a language model's own continuation of a prompt, one id at a time.

Legend: V vocabulary, n new positions.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Self

from blockgraph.specs.diagnostics import BlockgraphError

if TYPE_CHECKING:
    import torch

    from blockgraph.running.runs import Run
    from blockgraph.running.tokenizers import Tokenizer


class GenerateError(BlockgraphError):
    """The request makes no sense, or the model cannot continue texts."""


@dataclass(frozen=True, slots=True)
class Sampling:
    """How the next id is chosen from the logits z [V].

    `temperature` T: from softmax(z / T); 0 is greedy, the largest logit. `top_k`: only the k largest logits.
    `top_p`: only the smallest set of ids whose probabilities sum to p or more (Holtzman et al. 2020, nucleus sampling),
    after top_k. `seed` starts a generator of its own: nothing else changes what is drawn.
    """

    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.temperature < float("inf"):
            raise GenerateError(f"temperature is {self.temperature}; it must be 0 (greedy) or more")
        if self.top_k is not None and self.top_k < 1:
            raise GenerateError(f"top_k is {self.top_k}; it must be 1 or more")
        if self.top_p is not None and not 0 < self.top_p <= 1:
            raise GenerateError(f"top_p is {self.top_p}; it must be above 0 and at most 1")


def generate(
    model: torch.nn.Module,
    ids: Iterable[int],
    *,
    max_new: int = 256,
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
    """Yields up to `max_new` ids that continue `ids`; an id of `stop` ends the text and is not yielded. `below` is the
    tokenizer's size, where the model has more ids than that: the others are never chosen.

    Keys and values are kept in the model's state, so that each id costs one position; `recompute` runs the model over
    the whole text instead (what tests compare with, and what models do that keep no state).
    At most `window` positions are read, and no more than the model has learned: rotary and other computed positions run
    on, but a model that was trained on short texts writes nonsense beyond their length (`Run.window`). Of a longer
    prompt the last ones are read. Once they are used up, `when_full`: `slide` goes on with the later half of them as
    the text, `stop` ends. `output` names the logits where the model has several outputs.
    Raises `GenerateError`.
    """
    sampling = Sampling(temperature, top_k, top_p, seed)
    text = [int(token) for token in ids]
    if not text:
        raise GenerateError("the prompt is empty: give it at least one character")
    if max_new < 0:
        raise GenerateError(f"max_new is {max_new}; it must be 0 or more")
    if window is not None and window < 1:
        raise GenerateError(f"window is {window}; it must be 1 or more")
    _check_ids(model, text)
    limit = min((length for length in (longest(model), window) if length is not None), default=None)
    reader = _Reader(model, min(limit or len(text) + max_new, len(text) + max_new), output, recompute)
    return _generate(reader, text, max_new, limit, _chooser(sampling, below), frozenset(stop), when_full)


def _generate(
    reader: _Reader,
    text: list[int],
    max_new: int,
    limit: int | None,
    choose: Callable[[torch.Tensor], int],
    stop: frozenset[int],
    when_full: str,
) -> Iterator[int]:
    text = text if limit is None else text[-limit:]
    with reader:
        for _ in range(max_new):
            if limit is not None and len(text) > limit:
                if when_full == "stop":
                    return
                text = text[-max(1, limit // 2) :]
                reader.restart()
            token = choose(reader.read(text))
            if token in stop:
                return
            text.append(token)
            yield token


class _Reader:
    """Logits [V] after the last id of a text that grows; with a state, only what is new runs through the model."""

    def __init__(self, model: torch.nn.Module, length: int, output: str | None, recompute: bool) -> None:
        self._model, self._length, self._output = model, length, output
        self._device = next((p.device for p in model.parameters()), None)
        self._keeps_state = not recompute and hasattr(model, "new_state")
        self._was_training = model.training

    def __enter__(self) -> Self:
        self._model.eval()
        self.restart()
        return self

    def __exit__(self, *_: object) -> None:
        self._model.train(self._was_training)

    def restart(self) -> None:
        self._state: Any = None
        self._done = 0
        if self._keeps_state:
            try:
                self._state = self._model.new_state(1, self._length)  # type: ignore[operator]
            except (ValueError, NotImplementedError):  # some block looks both ways: the text is read anew for every id
                self._keeps_state = False

    def read(self, text: Sequence[int]) -> torch.Tensor:
        import torch

        with torch.inference_mode():
            tokens = torch.tensor([text[self._done :]], device=self._device)  # [1, n]
            if self._state is None:
                out = self._model(tokens)
            else:
                out = self._model(tokens, state=self._state)
                self._done = len(text)
            return logits_of(out, self._output)[0, -1].float().cpu()


def logits_of(out: Any, output: str | None = None) -> torch.Tensor:
    """A model's output `output` (None: its first), which must be logits by position [batch, n, V]."""
    if isinstance(out, dict):
        if output is not None and output not in out:
            raise GenerateError(f"the model has no output '{output}'; it has {', '.join(out)}")
        out = out[output] if output is not None else next(iter(out.values()))
    if out.ndim != 3:
        raise GenerateError(f"the output has {out.ndim} axes; logits by position have 3: batch, position, vocabulary")
    logits: torch.Tensor = out
    return logits


def _chooser(sampling: Sampling, below: int | None) -> Callable[[torch.Tensor], int]:
    import torch

    generator = torch.Generator().manual_seed(sampling.seed)

    def choose(logits: torch.Tensor) -> int:
        logits = logits[:below]
        if not torch.isfinite(logits).any():
            raise GenerateError("the model's logits are not finite: its weights are damaged, or its training diverged")
        if sampling.temperature == 0:
            return int(logits.argmax())
        probabilities = distribution(logits, sampling)
        return int(torch.multinomial(probabilities, 1, generator=generator))

    return choose


def distribution(logits: torch.Tensor, sampling: Sampling) -> torch.Tensor:
    """The probabilities [V] that an id is drawn from, given its logits [V]; 0 for what top_k and top_p leave out."""
    import torch

    if sampling.temperature == 0:
        return torch.nn.functional.one_hot(logits.argmax(), len(logits)).float()
    scaled = (logits - logits.max()) / sampling.temperature
    if sampling.top_k is not None and sampling.top_k < len(scaled):
        kept = torch.full_like(scaled, -torch.inf)
        largest = scaled.topk(sampling.top_k)
        scaled = kept.scatter(0, largest.indices, largest.values)
    probabilities = scaled.softmax(0)
    return probabilities if sampling.top_p is None else _nucleus(probabilities, sampling.top_p)


def _nucleus(probabilities: torch.Tensor, p: float) -> torch.Tensor:
    """An id stays where the more probable ones together do not reach p, so that the first always stays."""
    import torch

    ordered, order = probabilities.sort(descending=True, stable=True)
    before = ordered.cumsum(0) - ordered
    kept = torch.where(before < p, ordered, 0.0)
    return torch.zeros_like(probabilities).scatter(0, order, kept / kept.sum())


def longest(model: torch.nn.Module) -> int | None:
    """How many positions the model can read: its shortest table of learned positions; None where it has none."""
    lengths = [module.length for module in model.modules() if type(module).__name__ == "LearnedPositions"]
    return min((int(length) for length in lengths if isinstance(length, int)), default=None)


def _check_ids(model: torch.nn.Module, text: list[int]) -> None:
    vocabulary = vocabulary_of(model)
    for token in text:
        if token < 0 or (vocabulary is not None and token >= vocabulary):
            raise GenerateError(f"the prompt holds the id {token}; the model has ids from 0 to {(vocabulary or 1) - 1}")


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
