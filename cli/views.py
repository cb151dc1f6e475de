"""The options of every command that draws: how much is shown, and in which look."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from functools import wraps
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])

DIRECTIONS = ("up", "down", "right", "left")
THEMES = ("paper", "dark", "cvd", "mono", "auto")


class Depth(click.ParamType[int]):
    """A number of levels, or `all`."""

    name = "0…n|all"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        from blockgraph.viz.view import ALL

        if isinstance(value, int):
            return value
        if value == "all":
            return ALL
        if not str(value).isdecimal():
            self.fail(f"{value!r} is neither a number from 0 up nor 'all'", param, ctx)
        return min(int(value), ALL)


_OPTIONS = (
    click.option(
        "--depth",
        type=Depth(),
        help="How many blocks inside blocks are opened: 0 none, 1 the outermost, … all, built-in ones too.  "
        "[default: all but built-in ones]",
    ),
    click.option("--open", metavar="NODE", multiple=True, help="Open this block, e.g. decoder.attn. Repeatable."),
    click.option("--close", metavar="NODE", multiple=True, help="Leave this block closed. Repeatable."),
    click.option("--unroll", is_flag=True, help="Draw the copies of a repeated block one by one."),
    click.option("--shapes/--no-shapes", default=True, help="Shapes on the lines.  [default: shapes]"),
    click.option("--params/--no-params", default=True, help="Parameters in the boxes.  [default: params]"),
    click.option(
        "--direction", type=click.Choice(DIRECTIONS), default="up", show_default=True, help="Where the data flows."
    ),
    click.option("--theme", type=click.Choice(THEMES), default="paper", show_default=True, help="The colours."),
    click.option("--font", metavar="NAME", help="The font's family."),
    click.option("--title", metavar="TEXT", help="A line under the picture."),
    click.option("--prefix", metavar="TEXT", help="What ids in an SVG start with, where several share a page."),
)


def with_view(command: F) -> F:
    """Adds the options of a `View`; the command gets it as `view`."""

    @wraps(command)
    def viewed(**values: Any) -> Any:
        from blockgraph.viz.view import View

        names = [field.name for field in fields(View) if field.name in values]
        view = View(**{name: values.pop(name) for name in names})
        return command(**values, view=view)

    for option in reversed(_OPTIONS):
        viewed = option(viewed)
    return viewed  # type: ignore[return-value]
