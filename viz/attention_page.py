"""Attention as a page: one file without a network, on which one goes from word to word over all layers and heads."""

from __future__ import annotations

import base64
import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blockgraph.viz.html import as_json, asset, policy

STEPS = 65535  # a weight on the page is a whole number of so many parts
SINK = "sink"  # stands among the keys for what a head's sink took

Word = tuple[str, bool]  # what stands for a token, and whether it continues the word before


@dataclass(frozen=True)
class Heads:
    """One attention's heads. `weights` float [H, Q, K] for `queries` (Q) and `keys` (K); where heads have sinks, the
    last key is `SINK`. `stack` is what its layers have in common."""

    node: str
    stack: str
    layer: int
    cross: bool
    heads: tuple[int, ...]
    queries: tuple[Word, ...]
    keys: tuple[Word, ...]
    weights: NDArray[np.float32]


def write_page(maps: Sequence[Heads], title: str, notes: Sequence[str] = ()) -> str:
    """The page, complete in itself; its weights are rounded to 1/65535."""
    style, script = asset("attention_page.css"), asset("attention_page.js")
    values = {
        "policy": policy(script, style),
        "title": escape(title),
        "notes": "".join(f"<p>{escape(note)}</p>" for note in notes),
        "style": style,
        "data": as_json({**_described(maps), "packed": packed(maps)}),
        "script": script,
    }
    return re.sub(r"\{\{(\w+)\}\}", lambda match: values[match[1]], asset("attention_page.html"))


def _described(maps: Sequence[Heads]) -> dict[str, Any]:
    texts: dict[tuple[Word, ...], int] = {}

    def number(words: tuple[Word, ...]) -> int:
        return texts.setdefault(words, len(texts))

    told = [
        {
            "node": one.node,
            "stack": one.stack,
            "layer": one.layer,
            "cross": one.cross,
            "heads": one.heads,
            "queries": number(one.queries),
            "keys": number(one.keys),
            "sink": one.keys[-1:] == ((SINK, False),),
        }
        for one in maps
    ]
    return {"texts": list(texts), "maps": told}


def packed(maps: Sequence[Heads]) -> str:
    """All weights one behind the other as 16-bit numbers, low byte first, compressed."""
    numbers = [np.rint(one.weights * STEPS).astype("<u2").tobytes() for one in maps]
    return base64.b64encode(zlib.compress(b"".join(numbers), 9)).decode()
