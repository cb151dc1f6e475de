"""Random specs for property tests: any wiring, repeats, copies, shares, nested blocks, masks; always valid."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

WIDTH = 16
NORMS = ("layer_norm", "rms_norm")


@st.composite
def specs(draw: st.DrawFn, causal: bool | None = None, seq2seq: bool | None = None) -> dict[str, Any]:
    """A whole spec as plain data. `causal`: every self-attention is, so that the model decodes step by step."""
    look_ahead = draw(st.booleans()) if causal is None else not causal
    two = draw(st.booleans()) if seq2seq is None else seq2seq
    layer = _block(draw, ["x", "memory"] if two else ["x"], look_ahead, depth=draw(st.integers(0, 1)))
    spec: dict[str, Any] = {
        "blockgraph": 1,
        "name": "random",
        "vars": {"width": WIDTH, "vocab": 23, "layers": draw(st.integers(1, 4))},
        "blocks": {"Layer": layer} | _inner(draw, look_ahead),
        "inputs": {"tokens": {"tokens": "=vocab", "axis": "T"}},
        "nodes": {"embed": {"type": "embedding", "in": "tokens", "width": "=width"}},
    }
    nodes = spec["nodes"]
    if draw(st.booleans()):
        kind = draw(st.sampled_from(["learned", "sinusoidal"]))
        nodes["positions"] = {"type": "positions", "kind": kind} | ({"length": 32} if kind == "learned" else {})
    call: dict[str, Any] = {"type": "Layer", "repeat": "=layers"}
    if two:
        spec["inputs"] = {"source": {"tokens": "=vocab", "axis": "S"}} | spec["inputs"]
        memory = (
            _attention(draw, "read", True, layered=False)
            if draw(st.booleans())
            else {"type": "ffn", "hidden": 8, "in": "read"}
        )
        spec["nodes"] = {"read": {"type": "embedding", "in": "source", "width": "=width"}, "memory": memory} | nodes
        call["in"] = {"x": list(nodes)[-1], "memory": "memory"}
    if draw(st.booleans()):
        alike = "layer" not in str(spec["blocks"]).replace("layer_norm", "")
        call["copies"] = draw(st.sampled_from([1, "=layers"] if alike else ["=layers"]))
    spec["nodes"]["stack"] = call
    if draw(st.booleans()):
        spec["nodes"]["norm"] = draw(st.sampled_from(NORMS))
    tied = {"type": "linear", "tie": "embed", "bias": draw(st.booleans())}
    spec["nodes"]["logits"] = tied if draw(st.booleans()) else {"type": "linear", "width": "=vocab"}
    return spec


def _inner(draw: st.DrawFn, look_ahead: bool) -> dict[str, Any]:
    return {"Inner": _block(draw, ["x"], look_ahead, depth=0)}


def _block(draw: st.DrawFn, inputs: list[str], look_ahead: bool, depth: int) -> dict[str, Any]:
    nodes: dict[str, Any] = {}
    read: set[str] = set()
    for number in range(draw(st.integers(1, 5))):
        names = [name for name in (*inputs, *nodes) if name != "memory"]
        kind = draw(st.sampled_from(KINDS if depth == 0 else (*KINDS, "inner")))
        source, other = draw(st.sampled_from(names)), draw(st.sampled_from(names))
        read |= {source}
        node = _node(draw, kind, source, other, look_ahead)
        if isinstance(node.get("in"), list):
            read |= {other}
        if draw(st.integers(0, 9)) == 0:
            node["if"] = "=width > 100"
        nodes[f"n{number}"] = node
    if "memory" in inputs:
        query = draw(st.sampled_from([name for name in (*inputs, *nodes) if name != "memory"]))
        nodes["cross"] = _attention(draw, query, True) | {"in": {"query": query, "key": "memory"}}
        for word in ("causal", "window", "rope", "sparse", "global_tokens"):
            nodes["cross"].pop(word, None)
    shared = [name for name, node in nodes.items() if node["type"] in ("ffn", "linear") and "if" not in node]
    if shared and draw(st.booleans()):
        nodes["again"] = {"share": shared[0], "in": draw(st.sampled_from(list(nodes)))}
    # everything meets at the end, so that nothing is dead
    nodes["sum"] = {"type": "add", "in": [*(name for name in inputs if name != "memory"), *nodes]}
    return {"inputs": inputs, "nodes": nodes}


PATTERNS = (
    {"type": "dilated", "window": 3, "dilation": 2},
    {"type": "strided", "stride": 3},
    {"type": "fixed", "block": 3},
    {"type": "blocks", "block": 2},
)
KINDS = (
    "attention",
    "linear_attention",
    "ffn",
    "norm",
    "linear",
    "join",
    "multiply",
    "scale",
    "lstm",
    "gru",
    "cut",
    "add_norm",
    "softcap",
)


def _node(draw: st.DrawFn, kind: str, source: str, other: str, look_ahead: bool) -> dict[str, Any]:
    match kind:
        case "attention":
            return _attention(draw, source, look_ahead)
        case "linear_attention":
            node = {"type": kind, "heads": 2, "causal": not look_ahead or draw(st.booleans()), "in": source}
            return node | {"feature_map": draw(st.sampled_from(["elu", "favor"]))}
        case "ffn":
            hidden = draw(st.sampled_from([8, "=2*width", "=width + layer"]))
            return {
                "type": "ffn",
                "hidden": hidden,
                "gated": draw(st.booleans()),
                "bias": draw(st.booleans()),
                "in": source,
            }
        case "norm":
            return {
                "type": draw(st.sampled_from(NORMS)),
                "eps": draw(st.sampled_from([1e-5, "=1e-6 * (layer + 1)"])),
                "in": source,
            }
        case "linear":
            return {"type": "linear", "width": "=width", "bias": draw(st.booleans()), "in": source}
        case "join" | "add_norm":
            return {"type": "add" if kind == "join" else "add_norm", "in": [source, other]}
        case "multiply":
            return {"type": "multiply", "in": [source, other]}
        case "scale":
            return {"type": "scale", "by": draw(st.sampled_from([0.5, "=1 / (layer + 1)"])), "in": source}
        case "softcap":
            return {"type": "softcap", "cap": 5.0, "in": source}
        case "inner":
            return {"type": "Inner", "in": source}
        case "cut":
            return {"type": "activation", "kind": draw(st.sampled_from(["relu", "gelu", "silu", "tanh"])), "in": source}
    return {"type": kind, "width": "=width", "in": source}


def _attention(draw: st.DrawFn, source: str, look_ahead: bool, layered: bool = True) -> dict[str, Any]:
    heads = draw(st.sampled_from([1, 2, 4]))
    node: dict[str, Any] = {"type": "attention", "heads": heads, "in": source, "bias": draw(st.booleans())}
    if draw(st.booleans()):
        node["kv_heads"] = 1
    if not look_ahead or draw(st.booleans()):
        node["causal"] = True
    if draw(st.booleans()):
        node["rope"] = {"theta": draw(st.sampled_from([1e4, "=100.0 * (layer + 1)" if layered else 500.0]))}
    if draw(st.booleans()):
        node["window"] = draw(st.sampled_from([3, "=layer + 2" if layered else 5]))
    elif draw(st.booleans()):
        node["sparse"] = draw(st.sampled_from(PATTERNS))
    if ("window" in node or "sparse" in node) and draw(st.booleans()):
        node["global_tokens"] = 2
    if draw(st.booleans()):
        node["qk_norm"] = {"type": draw(st.sampled_from(NORMS))}
    return node
