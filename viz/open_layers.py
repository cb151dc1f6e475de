"""Feed-forward layers, sums with a norm and mixtures of experts, opened."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from blockgraph.builder.graph import Leaf
from blockgraph.viz.faces import Face
from blockgraph.viz.figure import Frame
from blockgraph.viz.looks import ACTIVATIONS, number
from blockgraph.viz.open_parts import Flow, Parts, amount, linear, said


def ffn(leaf: Leaf, id: str) -> Frame:
    """Linear → activation → Linear; gated, the activation's output times a second Linear."""
    o: Any = leaf.options
    parts = Parts(Frame(id, ports=("x",)))
    width = leaf.inputs["x"].width
    hidden = _hidden(parts, leaf, width, _features(leaf))
    return parts.end(parts.add("down", linear(leaf, "down", o.hidden, width), x=hidden))


def _features(leaf: Leaf) -> str:
    """The hidden layer's shape."""
    o: Any = leaf.options
    return str(leaf.inputs["x"].widened(o.hidden))


def _hidden(parts: Parts, leaf: Leaf, width: int, shape: str) -> Flow:
    o: Any = leaf.options
    dropout = (f"dropout {number(o.dropout)}",) if getattr(o, "dropout", 0) else ()
    act = Face("activation", (ACTIVATIONS.get(o.activation, o.activation),), () if o.gated else dropout)
    if not o.gated:
        up = parts.add("up", linear(leaf, "up", width, o.hidden), shape, x=parts.port("x"))
        return parts.add("activation", act, shape, x=Flow(up.end))
    gate = parts.add("gate", linear(leaf, "gate", width, o.hidden), shape, x=parts.port("x"))
    passed = parts.add("activation", act, x=gate)
    up = parts.add("up", linear(leaf, "up", width, o.hidden), x=parts.port("x"))
    return parts.add("product", Face("elementwise", ("×",), shape="circle"), shape, x=passed, up=up)


def add_norm(leaf: Leaf, id: str) -> Frame:
    """All inputs summed, then the norm. The first input is the residual; the last one is what the column stands on."""
    o: Any = leaf.options
    ports = tuple(f"x:{number}" for number in reversed(range(len(leaf.inputs.all("x")))))
    parts = Parts(Frame(id, ports=ports, data=ports))
    total = parts.add("sum", Face("elementwise", ("+",), shape="circle"), **{port: parts.port(port) for port in ports})
    name = "RMSNorm" if o.norm == "rms_norm" else "LayerNorm"
    return parts.end(parts.add("norm", Face("norm", (name,), said(amount(leaf, "weight", "bias"))), x=total))


def moe(leaf: Leaf, id: str) -> Frame:
    """The router scores the experts; the chosen ones' outputs are summed with their scores as weights."""
    o: Any = leaf.options
    parts = Parts(Frame(id, ports=("x",)))
    x = leaf.inputs["x"]
    worked = parts.put("experts", _experts(leaf, f"{id}.experts"), x=parts.port("x"))
    scores = str(x.widened(o.experts))
    routed = parts.add("router", linear(leaf, "router", x.width, o.experts, label="Router"), scores, x=parts.port("x"))
    chosen = parts.add("top", _choice(o), str(x.widened(o.top_k)), x=routed)
    scale = (f"× {number(o.scale)}",) if o.scale != 1 else ()
    total = Face("elementwise", ("Weighted Sum",), said(f"of {o.top_k} experts") + scale)
    return parts.end(parts.add("sum", total, x=worked, weights=chosen))


def _choice(o: Any) -> Face:
    """How the experts are chosen and their weights made."""
    groups = f"from {o.top_groups or o.groups} of {o.groups} groups" if o.groups > 1 else ""
    score = {"softmax": "softmax, then choose", "sigmoid": "sigmoid, then choose"}.get(o.score, "softmax of the chosen")
    normalized = "weights sum to 1" if o.normalize and o.score != "softmax_after" else ""
    more = (normalized, "bias for the choice" if o.correction else "")
    return Face("activation", (f"Top {o.top_k} of {o.experts}",), said(groups) + said(score) + said(*more))


def _experts(leaf: Leaf, id: str) -> Frame:
    """One expert, stacked."""
    o: Any = leaf.options
    parts = Parts(Frame(id, ports=("x",), times=f"{o.experts}×", caption=("experts,", f"top {o.top_k}")))
    width = leaf.inputs["x"].width
    one = replace(leaf, weights=_of_one(leaf))
    hidden = _hidden(parts, one, width, _features(leaf))
    return parts.end(parts.add("down", linear(one, "down", o.hidden, width), x=hidden))


def _of_one(leaf: Leaf) -> dict[str, tuple[int, ...]]:
    """One expert's weights, by the names that a feed-forward layer gives them."""
    own = {key: shape for key, shape in leaf.weights.items() if key.startswith("experts.")}
    return {key.removeprefix("experts."): shape[1:] for key, shape in own.items()}
