"""A published checkpoint's folder (config.json, *.safetensors) as a model: a preset, its vars, its weights.

Nothing is held twice: the model is made without memory, then each tensor is copied from the mapped file to its place.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from blockgraph.blocks.canonical import canonical_parameters
from blockgraph.blocks.model import Model
from blockgraph.builder import graph
from blockgraph.builder.analyse import analyse
from blockgraph.builder.build import DTYPES, BuildError, build_analysed, check_buildable, check_memory, resolve_device
from blockgraph.running.checkpoints import PublishedWeights
from blockgraph.running.fitting import Problems, fit
from blockgraph.running.mapping import Mapper, Move
from blockgraph.specs.diagnostics import BlockgraphError, Diagnostics
from blockgraph.specs.published import spec_of_config
from blockgraph.specs.spec import Spec

STEP = 16 * 2**20  # bytes that are copied at a time


@dataclass(frozen=True)
class Published:
    """What a model was read from: its folder, the text of its config.json, shape and kind of every tensor by name."""

    folder: Path
    config: str
    shapes: Mapping[str, tuple[int, ...]]
    kinds: Mapping[str, str]


@dataclass(frozen=True)
class Imported:
    """A model with its published weights, and what was read."""

    model: Model
    tensors: int
    ignored: tuple[str, ...]
    files: int
    bytes: int
    dtype: torch.dtype


def read_published(
    folder: str | Path,
    *,
    device: str | torch.device = "cpu",
    dtype: torch.dtype | str | None = None,
    sets: Sequence[str] = (),
    plugins: Sequence[str] = (),
    spec: str | Path | None = None,
) -> Imported:
    """Reads config.json, chooses the preset, checks that tensors and weights are each other's, and copies them.

    `dtype` None keeps the file's; `spec` is a file whose `huggingface:` section is used instead of a preset's. Raises
    `SpecError` with every tensor that does not fit, `WeightsError` for a file that cannot be read, `BuildError` where
    memory or the device is missing.
    """
    folder = Path(folder)
    target = resolve_device(device)
    if target.type == "meta":
        raise BuildError(
            "on meta a model has no weights: `blockgraph build config.json --device meta` shows its shapes"
        )
    config = config_of(folder)
    with closing(PublishedWeights(folder)) as file:
        kind = file.dtype if dtype is None else DTYPES[dtype] if isinstance(dtype, str) else dtype
        found, analysed = _spec(config, file, sets, plugins, None if spec is None else Path(spec))
        check_memory(analysed, target, kind)
        model = build_analysed(analysed, found, device="meta", dtype=kind)
        moves, ignored = plan(found, analysed, model, file.shapes)
        model.published = Published(folder, config.read_text("utf-8"), file.shapes, file.kinds)
        model.to_empty(device=target)
        _copy(moves, model, file, found)
        model.rebuild = replace(model.rebuild, device=str(target))  # type: ignore[type-var]
        files = len(set(file.files.values()))
        return Imported(model.eval(), len(moves), tuple(ignored), files, file.bytes, kind)


def config_of(folder: Path) -> Path:
    """The folder's config.json. Raises `BlockgraphError` where there is none."""
    if not folder.is_dir():
        raise BlockgraphError(f"{folder} is not a folder: give the one that holds config.json and *.safetensors")
    if not (folder / "config.json").is_file():
        raise BlockgraphError(f"{folder / 'config.json'} is missing: it says which model the weights are of")
    return folder / "config.json"


def _spec(
    config: Path, file: PublishedWeights, sets: Sequence[str], plugins: Sequence[str], own: Path | None
) -> tuple[Spec, graph.Model]:
    diagnostics = Diagnostics()
    spec = spec_of_config(config, diagnostics, sets=sets, plugins=plugins, tensors=file.files, own=own)
    analysed = analyse(spec, diagnostics) if spec is not None else None
    if spec is not None and analysed is not None:
        check_buildable(analysed, spec, diagnostics)
    diagnostics.raise_errors()
    if spec is None or analysed is None:
        raise BlockgraphError(f"{config} could not be read")
    return spec, analysed


# --- what goes where --------------------------------------------------------------------------------------------------


def plan(
    spec: Spec, analysed: graph.Model, model: Model, tensors: Mapping[str, tuple[int, ...]]
) -> tuple[list[Move], list[str]]:
    """Every tensor's move, and the names that `ignore:` leaves out; `tensors` are the file's shapes by name. Raises
    `SpecError` unless tensors and weights fit each other completely."""
    assert spec.huggingface is not None  # a spec made of a config.json has the section
    shapes = {name: tuple(part.tensor.shape) for name, part in canonical_parameters(model).items()}
    mapper = Mapper(spec.huggingface, spec.vars, shapes, dict(ties(analysed.root, "")))
    problems = Problems(spec, mapper)
    moves, ignored = [], []
    for name in tensors:
        move = None if mapper.ignores(name) else mapper.move(name)
        if mapper.ignores(name) or (move is not None and not move.weights):
            ignored.append(name)
        elif move is None:
            problems.no_rule(name)
        elif problems.fits(move, tensors[name], shapes):
            moves.append(move)
    problems.missing(moves, shapes)
    problems.raise_all()
    return moves, ignored


def ties(definition: graph.Definition, prefix: str) -> Iterator[tuple[str, str]]:
    """The weight that a tied linear has no copy of, and the embedding's that it uses."""
    for call in definition.calls.values():
        if call.weights_of is not None:
            continue
        if call.tie is not None:
            owner = definition.calls[call.tie].weights_of or call.tie
            yield f"{prefix}{call.name}.weight", f"{prefix}{owner}.weight"
        for index, step in enumerate(call.steps):
            number = index if call.copies is None else index * call.copies // len(call.steps)
            below = f"{prefix}{call.name}." + (f"{number}." if call.repeat is not None else "")
            if isinstance(step.body, graph.Definition):
                yield from ties(step.body, below)


# --- copying ----------------------------------------------------------------------------------------------------------


def _copy(moves: Sequence[Move], model: Model, file: PublishedWeights, spec: Spec) -> None:
    places = {name: part.tensor for name, part in canonical_parameters(model).items()}
    filled: dict[tuple[str, tuple[int, ...]], str] = {}
    problems = Problems(spec, None)
    for move in sorted(moves, key=lambda move: str(file.files[move.tensor])):
        first = filled.get((move.weights[0], move.index))
        for number in range(len(move.weights)):
            if first is None:
                _transfer(move, number, places, file)
            elif not _same(move, number, places, file):
                problems.twice(move, first)
        filled |= {(weight, move.index): move.tensor for weight in move.weights if first is None}
    problems.raise_all()


def _pairs(move: Move, number: int, places: dict[str, Tensor], file: PublishedWeights) -> tuple[Tensor, Tensor]:
    """The part of the file's tensor that is one weight, and that weight's memory, as views of one shape."""
    ours = [places[name] for name in move.weights]
    for index in move.index:
        ours = [weight[index] for weight in ours]
    return fit(file.tensor(move.tensor), ours, move.rule, number)


def _transfer(move: Move, number: int, places: dict[str, Tensor], file: PublishedWeights) -> None:
    """Copies one weight, a few megabytes at a time along the axis that lies outermost in the file."""
    start, stop = 0, 1
    while start < stop:
        source, target = _pairs(move, number, places, file)
        if not source.numel():
            return
        if not source.dim():
            source, target = source[None], target[None]
        axis = max(range(source.dim()), key=lambda each: source.stride(each) if source.shape[each] > 1 else 0)
        stop = source.shape[axis]
        count = min(stop - start, max(1, STEP * stop // (source.numel() * source.element_size())))
        with torch.no_grad():
            target.narrow(axis, start, count).copy_(source.narrow(axis, start, count))
        size = source.numel() * source.element_size() * count // stop
        del source, target
        file.done(size)
        start += count


def _same(move: Move, number: int, places: dict[str, Tensor], file: PublishedWeights) -> bool:
    source, target = _pairs(move, number, places, file)
    return torch.equal(target, source.to(target))
