"""A model's picture: `to_dot` is a pure function from the block graph to DOT text, `draw` paints it."""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from blockgraph.specs.diagnostics import BlockgraphError
from blockgraph.viz.checked import checked_layout
from blockgraph.viz.drawing import Drawing
from blockgraph.viz.engine import EngineError, render
from blockgraph.viz.fonts import GlyphWarning, warning
from blockgraph.viz.mermaid import write_mermaid
from blockgraph.viz.paint import paint
from blockgraph.viz.sketch import sketch
from blockgraph.viz.svg import write_svg
from blockgraph.viz.view import DEFAULT, View

if TYPE_CHECKING:
    from blockgraph.builder.graph import Model

FORMATS = ("svg", "png", "pdf", "dot", "mermaid")
PAGES = ("html",)  # several drawings of one model
SUFFIXES = {"mmd": "mermaid"}


def compose(model: Model, view: View = DEFAULT) -> Drawing:
    """The drawing of a model: every box, frame and line with its place in points."""
    drawn, note = checked_layout(sketch(model, view), view)
    drawn.note = note
    return drawn


def to_dot(model: Model, view: View = DEFAULT) -> str:
    """The model as DOT text with every place fixed; the same text for the same spec on every machine."""
    return paint(compose(model, view), view.title or model.name, view)


def draw(
    model: Model, path: Path | None = None, *, format: str | None = None, dpi: int = 150, view: View = DEFAULT
) -> bytes:
    """The model's picture; written to `path` too if one is given (whole or not at all).

    `format` is "svg", "png", "pdf", "dot", "mermaid" or "html" (a page whose blocks open); without it the path's suffix
    says (.mmd for mermaid), and without a path it is "svg". `dpi` (dots per inch) is for png. Warns (GlyphWarning)
    where a PNG or PDF holds characters that no font here has. Raises BlockgraphError for another format or suffix, for
    a path that cannot be written, and where a PNG or PDF finds no Graphviz engine: the DOT text then lies beside
    `path`.
    """
    if _format(path, format, (*FORMATS, *PAGES)) in PAGES:
        from blockgraph.viz.html import write_html

        page = write_html(model, view).encode()
        if path is not None:
            _write(path, page)
        return page
    return deliver(compose(model, view), view, (model.name, model.about), path, format=format, dpi=dpi)


def deliver(
    drawn: Drawing,
    view: View,
    names: tuple[str, str | None],
    path: Path | None = None,
    *,
    format: str | None = None,
    dpi: int = 150,
) -> bytes:
    """A drawing as a picture, as `draw` says; `names` are its name and what is said about it."""
    chosen = _format(path, format)
    if chosen == "svg":
        picture = write_svg(drawn, view, *names).encode()
    elif chosen == "mermaid":
        picture = write_mermaid(drawn, view, names[0]).encode()
    else:
        dot = paint(drawn, view.title or names[0], view)
        picture = dot.encode() if chosen == "dot" else _painted(dot, chosen, dpi, path)
        if chosen != "dot" and (lacking := warning(drawn, view.title)):
            warnings.warn(lacking, GlyphWarning, stacklevel=3)
    if path is not None:
        _write(path, picture)
    return picture


def _painted(dot: str, format: str, dpi: int, path: Path | None) -> bytes:
    try:
        return render(dot, format, dpi=dpi)
    except EngineError as error:
        raise _kept(error, dot, path) from None


def _format(path: Path | None, format: str | None, formats: tuple[str, ...] = FORMATS) -> str:
    suffix = path.suffix[1:].lower() if path is not None else "svg"
    chosen = format or SUFFIXES.get(suffix, suffix)
    if chosen not in formats:
        what = f"'{path}' has no known suffix" if format is None else f"there is no format '{format}'"
        raise BlockgraphError(f"{what}; choose one of {', '.join(formats)}")
    return chosen


def _kept(error: EngineError, dot: str, path: Path | None) -> BlockgraphError:
    """The same error; the DOT text is not lost."""
    if path is None:
        return error
    beside = path.with_suffix(".dot")
    _write(beside, dot.encode())
    return EngineError(f"{error}; the DOT text is in {beside}")


def _write(path: Path, content: bytes) -> None:
    """Replaces `path` in one step."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_bytes(content)
        os.replace(temporary, path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise BlockgraphError(f"cannot write '{path}': {error.strerror or error}") from None
