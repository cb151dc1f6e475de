"""The look of each built-in block type: a function named as the type, from an analysed block to its `Face`.

A plugin's look is any such function; its kind is one of `faces.FILLS`, or another word, which is drawn grey.
"""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Any

from blockgraph.viz.faces import Face
from blockgraph.viz.text import count

if TYPE_CHECKING:
    from blockgraph.builder.graph import Leaf

ACTIVATIONS = {
    "relu": "ReLU",
    "relu2": "ReLU²",
    "gelu": "GELU",
    "gelu_tanh": "GELU",
    "silu": "SiLU",
    "quick_gelu": "Quick GELU",
    "tanh": "Tanh",
    "sigmoid": "Sigmoid",
    "exp": "Exp",
    "softmax": "Softmax",
    "identity": "Identity",
    "clipped": "Clipped SwiGLU",
    "relu6": "ReLU6",
    "leaky_relu": "Leaky ReLU",
    "mish": "Mish",
}
_GATED = {"silu": "SwiGLU", "gelu": "GeGLU", "gelu_tanh": "GeGLU", "relu": "ReGLU", "sigmoid": "GLU"}


def weights(leaf: Leaf) -> int:
    """Trainable numbers of the block itself."""
    return sum(prod(shape) for shape in leaf.weights.values())


def _option(leaf: Leaf, name: str, otherwise: Any = None) -> Any:
    return getattr(leaf.options, name, otherwise)


def _width(leaf: Leaf, port: str) -> int | None:
    values = leaf.inputs.all(port)
    return values[0].shape[-1].known if values and values[0].shape else None


def _out(leaf: Leaf) -> int | None:
    value = next(iter(leaf.outputs.values()), None)
    return value.shape[-1].known if value is not None and value.shape else None


def _facts(*facts: object) -> tuple[str, ...]:
    """One small line of what is known, parameters last; nothing where nothing is."""
    known = [str(fact) for fact in facts if fact]
    return (" · ".join(known),) if known else ()


def _amount(leaf: Leaf) -> str:
    return count(weights(leaf)) if leaf.weights else ""


def number(value: Any) -> str:
    """A number as a reader would write it."""
    return (
        f"{value:g}"
        if isinstance(value, float) and abs(value) < 1e6
        else f"{value:.0f}"
        if isinstance(value, float)
        else str(value)
    )


def embedding(leaf: Leaf) -> Face:
    table = next(iter(leaf.weights.values()), None)
    return Face("embedding", ("Embedding",), _facts(" × ".join(map(str, table)) if table else "", _amount(leaf)))


def positions(leaf: Leaf) -> Face:
    if _option(leaf, "kind") == "sinusoidal":
        source = Face("positions", (), shape="wave")
    else:
        table = next(iter(leaf.weights.values()), ())
        source = Face("embedding", ("Position", "Embedding"), _facts(" × ".join(map(str, table)), _amount(leaf)))
    return Face("elementwise", ("+",), shape="circle", beside=source)


def attention(leaf: Leaf) -> Face:
    heads: int = _option(leaf, "heads")
    kv_heads: int = _option(leaf, "kv_heads") or heads
    name = "Multi-Head" if kv_heads == heads else "Multi-Query" if kv_heads == 1 else "Grouped-Query"
    masked = ("Masked",) if _option(leaf, "causal") else ()
    said = (
        f"{heads} head{'s' * (heads > 1)}"
        if kv_heads == heads
        else f"{heads} Q heads · {kv_heads} KV head{'s' * (kv_heads > 1)}"
    )
    lines = (*masked, name, "Attention")
    return Face(
        "attention", lines, _facts(said, _amount(leaf)) + _attention_extras(leaf), beside=_beside_attention(leaf)
    )


def _attention_extras(leaf: Leaf) -> tuple[str, ...]:
    window, softcap = _option(leaf, "window"), _option(leaf, "softcap")
    return _facts(
        f"window {window}" if window else "",
        "QK norm" if _option(leaf, "qk_norm") else "",
        f"softcap {number(softcap)}" if softcap else "",
        "sinks" if _option(leaf, "sinks") else "",
        sparse_words(_option(leaf, "sparse")),
        f"{first} global token{'s' * (first > 1)}" if (first := _option(leaf, "global_tokens")) else "",
    )


def sparse_words(sparse: Any) -> str:
    """What a sparse pattern is called: `strided 64`, `window 32 × 4`."""
    if sparse is None:
        return ""
    size = sparse.stride or sparse.block
    said = {"bigbird": "block-sparse", "dilated": f"window {sparse.window} × {sparse.dilation}"}
    return said.get(sparse.type, f"{sparse.type} {size}")


def _beside_attention(leaf: Leaf) -> Face | None:
    rope = _option(leaf, "rope")
    if rope:
        scaled = "" if rope.type == "default" else f"{rope.type} × {number(rope.factor)}" if rope.factor else rope.type
        return Face("positions", ("RoPE", f"θ = {number(rope.theta)}"), _facts(scaled))
    return Face("positions", ("ALiBi",)) if _option(leaf, "alibi") else None


def latent_attention(leaf: Leaf) -> Face:
    masked = ("Masked",) if _option(leaf, "causal") else ()
    small = _facts(f"{_option(leaf, 'heads')} heads", f"KV rank {_option(leaf, 'kv_rank')}", _amount(leaf))
    return Face("attention", (*masked, "Multi-Head", "Latent Attention"), small, beside=_beside_attention(leaf))


def local_global_attention(leaf: Leaf) -> Face:
    small = _facts(f"{_option(leaf, 'heads')} heads", f"window {_option(leaf, 'window')}", _amount(leaf))
    return Face("attention", ("Local + Global", "Attention"), small)


def linear_attention(leaf: Leaf) -> Face:
    masked = ("Masked",) if _option(leaf, "causal") else ()
    small = _facts(f"{_option(leaf, 'heads')} heads", f"φ = {_option(leaf, 'feature_map')}", _amount(leaf))
    return Face("attention", (*masked, "Linear", "Attention"), small)


def linformer_attention(leaf: Leaf) -> Face:
    ranks = f"{_option(leaf, 'length')} → {_option(leaf, 'rank')} positions"
    return Face(
        "attention", ("Linformer", "Attention"), _facts(f"{_option(leaf, 'heads')} heads", ranks, _amount(leaf))
    )


def disentangled_attention(leaf: Leaf) -> Face:
    small = _facts(f"{_option(leaf, 'heads')} heads", _amount(leaf))
    return Face("attention", ("Disentangled", "Attention"), small)


def relative_bias(leaf: Leaf) -> Face:
    small = _facts(f"{_option(leaf, 'buckets')} buckets", _amount(leaf))
    return Face("positions", ("Relative", "Position Bias"), small)


def grid_bias(leaf: Leaf) -> Face:
    small = _facts(f"{_option(leaf, 'rows')} × {_option(leaf, 'columns')}", _amount(leaf))
    return Face("positions", ("Relative 2-D", "Position Bias"), small)


def ffn(leaf: Leaf) -> Face:
    act, gated, hidden = str(_option(leaf, "activation")), _option(leaf, "gated"), _option(leaf, "hidden")
    said = ACTIVATIONS.get(act, act)
    lines = (_GATED.get(act, f"Gated {said}"), "Feed Forward") if gated else ("Feed Forward", f"({said})")
    inner, outer = _width(leaf, "x"), _out(leaf)
    return Face("ffn", lines, _facts(f"{inner}→{hidden}→{outer}" if inner and outer else "", _amount(leaf)))


def moe(leaf: Leaf) -> Face:
    chosen = f"{_option(leaf, 'top_k')} of {_option(leaf, 'experts')} experts"
    width = _width(leaf, "x")
    small = _facts(f"{width}→{_option(leaf, 'hidden')}→{width}" if width else "", _amount(leaf))
    return Face("moe", ("Mixture", "of Experts"), (chosen, *small))


def add(leaf: Leaf) -> Face:
    return Face("elementwise", ("+",), shape="circle")


def multiply(leaf: Leaf) -> Face:
    return Face("elementwise", ("×",), shape="circle")


def add_norm(leaf: Leaf) -> Face:
    return Face("norm", ("Add & RMSNorm" if _option(leaf, "norm") == "rms_norm" else "Add & Norm",))


def layer_norm(leaf: Leaf) -> Face:
    return Face("norm", ("LayerNorm",), _facts(_amount(leaf)))


def rms_norm(leaf: Leaf) -> Face:
    return Face("norm", ("RMSNorm",), _facts(_amount(leaf)))


def linear(leaf: Leaf) -> Face:
    inner, outer = _width(leaf, "x"), _out(leaf)
    return Face("linear", ("Linear",), _facts(f"{inner} → {outer}" if inner and outer else "", _amount(leaf)))


def activation(leaf: Leaf) -> Face:
    kind = str(_option(leaf, "kind"))
    return Face("activation", (ACTIVATIONS.get(kind, kind),))


def scale(leaf: Leaf) -> Face:
    return Face("activation", (f"× {number(_option(leaf, 'by'))}",))


def softcap(leaf: Leaf) -> Face:
    return Face("activation", (f"Softcap {number(_option(leaf, 'cap'))}",))


def dropout(leaf: Leaf) -> Face:
    return Face("activation", (f"Dropout {number(_option(leaf, 'p'))}",))


def concat(leaf: Leaf) -> Face:
    return Face("join", ("Concat",), ("positions",) if _option(leaf, "along") == "positions" else ())


def split(leaf: Leaf) -> Face:
    return Face("join", ("Split",), _facts(*leaf.outputs))


def parameter(leaf: Leaf) -> Face:
    shape = _option(leaf, "shape", ())
    return Face("parameter", ("Parameter",), _facts(" × ".join(map(str, shape)) or "scalar"))


def patches(leaf: Leaf) -> Face:
    size = _option(leaf, "size", ())
    return Face("vision", ("Patches",), _facts(" × ".join(map(str, size)), _amount(leaf)))


def conv1d(leaf: Leaf) -> Face:
    stride = _option(leaf, "stride", 1)
    facts = _facts(f"kernel {_option(leaf, 'kernel')}", f"stride {stride}" if stride != 1 else "", _amount(leaf))
    return Face("vision", ("Convolution",), facts)


def pool(leaf: Leaf) -> Face:
    take = _option(leaf, "take")
    names = {"first": "First position", "last": "Last position", "mean": "Mean", "max": "Max"}
    names |= {"token": "At token", "highest": "At highest id"}
    said = names.get(take, f"Position {take}")
    return Face("pool", (f"{said} {_option(leaf, 'token')}" if take == "token" else said,))


def similarity(leaf: Leaf) -> Face:
    return Face("join", ("Cosine", "Similarity") if _option(leaf, "cosine") else ("Dot Products",))


def blank(leaf: Leaf) -> Face:
    return Face("elementwise", ("Blank", "Padding"))


def squeeze(leaf: Leaf) -> Face:
    return Face("join", ("Squeeze",))


def equal(leaf: Leaf) -> Face:
    return Face("join", ("Equal",))


def _recurrent(leaf: Leaf, name: str) -> Face:
    lines = ("Bidirectional", name) if _option(leaf, "bidirectional") else (name,)
    inner, outer = _width(leaf, "x"), _out(leaf)
    return Face("recurrent", lines, _facts(f"{inner} → {outer}" if inner and outer else "", _amount(leaf)))


def rnn(leaf: Leaf) -> Face:
    return _recurrent(leaf, "RNN")


def lstm(leaf: Leaf) -> Face:
    return _recurrent(leaf, "LSTM")


def gru(leaf: Leaf) -> Face:
    return _recurrent(leaf, "GRU")
