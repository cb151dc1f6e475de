"""Which shipped preset draws a published model: by `model_type` and `architectures` of its own `huggingface:` section.

A preset that only inherits the section draws none: another head is another preset, with `architectures` of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from blockgraph.specs import presets
from blockgraph.specs.diagnostics import Diagnostics
from blockgraph.specs.places import Source
from blockgraph.specs.reader import read
from blockgraph.specs.tree import find, plain

Outputs = Mapping[str, str]  # a name of the reference library: a node of the spec


@lru_cache(maxsize=256)
def _own(preset: str) -> Mapping[str, Any]:
    """What a preset's file itself says under `huggingface:`, not what it inherits."""
    text = presets.text(preset)
    if "\nhuggingface:" not in text:
        return {}
    tree = read(Source(f"presets/{preset}.yaml", text), Diagnostics())
    found = find(tree, ("huggingface",)) if tree else None
    return (plain(found) if found else None) or {}


def model_types(preset: str) -> tuple[str, ...]:
    """The model types that a preset itself names."""
    value = _own(preset).get("model_type") or ()
    return (value,) if isinstance(value, str) else tuple(value)


def known_types() -> list[str]:
    """All model types that shipped presets know, sorted."""
    return sorted({model_type for name in presets.names() for model_type in model_types(name)})


def preset_for(model_type: str) -> str | None:
    """The shipped preset that reads models of this type: of those that name it themselves, the first by name."""
    return next((name for name in presets.names() if model_type in model_types(name)), None)


@lru_cache(maxsize=256)
def heads(model_type: str) -> Mapping[str, tuple[str, Outputs | None]]:
    """The classes that config.json may name for a model type: the preset that draws each, and its own outputs."""
    return {
        head: (name, outputs)
        for name in presets.names()
        for head, outputs in (_own(name).get("architectures") or {}).items()
        if model_type in _read_types(name)
    }


def _read_types(preset: str) -> tuple[str, ...]:
    """The model types that a preset names itself, or inherits where it only adds a head."""
    if found := model_types(preset):
        return found
    tree = read(Source(f"presets/{preset}.yaml", presets.text(preset)), Diagnostics())
    base = find(tree, ("extends",)) if tree else None
    above = plain(base) if base else ()
    return tuple(each for name in ([above] if isinstance(above, str) else above) for each in _read_types(name))


def table() -> list[tuple[str, str, str]]:
    """Every model type with each of its classes and the preset that draws it, in the order of their names."""
    return sorted((kind, head, preset) for kind in known_types() for head, (preset, _) in heads(kind).items())
