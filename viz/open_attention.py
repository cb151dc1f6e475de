"""Attention, opened: Figure 2 of Vaswani et al. 2017, with what later models added where it is present.

Axes: B batch, Q queries, K keys, H heads, G heads of keys and values, D features of a head.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from blockgraph.builder.graph import Leaf
from blockgraph.builder.rules_attention import AttentionRules, key_of, value_of
from blockgraph.builder.shapes import Size
from blockgraph.viz.faces import Face
from blockgraph.viz.figure import Frame
from blockgraph.viz.looks import number, sparse_words
from blockgraph.viz.open_parts import Flow, Parts, amount, linear, operation, product, said

SIDES = ("query", "key", "value")


@dataclass(frozen=True)
class _Sizes:
    batch: Size
    queries: Size
    keys: Size
    heads: int
    kv_heads: int
    head: int
    width: int
    widths: tuple[int, int, int]

    @classmethod
    def of(cls, leaf: Leaf) -> _Sizes:
        o: Any = leaf.options
        i = leaf.inputs
        query, key, value = i["query"], key_of(i), value_of(i)
        widths = (query.width, key.width, value.width)
        kv_heads, head = o.kv_heads or o.heads, AttentionRules.head_dim(o, i)
        return cls(query.shape[0], query.shape[1], key.shape[1], o.heads, kv_heads, head, query.width, widths)

    def text(self, *sizes: object) -> str:
        return f"[{', '.join(map(str, (self.batch, *sizes)))}]"


def attention(leaf: Leaf, id: str) -> Frame:
    """Linear → scaled dot-product attention → Concat → Linear."""
    given = tuple(port for port in (*SIDES, "mask", "bias") if port in leaf.inputs)
    data = tuple(port for port in SIDES if port in given)
    whole, sizes = Parts(Frame(id, ports=given, data=data)), _Sizes.of(leaf)
    read = {"query": "query", "key": "key" if "key" in given else "query"}
    read["value"] = "value" if "value" in given else read["key"]
    flows = {side: _projected(whole, leaf, sizes, side, whole.port(read[side])) for side in SIDES}
    flows |= {port: whole.port(port) for port in ("mask", "bias") if port in given}
    heads = sizes.text(sizes.heads, sizes.queries, sizes.head)
    mixed = whole.put("scores", _scaled_dot_product(leaf, f"{id}.scores", sizes), heads, **flows)
    inner = sizes.heads * sizes.head
    joined = whole.add("concat", Face("join", ("Concat",)), sizes.text(sizes.queries, inner), x=mixed)
    out = whole.add("out", linear(leaf, "out", inner, sizes.width), x=joined)
    whole.frame.settle()
    return whole.end(out)


def _projected(whole: Parts, leaf: Leaf, sizes: _Sizes, side: str, source: Flow) -> Flow:
    """A side's linear layer, then its norm and its rotation."""
    o: Any = leaf.options
    heads = sizes.heads if side == "query" else sizes.kv_heads
    inner = sizes.widths[SIDES.index(side)]
    shape = sizes.text(heads, sizes.queries if side == "query" else sizes.keys, sizes.head)
    clipped = (f"clipped at ±{number(o.clip)}",) if o.clip else ()
    face = linear(leaf, side, inner, heads * sizes.head, *clipped, label=f"Linear {side[0].upper()}")
    flow = whole.add(side, face, shape, x=source)
    if side == "value":
        return flow
    if o.qk_norm is not None:
        flow = whole.add(f"{side}_norm", _norm(leaf, side), shape, x=Flow(flow.end))
    if o.rope is not None:
        flow = whole.add(f"{side}_rope", _rope(o.rope), shape, x=Flow(flow.end))
    return flow


def _norm(leaf: Leaf, side: str) -> Face:
    o: Any = leaf.options
    norm = o.qk_norm
    over = "over all heads" if norm.over == "all" else "per head, each its own" if norm.per_head else "per head"
    name = "RMSNorm" if norm.type == "rms_norm" else "LayerNorm"
    return Face("norm", (name,), said(over, amount(leaf, f"{side}_norm")))


def _rope(rope: Any) -> Face:
    share = f"{number(rope.fraction)} of each head" if rope.fraction != 1 else ""
    return Face("positions", ("RoPE",), said(f"θ = {number(rope.theta)}", share))


def _scaled_dot_product(leaf: Leaf, id: str, sizes: _Sizes) -> Frame:
    """MatMul → Scale → Mask → SoftMax → MatMul."""
    o: Any = leaf.options
    extra = tuple(port for port in ("mask", "bias") if port in leaf.inputs)
    heads = (
        f"({sizes.heads} head{'s' * (sizes.heads > 1)})",
        *((f"({sizes.kv_heads} of keys)",) if sizes.kv_heads != sizes.heads else ()),
    )
    caption = ("Scaled", "Dot-Product", "Attention", *heads)
    inner = Parts(Frame(id, ports=(*SIDES, *extra), caption=caption, data=SIDES, right=("key", "value")))
    shape = sizes.text(sizes.heads, sizes.queries, sizes.keys)
    scores = inner.add("product", product(), shape, query=inner.port("query"), key=inner.port("key"))
    for name, face, port in _steps(leaf, sizes):
        sources = {port: inner.port(port)} if port else {}
        scores = inner.add(name, face, x=scores, **sources)
    dropout = f"dropout {number(o.dropout)}" if o.dropout else ""
    soft = Face("activation", ("SoftMax",), said("a sink for each head" if o.sinks else "", dropout))
    weights = inner.add("softmax", soft, x=scores)
    return inner.end(inner.add("mix", product(), x=weights, value=inner.port("value")))


def _steps(leaf: Leaf, sizes: _Sizes) -> list[tuple[str, Face, str]]:
    """What is done to the scores before the softmax, in order: name, face, and the port that it reads besides."""
    o: Any = leaf.options
    alibi = ("alibi", Face("elementwise", ("+",), shape="circle", beside=Face("positions", ("ALiBi",))), "")
    by = f"1/√{sizes.head}" if o.scale is None else f"× {number(o.scale)}"
    early = o.alibi is not None and o.alibi.scaled
    steps = [alibi] if early else []
    if o.scale != 1:
        steps.append(("scale", operation(f"Scale {by}"), ""))
    if o.softcap:
        steps.append(("softcap", operation(f"Softcap {number(o.softcap)}"), ""))
    if o.alibi is not None and not early:
        steps.append(alibi)
    if "bias" in leaf.inputs:
        steps.append(("bias", Face("elementwise", ("+",), shape="circle"), "bias"))
    kinds = ["causal" if o.causal else "", f"window {o.window}" if o.window else "", sparse_words(o.sparse)]
    if any(kinds) or "mask" in leaf.inputs:
        steps.append(("mask", operation("Mask", *kinds), "mask" if "mask" in leaf.inputs else ""))
    return steps
