"""What the integrations with documents share: from a file or a text to a picture, and options as texts to a `View`."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from html import escape
from pathlib import Path
from typing import Any

from blockgraph.builder import graph
from blockgraph.builder.analyse import analyse
from blockgraph.specs.diagnostics import BlockgraphError, Diagnostic, Diagnostics, SpecError
from blockgraph.specs.load import load_spec, load_text
from blockgraph.specs.presets import names as preset_names
from blockgraph.specs.spec import Spec
from blockgraph.specs.suggest import did_you_mean
from blockgraph.viz.draw import draw
from blockgraph.viz.view import ALL, DEFAULT, DIRECTIONS, THEMES, View

LENGTH = re.compile(r"\d+(\.\d+)?(px|pt|pc|em|rem|ex|mm|cm|in|vw|%)?")
PAGE_OPTIONS = ("alt", "caption", "width")  # of the page, not of the picture


# -- what is drawn ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Figure:
    """A picture that a document asks for: `file` (a path or a preset's name), or a YAML `text` whose own paths are
    relative to `folder` and which messages call `name`. `alt` replaces the model's own description."""

    file: str = ""
    text: str | None = None
    name: str = "<text>"
    folder: Path = Path()
    view: View = DEFAULT
    alt: str | None = None


@dataclass(frozen=True)
class Read:
    """A figure's model, what its reading warned of, and the files that the picture depends on."""

    model: graph.Model
    warnings: list[Diagnostic]
    files: list[Path]


def read(figure: Figure) -> Read:
    """The model of a figure. Raises `SpecError` with everything that is wrong."""
    diagnostics = Diagnostics()
    if figure.text is None:
        spec = load_spec(figure.file, diagnostics)
    else:
        spec = load_text(figure.text, diagnostics, name=figure.name, folder=figure.folder)
    model = analyse(spec, diagnostics) if spec is not None else None
    diagnostics.raise_errors()
    if spec is None or model is None:
        raise BlockgraphError(
            f"{figure.file or figure.name} has only blocks: it is a library, there is nothing to draw"
        )
    return Read(model, list(diagnostics), files_of(spec))


def found(name: str, folder: Path) -> str:
    """The file that a document in `folder` means by `name`, else a preset's name. Raises BlockgraphError."""
    path = folder / name
    if path.is_file():
        return str(path)
    if name in preset_names():
        return name
    hint = did_you_mean(name, preset_names()) or "write a path, or a preset's name"
    raise BlockgraphError(f"there is no file {path} and no preset {name!r}: {hint}")


def files_of(spec: Spec) -> list[Path]:
    """The files that a spec was read from: its own and those that it extends."""
    return sorted(path for source in spec.folders if (path := Path(source.name)).is_file())


def painted(model: graph.Model, figure: Figure, form: str) -> bytes:
    """The picture of a model that was read; `form` is svg or pdf."""
    return draw(replace(model, about=figure.alt) if figure.alt else model, format=form, view=figure.view)


def inline_svg(svg: bytes, width: str | None) -> str:
    """An SVG file as an element of a page: no prologue; never wider than the page, or as wide as asked."""
    text = svg.decode()
    size = f"width:{width};height:auto" if width else "max-width:100%;height:auto"
    return text[text.index("<svg") :].replace("<svg ", f'<svg style="{size}" ', 1).strip()


def framed(picture: str, caption: str | None) -> str:
    """An element as a figure of a page."""
    below = f"<figcaption>{escape(caption)}</figcaption>" if caption else ""
    return f'<figure class="blockgraph">{picture}{below}</figure>'


def messages(error: BlockgraphError) -> list[Diagnostic]:
    """An error as diagnostics, with or without a place."""
    return error.diagnostics if isinstance(error, SpecError) else [Diagnostic("", str(error))]


def in_a_line(diagnostic: Diagnostic) -> str:
    """`[heads] 7 heads do not divide the width 768; try 6`: a message without its place."""
    help = f"; {diagnostic.help}" if diagnostic.help else ""
    code = f"[{diagnostic.code}] " if diagnostic.code else ""
    return f"{code}{diagnostic.message}{help}"


# -- options ---------------------------------------------------------------------------------------------------------


def view_of(options: Mapping[str, Any]) -> View:
    """A view from options as they are written: texts; None, True or an empty text for a flag; `-` or `_` in names.

    Names are those of `blockgraph draw`. Raises BlockgraphError for an unknown name or value.
    """
    values: dict[str, Any] = {}
    for written, value in options.items():
        name = written.replace("_", "-")
        if name not in _READERS:
            hint = did_you_mean(name, [*_READERS, *PAGE_OPTIONS]) or f"the options are {', '.join(_READERS)}"
            raise BlockgraphError(f"there is no option {written!r}: {hint}")
        field, reader = _READERS[name]
        values[field] = reader(name, value)
    return View(**values)


def split(options: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """Options of the picture, and those of the page: `alt`, `caption`, `width` (checked)."""
    ours = {name: str(value) for name, value in options.items() if name in PAGE_OPTIONS}
    if "width" in ours and not LENGTH.fullmatch(ours["width"]):
        raise BlockgraphError(f"width is a length such as 60% or 12cm, not {ours['width']!r}")
    return {name: value for name, value in options.items() if name not in PAGE_OPTIONS}, ours


def _depth(name: str, value: Any) -> int:
    text = str(value).strip()
    if text == "all":
        return ALL
    if not text.isascii() or not text.isdigit():
        raise BlockgraphError(f"{name} is a number of levels or 'all', not {text!r}")
    return int(text)


def _paths(name: str, value: Any) -> tuple[str, ...]:
    return tuple(re.split(r"[,\s]+", str(value).strip())) if str(value).strip() else ()


def _flag(name: str, value: Any) -> bool:
    text = "true" if value is None or value == "" else str(value).lower()
    if text not in ("true", "false", name):
        raise BlockgraphError(f"{name} is a flag: write it alone, or true or false, not {value!r}")
    return text != "false"


def _not(name: str, value: Any) -> bool:
    return not _flag(name, value)


def _text(name: str, value: Any) -> str:
    return str(value)


def _one_of(choices: tuple[str, ...]) -> Callable[[str, Any], str]:
    def reader(name: str, value: Any) -> str:
        if value not in choices:
            raise BlockgraphError(f"{name} is one of {', '.join(choices)}, not {value!r}")
        return str(value)

    return reader


_READERS: dict[str, tuple[str, Callable[[str, Any], Any]]] = {
    "depth": ("depth", _depth),
    "open": ("open", _paths),
    "close": ("close", _paths),
    "unroll": ("unroll", _flag),
    "no-shapes": ("shapes", _not),
    "no-params": ("params", _not),
    "direction": ("direction", _one_of(DIRECTIONS)),
    "theme": ("theme", _one_of(THEMES)),
    "font": ("font", _text),
    "title": ("title", _text),
    "prefix": ("prefix", _text),
}
assert {field for field, _ in _READERS.values()} == {field.name for field in fields(View)}
OPTIONS = tuple(_READERS)
FLAGS = tuple(name for name, (_, reader) in _READERS.items() if reader in (_flag, _not))
