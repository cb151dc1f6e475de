"""A model's picture: `to_dot` is a pure function from the block graph to DOT text, `draw` paints it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from blockgraph.specs.diagnostics import BlockgraphError
from blockgraph.viz.drawing import Drawing, drawing
from blockgraph.viz.engine import EngineError, render
from blockgraph.viz.paint import paint
from blockgraph.viz.place import layout
from blockgraph.viz.sketch import sketch
from blockgraph.viz.svg import tidy
from blockgraph.viz.view import DEFAULT, View

if TYPE_CHECKING:
    from blockgraph.builder.graph import Model

FORMATS = ("svg", "png", "pdf", "dot")


def compose(model: Model, view: View = DEFAULT) -> Drawing:
    """The drawing of a model: every box, frame and line with its place in points."""
    return drawing(layout(sketch(model)))


def to_dot(model: Model, view: View = DEFAULT) -> str:
    """The model as DOT text with every place fixed; the same text for the same spec on every machine."""
    return paint(compose(model, view), view.title or model.name)


def draw(
    model: Model, path: Path | None = None, *, format: str | None = None, dpi: int = 150, view: View = DEFAULT
) -> bytes:
    """The model's picture; written to `path` too if one is given (whole or not at all).

    `format` is "svg", "png", "pdf" or "dot"; without it the path's suffix says, and without a path it is "svg". `dpi`
    (dots per inch) is for png. Raises BlockgraphError for another format or suffix, for a path that cannot be
    written, and where no Graphviz engine is found: the DOT text then lies beside `path`.
    """
    chosen = _format(path, format)
    dot = to_dot(model, view)
    if chosen == "dot":
        picture = dot.encode()
    else:
        try:
            picture = render(dot, chosen, dpi=dpi)
            if chosen == "svg":
                picture = tidy(picture.decode(), model.name, model.about).encode()
        except EngineError as error:
            raise _kept(error, dot, path) from None
    if path is not None:
        _write(path, picture)
    return picture


def _format(path: Path | None, format: str | None) -> str:
    chosen = format or (path.suffix[1:].lower() if path is not None else "svg")
    if chosen not in FORMATS:
        what = f"'{path}' has no known suffix" if format is None else f"there is no format '{format}'"
        raise BlockgraphError(f"{what}; choose one of {', '.join(FORMATS)}")
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
