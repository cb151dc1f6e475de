"""The Python front door: `load`, `check`, `build`, `from_huggingface`, `quantize`, `export`, `draw`, each lazily."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from blockgraph.specs.diagnostics import Diagnostic, Diagnostics
from blockgraph.specs.load import load_spec, load_text
from blockgraph.specs.pictured import drawn_by
from blockgraph.specs.spec import Spec

if TYPE_CHECKING:
    import torch

    from blockgraph.blocks.model import Model
    from blockgraph.builder import graph
    from blockgraph.viz.picture import Picture


def load(source: str | Path, *, sets: Sequence[str] = (), plugins: Sequence[str] = ()) -> Spec:
    """The spec of a file, of a preset by its name, or of a YAML text (anything with a line break), fully checked.

    `sets` are overrides as on the command line (`vars.layers=4`), `plugins` files or entry points with own blocks.
    Raises `SpecError` with every error at once.
    """
    diagnostics = Diagnostics()
    spec, _ = _read(source, diagnostics, sets, plugins)
    diagnostics.raise_errors()
    if spec is None:
        raise FileNotFoundError(str(source))
    return spec


def check(source: str | Path, *, sets: Sequence[str] = (), plugins: Sequence[str] = ()) -> list[Diagnostic]:
    """All that is wrong with a spec, errors and warnings, in the order of the file; nothing is raised or built."""
    diagnostics = Diagnostics()
    _read(source, diagnostics, sets, plugins)
    return list(diagnostics)


def build(
    source: Spec | str | Path,
    *,
    device: str | torch.device = "cpu",
    dtype: torch.dtype | str | None = None,
    seed: int = 0,
    sets: Sequence[str] = (),
    plugins: Sequence[str] = (),
    tokenizer: str | Path | None = None,
) -> Model:
    """The model of a spec, a file, a preset or a YAML text, with fresh weights from `seed`; of a run folder, with its
    trained weights. `tokenizer`: a tokenizer.json whose words are the rows of `pretrained` embeddings. Raises
    `SpecError`, or `BlockgraphError` where the device or the memory is missing."""
    from blockgraph.builder.build import build as build_spec

    if not isinstance(source, Spec) and "\n" not in str(source) and Path(source).is_dir():
        from blockgraph.running.runs import open_run

        return open_run(source, device=device, dtype=dtype, plugins=tuple(plugins)).model  # type: ignore[arg-type]
    spec = source if isinstance(source, Spec) else load(source, sets=sets, plugins=plugins)
    model = build_spec(spec, device=device, dtype=dtype, seed=seed, weights_follow=tokenizer is not None)
    if tokenizer is not None:
        from blockgraph.running.tokenizers import read_tokenizer
        from blockgraph.running.vectors import load_vectors

        load_vectors(model, spec, read_tokenizer(Path(tokenizer)), spec.folder_of)
    return model


def from_huggingface(
    folder: str | Path,
    *,
    device: str | torch.device = "cpu",
    dtype: torch.dtype | str | None = None,
    sets: Sequence[str] = (),
    plugins: Sequence[str] = (),
    spec: str | Path | None = None,
) -> Model:
    """The model of a published checkpoint's folder (config.json and *.safetensors) with its weights, in `eval` mode.

    It answers our names (`tokens=`) as a built model does, and the reference library's (`input_ids=`) with a dict.
    `dtype` None keeps the file's; `spec` is a file of one's own whose `huggingface:` section is used instead of a
    preset's. Raises `SpecError` with every tensor or weight that does not fit; `BlockgraphError` where a file cannot be
    read, or the device or the memory is missing.
    """
    from blockgraph.running.published import read_published

    return read_published(folder, device=device, dtype=dtype, sets=sets, plugins=plugins, spec=spec).model


def quantize(model: Model) -> Model:
    """Rounds the weights of a model's linear maps to int8, in place, and returns it: smaller and faster on the CPU.

    Attention's projections, feed-forward networks, experts, `linear` and the tied head, with one scale per row. The
    model then answers and decodes, but cannot be trained or moved. Raises `BlockgraphError` where it is not on the CPU.
    """
    from blockgraph.running.quantize import quantize as quantize_model

    return quantize_model(model)


def export(
    source: Model | Spec | str | Path,
    path: str | Path,
    to: str,
    *,
    dtype: str | None = None,
    seed: int = 0,
    force: bool = False,
    sets: Sequence[str] = (),
    plugins: Sequence[str] = (),
) -> Path:
    """Writes a model to `path`, whole or not at all: as "python" (source that needs only torch, weights beside it),
    "onnx", "torch" (a `torch.export` program, .pt2) or "huggingface" (a folder for the reference library).

    `source` is a built model, a run, a published checkpoint's folder, or what `build` takes, with fresh weights from
    `seed`; `dtype`, `sets` and `plugins` are for what is not built yet. Batch and lengths stay open, and
    what was written is run and compared. Raises `BlockgraphError` where that form cannot hold the model, and what
    reading `source` raises.
    """
    from blockgraph.blocks.model import Model
    from blockgraph.running.exporting import Opened, open_model, write

    if isinstance(source, Model):
        folder = source.published.folder if source.published is not None else None
        opened = Opened(source, learned=True, folder=folder)
    else:
        opened = open_model(source, dtype=dtype, seed=seed, sets=sets, plugins=plugins)
    write(opened, Path(path), to, force=force)
    return Path(path)


def draw(
    source: Spec | Model | graph.Model | str | Path,
    path: str | Path | None = None,
    *,
    format: str | None = None,
    dpi: int = 150,
    depth: int | str | None = None,
    open: str | Sequence[str] = (),
    close: str | Sequence[str] = (),
    **view: Any,
) -> Picture:
    """The diagram of a spec, a model, a file, a preset or a YAML text: written to `path` (its suffix is the format)
    and returned, as bytes that show themselves in a notebook. Without `path` it is SVG, or what `format` says.

    What it shows is said as on the command line: `depth` (a number or "all"), paths of nodes to `open` and to `close`,
    and `unroll`, `shapes`, `params`, `direction`, `theme`, `font`, `title`, `prefix`. `dpi` is for png. Raises
    `SpecError`; `BlockgraphError` for a bad value, and for png and pdf without an engine.
    """
    from blockgraph.viz.draw import draw as draw_model
    from blockgraph.viz.picture import Picture
    from blockgraph.viz.view import ALL, View

    chosen = View(depth=ALL if depth == "all" else depth, open=_paths(open), close=_paths(close), **view)  # type: ignore[arg-type]
    target = None if path is None else Path(path)
    found = draw_model(_analysed(source), target, format=format, dpi=dpi, view=chosen)
    return Picture(found, format or (target.suffix[1:].lower() if target else "svg"))


def _paths(given: str | Sequence[str]) -> tuple[str, ...]:
    return (given,) if isinstance(given, str) else tuple(given)


def _analysed(source: Spec | Model | graph.Model | str | Path) -> graph.Model:
    from blockgraph.builder import graph
    from blockgraph.builder.analyse import analyse
    from blockgraph.specs.diagnostics import BlockgraphError

    source = getattr(source, "definition", source)  # of a built model
    if isinstance(source, graph.Model):
        return source
    assert isinstance(source, Spec | str | Path)
    spec = source if isinstance(source, Spec) else load(source)
    diagnostics = Diagnostics()
    found = analyse(spec, diagnostics)
    diagnostics.raise_errors()
    if found is None:
        raise BlockgraphError(f"{spec.name} has only blocks: it is a library, and there is nothing to draw")
    return found


def _read(
    source: str | Path, diagnostics: Diagnostics, sets: Sequence[str], plugins: Sequence[str]
) -> tuple[Spec | None, Any]:
    from blockgraph.builder.analyse import analyse

    if "\n" in str(source):
        spec = load_text(str(source), diagnostics, sets=sets, plugins=plugins)
    else:
        spec = load_spec(source, diagnostics, sets=sets, plugins=plugins)
    return spec, analyse(spec, diagnostics) if spec is not None else None


drawn_by(draw)  # from here on a spec and a model show themselves in notebooks
