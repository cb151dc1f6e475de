"""What a user can get wrong in a node, and the words that answer it."""

from __future__ import annotations

from typing import Any

import pytest

from blockgraph.builder.rules import Inputs, RuleError
from blockgraph.builder.rules_checks import near_divisors
from blockgraph.builder.shapes import Value
from blockgraph.specs.builtin import BUILTIN
from blockgraph.specs.registry import resolve

X = Value.of("B", "T", 768)
S = Value.of("B", "S", 768)
IDS = Value(Value.of("B", "T").shape, "int", vocabulary=50)
VECTOR = Value.of("B", 768)
IMAGE = Value.of("B", 3, 224, 224)
CASES: list[tuple[str, dict[str, Any], dict[str, Any], str, str, str | None]] = [
    # type, options, ports, code, message, what is pointed at
    ("embedding", {"width": 8}, {"ids": X}, "dtype", "embedding wants ids, but gets floats [B, T, 768]", "ids"),
    (
        "embedding",
        {"width": 8},
        {"ids": Value.of("B", "T", dtype="int")},
        "shape",
        "embedding needs to know how many different ids there are, but gets [B, T] of any",
        "ids",
    ),
    (
        "positions",
        {"kind": "learned"},
        {"x": X},
        "missing-option",
        "learned positions need a length, because the axis T has no known size",
        None,
    ),
    (
        "positions",
        {"kind": "learned", "length": 4},
        {"x": Value.of("B", 5, 8)},
        "shape",
        "5 positions do not fit into a table of length 4",
        "length",
    ),
    (
        "positions",
        {"kind": "sinusoidal"},
        {"x": VECTOR},
        "shape",
        "positions wants [batch, positions, features], but its x is [B, 768]",
        "x",
    ),
    ("attention", {"heads": 7}, {"query": X}, "heads", "7 heads do not divide the width 768", "heads"),
    (
        "attention",
        {"heads": 12, "kv_heads": 5},
        {"query": X},
        "heads",
        "5 kv_heads do not divide the 12 heads",
        "kv_heads",
    ),
    ("attention", {"heads": 12}, {"query": IDS}, "dtype", "attention wants floats, but gets ids [B, T]", "query"),
    (
        "attention",
        {"heads": 12},
        {"query": Value.of("B", "T", "F")},
        "shape",
        "attention needs to know how many features there are, but its query is [B, T, F]",
        "query",
    ),
    (
        "attention",
        {"heads": 12},
        {"query": X, "key": Value.of(4, 768)},
        "shape",
        "attention wants [batch, positions, features], but its key is [4, 768]",
        "key",
    ),
    (
        "attention",
        {"heads": 12},
        {"query": X, "key": Value.of("C", "S", 8)},
        "shape",
        "attention's key has the batch axis C, but its query has B",
        "key",
    ),
    (
        "attention",
        {"heads": 12},
        {"query": X, "key": S, "value": X},
        "shape",
        "attention gets values at T positions, but keys at S",
        "value",
    ),
    (
        "attention",
        {"heads": 12, "causal": True},
        {"query": X, "key": S},
        "shape",
        "causal compares positions, but queries are at T and keys at S",
        "causal",
    ),
    (
        "attention",
        {"heads": 12, "rope": {"fraction": 0.3}},
        {"query": X},
        "heads",
        "rope rotates pairs of features, but 0.3 of the head's 64 are 19",
        "rope",
    ),
    (
        "attention",
        {"heads": 12, "rope": {"type": "longrope", "short_factor": [1], "long_factor": [1], "original_length": 9}},
        {"query": X},
        "shape",
        "rope's short_factor has 1 numbers, but 32 pairs of features rotate",
        "rope",
    ),
    (
        "attention",
        {"heads": 12, "rope": {"type": "dynamic", "factor": 2, "original_length": 9, "fraction": 0.04}},
        {"query": X},
        "bad-option",
        "rope type dynamic needs more than one pair of features that rotate",
        "rope",
    ),
    (
        "attention",
        {
            "heads": 12,
            "rope": {"type": "llama3", "factor": 2, "original_length": 9, "low_freq_factor": 4, "high_freq_factor": 4},
        },
        {"query": X},
        "bad-option",
        "rope type llama3 needs high_freq_factor over low_freq_factor, not 4",
        "rope",
    ),
    (
        "attention",
        {"heads": 12, "rope": {"type": "yarn", "factor": 2, "original_length": 9, "theta": 1}},
        {"query": X},
        "bad-option",
        "rope type yarn needs a theta other than 1",
        "rope",
    ),
    (
        "attention",
        {
            "heads": 12,
            "rope": {
                "type": "longrope",
                "short_factor": [1] * 32,
                "long_factor": [1] * 32,
                "original_length": 1,
                "factor": 2,
            },
        },
        {"query": X},
        "bad-option",
        "rope type longrope needs attention_factor, or original_length over 1",
        "rope",
    ),
    (
        "attention",
        {"heads": 12},
        {"query": X, "mask": X},
        "dtype",
        "attention's mask wants true and false, but gets floats [B, T, 768]",
        "mask",
    ),
    (
        "attention",
        {"heads": 12},
        {"query": X, "mask": Value.of("B", "T", "S", dtype="bool")},
        "shape",
        "attention's mask must be [B, T, T] or [B or 1, 12, T, T], but it is [B, T, S]",
        "mask",
    ),
    (
        "attention",
        {"heads": 12},
        {"query": X, "bias": Value.of(1, 8, "T", "T")},
        "shape",
        "attention's bias must be [B, T, T] or [B or 1, 12, T, T], but it is [1, 8, T, T]",
        "bias",
    ),
    (
        "relative_bias",
        {"heads": 2, "buckets": 7},
        {"query": X},
        "bad-option",
        "relative_bias wants an even number from 4 buckets, not 7",
        "buckets",
    ),
    (
        "relative_bias",
        {"heads": 2, "max_distance": 8},
        {"query": X},
        "bad-option",
        "max_distance must be over 8, the distances that have a bucket each, not 8",
        "max_distance",
    ),
    (
        "attention",
        {"heads": 2, "window": 4, "sparse": {}},
        {"query": X},
        "bad-option",
        "window and sparse both say which keys are seen",
        "sparse",
    ),
    (
        "attention",
        {"heads": 2, "causal": True, "sparse": {}},
        {"query": X},
        "bad-option",
        "bigbird's blocks look to both sides",
        "sparse",
    ),
    (
        "attention",
        {"heads": 2, "sparse": {}, "global_tokens": 2},
        {"query": X},
        "bad-option",
        "bigbird's first and last block are global already",
        "global_tokens",
    ),
    (
        "attention",
        {"heads": 2, "global_tokens": 2},
        {"query": X},
        "bad-option",
        "global_tokens see what a window or sparse hides, and there is neither",
        "global_tokens",
    ),
    (
        "linear_attention",
        {"heads": 2, "features": 9},
        {"x": X},
        "bad-option",
        "features are drawn for favor; elu has as many as a head",
        "features",
    ),
    (
        "local_global_attention",
        {"heads": 12, "window": 5},
        {"x": X},
        "bad-option",
        "window is cut in two halves, but 5 is odd",
        "window",
    ),
    (
        "moe",
        {"experts": 8, "top_k": 9, "hidden": 4},
        {"x": X},
        "bad-option",
        "top_k is 9, but there are 8 experts",
        "top_k",
    ),
    (
        "moe",
        {"experts": 8, "top_k": 2, "hidden": 4, "groups": 3},
        {"x": X},
        "bad-option",
        "3 groups do not divide the 8 experts",
        "groups",
    ),
    (
        "moe",
        {"experts": 8, "top_k": 5, "hidden": 4, "groups": 4, "top_groups": 2},
        {"x": X},
        "bad-option",
        "top_k is 5, but there are 4 experts in the chosen groups",
        "top_k",
    ),
    ("linear", {}, {"x": X}, "missing-option", "linear needs `width` (or `tie`)", None),
    ("ffn", {"hidden": 4}, {"x": Value.of()}, "shape", "ffn works on features, but its x is a scalar", "x"),
    (
        "add",
        {},
        {"x": (X, Value.of("B", "T", 512))},
        "shape",
        "add gets different widths, 768 and 512: [B, T, 768] and [B, T, 512]",
        "x",
    ),
    (
        "multiply",
        {},
        {"x": (X, VECTOR)},
        "shape",
        "multiply gets shapes that do not fit each other: [B, T, 768] and [B, 768]",
        "x",
    ),
    ("add_norm", {}, {"x": (X, IDS)}, "dtype", "add_norm wants floats, but gets ids [B, T]", "x"),
    (
        "concat",
        {},
        {"x": (X, S)},
        "shape",
        "concat along features wants all other axes equal (or 1), but gets [B, T, 768] and [B, S, 768]",
        "x",
    ),
    (
        "concat",
        {"along": "positions"},
        {"x": (X, Value.of(1, 512))},
        "shape",
        "concat along positions wants all other axes equal (or 1), but gets [B, T, 768] and [1, 512]",
        "x",
    ),
    (
        "concat",
        {"along": "positions"},
        {"x": (VECTOR, X)},
        "shape",
        "concat along positions wants [batch, positions, features], but gets [B, 768]",
        "x",
    ),
    (
        "split",
        {"into": {"a": 700, "b": 60}},
        {"x": X},
        "shape",
        "the parts have 760 features together, but x has 768",
        "into",
    ),
    (
        "split",
        {"into": {"a": 768, "b": "rest"}},
        {"x": X},
        "shape",
        "parts of 768 leave no rest of 768 features",
        "into",
    ),
    (
        "split",
        {"along": "positions", "into": {"a": 5}},
        {"x": X},
        "shape",
        "the parts have 5 positions together, but x has T",
        "into",
    ),
    (
        "pool",
        {"take": "mean"},
        {"x": VECTOR},
        "shape",
        "pool wants [batch, positions, features], but its x is [B, 768]",
        "x",
    ),
    (
        "pool",
        {"take": 3},
        {"x": Value.of("B", 3, 8)},
        "shape",
        "there is no position 3: x has 3, counted from 0",
        "take",
    ),
    (
        "pool",
        {"take": "token"},
        {"x": X, "ids": IDS},
        "missing-option",
        "pool with take: token needs 'token', the id whose place is taken",
        "take",
    ),
    ("pool", {"take": "token", "token": 3}, {"x": X}, "missing-port", "pool with take: token needs 'ids'", "take"),
    (
        "pool",
        {"take": "token", "token": 50},
        {"x": X, "ids": IDS},
        "bad-option",
        "there is no id 50: ids are below 50",
        "token",
    ),
    (
        "pool",
        {"take": "last"},
        {"x": X, "ids": IDS},
        "bad-option",
        "pool reads 'ids' only with take: token or highest",
        "ids",
    ),
    ("pool", {"take": "highest"}, {"x": X}, "missing-port", "pool with take: highest needs 'ids'", "take"),
    ("pool", {"take": "last", "token": 3}, {"x": X}, "bad-option", "pool reads 'token' only with take: token", "token"),
    (
        "pool",
        {"take": -4},
        {"x": Value.of(2, 3, 4)},
        "shape",
        "there is no position -4: x has 3, counted from 0",
        "take",
    ),
    (
        "patches",
        {"width": 8, "size": [4, 5]},
        {"image": IMAGE},
        "shape",
        "patches of 4 × 5 pixels do not divide an image of 224 × 224",
        "size",
    ),
    (
        "patches",
        {"width": 8, "size": 300, "cut": True},
        {"image": IMAGE},
        "shape",
        "patches of 300 pixels do not divide an image of 224 × 224",
        "size",
    ),
    (
        "similarity",
        {},
        {"a": X, "b": Value.of("B", "S", 512)},
        "shape",
        "similarity compares vectors of one width, but a has 768 features and b 512",
        "b",
    ),
    (
        "positions",
        {"kind": "sinusoidal", "pad": 1},
        {"x": X},
        "bad-option",
        "positions counts ids other than pad, but has no ids",
        "pad",
    ),
    (
        "positions",
        {"kind": "sinusoidal"},
        {"x": X, "ids": IDS},
        "missing-option",
        "positions has ids, but no pad says which of them not to count",
        None,
    ),
    (
        "positions",
        {"kind": "sinusoidal", "pad": 1, "skip_padding": True},
        {"x": X, "ids": IDS},
        "bad-option",
        "positions counts what the mask says (skip_padding) or what ids say (pad), not both",
        "skip_padding",
    ),
    (
        "positions",
        {"kind": "sinusoidal", "pad": 1},
        {"x": X, "ids": Value(Value.of("B", "S").shape, "int", vocabulary=50)},
        "shape",
        "positions' ids must be [B, T], but they are [B, S]",
        "ids",
    ),
    (
        "disentangled_attention",
        {"heads": 12},
        {"x": X, "table": Value.of(7, 768)},
        "shape",
        "the table must be [rows, features] with an even number of rows, but it is [7, 768]",
        "table",
    ),
    (
        "disentangled_attention",
        {"heads": 12, "shared": True},
        {"x": X, "table": Value.of(8, 5)},
        "shape",
        "shared projections want a table of 768 features, but it has 5",
        "table",
    ),
    (
        "disentangled_attention",
        {"heads": 12, "max_distance": 3},
        {"x": X, "table": Value.of(8, 5)},
        "bad-option",
        "max_distance must be over 3 for a table of 8 rows, not 3",
        "max_distance",
    ),
    ("blank", {}, {"x": Value.of(3)}, "shape", "blank wants [batch, positions, …], but its x is [3]", "x"),
    ("squeeze", {}, {"x": X}, "shape", "squeeze drops a last axis of size 1, but its x is [B, T, 768]", "x"),
    ("equal", {}, {"a": IDS, "b": X}, "dtype", "equal wants ids, but gets floats [B, T, 768]", "b"),
    (
        "patches",
        {"width": 8, "size": 15},
        {"image": IMAGE},
        "shape",
        "patches of 15 pixels do not divide an image of 224 × 224",
        "size",
    ),
    (
        "patches",
        {"width": 8, "size": 16},
        {"image": X},
        "shape",
        "patches wants [batch, channels, height, width], but its image is [B, T, 768]",
        "image",
    ),
    (
        "patches",
        {"width": 8, "size": 16},
        {"image": Value.of("B", 3, "H", "W")},
        "shape",
        "patches need to know the image's sizes, but it is [B, 3, H, W]",
        "image",
    ),
    (
        "lstm",
        {"width": 4},
        {"x": X, "initial": Value.of("B", 4)},
        "shape",
        "lstm's initial state must be [B, 8], but it is [B, 4]",
        "initial",
    ),
]


def refuse(name: str, given: dict[str, Any], ports: dict[str, Any]) -> RuleError:
    type = BUILTIN[name]
    values = {port: value if isinstance(value, tuple) else (value,) for port, value in ports.items()}
    options = resolve(type.options).model_validate(given)
    with pytest.raises(RuleError) as caught:
        resolve(type.rules)().outputs(options, Inputs(values, {port: (port,) for port in values}))
    return caught.value


@pytest.mark.parametrize(("name", "given", "ports", "code", "message", "at"), CASES, ids=lambda value: str(value)[:40])
def test_refused(name: str, given: Any, ports: Any, code: str, message: str, at: str | None) -> None:
    error = refuse(name, given, ports)
    assert (error.code, error.message) == (code, message)
    assert (error.option or error.port) == at
    type = BUILTIN[name]
    assert error.option is None or error.option in resolve(type.options).model_fields
    assert error.port is None or type.port(error.port)
    assert error.width_of is None or type.port(error.width_of)


@pytest.mark.parametrize(
    ("name", "given", "ports", "help"),
    [
        ("attention", {"heads": 7}, {"query": X}, "try 6, 8 or 12, or set head_dim"),
        ("attention", {"heads": 12, "kv_heads": 24}, {"query": X}, "try 12"),
        ("attention", {"heads": 2}, {"query": Value.of("B", "T", 7)}, "try 7, or set head_dim"),
        ("attention", {"heads": 1}, {"query": IDS}, "turn the ids into vectors first: an embedding"),
        ("patches", {"width": 8, "size": 15}, {"image": IMAGE}, "try 14, 16 or 28"),
        ("moe", {"experts": 8, "top_k": 1, "hidden": 4, "groups": 3}, {"x": X}, "try 2, 4 or 8"),
    ],
)
def test_help(name: str, given: Any, ports: Any, help: str) -> None:
    assert refuse(name, given, ports).help == help


def test_the_width_to_blame_is_named() -> None:
    assert refuse("attention", {"heads": 7}, {"query": X}).width_of == "query"
    assert refuse("add", {}, {"x": (X, Value.of("B", "T", 512))}).width_of == "x"


def test_near_divisors_of_the_largest_size_are_found_at_once() -> None:
    assert near_divisors(2**31, 3) == [2, 4, 8]
    assert near_divisors(2**31 - 1, 2) == [2**31 - 1]  # a prime
    assert near_divisors(1, 2) == [1]
