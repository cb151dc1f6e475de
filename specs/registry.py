"""The block types: one entry each, naming its four faces.

| face    | where                      | what                                                             |
|---------|----------------------------|------------------------------------------------------------------|
| options | `specs/options.py`         | a Pydantic model                                                 |
| rules   | `builder/rules_*.py`       | shapes, weights, FLOPs, state: from the spec alone, no torch     |
| module  | `blocks/*.py`              | an `nn.Module`, torch only                                       |
| look    | `viz/looks.py`             | kind (hence colour) and label                                    |

Faces are named by `module:attribute` so that naming a block type imports none of them.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from blockgraph.specs.options import Options


@dataclass(frozen=True, slots=True)
class Port:
    """An input of a block type. `follows` names the port whose value it takes when left open (key: query); what is not
    `drawn` says only where padding is."""

    name: str
    optional: bool = False
    many: bool = False
    follows: str | None = None
    drawn: bool = True


@dataclass(frozen=True, slots=True)
class BlockType:
    """One built-in type, or a user's own (an instance of this in a plugin file is all that registers it).

    `options`, `rules`, `look` are objects or `module:attribute` names; `module` is the Python module that holds the
    classes that `rules.construct` names. `outputs` is empty where the options say which there are (`split`).
    """

    name: str
    summary: str
    ports: tuple[Port, ...]
    options: type[Options] | str
    rules: Any
    module: Any
    look: Any
    outputs: tuple[str, ...] = ("out",)
    formula: str = ""
    paper: str = ""

    def port(self, name: str) -> Port | None:
        return next((port for port in self.ports if port.name == name), None)


def resolve(face: Any) -> Any:
    """The object behind a face's `module:attribute` name; anything but text is the object itself."""
    if not isinstance(face, str):
        return face
    module, _, attribute = face.partition(":")
    found = importlib.import_module(module)
    return getattr(found, attribute) if attribute else found
