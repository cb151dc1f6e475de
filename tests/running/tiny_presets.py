"""Every preset at a size that a test can afford: the same wiring, two layers, a vocabulary of 61."""

from __future__ import annotations

import blockgraph
from blockgraph.specs.spec import Spec

SIZES = {
    "width": 32, "embed_width": 10, "heads": 4, "hidden": 36, "layers": 2, "decoder_layers": 2, "decoder_heads": 4,
    "decoder_hidden": 36, "vocab": 61, "max_len": 64, "head_dim": 8, "rotary": 4, "length": 64, "window": 4,
    "buckets": 10, "max_distance": 20,
}  # fmt: skip
MORE: dict[str, list[str]] = {"phi-2": ["vars.rope.fraction=0.5"]}  # where these sizes do not fit each other


def tiny(name: str) -> Spec:
    """A preset with as many of `SIZES` as it has vars for."""
    variables = blockgraph.load(name).vars
    sets = [f"vars.{key}={size}" for key, size in SIZES.items() if type(variables.get(key)) is int]
    if isinstance(variables.get("kv_heads"), int):
        heads, groups = variables["heads"], variables["kv_heads"]
        sets.append(f"vars.kv_heads={ {1: 1, heads: 4}.get(groups, 2) }")
    return blockgraph.load(name, sets=[*sets, *MORE.get(name, ())])
