"""blockgraph: one YAML file becomes a Transformer, validated, built in PyTorch, trained, sampled and drawn.

Importing it loads nothing heavy: each name below brings in what it needs when it is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from blockgraph.api import build, check, draw, export, from_huggingface, load, quantize
    from blockgraph.blocks.model import Model
    from blockgraph.specs.diagnostics import Diagnostic, SpecError
    from blockgraph.specs.registry import BlockType, Port
    from blockgraph.specs.spec import Spec

__version__ = "0.1.0"
__all__ = [
    "BlockType",
    "Diagnostic",
    "Model",
    "Port",
    "Spec",
    "SpecError",
    "__version__",
    "build",
    "check",
    "draw",
    "export",
    "from_huggingface",
    "load",
    "quantize",
]

_PLACES = {
    "BlockType": "blockgraph.specs.registry",
    "Diagnostic": "blockgraph.specs.diagnostics",
    "Model": "blockgraph.blocks.model",
    "Port": "blockgraph.specs.registry",
    "Spec": "blockgraph.specs.spec",
    "SpecError": "blockgraph.specs.diagnostics",
    "build": "blockgraph.api",
    "check": "blockgraph.api",
    "draw": "blockgraph.api",
    "export": "blockgraph.api",
    "from_huggingface": "blockgraph.api",
    "load": "blockgraph.api",
    "quantize": "blockgraph.api",
}


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module 'blockgraph' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_PLACES[name]), name)


def __dir__() -> list[str]:
    return __all__
