"""A folder that writes texts: a run or a published checkpoint, with its tokenizer and what it says of its texts."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from blockgraph.running.runs import Run, RunError, is_run, open_run
from blockgraph.running.sampling import GenerateError
from blockgraph.running.tokenizers import Tokenizer

if TYPE_CHECKING:
    import torch

    from blockgraph.blocks.model import Model
    from blockgraph.running.specials import Specials


@dataclass(frozen=True)
class Writer:
    """A model that writes, its tokenizer, and what its folder says.

    `positions`: the most that a prompt or a source may have (None: any number); `window`: how many are read at once;
    `stop`: ids that end a text; `start`: what an encoder-decoder's text begins with; `pad` fills a batch's shorter
    texts; ids from `below` on are never written; `closing` stands behind each source, as it did in training.
    """

    model: Model
    tokenizer: Tokenizer
    window: int | None = None
    positions: int | None = None
    stop: tuple[int, ...] = ()
    start: tuple[int, ...] = ()
    pad: int = 0
    below: int | None = None
    closing: tuple[int, ...] = ()

    @property
    def translates(self) -> bool:
        """Whether a prompt is read as the source of another text, instead of being continued."""
        from blockgraph.running.reader import Ports

        return Ports.of(self.model).source is not None

    def stream(self, prompt: str, *, until: Sequence[str] = (), **options: Any) -> Iterator[str]:
        """The text as it is made, piece by piece, up to the first of the texts `until`; `options` are `generate`'s."""
        from blockgraph.running.generate import generate

        ids = self.ids(prompt)
        if self.translates:
            new = generate(self.model, self.start, source=ids, **self._limits(), **options)
            after: Sequence[int] = ()
        else:
            new, after = generate(self.model, ids, **self._limits(), **options), ids
        yield from cut(self._text(new, after), until)

    def batch(self, prompts: Sequence[str], *, until: Sequence[str] = (), **options: Any) -> list[str]:
        """What the model writes for each prompt, all at once; `options` are `generate_batch`'s."""
        from blockgraph.running.batch import generate_batch

        given = [self.ids(prompt) for prompt in prompts]
        start = self.start or None if self.translates else None
        found = generate_batch(self.model, given, start=start, pad=self.pad, **self._limits(), **options)
        after = [[] if self.translates else ids for ids in given]
        texts = (self._text(new, ids) for new, ids in zip(found, after, strict=True))
        return ["".join(cut(text, until)) for text in texts]

    def ids(self, prompt: str) -> list[int]:
        """Raises `GenerateError` where the prompt is empty or longer than the model's positions."""
        ids: list[int] = self.tokenizer.encode(prompt).tolist()
        if not prompt or not ids:
            raise GenerateError("the prompt is empty: give it at least one character")
        ids += self.closing
        if self.positions is not None and len(ids) > self.positions:
            raise GenerateError(
                f"the prompt has {len(ids):,} tokens, and the model reads at most {self.positions:,}: shorten it"
            )
        return ids

    def _limits(self) -> dict[str, Any]:
        return {"below": self.below, "window": self.window, "stop": self.stop}

    def _text(self, ids: Iterable[int], after: Sequence[int]) -> Iterator[str]:
        stream = self.tokenizer.stream(after)
        for token in ids:
            if text := stream.push(token):
                yield text
        if text := stream.finish():
            yield text


def cut(pieces: Iterable[str], until: Sequence[str]) -> Iterator[str]:
    """The pieces up to the first place where one of the texts `until` begins; it may lie across pieces."""
    ends = [text for text in until if text]
    held = ""
    for piece in pieces:
        held += piece
        places = [place for text in ends if (place := held.find(text)) >= 0]
        if places:
            yield held[: min(places)]
            return
        open_ = max((_begun(held, text) for text in ends), default=0)
        yield held[: len(held) - open_]
        held = held[len(held) - open_ :]
    yield held


def _begun(text: str, end: str) -> int:
    """How many characters of `end` the text ends with."""
    return next((count for count in range(min(len(end) - 1, len(text)), 0, -1) if text.endswith(end[:count])), 0)


def open_writer(
    path: str | Path,
    *,
    device: str | torch.device = "cpu",
    dtype: torch.dtype | str | None = None,
    plugins: tuple[str, ...] = (),
    int8: bool = False,
) -> Writer:
    """The run or the published checkpoint in the folder `path`, ready to write; `int8`: see `quantize`.

    Raises `BlockgraphError`: no such folder, no tokenizer, a model that cannot write.
    """
    from blockgraph.builder.build import DTYPES
    from blockgraph.running.quantize import quantize

    folder = Path(path)
    if is_run(folder):
        kind = DTYPES[dtype] if isinstance(dtype, str) else dtype
        found = of_run(open_run(folder, device=device, dtype=kind, plugins=plugins))
    elif (folder / "config.json").is_file():
        found = _of_checkpoint(folder, device, dtype, plugins)
    else:
        raise RunError(
            f"{folder} is not a run (spec.yaml and checkpoints/, as `blockgraph train` leaves them) and not a "
            "published checkpoint (config.json and *.safetensors)"
        )
    if int8:
        quantize(found.model)
    return found


def of_run(run: Run) -> Writer:
    """A run's text ends where its input says so; a translator's also begins and ends as its tokenizer says, and so
    does what it reads."""
    from blockgraph.running.reader import longest

    tokenizer, positions = run.tokenizer, longest(run.model)
    first = next(iter(run.model.definition.root.inputs.values()))
    options: dict[str, Any] = {"window": run.window, "positions": positions, "below": tokenizer.size}
    if run.spec.train is None or run.spec.train.task[0].type != "seq2seq":
        return Writer(run.model, tokenizer, stop=_several(first.end), **options)
    found = _specials(run)
    end = _several(found.end)
    return Writer(
        run.model, tokenizer, stop=end, start=_several(found.start), pad=found.pad or 0, closing=end, **options
    )


def _specials(run: Run) -> Specials:
    """The ids that frame a run's texts: those that its inputs name, else its tokenizer's."""
    from blockgraph.running.specials import Specials, specials_of

    found = Specials()
    for item in run.model.definition.root.inputs.values():
        if item.value.vocabulary is not None:
            found = found.over(Specials(item.value.pad, item.start, item.end))
    return found.over(specials_of(run.tokenizer))


def _of_checkpoint(folder: Path, device: Any, dtype: Any, plugins: tuple[str, ...]) -> Writer:
    from blockgraph.running.checkpoint_tokenizer import read_checkpoint_tokenizer
    from blockgraph.running.published import read_published
    from blockgraph.running.reader import Ports, longest

    tokenizer = read_checkpoint_tokenizer(folder)  # first: it is read in a moment
    model = read_published(folder, device=device, dtype=dtype, plugins=plugins).model
    says = _said(folder)
    _check_writes(model, says, folder)
    lengths = [longest(model), says.get("max_position_embeddings")]
    positions = min((length for length in lengths if isinstance(length, int)), default=None)
    start = says.get("decoder_start_token_id") if Ports.of(model).source is not None else None
    pad = says.get("pad_token_id")
    return Writer(
        model,
        tokenizer,
        window=positions,
        positions=positions,
        stop=_several(says.get("eos_token_id")),
        start=_several(start),
        pad=pad if isinstance(pad, int) else 0,
        below=_below(says, tokenizer.size),
    )


def _said(folder: Path) -> dict[str, Any]:
    """config.json with generation_config.json over it, where that says more."""
    found: dict[str, Any] = {}
    for name in ("config.json", "generation_config.json"):
        if (folder / name).is_file():
            try:
                data = json.loads((folder / name).read_text(encoding="utf-8"))
                found |= {key: value for key, value in data.items() if value is not None}
            except (ValueError, AttributeError):
                raise GenerateError(f"{folder / name}: not a configuration") from None
    return found


def _check_writes(model: Model, says: dict[str, Any], folder: Path) -> None:
    name = " ".join(says.get("architectures") or [str(says.get("model_type"))])
    reference = model.spec.huggingface
    if model.refusal is not None:
        raise GenerateError(
            f"{folder} holds a {name}, which reads whole texts in both directions and cannot write one: {model.refusal}"
        )
    if reference is not None and "logits" not in (reference.outputs or {}):
        raise GenerateError(f"{folder} holds a {name}, which has no output over the vocabulary and cannot write")


def _several(ids: Any) -> tuple[int, ...]:
    """One id, a list of them or none."""
    values = ids if isinstance(ids, list) else [ids]
    return tuple(value for value in values if isinstance(value, int))


def _below(says: dict[str, Any], size: int) -> int:
    """The ids that may be written end here: the last ones may be forbidden, as Marian forbids its padding."""
    banned = {words[0] for words in says.get("bad_words_ids") or [] if len(words) == 1}
    while size - 1 in banned:
        size -= 1
    return size
