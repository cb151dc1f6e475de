"""Running a model over texts that grow: with a state only what is new, without one the whole text anew.

Legend: V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from blockgraph.running.sampling import GenerateError

if TYPE_CHECKING:
    import torch

    from blockgraph.blocks.rope import RotaryPositions

Texts = Sequence[Sequence[int]]
CHUNK = 1024  # positions of a prompt that are read at once: a model makes logits for each of them


class Ports(NamedTuple):
    """The inputs of a model that continues texts: `text`, which grows, and `source`, which is read once (a translator's
    sentence; None: it has none). A name is None too where the model has no definition: the text is given by place."""

    text: str | None = None
    source: str | None = None
    start: int | None = None  # the id that a text of its own begins with
    vocabulary: int | None = None
    source_vocabulary: int | None = None

    @classmethod
    def of(cls, model: torch.nn.Module) -> Ports:
        from blockgraph.builder.streaming import streaming

        definition = getattr(model, "definition", None)
        root = getattr(definition, "root", definition)
        if root is None:
            return cls()
        inputs = {name: item for name, item in root.inputs.items() if item.value.vocabulary is not None}
        text = next((name for name in streaming(root).inputs if name in inputs), next(iter(inputs), None))
        if text is None:
            return cls()
        source = next((name for name in inputs if name != text and inputs[name].default is None), None)
        other = None if source is None else inputs[source].value.vocabulary
        return cls(text, source, inputs[text].start, inputs[text].value.vocabulary, other)

    def check(self, texts: Texts, sources: Texts | None) -> None:
        """Raises `GenerateError` for what is missing or holds ids that the model has not."""
        if self.source is not None and sources is None:
            raise GenerateError(f"the model reads '{self.source}' and writes '{self.text}': give it a source")
        if self.source is None and sources is not None:
            raise GenerateError("the model has one text only, its own: it continues a prompt and reads no source")
        for name, given, limit in (
            ("prompt", texts, self.vocabulary),
            ("source", sources or (), self.source_vocabulary),
        ):
            for text in given:
                if not text:
                    raise GenerateError(f"the {name} is empty: give it at least one character")
                for token in text:
                    if token < 0 or (limit is not None and token >= limit):
                        found = f"the {name} holds the id {token}; the model has ids from 0 to {(limit or 1) - 1}"
                        raise GenerateError(found)


class Reader:
    """Logits [rows, V] after the last id of each text of a batch. Used as a context: the model is in `eval` inside.

    `length` is how many positions the state holds; `rows` and `steps`, how many texts are read at once and how often.
    """

    def __init__(
        self,
        model: torch.nn.Module,
        ports: Ports,
        length: int,
        *,
        rows: int = 1,
        steps: int = 1,
        sources: Texts | None = None,
        output: str | None = None,
        recompute: bool = False,
        pad: int = 0,
    ) -> None:
        self._model, self._ports, self._length, self._output, self._pad = model, ports, length, output, pad
        self._rows, self._steps = rows, steps
        self._sources = None if sources is None else list(sources)
        self._device = next((p.device for p in model.parameters()), None)
        self._keeps_state = not recompute and hasattr(model, "new_state")
        self._was_training, self._whole = model.training, model
        # After so many positions all keys change: longrope has other frequencies for longer texts.
        self._turns = {int(rope.original_length) for rope in ropes_of(model) if rope.by_length and not rope.dynamic}
        self._state: Any = None

    def __enter__(self) -> Self:
        from blockgraph.running.layout import for_steps

        self._whole.eval()
        if self._keeps_state:
            self._model = for_steps(self._whole, self._rows, self._steps)
        return self

    def __exit__(self, *_: object) -> None:
        self._whole.train(self._was_training)

    def restart(self) -> None:
        """Forget what was read: the next texts may be any."""
        self._state = None

    @property
    def full(self) -> bool:
        """Whether the state has no room for one more position."""
        return self._state is not None and self._state.position >= self._length

    def select(self, rows: Sequence[int]) -> None:
        """The next texts continue those of these rows, in this order."""
        import torch

        if self._sources is not None:
            self._sources = [self._sources[row] for row in rows]
        if self._state is not None and list(rows) != list(range(self._state.batch)):
            with torch.inference_mode():
                self._state.select(torch.tensor(rows))

    def read(self, texts: Texts) -> torch.Tensor:
        """The texts are those of the call before with one more id each, or anything after a restart."""
        import torch

        if self._state is not None and self._state.position in self._turns:
            self.restart()
        with torch.inference_mode():
            if self._state is not None:
                return self._run([text[-1:] for text in texts])
            self._state = self._new_state(len(texts))
            try:
                if self._state is not None:
                    return self._first(texts)
                return torch.cat([self._run([text], row) for row, text in enumerate(texts)])
            except ValueError as error:  # more positions than the model has
                raise GenerateError(str(error)) from error

    def _new_state(self, rows: int) -> Any:
        if self._keeps_state:
            try:
                return self._model.new_state(rows, self._length)  # type: ignore[operator]
            except (ValueError, NotImplementedError):  # some block looks both ways: the text is read anew for every id
                self._keeps_state = False
        return None

    def _first(self, texts: Texts) -> torch.Tensor:
        """All texts in one batch: texts end together, so what is missing is filled in at their beginnings."""
        import torch

        named: dict[str, Any] = {}
        if self._sources is not None:
            ids, mask, _ = self._padded(self._sources, left=False)
            named = {str(self._ports.source): ids, f"{self._ports.source}_mask": mask}
        ids, mask, counts = self._padded(texts, left=True)
        if mask is not None:
            self._state.pad_left(torch.tensor(counts, device=self._device))
        step = ids.shape[1] if any(rope.by_length for rope in ropes_of(self._model)) else CHUNK
        for first in range(0, ids.shape[1], step):
            part = slice(first, first + step)
            masks = {} if mask is None else {f"{self._ports.text}_mask": mask[:, part]}
            logits = self._call(ids[:, part], named | masks)
            named = {}  # the source is read once
        return logits

    def _padded(self, texts: Texts, *, left: bool) -> tuple[torch.Tensor, torch.Tensor | None, list[int]]:
        """Ids [rows, longest], the mask (None where nothing is missing), and how many ids each text lacks."""
        import torch

        length = max(map(len, texts))
        counts = [length - len(text) for text in texts]
        fill = [[self._pad] * count for count in counts]
        rows = [[*more, *text] if left else [*text, *more] for text, more in zip(texts, fill, strict=True)]
        ids = torch.tensor(rows, device=self._device)
        if not any(counts):
            return ids, None, counts
        places, missing = torch.arange(length), torch.tensor(counts).unsqueeze(1)
        mask = places >= missing if left else places < length - missing
        return ids, mask.to(ids.device), counts

    def _run(self, texts: Texts, row: int = 0) -> torch.Tensor:
        """Texts of one length; without a state also the source of the only row."""
        import torch

        named: dict[str, Any] = {}
        if self._state is None and self._sources is not None:
            named[str(self._ports.source)] = torch.tensor([self._sources[row]], device=self._device)
        return self._call(torch.tensor(texts, device=self._device), named)

    def _call(self, ids: torch.Tensor, named: dict[str, Any]) -> torch.Tensor:
        if self._state is not None:
            named["state"] = self._state
        out = (
            self._model(ids, **named)
            if self._ports.source is None
            else self._model(**{str(self._ports.text): ids}, **named)
        )
        return logits_of(out, self._output)[:, -1]


def pads_left(model: torch.nn.Module, ports: Ports) -> bool:
    """Whether texts of unequal lengths can be continued in one batch: masks say where each begins."""
    if ports.text is None or not hasattr(model, "new_state"):
        return False
    try:
        return all(cache.pads_left for cache in model.new_state(1, 1).leaves())  # type: ignore[operator]
    except (ValueError, NotImplementedError):  # nothing is kept: each text is read alone
        return True


def ropes_of(model: torch.nn.Module) -> list[RotaryPositions]:
    from blockgraph.blocks.rope import RotaryPositions

    return [module for module in model.modules() if isinstance(module, RotaryPositions)]


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


def longest(model: torch.nn.Module) -> int | None:
    """How many positions the model can read: its shortest table or projection of positions; None where it has none."""
    bounded = ("LearnedPositions", "LinformerAttention")
    lengths = [module.length for module in model.modules() if type(module).__name__ in bounded]
    return min((int(length) for length in lengths if isinstance(length, int)), default=None)
