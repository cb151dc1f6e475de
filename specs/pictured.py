"""How a spec and an analysed model show themselves in a notebook.

Whoever can draw says so with `drawn_by` (`blockgraph/api.py` does); specs and graphs know nothing of pictures.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from blockgraph.specs.diagnostics import BlockgraphError

_artists: list[Callable[[Any], bytes]] = []


def drawn_by(artist: Callable[[Any], bytes]) -> None:
    """From now on `artist` draws what shows itself: it gets the object and returns SVG."""
    _artists[:] = [artist]


class Pictured:
    """Shows itself as a picture where notebooks ask for one (https://ipython.readthedocs.io, `_repr_mimebundle_`)."""

    __slots__ = ()

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str] | None:
        """SVG, and a line of text for where pictures cannot be; None where nobody draws, or nothing can be drawn."""
        if not _artists:
            return None
        try:
            picture = _artists[0](self).decode()
        except BlockgraphError:
            return None
        return {"image/svg+xml": picture, "text/plain": self._in_a_line()}

    def _in_a_line(self) -> str:
        name, about = getattr(self, "name", ""), getattr(self, "about", None)
        return f"{name}: {about}" if about else str(name)
