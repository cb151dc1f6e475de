"""DOT, Graphviz's language: quoting, and nothing else. Every word of a user's goes through `text`."""

from __future__ import annotations

from collections.abc import Mapping

from blockgraph.viz.text import clean


def name(value: str) -> str:
    """A node's name, a path such as `decoder.attn`, as a DOT string."""
    return f'"{value}"'


def text(value: str) -> str:
    """A label that shows `value` to the letter: `<b>` is no HTML, an entity stays as typed, `\\N` is not the node's
    name."""
    return '"' + clean(value).replace("\\", "\\\\").replace('"', '\\"').replace("&", "&amp;") + '"'


def number(value: float) -> str:
    """At most two decimals, no `-0`, no trailing zeros."""
    return f"{round(value, 2) + 0.0:.2f}".rstrip("0").rstrip(".")


def attributes(values: Mapping[str, str | float]) -> str:
    """`[a=1 b="x"]`; text must be quoted already where it needs to be."""
    return (
        "["
        + " ".join(f"{key}={value if isinstance(value, str) else number(value)}" for key, value in values.items())
        + "]"
    )
