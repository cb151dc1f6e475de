"""`blockgraph export`: what FILE, RUN or FOLDER means, and which writer makes the form that is asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from blockgraph.blocks.model import Model
from blockgraph.running.checkpoints import PublishedWeights
from blockgraph.running.export_files import ExportError, new_file
from blockgraph.specs.diagnostics import BlockgraphError, Diagnostics
from blockgraph.specs.spec import Spec

FORMS = ("python", "onnx", "torch", "huggingface")


@dataclass(frozen=True)
class Opened:
    """A model to export. `learned`: its weights were read, not drawn; `folder` is where its tokenizer lies."""

    model: Model
    learned: bool
    folder: Path | None = None


def open_model(
    source: Spec | str | Path,
    *,
    seed: int = 0,
    dtype: str | None = None,
    sets: Sequence[str] = (),
    plugins: Sequence[str] = (),
) -> Opened:
    """The model of a run folder (its best checkpoint), of a published checkpoint's folder, or of a spec, its file or
    text, a preset or a config.json, whose weights are then drawn from `seed`. On the CPU, in `dtype` (None: as the
    file has it).

    Raises `BlockgraphError` for a folder that is neither, and what reading it raises.
    """
    from blockgraph.running.runs import is_run

    if isinstance(source, Spec) or "\n" in str(source) or not Path(source).is_dir():
        return Opened(_fresh(source, seed, dtype, sets, plugins), learned=False)
    folder = Path(source)
    if is_run(folder):
        if sets:
            raise BlockgraphError(
                f"{folder} is a run: its weights fit the spec that it was trained with, without --set"
            )
        return Opened(_trained(folder, dtype, tuple(plugins)), learned=True, folder=folder)
    if (folder / "config.json").is_file():
        from blockgraph.running.published import read_published

        return Opened(
            read_published(folder, dtype=dtype, sets=sets, plugins=plugins).model, learned=True, folder=folder
        )
    raise BlockgraphError(f"{folder} is neither a run (spec.yaml, checkpoints/) nor a checkpoint with a config.json")


def _fresh(
    source: Spec | str | Path, seed: int, dtype: str | None, sets: Sequence[str], plugins: Sequence[str]
) -> Model:
    from blockgraph.builder.build import build
    from blockgraph.specs.load import load_spec, load_text

    spec: Spec | None
    diagnostics = Diagnostics()
    if isinstance(source, Spec):
        spec = source
    elif "\n" in str(source):
        spec = load_text(str(source), diagnostics, sets=sets, plugins=plugins)
    else:
        spec = load_spec(source, diagnostics, sets=sets, plugins=plugins)
    diagnostics.raise_errors()
    assert spec is not None
    return build(spec, dtype=dtype, seed=seed).eval()


def _trained(folder: Path, dtype: str | None, plugins: tuple[str, ...]) -> Model:
    from blockgraph.builder.build import DTYPES
    from blockgraph.running.runs import open_run

    run = open_run(folder, device="cpu", plugins=plugins)
    kind: torch.dtype = PublishedWeights(run.checkpoint).dtype if dtype is None else DTYPES[dtype]
    return run.model.to(kind)


def write(opened: Opened, path: Path, form: str, *, force: bool = False) -> str:
    """Writes a model in one of `FORMS`, whole or not at all; a sentence that says what. Raises `ExportError`."""
    if form not in FORMS:
        raise ExportError(f"there is no form {form!r}: it is one of {', '.join(FORMS)}")
    if form == "huggingface":
        from blockgraph.running.export_huggingface import write_huggingface

        return write_huggingface(opened.model, path, tokenizer=opened.folder, force=force)
    if path.is_dir():
        raise ExportError(f"{path} is a folder: {form} is written as a file")
    if form == "python":
        return _write_python(opened, path)
    from blockgraph.running.export_graph import write_onnx, write_torch

    return write_onnx(opened.model, path) if form == "onnx" else write_torch(opened.model, path)


def _write_python(opened: Opened, path: Path) -> str:
    from blockgraph.builder.export import export_source
    from blockgraph.running.weights import save_weights

    beside = path.with_suffix(".safetensors").name if opened.learned else None
    if beside == path.name:
        raise ExportError(f"{path}: Python is written to a file that ends in .py")
    with new_file(path) as aside:
        if beside is not None:
            save_weights(opened.model, aside.with_name(beside))
        aside.write_text(export_source(opened.model, beside), "utf-8")
    return "the model as Python that needs only torch" + (f", its weights in {beside}" if beside else "")
