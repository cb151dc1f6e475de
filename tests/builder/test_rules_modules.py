"""What rules say of a node equals what its module is and does: weights, output shapes, FLOPs, state (on meta)."""

from __future__ import annotations

import ast
import inspect
from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from blockgraph.builder.rules import Inputs, Rules
from blockgraph.builder.shapes import Value
from blockgraph.specs.builtin import BUILTIN
from blockgraph.specs.registry import resolve

X = Value.of(2, 6, 12)
LONG = Value.of(2, 300, 12)
S = Value.of(2, 9, 20)
S12 = Value.of(2, 9, 12)
IDS = Value(Value.of(2, 6).shape, "int", vocabulary=50)
DTYPES = {"float": torch.float32, "int": torch.int64, "bool": torch.bool}
LATENT = {"heads": 3, "kv_rank": 5, "head_dim": 4, "rope_dim": 2, "value_dim": 7}

# type, options, ports → their values; a port's value may be another port's name: the same edge
CASES: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "embedding": ("embedding", {"width": 8, "scale": 2}, {"ids": IDS}),
    "frozen": ("embedding", {"width": 8, "freeze": True}, {"ids": IDS}),
    "learned": ("positions", {"kind": "learned", "length": 9, "offset": 2, "skip_padding": True}, {"x": X}),
    "learned, known axis": ("positions", {"kind": "learned"}, {"x": X}),
    "sinusoidal": ("positions", {"kind": "sinusoidal", "layout": "halves", "endpoint": True, "theta": 5}, {"x": X}),
    "positions of ids": ("positions", {"kind": "learned", "length": 9, "offset": 2, "pad": 1}, {"x": X, "ids": IDS}),
    "waves of ids": ("positions", {"kind": "sinusoidal", "offset": 2, "pad": 1}, {"x": X, "ids": IDS}),
    "disentangled": ("disentangled_attention", {"heads": 3, "dropout": 0.1}, {"x": X, "table": Value.of(8, 5)}),
    "disentangled, shared": (
        "disentangled_attention",
        {"heads": 2, "head_dim": 7, "shared": True, "max_distance": 20, "from_position": False, "bias": False},
        {"x": X, "table": Value.of(8, 12)},
    ),
    "disentangled, some biases": (
        "disentangled_attention",
        {"heads": 3, "bias": {"key": False, "position_key": False}},
        {"x": X, "table": Value.of(8, 12)},
    ),
    "disentangled, no table": ("disentangled_attention", {"heads": 3}, {"x": X}),
    "blank": ("blank", {}, {"x": X}),
    "squeeze": ("squeeze", {}, {"x": Value.of(2, 6, 1)}),
    "self-attention": ("attention", {"heads": 3}, {"query": X}),
    "causal": ("attention", {"heads": 3, "causal": True, "bias": False}, {"query": X}),
    "grouped": ("attention", {"heads": 6, "kv_heads": 2, "causal": True, "rope": {"theta": 5e5}}, {"query": X}),
    "head_dim": ("attention", {"heads": 5, "head_dim": 4, "scale": 1, "bias": {"key": False}}, {"query": X}),
    "head_dim as by default": ("attention", {"heads": 3, "head_dim": 4, "kv_heads": 3}, {"query": X}),
    "window": ("attention", {"heads": 3, "causal": True, "window": 2}, {"query": X}),
    "window both ways": ("attention", {"heads": 3, "window": 2}, {"query": X}),
    "softcap": ("attention", {"heads": 3, "kv_heads": 1, "softcap": 50, "causal": True}, {"query": X}),
    "alibi": ("attention", {"heads": 3, "alibi": {"scaled": True}, "causal": True}, {"query": X}),
    "rope": (
        "attention",
        {
            "heads": 3,
            "rope": {"fraction": 0.5, "pairing": "interleaved", "type": "linear", "factor": 4, "beta_fast": 3},
        },
        {"query": X},
    ),
    "dynamic rope": (
        "attention",
        {"heads": 3, "causal": True, "rope": {"type": "dynamic", "factor": 2, "original_length": 4, "beta_slow": 3}},
        {"query": X},
    ),
    "llama3 rope": (
        "attention",
        {
            "heads": 3,
            "rope": {
                "type": "llama3",
                "factor": 8,
                "low_freq_factor": 1,
                "high_freq_factor": 4,
                "original_length": 90,
            },
        },
        {"query": X},
    ),
    "yarn rope": (
        "attention",
        {
            "heads": 3,
            "rope": {
                "type": "yarn",
                "factor": 4,
                "original_length": 64,
                "beta_fast": 20,
                "beta_slow": 1,
                "truncate": False,
            },
        },
        {"query": X},
    ),
    "longrope": (
        "attention",
        {
            "heads": 3,
            "rope": {
                "type": "longrope",
                "short_factor": [1, 2],
                "long_factor": [3, 4],
                "original_length": 4,
                "max_length": 9,
            },
        },
        {"query": X},
    ),
    "sinks": ("attention", {"heads": 6, "kv_heads": 2, "causal": True, "sinks": True, "window": 3}, {"query": X}),
    "sinks of another sequence": ("attention", {"heads": 3, "sinks": True}, {"query": X, "key": S}),
    "clip": ("attention", {"heads": 3, "clip": 0.5, "qk_norm": {"over": "all"}}, {"query": X}),
    "norms per head": (
        "attention",
        {
            "heads": 6,
            "kv_heads": 2,
            "qk_norm": {"type": "layer_norm", "per_head": True},
            "alibi": {"scaled": True, "rounded": True},
        },
        {"query": X},
    ),
    "rms head norm": ("attention", {"heads": 3, "qk_norm": {"offset": 1}}, {"query": X}),
    "layer norm over all": (
        "attention",
        {"heads": 6, "kv_heads": 2, "qk_norm": {"type": "layer_norm", "over": "all"}},
        {"query": X},
    ),
    "cross-attention": ("attention", {"heads": 3}, {"query": X, "key": S}),
    "key is the query": ("attention", {"heads": 3}, {"query": X, "key": "query", "value": "query"}),
    "only the value differs": ("attention", {"heads": 3}, {"query": X, "key": "query", "value": Value.of(2, 6, 20)}),
    "three sources": ("attention", {"heads": 3, "bias": {"out": False}}, {"query": X, "key": S, "value": S12}),
    "masked": ("attention", {"heads": 3}, {"query": X, "key": S, "mask": Value.of(2, 6, 9, dtype="bool")}),
    "biased": ("attention", {"heads": 3, "causal": True}, {"query": X, "bias": Value.of(1, 3, 6, 6)}),
    "relative_bias": ("relative_bias", {"heads": 3, "buckets": 8, "bidirectional": False}, {"query": X}),
    "relative_bias, key": ("relative_bias", {"heads": 3, "max_distance": 20}, {"query": X, "key": S}),
    "latent": (
        "latent_attention",
        {**LATENT, "causal": True, "rope": {"theta": 5e5, "pairing": "interleaved"}},
        {"x": X},
    ),
    "latent queries": (
        "latent_attention",
        {**LATENT, "query_rank": 9, "bias": True, "scale": 0.3, "eps": 1e-5},
        {"x": X},
    ),
    "local": ("local_global_attention", {"heads": 3, "window": 2, "dropout": 0.1}, {"x": X}),
    "local and global": (
        "local_global_attention",
        {"heads": 3, "window": 2},
        {"x": X, "global_tokens": Value.of(2, 6, dtype="bool")},
    ),
    "long local": ("local_global_attention", {"heads": 3, "window": 20}, {"x": LONG}),
    "long local and global": (
        "local_global_attention",
        {"heads": 3, "window": 20},
        {"x": LONG, "global_tokens": Value.of(2, 300, dtype="bool")},
    ),
    "long window": ("attention", {"heads": 3, "causal": True, "window": 20}, {"query": LONG}),
    "long window both ways": ("attention", {"heads": 3, "window": 70, "global_tokens": 3}, {"query": LONG}),
    "long window, biased": (
        "attention",
        {"heads": 3, "window": 20},
        {"query": LONG, "bias": Value.of(1, 3, 300, 300)},
    ),
    "window of half the text": ("attention", {"heads": 3, "causal": True, "window": 150}, {"query": LONG}),
    "dilated": (
        "attention",
        {"heads": 3, "sparse": {"type": "dilated", "window": 9, "dilation": 2}, "global_tokens": 2},
        {"query": LONG},
    ),
    "strided": (
        "attention",
        {"heads": 3, "causal": True, "sparse": {"type": "strided", "stride": 16}},
        {"query": LONG},
    ),
    "strided both ways": ("attention", {"heads": 3, "sparse": {"type": "strided", "stride": 14}}, {"query": LONG}),
    "strided with sinks": (
        "attention",
        {"heads": 3, "sinks": True, "sparse": {"type": "strided", "stride": 14}},
        {"query": LONG},
    ),
    "fixed": (
        "attention",
        {"heads": 3, "causal": True, "sparse": {"type": "fixed", "block": 16, "summary": 2}, "global_tokens": 15},
        {"query": LONG},
    ),
    "blocks": (
        "attention",
        {"heads": 3, "sparse": {"type": "blocks", "block": 7}, "global_tokens": 1},
        {"query": LONG},
    ),
    "bigbird": ("attention", {"heads": 3, "sparse": {"block": 8}}, {"query": LONG}),
    "bigbird, short": ("attention", {"heads": 3, "sparse": {"block": 30}}, {"query": LONG}),
    "linear attention": ("linear_attention", {"heads": 3, "causal": True}, {"x": Value.of(2, 70, 12)}),
    "linear attention both ways": (
        "linear_attention",
        {"heads": 2, "head_dim": 5, "feature_map": "relu", "bias": False},
        {"x": X},
    ),
    "random features": (
        "linear_attention",
        {"heads": 3, "feature_map": "favor", "features": 10, "causal": True, "eps": 1e-4},
        {"x": X},
    ),
    "linformer": ("linformer_attention", {"heads": 3, "length": 9, "rank": 4}, {"x": X}),
    "linformer of many": (
        "linformer_attention",
        {"heads": 3, "length": 6, "rank": 4, "share": "none", "bias": False},
        {"x": X},
    ),
    "linformer of one": (
        "linformer_attention",
        {"heads": 3, "length": 6, "rank": 4, "share": "key_value", "dropout": 0.1},
        {"x": X},
    ),
    "moe": ("moe", {"experts": 5, "top_k": 2, "hidden": 7}, {"x": X}),
    "moe on a vector": ("moe", {"experts": 5, "top_k": 2, "hidden": 7, "normalize": False}, {"x": Value.of(12)}),
    "grouped moe": (
        "moe",
        {
            "experts": 6,
            "top_k": 2,
            "hidden": 7,
            "score": "sigmoid",
            "groups": 3,
            "top_groups": 2,
            "correction": True,
            "scale": 2,
        },
        {"x": X},
    ),
    "plain moe": (
        "moe",
        {
            "experts": 3,
            "top_k": 1,
            "hidden": 7,
            "gated": False,
            "bias": True,
            "score": "softmax_after",
            "activation": "clipped",
        },
        {"x": X},
    ),
    "ffn": ("ffn", {"hidden": 5, "activation": "gelu_new"}, {"x": X}),
    "gated ffn": ("ffn", {"hidden": 5, "gated": True, "bias": False, "activation": "silu"}, {"x": X}),
    "ffn on a vector": ("ffn", {"hidden": 5}, {"x": Value.of(2, 12)}),
    "add": ("add", {"dropout": 0.1}, {"x": (X, Value.of(12), Value.of(1, 12))}),
    "multiply": ("multiply", {}, {"x": (Value.of(2, 6, 1), X)}),
    "add_norm": ("add_norm", {}, {"x": (X, X, X)}),
    "rms add_norm": ("add_norm", {"norm": "rms_norm", "eps": 1e-3}, {"x": (X, X)}),
    "plain add_norm": ("add_norm", {"bias": False}, {"x": (X, X)}),
    "layer_norm": ("layer_norm", {"eps": 1e-6}, {"x": X}),
    "layer_norm with an offset": ("layer_norm", {"offset": 1}, {"x": X}),
    "layer_norm without bias": ("layer_norm", {"bias": False}, {"x": X}),
    "layer_norm without weight": ("layer_norm", {"weight": False}, {"x": X}),
    "rms_norm": ("rms_norm", {"offset": 1}, {"x": X}),
    "rms_norm without weight": ("rms_norm", {"weight": False}, {"x": X}),
    "linear": ("linear", {"width": 7}, {"x": X}),
    "linear without bias": ("linear", {"width": 7, "bias": False}, {"x": Value.of(12)}),
    "activation": ("activation", {"kind": "softmax"}, {"x": X}),
    "scale": ("scale", {"by": 2}, {"x": X}),
    "softcap of values": ("softcap", {"cap": 2}, {"x": X}),
    "dropout": ("dropout", {"p": 0.5, "per": "sample"}, {"x": X}),
    "concat": ("concat", {}, {"x": (X, Value.of(3), Value.of(2, 6, 4))}),
    "concat positions": ("concat", {"along": "positions"}, {"x": (Value.of(1, 12), X, S12)}),
    "concat parameters": ("concat", {"along": "positions"}, {"x": (Value.of(1, 12), Value.of(2, 12))}),
    "split": ("split", {"into": {"a": 4, "b": "rest", "c": 1}}, {"x": X}),
    "split positions": ("split", {"along": "positions", "into": {"a": 4, "b": "rest"}}, {"x": X}),
    "parameter": ("parameter", {"shape": [3, 5], "init": "zeros"}, {}),
    "scalar": ("parameter", {"shape": [], "init": 2.5}, {}),
    "pool": ("pool", {"take": "mean"}, {"x": X}),
    "pool a position": ("pool", {"take": 2}, {"x": X}),
    "pool from the end": ("pool", {"take": -2}, {"x": X}),
    "pool the highest": ("pool", {"take": "highest"}, {"x": X, "ids": IDS}),
    "pool a token": ("pool", {"take": "token", "token": 3}, {"x": X, "ids": IDS}),
    "similarity": ("similarity", {"cosine": True}, {"a": X, "b": S12}),
    "similarity of vectors": ("similarity", {}, {"a": Value.of(2, 12), "b": Value.of(5, 12)}),
    "patches": ("patches", {"width": 5, "size": 4}, {"image": Value.of(2, 3, 8, 12)}),
    "patches without bias": ("patches", {"width": 5, "size": 2, "bias": False}, {"image": Value.of(2, 1, 6, 4)}),
    "patches, oblong": ("patches", {"width": 5, "size": [4, 3]}, {"image": Value.of(2, 1, 8, 6)}),
    "patches, cut": ("patches", {"width": 5, "size": [4, 3], "cut": True}, {"image": Value.of(2, 1, 7, 8)}),
    "grid_bias": ("grid_bias", {"heads": 3, "rows": 2, "columns": 5}, {}),
    "grid_bias without class token": ("grid_bias", {"heads": 3, "rows": 2, "columns": 5, "class_token": False}, {}),
    "conv1d": ("conv1d", {"width": 5}, {"x": X}),
    "conv1d, even and strided": ("conv1d", {"width": 5, "kernel": 4, "stride": 4, "bias": False}, {"x": X}),
    "equal": ("equal", {}, {"a": IDS, "b": Value.of(2, 9, dtype="int")}),
    "rnn": ("rnn", {"width": 5}, {"x": X}),
    "lstm": ("lstm", {"width": 5, "dropout": 0.1}, {"x": X, "initial": Value.of(2, 10)}),
    "bidirectional lstm": ("lstm", {"width": 5, "bidirectional": True}, {"x": X}),
    "gru": ("gru", {"width": 5, "bidirectional": True}, {"x": X, "initial": Value.of(2, 10)}),
}


def node(case: str) -> tuple[Rules[Any], Any, Inputs]:
    name, given, ports = CASES[case]
    type = BUILTIN[name]
    values: dict[str, tuple[Value, ...]] = {}
    edges: dict[str, tuple[object, ...]] = {}
    for port, value in ports.items():
        if isinstance(value, str):
            values[port], edges[port] = values[value], edges[value]
        else:
            values[port] = value if isinstance(value, tuple) else (value,)
            edges[port] = tuple((port, number) for number in range(len(values[port])))
    return resolve(type.rules)(), resolve(type.options).model_validate(given), Inputs(values, edges)


def module(case: str, device: str = "meta") -> torch.nn.Module:
    rules, options, inputs = node(case)
    made = rules.construct(options, inputs)
    with torch.device(device):
        found: torch.nn.Module = getattr(resolve(BUILTIN[CASES[case][0]].module), made.name)(**made.arguments)
    return found.eval()


def tensors(case: str, device: str = "meta") -> tuple[list[torch.Tensor], dict[str, torch.Tensor]]:
    """Positional and keyword arguments of the module's forward: ports in order, later ones by keyword."""
    rules, options, inputs = node(case)
    found = {
        port: [torch.zeros([*map(int, value.shape)], dtype=DTYPES[value.dtype], device=device) for value in values]
        for port, values in inputs.values.items()
    }
    keywords: dict[str, torch.Tensor] = {}
    for port in ("mask", "bias", "initial"):
        keywords |= {port: found.pop(port)[0]} if port in found else {}
    if CASES[case][0] == "attention":  # it is given what it reads, once
        read = rules.construct(options, inputs).arguments.get("reads", "query").split(",")
        source = {"query": found["query"], "key": found.get("key", found["query"])}
        source["value"] = found.get("value", source["key"])
        found = {port: source[port] for port in read}
    return [tensor for values in found.values() for tensor in values], keywords


def call(case: str) -> tuple[dict[str, torch.Tensor], int]:
    rules, options, inputs = node(case)
    positional, keywords = tensors(case)
    built = module(case)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        result = built(*positional, **keywords)
    names = list(rules.outputs(options, inputs))
    results = result if isinstance(result, tuple) else (result,)
    return dict(zip(names, results, strict=True)), counter.get_total_flops()


@pytest.mark.parametrize("case", CASES)
def test_weights(case: str) -> None:
    rules, options, inputs = node(case)
    rules.outputs(options, inputs)
    found = {name: tuple(weight.shape) for name, weight in module(case).state_dict().items()}
    assert rules.weights(options, inputs) == found


@pytest.mark.parametrize("case", CASES)
def test_outputs_and_flops(case: str) -> None:
    rules, options, inputs = node(case)
    results, flops = call(case)
    expected = rules.outputs(options, inputs)
    assert {name: tuple(map(int, value.shape)) for name, value in expected.items()} == {
        name: tuple(result.shape) for name, result in results.items()
    }
    assert {name: DTYPES[value.dtype] for name, value in expected.items()} == {
        name: result.dtype for name, result in results.items()
    }
    assert rules.flops(options, inputs) == flops


@pytest.mark.parametrize("case", [case for case in CASES if node(case)[0].keeps_state(*node(case)[1:])])
def test_state(case: str) -> None:
    rules, options, inputs = node(case)
    positional, keywords = tensors(case, "cpu")
    built = module(case, "cpu")
    length = 304 if positional[0].shape[1:2] == (300,) else 70 if positional[0].shape[1:2] == (70,) else 8
    cache = built.new_cache(2, length)  # type: ignore[operator]
    with torch.no_grad():
        built(*positional, **keywords, cache=cache)
    assert cache.numbers == rules.state(options, inputs, length)


@pytest.mark.parametrize("case", CASES)
def test_arguments_are_short_and_literal(case: str) -> None:
    """Generated source shows them by repr: no argument repeats the module's default, all read back equal."""
    rules, options, inputs = node(case)
    made = rules.construct(options, inputs)
    assert ast.literal_eval(repr(dict(made.arguments))) == dict(made.arguments)
    signature = inspect.signature(getattr(resolve(BUILTIN[CASES[case][0]].module), made.name))
    optional = {name: p.default for name, p in signature.parameters.items() if p.default is not p.empty}
    assert not [name for name, value in made.arguments.items() if name in optional and optional[name] == value]
