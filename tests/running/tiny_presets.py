"""Every preset at a size that a test can afford: the same wiring, two layers, a vocabulary of 61."""

from __future__ import annotations

import blockgraph
from blockgraph.specs import presets
from blockgraph.specs.spec import Spec

SIZES = {
    "width": 32, "embed_width": 10, "heads": 4, "hidden": 36, "layers": 2, "decoder_layers": 2, "decoder_heads": 4,
    "decoder_hidden": 36, "vocab": 61, "max_len": 64, "head_dim": 8, "rotary": 4, "length": 64, "window": 4,
    "buckets": 10, "max_distance": 20, "embed": 32, "encoder_heads": 4, "encoder_hidden": 36, "encoder_layers": 2,
    "height": 16, "image": 16, "patch": 4, "frames": 48, "experts": 4, "top_k": 2, "expert_hidden": 20, "mels": 8, "span": 8,
    "size": 16,
}  # fmt: skip
MORE: dict[str, list[str]] = {"phi-2": ["vars.rope.fraction=0.5"]}  # where these sizes do not fit each other


def tiny(name: str) -> Spec:
    """A preset with as many of `SIZES` as it has vars for."""
    variables = blockgraph.load(name).vars
    sets = [f"vars.{key}={size}" for key, size in SIZES.items() if type(variables.get(key)) is int]
    if isinstance(variables.get("kv_heads"), int):
        heads, groups = variables["heads"], variables["kv_heads"]
        sets.append(f"vars.kv_heads={ {1: 1, heads: 4}.get(groups, 2) }")
    for tower in ("text", "image"):
        parts = variables.get(tower) if isinstance(variables.get(tower), dict) else {}
        sets += [f"vars.{tower}.{key}={size}" for key, size in SIZES.items() if type(parts.get(key)) is int]
    return blockgraph.load(name, sets=[*sets, *MORE.get(name, ())])


def models() -> list[str]:
    """The presets that are models (not parts for others to extend), one of each graph: not other sizes of it."""
    sizes = ("gpt2-", "gpt3", "llama3-405b")
    return [name for name in presets.names() if not name.startswith(("_", *sizes))]
