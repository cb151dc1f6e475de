"""The specs that are shipped: `extends: gpt2` and `blockgraph new gpt2` mean these.

A file whose name begins with `_` is a fragment: what several presets have in common. It can be extended, but it is no
spec, so no list has it.
"""

from __future__ import annotations

from functools import lru_cache
from importlib.resources import files
from pathlib import Path


@lru_cache(maxsize=1)
def _files() -> list[str]:
    entries = files("blockgraph.specs").joinpath("presets").iterdir()
    return sorted(entry.name[:-5] for entry in entries if entry.name.endswith(".yaml"))


def names() -> list[str]:
    """All presets' names, sorted."""
    return [name for name in _files() if not name.startswith("_")]


def fragments() -> list[str]:
    """The names of what presets have in common, sorted."""
    return [name for name in _files() if name.startswith("_")]


def path(name: str) -> Path:
    """The file of a preset or fragment. Raises KeyError where there is none of that name."""
    if name not in _files():
        raise KeyError(name)
    return Path(str(files("blockgraph.specs").joinpath("presets", f"{name}.yaml")))


def text(name: str) -> str:
    """The YAML of a preset or fragment. Raises KeyError where there is none of that name."""
    return path(name).read_text("utf-8")
