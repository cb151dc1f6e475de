"""The specs that are shipped: `extends: gpt2` and `blockgraph new gpt2` mean these."""

from __future__ import annotations

from functools import lru_cache
from importlib.resources import files
from pathlib import Path


@lru_cache(maxsize=1)
def names() -> list[str]:
    """All presets' names, sorted."""
    return sorted(
        entry.name[:-5]
        for entry in files("blockgraph.specs").joinpath("presets").iterdir()
        if entry.name.endswith(".yaml")
    )


def path(name: str) -> Path:
    """The file of a preset. Raises KeyError where there is none of that name."""
    if name not in names():
        raise KeyError(name)
    return Path(str(files("blockgraph.specs").joinpath("presets", f"{name}.yaml")))


def text(name: str) -> str:
    """The YAML of a preset. Raises KeyError where there is none of that name."""
    if name not in names():
        raise KeyError(name)
    return files("blockgraph.specs").joinpath("presets", f"{name}.yaml").read_text("utf-8")
