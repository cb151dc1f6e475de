"""A model as a folder of the reference library: the rules of `huggingface:` the other way round.

Names and shapes are those of the file that the weights were read from, or those that the reference library gives the
class. That every tensor has its place is checked as it is for reading; then each is put together from our weights.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from blockgraph.blocks.canonical import canonical_parameters
from blockgraph.blocks.model import Model
from blockgraph.builder import graph
from blockgraph.running.checkpoints import PublishedWeights
from blockgraph.running.export_config import CONFIG, describe, reads_as
from blockgraph.running.export_files import (
    KINDS,
    Entry,
    ExportError,
    kind_of,
    library,
    new_folder,
    quiet,
    write_weights,
)
from blockgraph.running.export_graph import ALLOWED, dtype_of, example
from blockgraph.running.fitting import fit
from blockgraph.running.mapping import Move
from blockgraph.running.published import Published, plan
from blockgraph.running.runs import TOKENIZER
from blockgraph.running.tokenizers import FORMAT
from blockgraph.specs.diagnostics import BlockgraphError
from blockgraph.specs.spec import Spec

BESIDE = (  # what a folder may hold beside its weights
    "added_tokens.json",
    "chat_template.jinja",
    "generation_config.json",
    "merges.txt",
    "preprocessor_config.json",
    "sentencepiece.bpe.model",
    "source.spm",
    "special_tokens_map.json",
    "spiece.model",
    "target.spm",
    "tokenizer.json",
    "tokenizer.model",
    "tokenizer_config.json",
    "vocab.json",
    "vocab.txt",
)


@dataclass(frozen=True)
class _Plan:
    """The tensors to write, in their order, and the moves of those that are ours; others are copied from the file.
    `head` is the class that the reference library must read it as, where that has not read these names before."""

    entries: Sequence[Entry]
    moves: Mapping[str, Move]
    head: str | None = None


def write_huggingface(model: Model, path: Path, *, tokenizer: Path | None = None, force: bool = False) -> str:
    """Writes config.json, safetensors and, where there are any, the tokenizer's files: `tokenizer` is the folder that
    they lie in. Returns what was written. Raises `ExportError`, `SpecError`; then nothing is written."""
    with new_folder(path, force) as folder:
        source: Published | None = model.published
        found = _as_it_was(model, source, folder) if source is not None else None
        if found is None:
            source, found = None, _described(model, folder)
        places = {name: part.tensor for name, part in canonical_parameters(model).items()}
        with closing(_original(found, source)) as file:

            def tensor(entry: Entry) -> Tensor:
                move = found.moves.get(entry.name)
                return file.tensor(entry.name) if move is None else _joined(move, entry, places)

            files = write_weights(folder, found.entries, tensor)
        if found.head is not None:
            _prove(model, found.head, folder)
        copied = _copy_tokenizer(tokenizer, folder)
    beside = f", {', '.join(copied)}" if copied else ""
    return f"{len(found.entries)} tensors in {files} file{'s' * (files > 1)}, {CONFIG}{beside}"


# --- what is written --------------------------------------------------------------------------------------------------


def _as_it_was(model: Model, source: Published, folder: Path) -> _Plan | None:
    """The folder that the model was read from, again; None where its config.json no longer says what the model is."""
    text = source.config
    if (dtype := dtype_of(model)) not in {KINDS[kind] for kind in source.kinds.values() if kind in KINDS}:
        text = _with_dtype(text, dtype)
    (folder / CONFIG).write_text(text, "utf-8")
    if isinstance(reads_as(folder, model.definition, source.shapes), str):
        return None
    moves, ignored = _moves(model.spec, model.definition, model, source.shapes)
    kept = [name for name in source.shapes if name in moves or (name in ignored and source.folder.is_dir())]
    floats = {kind for kind in source.kinds.values() if kind in ("F64", "F32", "F16", "BF16")}
    own = kind_of(dtype)
    kinds = {name: kind if own in floats or kind not in floats else own for name, kind in source.kinds.items()}
    return _Plan([Entry(name, source.shapes[name], kinds[name]) for name in kept], moves)


def _described(model: Model, folder: Path) -> _Plan:
    """The class of the reference library that the spec is."""
    dtype = dtype_of(model)
    found = describe(model.spec, model.definition, str(dtype).removeprefix("torch."), folder)
    moves, ignored = _moves(found.spec, found.analysed, model, found.shapes)
    if ignored:
        raise ExportError(f"{model.definition.name} has no weights for {', '.join(ignored)}, which its class has")
    return _Plan([Entry(name, shape, kind_of(dtype)) for name, shape in found.shapes.items()], moves, found.head)


def _moves(
    spec: Spec, analysed: graph.Model, model: Model, shapes: Mapping[str, tuple[int, ...]]
) -> tuple[dict[str, Move], list[str]]:
    moves, ignored = plan(spec, analysed, model, shapes)
    return {move.tensor: move for move in moves}, ignored


def _with_dtype(text: str, dtype: torch.dtype) -> str:
    config = json.loads(text)
    name = "dtype" if "dtype" in config or "torch_dtype" not in config else "torch_dtype"
    return json.dumps(config | {name: str(dtype).removeprefix("torch.")}, indent=2) + "\n"


# --- tensors ----------------------------------------------------------------------------------------------------------


class _Nothing:
    """Where no tensor is copied from a file."""

    def tensor(self, name: str) -> Tensor:
        raise KeyError(name)

    def close(self) -> None:
        pass


def _original(found: _Plan, source: Published | None) -> PublishedWeights | _Nothing:
    """The file that tensors without a weight of ours are copied from (buffers that `ignore:` leaves out)."""
    missing = any(entry.name not in found.moves for entry in found.entries)
    return PublishedWeights(source.folder) if source is not None and missing else _Nothing()


def _joined(move: Move, entry: Entry, places: Mapping[str, Tensor]) -> Tensor:
    """One tensor of theirs from the weights that it is cut into for us, each at its place."""
    ours = [places[name] for name in move.weights]
    for index in move.index:
        ours = [weight[index] for weight in ours]
    if len(ours) == 1 and tuple(ours[0].shape) == entry.shape and not move.rule.transpose:
        return ours[0]
    made = torch.empty(entry.shape, dtype=ours[0].dtype, device=ours[0].device)
    for number in range(len(ours)):
        target, weight = fit(made, ours, move.rule, number)
        target.copy_(weight)
    return made


# --- proof ------------------------------------------------------------------------------------------------------------


def _prove(model: Model, head: str, folder: Path) -> None:
    """Lets the reference library load the folder and answer. Raises `ExportError` where it answers otherwise."""
    reference = getattr(library("transformers", "huggingface"), head)
    name = f"{model.definition.name} as {head}"
    with quiet():
        theirs, loaded = reference.from_pretrained(folder, output_loading_info=True, local_files_only=True)
    for what in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        if loaded[what]:
            raise ExportError(f"{name}: the reference library finds {what.replace('_', ' ')}: {_few(loaded[what])}")
    training, home = model.training, model.device
    model.eval().to("cpu")
    given = example(model, pad=getattr(theirs.config, "pad_token_id", None))
    asked = {}
    for their, rule in model.spec.huggingface.inputs.items():
        value = given.get(re.sub(r"\.mask$", "_mask", rule.to))
        if value is not None:
            asked[their] = value.transpose(-1, -2) if rule.transpose else value
    try:
        with torch.no_grad():
            found, expected = theirs.eval()(**asked), model(**asked)
    except Exception as error:  # whatever it finds wrong with what it is asked
        raise ExportError(f"{name}: the reference library does not answer: {error}") from error
    model.train(training).to(home)
    for output, ours in expected.items():
        masks = [value for value in given.values() if value.dtype == torch.bool and value.shape == ours.shape[:2]]
        rows = masks[0] if masks else slice(None)
        difference = float((found[output][rows] - ours[rows]).abs().max().nan_to_num(float("inf")))
        if difference > ALLOWED.get(ours.dtype, 0.05) * max(float(ours[rows].float().std(correction=0)), 1e-6):
            why = "its config.json cannot say all that the spec does"
            raise ExportError(f"{name}: {output} differs by {difference:.1e} in the reference library: {why}")


def _few(names: Iterable[object]) -> str:
    found = sorted(map(str, names))
    return ", ".join(found[:5]) + (f" and {len(found) - 5} more" if len(found) > 5 else "")


# --- tokenizer --------------------------------------------------------------------------------------------------------


def _copy_tokenizer(source: Path | None, folder: Path) -> list[str]:
    """Copies what makes the tokenizer; that of a run only where it is a file of the `tokenizers` library."""
    names = [name for name in BESIDE if source is not None and (source / name).is_file()]
    for name in names:
        assert source is not None
        if name == TOKENIZER and FORMAT in json.loads((source / name).read_text("utf-8")):
            return []
        try:
            shutil.copyfile(source / name, folder / name)
        except OSError as error:
            raise BlockgraphError(f"{source / name}: {error.strerror}") from None
    if names == [TOKENIZER]:
        settings = {"tokenizer_class": "PreTrainedTokenizerFast"}
        (folder / "tokenizer_config.json").write_text(json.dumps(settings, indent=2) + "\n", "utf-8")
    return names
