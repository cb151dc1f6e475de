"""What commands share: the options of every command that reads a spec, and reading it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from blockgraph.cli.errors import colored
from blockgraph.specs.diagnostics import BlockgraphError, Diagnostics, SpecError

if TYPE_CHECKING:
    from rich.console import Console

    from blockgraph.blocks.model import Model as Module
    from blockgraph.builder.graph import Model
    from blockgraph.specs.spec import Spec

F = TypeVar("F", bound=Callable[..., Any])

with_plugins = click.option(
    "--plugin",
    "plugins",
    multiple=True,
    metavar="FILE|NAME",
    help="Block types of your own: a Python file, or an installed entry point. Repeatable.",
)
with_sets = click.option(
    "--set",
    "sets",
    multiple=True,
    metavar="PATH=VALUE",
    help="Override a value, e.g. vars.layers=4. Repeatable.",
)
with_device = click.option(
    "--device",
    type=click.Choice(["auto", "cpu", "cuda", "mps"]),
    default="auto",
    show_default=True,
    help="auto: cuda, else mps, else cpu.",
)


def with_save(help: str) -> Callable[[F], F]:
    """Adds `--save`; `save_to` then writes."""
    kind = click.Path(path_type=Path, dir_okay=False)
    return click.option("--save", type=kind, metavar="FILE.safetensors", help=help)


def save_to(path: Path, model: Module, *, err: bool = False) -> None:
    """Writes a model's weights and says so."""
    from blockgraph.running.weights import save_weights

    save_weights(model, path)
    click.echo(f"wrote {path}", err=err)


def reads_spec(command: F) -> F:
    """Adds `--set` and `--plugin`."""
    return with_sets(with_plugins(command))


@dataclass(slots=True)
class Found:
    """A spec that was read, as far as its errors let it."""

    diagnostics: Diagnostics = field(default_factory=Diagnostics)
    spec: Spec | None = None
    model: Model | None = None


def read(file: str, sets: tuple[str, ...] = (), plugins: tuple[str, ...] = (), *, analysed: bool = True) -> Found:
    """The spec, and its graph with shapes where `analysed`; everything found wrong is in `diagnostics`."""
    from blockgraph.specs.load import load_spec, load_text

    found = Found()
    if file == "-":
        found.spec = load_text(read_stdin(), found.diagnostics, name="<stdin>", sets=sets, plugins=plugins)
    else:
        found.spec = load_spec(file, found.diagnostics, sets=sets, plugins=plugins)
    if analysed and found.spec is not None:
        from blockgraph.builder.analyse import analyse

        found.model = analyse(found.spec, found.diagnostics)
    return found


def read_stdin() -> str:
    """Standard input as UTF-8, whatever the locale says."""
    try:
        return sys.stdin.buffer.read().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BlockgraphError(f"standard input is not UTF-8: {error.reason} at byte {error.start}") from None


def read_spec(file: str, sets: tuple[str, ...], plugins: tuple[str, ...], *, analysed: bool = True) -> Found:
    """`read`, where errors end the command and warnings go to stderr."""
    found = read(file, sets, plugins, analysed=analysed)
    found.diagnostics.raise_errors()
    if list(found.diagnostics):
        from blockgraph.specs.render import render_text

        click.echo(render_text(list(found.diagnostics), color=colored(sys.stderr)).rstrip("\n"), err=True)
    return found


def read_model(file: str, sets: tuple[str, ...], plugins: tuple[str, ...]) -> tuple[Spec, Model]:
    """A spec that describes a whole model, analysed. Raises BlockgraphError for a library of blocks."""
    found = read_spec(file, sets, plugins)
    if found.spec is None:
        raise SpecError(list(found.diagnostics))
    if found.model is None:
        raise BlockgraphError(
            f"{file} is a library: it has only blocks, so there is nothing to build; `extends:` uses it"
        )
    return found.spec, found.model


def console(*, stderr: bool = False) -> Console:
    """Rich's console: coloured on a terminal, otherwise plain text that is never cut to 80 columns."""
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() else 160
    return Console(stderr=stderr, highlight=False, width=width, no_color=None if colored(stream) else True)


def write_new(path: Path, data: bytes) -> None:
    """Writes a whole file or none: a reader never sees half of it. An OSError names the file that was asked for."""
    part = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_bytes(data)
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise OSError(error.errno, error.strerror, str(path)) from error
