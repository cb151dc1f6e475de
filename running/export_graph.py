"""A model as a graph of torch's operations: a `torch.export` program (.pt2) or ONNX.

Batch and lengths stay open. What is written is read again and compared with the model at other sizes than it was made
with, with padding on either side, before it takes its place.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from blockgraph.blocks.model import Model
from blockgraph.builder.graph import Definition
from blockgraph.builder.masks import mask_inputs
from blockgraph.running.export_files import ExportError, library, new_file, quiet

Tensors = dict[str, Tensor]
MADE = (2, 11)  # batch and shortest length that a graph is made with
TRIED = ((3, 17), (1, 5))  # and those that it is compared at
ALLOWED = {torch.float32: 1e-4, torch.float64: 1e-4}  # of the model's standard deviation; other dtypes: 0.05
ONE_FILE = 1_500_000_000  # bytes; ONNX's format ends at 2 GB, larger weights lie beside it


def write_torch(model: Model, path: Path) -> str:
    """Writes a program that `torch.export.load(path).module()(tokens=…, tokens_mask=…)` runs without blockgraph.
    Returns what was compared. Raises `ExportError`."""
    if path.suffix != ".pt2":
        raise ExportError(f"{path}: torch reads its programs from files that end in .pt2")
    with _still(model), new_file(path) as aside:
        with _telling(model, "torch"):
            program = torch.export.export(model, (), example(model), dynamic_shapes=open_axes(model))
        torch.export.save(program, aside)
        again = torch.export.load(aside).module()
        return compared(model, lambda given: _named(model, again(**given)))


def write_onnx(model: Model, path: Path) -> str:
    """Writes ONNX, its inputs and outputs under the spec's names. Returns what was compared (by onnxruntime).
    Raises `ExportError`, also where the packages that this takes are not installed."""
    for name in ("onnx", "onnxscript"):
        library(name, "onnx")
    runtime = library("onnxruntime", "onnx")
    given = example(model)
    large = sum(weight.numel() * weight.element_size() for weight in model.parameters()) > ONE_FILE
    with _still(model), new_file(path) as aside:
        # the written-out attention: the memory layout of the fused one is not ONNX's
        with _telling(model, "onnx"), sdpa_kernel(SDPBackend.MATH):
            program = torch.onnx.export(
                model,
                (),
                kwargs=given,
                dynamo=True,
                dynamic_shapes=open_axes(model),
                input_names=list(given),
                output_names=list(_answer(model, given)),
                verbose=False,
            )
            assert program is not None
            program.save(str(aside), external_data=large)
        return compared(model, _session(runtime, aside, model))


def _session(runtime: Any, path: Path, model: Model) -> Callable[[Tensors], Tensors]:
    options = runtime.SessionOptions()
    options.log_severity_level = 4  # only what ends it
    try:
        session = runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its own classes, one for each kind of failure
        help = " (--dtype fp32 writes it in float32)" if dtype_of(model) != torch.float32 else ""
        raise ExportError(f"onnxruntime cannot run {_name(model)}: {_first_line(error)}{help}") from error
    names = [output.name for output in session.get_outputs()]
    taken = {given.name for given in session.get_inputs()}

    def run(given: Tensors) -> Tensors:
        found = session.run(None, {name: value.numpy() for name, value in given.items() if name in taken})
        return {name: torch.from_numpy(value) for name, value in zip(names, found, strict=True)}

    return run


# --- inputs -----------------------------------------------------------------------------------------------------------


def example(model: Model, batch: int = MADE[0], length: int = MADE[1], pad: int | None = None) -> Tensors:
    """Random inputs: ids and numbers, and a mask for every input whose padding the model minds. The first sequence is
    padded on the right, the second on the left; `pad` is the id that stands there and nowhere else."""
    root: Definition = model.definition.root
    random = torch.Generator().manual_seed(length)
    sizes = _sizes(model, batch, length)
    found = {}
    for name, entry in root.inputs.items():
        shape = [int(size) for size in entry.value.at(sizes).shape]
        if entry.value.dtype == "int":
            ids = torch.randint(entry.value.vocabulary or 2, shape, generator=random)
            found[name] = ids.to(model.device)
        elif entry.value.dtype == "bool":
            found[name] = torch.ones(shape, dtype=torch.bool, device=model.device)
        else:
            found[name] = torch.randn(shape, generator=random).to(model.device, dtype_of(model))
    for name in mask_inputs(root):
        mask = _padding(found[name].shape[0], found[name].shape[1]).to(model.device)
        found[f"{name}_mask"] = mask
        if pad is not None:
            real = torch.where(found[name] == pad, (pad + 1) % (root.inputs[name].value.vocabulary or 2), found[name])
            found[name] = real.where(mask, pad)
    return found


def _padding(batch: int, length: int) -> Tensor:
    mask = torch.ones(batch, length, dtype=torch.bool)
    mask[0, length - 2 :] = False
    mask[1:2, :3] = False
    return mask


def _sizes(model: Model, batch: int, length: int) -> dict[str, int]:
    """A size for every axis that the spec leaves open: they differ, and none is longer than the spec expects."""
    root: Definition = model.definition.root
    shapes = [entry.value.shape for entry in root.inputs.values()]
    first = {shape[0].symbols for shape in shapes if shape[0].symbols}
    batches = {symbol for symbols in first for symbol in symbols}
    axes = dict.fromkeys(symbol for shape in shapes for size in shape for symbol in sorted(size.symbols))
    lengths = {axis: length + 2 * number for number, axis in enumerate(axis for axis in axes if axis not in batches)}
    expected = model.definition.sizes
    return dict.fromkeys(batches, batch) | {axis: min(size, expected.get(axis, size)) for axis, size in lengths.items()}


def open_axes(model: Model) -> dict[str, Any]:
    """For every argument of `example`, the axes whose size may change."""
    root: Definition = model.definition.root
    found: dict[str, Any] = {}
    for name, entry in root.inputs.items():
        shape = entry.value.shape
        found[name] = {axis: torch.export.Dim.DYNAMIC for axis, size in enumerate(shape) if size.symbols}
    for name in mask_inputs(root):
        found[f"{name}_mask"] = {axis: how for axis, how in found[name].items() if axis < 2}
    return found


# --- comparing --------------------------------------------------------------------------------------------------------


@torch.no_grad()
def compared(model: Model, run: Callable[[Tensors], Tensors]) -> str:
    """Runs both at sizes that differ from those of the graph. Raises `ExportError` where an output differs."""
    worst, said = 0.0, []
    for batch, length in TRIED:
        given = example(model, batch, length)
        expected = _answer(model, given)
        try:
            found = run(given)
        except Exception as error:  # whatever the other program raises
            text = f"what was made of {_name(model)} does not run with a batch of {batch}: {_first_line(error)}"
            raise ExportError(text) from error
        for name, there in expected.items():
            rows = _counted(model, name, there, given)
            difference = (found[name].to(there)[rows] - there[rows]).abs().max()
            spread = there[rows].float().std(correction=0)
            worst = max(worst, float((difference / spread).nan_to_num(float("inf"))) if difference else 0.0)
        said.append(" and ".join(str(list(value.shape)) for value in given.values() if value.dtype != torch.bool))
    bar = ALLOWED.get(dtype_of(model), 0.05)
    if worst > bar:
        raise ExportError(f"what was made of {_name(model)} differs by {worst:.1e} standard deviations from the model")
    return f"compared at {'; '.join(said)}: outputs differ by at most {worst:.0e} standard deviations"


def _counted(model: Model, name: str, output: Tensor, given: Tensors) -> Any:
    """The rows of an output that count: not those of padded positions."""
    root: Definition = model.definition.root
    label = root.outputs[name].value.mask
    mask = given.get(f"{label}_mask")
    return mask if mask is not None and output.shape[:2] == mask.shape else slice(None)


@torch.no_grad()
def _answer(model: Model, given: Tensors) -> Tensors:
    return _named(model, model(**given))


def _named(model: Model, result: Any) -> Tensors:
    return dict(result) if isinstance(result, dict) else {next(iter(model.definition.root.outputs)): result}


# --- manners ----------------------------------------------------------------------------------------------------------


@contextmanager
def _still(model: Model) -> Iterator[None]:
    """The model as it answers, without gradients; afterwards as it was."""
    training = model.training
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        model.train(training)


@contextmanager
def _telling(model: Model, to: str) -> Iterator[None]:
    """An exporter's failure in a sentence, and its chatter not at all."""
    try:
        with quiet():
            yield
    except Exception as error:  # the exporters raise whatever their passes raise
        raise ExportError(f"{_name(model)} cannot be written as {to}: {_first_line(error)}") from error


def _first_line(error: BaseException) -> str:
    """What went wrong first, without the exporter's advice to its own developers."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0] if lines else ''}"


def dtype_of(model: Model) -> torch.dtype:
    return next((weight.dtype for weight in model.parameters() if weight.is_floating_point()), torch.float32)


def _name(model: Model) -> str:
    return str(model.definition.name)
