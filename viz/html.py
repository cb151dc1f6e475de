"""The interactive page: one file without a network, whose blocks open and close.

It holds its pictures drawn ahead of time, packed; a policy in its head lets nothing run but its own script, and nothing
be loaded. Whatever a spec says reaches it as escaped text.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from html import escape
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from blockgraph.viz.facts import facts, find_node
from blockgraph.viz.open_block import has_inside
from blockgraph.viz.states import Open, Tree, pictures, showing, tree
from blockgraph.viz.svg import write_svg
from blockgraph.viz.text import clean
from blockgraph.viz.themes import sheet
from blockgraph.viz.view import DEFAULT, View

if TYPE_CHECKING:
    from blockgraph.builder.graph import Model
    from blockgraph.viz.drawing import Drawing

DARK = "@media (prefers-color-scheme:dark){"
EMPTY: dict[str, Any] = {"tree": {}, "start": [], "facts": {}, "direction": "up", "unroll": False, "fixed": False}
SWITCHED = ("paper", "dark", "auto")  # themes between which the page's switch chooses


@dataclass(frozen=True)
class Figure:
    """A model as the page shows it: what can be opened, the picture of each choice, and the facts."""

    model: Model
    view: View = DEFAULT

    @cached_property
    def tree(self) -> Tree:
        return tree(self._compose, self.view, self._opens)

    @cached_property
    def data(self) -> dict[str, Any]:
        """What the script needs to know beside the pictures."""
        return {
            "name": self.view.title or clean(self.model.name),
            "tree": self.tree.parents,
            "start": sorted(self.tree.start),
            "facts": facts(self.model, self.tree.ids),
            "direction": self.view.direction,
            "unroll": self.view.unroll,
            "fixed": self.view.theme not in SWITCHED,
        }

    @cached_property
    def first(self) -> str:
        """The picture that the page starts with."""
        return self._write(self.view)

    def picture(self, state: Open) -> str:
        """The SVG with exactly these blocks opened; what cannot be opened is left out."""
        return self._write(showing(self.view, self.tree.within(state)))

    def packed(self) -> str:
        """The pictures as JSON, compressed: the lines of all of them, each once and sorted, then for every picture the
        opened blocks (their numbers in `tree`) and the numbers of its lines."""
        numbers = {name: number for number, name in enumerate(self.tree.parents)}
        drawn = {state: svg.splitlines() for state, svg in pictures(self.tree, self.picture).items()}
        lines = {line: n for n, line in enumerate(sorted({line for svg in drawn.values() for line in svg}))}
        pairs = [
            (",".join(str(n) for n in sorted(map(numbers.__getitem__, state))), list(map(lines.__getitem__, svg)))
            for state, svg in drawn.items()
        ]
        text = json.dumps([list(lines), pairs], separators=(",", ":"))
        return base64.b64encode(zlib.compress(text.encode(), 9)).decode()

    def _compose(self, view: View) -> Drawing:
        from blockgraph.viz.draw import compose  # it draws pages too

        return compose(self.model, view)

    def _write(self, view: View) -> str:
        shown = replace(view, theme="paper") if view.theme in SWITCHED else view
        svg = write_svg(self._compose(shown), shown, clean(self.model.name), self.model.about)
        return svg.partition("?>\n")[2]

    def _opens(self, id: str) -> bool:
        from blockgraph.builder.graph import Definition

        found = find_node(self.model, id)
        bodies = [step.body for step in found.call.steps] if found else []
        return any(isinstance(body, Definition) or has_inside(body) for body in bodies)


def write_html(model: Model, view: View = DEFAULT) -> str:
    """The page of a model, complete in itself; the same text for the same spec on every machine."""
    figure = Figure(model, view)
    return fill(figure, {**figure.data, "packed": figure.packed()})


def fill(figure: Figure | None, data: Mapping[str, Any], *, live: bool = False, name: str = "") -> str:
    """The page with this data. A `live` one talks to the server that it came from, and may start without a figure."""
    name = str(data["name"]) if figure else name
    theme = "dark" if figure and figure.view.theme == "dark" else "auto"
    script = asset("page.js") + (asset("live.js") if live else "")
    fixed = figure is not None and figure.view.theme not in SWITCHED
    style = asset("page.css") + ("" if fixed else recoloured())
    values = {
        "theme": theme,
        "policy": policy(script, style, live=live),
        "title": escape(name),
        "name": escape(name),
        "about": escape(clean(figure.model.about or "")) if figure else "",
        "style": style,
        "picture": figure.first if figure else "",
        "data": as_json(data),
        "script": script,
    }
    return re.sub(r"\{\{(\w+)\}\}", lambda match: values[match[1]], asset("page.html"))


def policy(script: str, style: str, *, live: bool = False) -> str:
    """The page's Content-Security-Policy: its own script and style by their hashes, and nothing else at all."""
    allowed = [f"{kind}-src '{_hash(text)}'" for kind, text in (("script", script), ("style", style))]
    more = ["connect-src 'self'"] if live else []
    return "; ".join(["default-src 'none'", *allowed, *more, "base-uri 'none'", "form-action 'none'"])


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def as_json(data: Mapping[str, Any]) -> str:
    """JSON that may stand inside a script element: nothing in it ends or opens an element or a comment."""
    text = json.dumps(data)  # ASCII only: no line separators that scripts trip over
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def recoloured() -> str:
    """Rules that turn pictures in paper's colours dark: where the system asks for it, or the page's switch does."""
    auto = sheet(':root[data-theme="auto"] .blockgraph')
    return "\n" + auto + "\n" + sheet(':root[data-theme="dark"] .blockgraph').removeprefix(DARK)[:-1] + "\n"


@lru_cache(maxsize=8)
def asset(name: str) -> str:
    """One of the files that the page is made of."""
    return files("blockgraph.viz").joinpath(name).read_text("utf-8")
