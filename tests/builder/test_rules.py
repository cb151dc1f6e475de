"""Shapes and closed forms of every block type, without torch."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from blockgraph.builder.rules import Inputs, Rules
from blockgraph.builder.rules_checks import OWN_MASK
from blockgraph.builder.shapes import Size, Value
from blockgraph.specs.builtin import BUILTIN
from blockgraph.specs.registry import resolve

X = Value.of("B", "T", 12, mask="tokens")
IDS = Value(Value.of("B", "T").shape, "int", "tokens", vocabulary=50)


def node(name: str, given: dict[str, Any], /, *x: Value, **ports: Value) -> tuple[Rules[Any], Any, Inputs]:
    """Rules, options and inputs of a node; every value is an edge of its own."""
    type = BUILTIN[name]
    values: dict[str, tuple[Value, ...]] = {port: (value,) for port, value in ports.items()}
    if x:
        values[type.ports[0].name] = x
    edges = {port: tuple(f"{port}{n}" for n in range(len(found))) for port, found in values.items()}
    return resolve(type.rules)(), resolve(type.options).model_validate(given), Inputs(values, edges)


def outputs(name: str, given: dict[str, Any], /, *x: Value, **ports: Value) -> str:
    rules, options, inputs = node(name, given, *x, **ports)
    return " ".join(f"{out}={value.dtype}{value}" for out, value in rules.outputs(options, inputs).items())


def count(name: str, given: dict[str, Any], /, *x: Value, **ports: Value) -> int:
    rules, options, inputs = node(name, given, *x, **ports)
    rules.outputs(options, inputs)
    total = 0
    for shape in rules.weights(options, inputs).values():
        numbers = 1
        for size in shape:
            numbers *= size
        total += numbers
    return total


@pytest.mark.parametrize("type", BUILTIN.values(), ids=lambda type: type.name)
def test_every_type_has_rules(type: Any) -> None:
    assert isinstance(resolve(type.rules)(), Rules)


def test_rules_load_no_torch() -> None:
    code = "import sys; from blockgraph.specs.builtin import BUILTIN; from blockgraph.specs.registry import resolve\n"
    code += "[resolve(type.rules) for type in BUILTIN.values()]; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    ("name", "given", "x", "expected"),
    [
        ("embedding", {"width": 8}, (IDS,), "out=float[B, T, 8]"),
        ("positions", {"kind": "sinusoidal"}, (X,), "out=float[B, T, 12]"),
        ("attention", {"heads": 3}, (X,), "out=float[B, T, 12]"),
        ("relative_bias", {"heads": 3}, (X,), "out=float[1, 3, T, T]"),
        ("relative_bias", {"heads": 3}, (IDS,), "out=float[1, 3, T, T]"),
        ("ffn", {"hidden": 5}, (Value.of(12),), "out=float[12]"),
        ("linear", {"width": 5}, (X,), "out=float[B, T, 5]"),
        ("add", {}, (X, Value.of(1, 12), Value.of()), "out=float[B, T, 12]"),
        ("multiply", {}, (X, Value.of("B", "T", 1)), "out=float[B, T, 12]"),
        ("activation", {"kind": "exp"}, (Value.of(),), "out=float[]"),
        ("concat", {}, (X, Value.of("B", "T", 3)), "out=float[B, T, 15]"),
        ("concat", {}, (X, Value.of(3)), "out=float[B, T, 15]"),
        ("concat", {"along": "positions"}, (Value.of(1, 12), X), "out=float[B, T+1, 12]"),
        ("concat", {"along": "positions"}, (X, Value.of("B", "S", 12)), "out=float[B, S+T, 12]"),
        ("concat", {"along": "positions"}, (Value.of(1, 12), Value.of(2, 12)), "out=float[3, 12]"),
        ("split", {"into": {"a": 4, "b": "rest"}}, (X,), "a=float[B, T, 4] b=float[B, T, 8]"),
        ("split", {"into": {"a": 4, "b": 8}}, (X,), "a=float[B, T, 4] b=float[B, T, 8]"),
        ("split", {"along": "positions", "into": {"m": 2, "t": "rest"}}, (X,), "m=float[B, 2, 12] t=float[B, T-2, 12]"),
        ("parameter", {"shape": []}, (), "out=float[]"),
        ("parameter", {"shape": [1, 8]}, (), "out=float[1, 8]"),
        ("pool", {"take": "last"}, (X,), "out=float[B, 12]"),
        ("patches", {"width": 7, "size": 8}, (Value.of("B", 3, 32, 16),), "out=float[B, 8, 7]"),
        ("patches", {"width": 7, "size": [8, 5], "cut": True}, (Value.of("B", 3, 33, 16),), "out=float[B, 12, 7]"),
        ("grid_bias", {"heads": 3, "rows": 2, "columns": 5}, (), "out=float[1, 3, 11, 11]"),
        ("pool", {"take": -1}, (X,), "out=float[B, 12]"),
        ("conv1d", {"width": 7}, (X,), "out=float[B, T, 7]"),
        ("conv1d", {"width": 7, "stride": 2}, (X,), "out=float[B, (T-1)//2+1, 7]"),
        ("conv1d", {"width": 7, "stride": 2}, (Value.of("B", 3000, 80),), "out=float[B, 1500, 7]"),
        ("lstm", {"width": 5}, (X,), "out=float[B, T, 5] final=float[B, 10]"),
        ("gru", {"width": 5, "bidirectional": True}, (X,), "out=float[B, T, 10] final=float[B, 10]"),
        ("moe", {"experts": 4, "top_k": 2, "hidden": 6}, (X,), "out=float[B, T, 12]"),
        ("local_global_attention", {"heads": 3, "window": 4}, (X,), "out=float[B, T, 12]"),
        ("linear_attention", {"heads": 3}, (X,), "out=float[B, T, 12]"),
        ("linformer_attention", {"heads": 3, "length": 9, "rank": 4}, (X,), "out=float[B, T, 12]"),
    ],
)  # fmt: skip
def test_shapes(name: str, given: dict[str, Any], x: tuple[Value, ...], expected: str) -> None:
    assert outputs(name, given, *x) == expected


def test_shapes_of_two_ports() -> None:
    s, pair = Value.of("B", "S", 20), Value.of("B", "S", 12)
    assert outputs("attention", {"heads": 3}, X, key=s) == "out=float[B, T, 12]"
    assert outputs("relative_bias", {"heads": 3}, X, key=s) == "out=float[1, 3, T, S]"
    assert outputs("similarity", {}, X, b=pair) == "out=float[B, T, S]"
    assert outputs("similarity", {}, Value.of("B", 4), b=Value.of("C", 4)) == "out=float[B, C]"
    assert outputs("similarity", {}, X, b=Value.of(9, 12)) == "out=float[B, T, 9]"
    assert outputs("equal", {}, IDS, b=Value.of("B", "S", dtype="int")) == "out=bool[B, T, S]"
    assert outputs("pool", {"take": "token", "token": 3}, X, ids=IDS) == "out=float[B, 12]"
    assert outputs("positions", {"kind": "sinusoidal", "pad": 1}, X, ids=IDS) == "out=float[B, T, 12]"
    assert outputs("disentangled_attention", {"heads": 3}, X, table=Value.of(8, 7)) == "out=float[B, T, 12]"
    assert outputs("squeeze", {}, Value.of("B", "T", 1)) == "out=float[B, T]"
    assert outputs("blank", {}, X) == "out=float[B, T, 12]"
    flags = Value.of("B", "T", dtype="bool")
    assert outputs("local_global_attention", {"heads": 3, "window": 4}, X, global_tokens=flags) == "out=float[B, T, 12]"
    latent = {"heads": 2, "kv_rank": 4, "head_dim": 3, "rope_dim": 2, "value_dim": 5, "rope": {}}
    assert outputs("latent_attention", latent, X) == "out=float[B, T, 12]"


@pytest.mark.parametrize(
    ("name", "given", "x", "mask"),
    [
        ("embedding", {"width": 8}, (IDS,), "tokens"),
        ("attention", {"heads": 3}, (X,), "tokens"),
        ("add", {}, (Value.of("B", "T", 12), X), "tokens"),
        ("add", {}, (Value.of("B", "T", 12),), None),
        ("linear", {"width": 3}, (X,), "tokens"),
        ("concat", {}, (Value.of(3), X), "tokens"),
        ("concat", {"along": "positions"}, (Value.of(1, 12), X), OWN_MASK),
        ("concat", {"along": "positions"}, (Value.of(1, 12), Value.of("B", "T", 12)), None),
        ("split", {"into": {"a": "rest"}}, (X,), "tokens"),
        ("split", {"along": "positions", "into": {"a": "rest"}}, (X,), OWN_MASK),
        ("conv1d", {"width": 3}, (X,), "tokens"),
        ("conv1d", {"width": 3, "stride": 2}, (X,), OWN_MASK),
        ("conv1d", {"width": 3, "stride": 2}, (Value.of("B", "T", 12),), None),
        ("pool", {"take": "mean"}, (X,), None),
        ("rnn", {"width": 3}, (X,), "tokens"),
        ("relative_bias", {"heads": 3}, (X,), None),
    ],
)  # fmt: skip
def test_masks_follow_positions(name: str, given: dict[str, Any], x: tuple[Value, ...], mask: str | None) -> None:
    rules, options, inputs = node(name, given, *x)
    assert next(iter(rules.outputs(options, inputs).values())).mask == mask
    assert mask != "self" or rules.makes_mask


def test_masks_are_read_where_they_matter() -> None:
    def port(name: str, **given: Any) -> str | None:
        rules, options, inputs = node(name, given, X)
        return rules.mask_port(options, inputs)

    assert port("positions", kind="sinusoidal") is None
    assert port("positions", kind="sinusoidal", skip_padding=True) == "x"
    assert port("pool", take="mean") == "x" and port("pool", take=0) is None
    assert port("attention", heads=1) == "key" and port("linear", width=3) is None


def test_vocabulary_ends_at_the_embedding() -> None:
    rules, options, inputs = node("embedding", {"width": 8}, IDS)
    assert rules.outputs(options, inputs)["out"].vocabulary is None


def test_parameters_of_published_layers() -> None:
    """Sums from the papers' or the published checkpoints' shapes."""
    llama, bert = Value.of("B", "T", 4096), Value.of("B", "T", 768)
    # Llama 3 8B: 2·4096² + 2·4096·1024, and 3·4096·14336
    assert count("attention", {"heads": 32, "kv_heads": 8, "bias": False}, llama) == 41_943_040
    assert count("ffn", {"hidden": 14336, "gated": True, "bias": False}, llama) == 176_160_768
    assert count("attention", {"heads": 12}, bert) == 4 * (768 * 768 + 768)
    assert count("ffn", {"hidden": 3072}, bert) == 4_722_432
    # Mixtral 8x7B: router and 8 experts of 3·4096·14336
    assert count("moe", {"experts": 8, "top_k": 2, "hidden": 14336}, llama) == 32_768 + 8 * 176_160_768
    # Whisper: no bias on keys
    assert count("attention", {"heads": 6, "bias": {"key": False}}, Value.of("B", "T", 384)) == 4 * 384**2 + 3 * 384
    # ViT-B/16's patches, torch's LSTM(10, 20) and bidirectional GRU(10, 20)
    assert count("patches", {"width": 768, "size": 16}, Value.of("B", 3, 224, 224)) == 590_592
    assert count("lstm", {"width": 20}, Value.of("B", "T", 10)) == 2_560
    assert count("gru", {"width": 20, "bidirectional": True}, Value.of("B", "T", 10)) == 3_840
    # Longformer-base: seven projections
    assert count("local_global_attention", {"heads": 12, "window": 512}, bert) == 7 * (768 * 768 + 768)


def test_parameters_of_deepseek_v3() -> None:
    """671 B (DeepSeek-AI 2024, section 4.2), layer by layer, without the multi-token prediction module."""
    x = Value.of("B", "T", 7168)
    attention = {"heads": 128, "query_rank": 1536, "kv_rank": 512, "head_dim": 128, "rope_dim": 64, "value_dim": 128}
    latent = count("latent_attention", attention, x)
    assert latent == 187_107_328
    dense = count("ffn", {"hidden": 18432, "gated": True, "bias": False}, x)
    experts = {"experts": 256, "top_k": 8, "hidden": 2048, "correction": True, "groups": 8, "top_groups": 4}
    sparse = count("moe", experts, x) + count("ffn", {"hidden": 2048, "gated": True, "bias": False}, x)
    total = 61 * (latent + 2 * 7168) + 3 * dense + 58 * sparse + 2 * 129_280 * 7168 + 7168
    assert total == 671_026_419_200


def test_weight_names() -> None:
    def names(name: str, given: dict[str, Any], x: Value = X) -> str:
        rules, options, inputs = node(name, given, x)
        return " ".join(rules.weights(options, inputs))

    projections = "query.weight query.bias key.weight key.bias value.weight value.bias out.weight out.bias"
    assert names("attention", {"heads": 3}) == projections
    norms = {"heads": 3, "bias": False, "qk_norm": {"type": "layer_norm"}, "sinks": True}
    assert names("attention", norms).split()[4:] == [
        "query_norm.weight", "query_norm.bias", "key_norm.weight", "key_norm.bias", "sinks",
    ]  # fmt: skip
    assert names("ffn", {"hidden": 5, "gated": True, "bias": False}) == "gate.weight up.weight down.weight"
    given = {"experts": 4, "top_k": 2, "hidden": 6, "bias": True, "correction": True}
    assert names("moe", given).split() == [
        "router.weight", "router.bias", "router.correction", "experts.gate.weight", "experts.gate.bias",
        "experts.up.weight", "experts.up.bias", "experts.down.weight", "experts.down.bias",
    ]  # fmt: skip
    latent = {"heads": 2, "kv_rank": 4, "head_dim": 3, "rope_dim": 2, "value_dim": 5}
    rest = "kv_down.weight kv_norm.weight key_up.weight value_up.weight out.weight"
    assert names("latent_attention", latent) == f"query.weight {rest}"
    down = "query_down.weight query_norm.weight query_up.weight"
    assert names("latent_attention", {**latent, "query_rank": 7}) == f"{down} {rest}"


def test_state() -> None:
    def state(name: str, given: dict[str, Any], x: Value, **ports: Value) -> int:
        rules, options, inputs = node(name, given, x, **ports)
        return rules.state(options, inputs, 10)

    one, source = Value.of(2, 1, 12), Value.of(2, 7, 12)
    assert state("attention", {"heads": 6, "kv_heads": 2, "causal": True}, one) == 2 * 2 * 10 * 2 * 2
    assert state("attention", {"heads": 3}, one, key=source) == 2 * 2 * 7 * 12
    assert state("attention", {"heads": 3}, one) == 0
    latent = {"heads": 2, "kv_rank": 4, "head_dim": 3, "rope_dim": 2, "value_dim": 5, "causal": True}
    assert state("latent_attention", latent, one) == 2 * 10 * 6
    assert (state("rnn", {"width": 5}, one), state("lstm", {"width": 5}, one)) == (10, 20)
    assert state("positions", {"kind": "sinusoidal"}, one) == 0
    assert state("linear_attention", {"heads": 3, "causal": True}, one) == 2 * 3 * 4 * 5  # whatever the length is


def test_who_can_decode() -> None:
    def reason(name: str, given: dict[str, Any], *x: Value, **ports: Value) -> str | None:
        rules, options, inputs = node(name, given, *(x or (X,)), **ports)
        return rules.decodable(options, inputs)

    assert reason("attention", {"heads": 3, "causal": True}) is None
    assert reason("attention", {"heads": 3}, X, key=Value.of("B", "S", 12)) is None
    assert reason("attention", {"heads": 3}) == "attention that is not causal looks at later positions"
    assert reason("gru", {"width": 3}) is None
    assert reason("gru", {"width": 3, "bidirectional": True}) == "a bidirectional gru also reads the text from its end"
    assert reason("linear_attention", {"heads": 3, "causal": True}) is None
    assert reason("linear_attention", {"heads": 3}) and reason(
        "linformer_attention", {"heads": 3, "length": 9, "rank": 4}
    )
    assert reason("concat", {}) is None
    for name, given in (("concat", {}), ("split", {"into": {"a": "rest"}})):
        assert reason(name, {**given, "along": "positions"}) == f"{name} along positions cannot run step by step yet"
    assert reason("conv1d", {"width": 3}) and reason("pool", {"take": "mean"}) and reason("equal", {}, IDS, b=IDS)


def test_which_axis_is_a_source() -> None:
    rules, options, inputs = node("attention", {"heads": 3}, X, key=Value.of("B", "S", 12))
    assert rules.reads_source(options, inputs, "S") and not rules.reads_source(options, inputs, "T")
    rules, options, inputs = node("attention", {"heads": 3, "causal": True}, X, key=Value.of("B", "T", 12))
    assert not rules.reads_source(options, inputs, "T")


def test_what_is_not_built_yet() -> None:
    def missing(name: str, **given: Any) -> str | None:
        rules, options, _ = node(name, given)
        return rules.missing(options)

    yarn = {"type": "yarn", "factor": 2, "original_length": 8}
    assert missing("attention", heads=1, rope=yarn, sinks=True, clip=8.0) is None
    found = {name for name, type in BUILTIN.items() if type.rules and "missing" in vars(resolve(type.rules))}
    assert found == {"embedding"}
    assert missing("embedding", width=4, pretrained="glove.txt") and not missing("embedding", width=4)


def test_sizes_are_any_size() -> None:
    """Costs of absurd sizes are computed, not allocated."""
    rules, options, inputs = node("attention", {"heads": 2**20}, Value.of(2**31, 2**31, 2**31))
    assert rules.flops(options, inputs) > 2**120
    assert rules.outputs(options, inputs)["out"].shape[0] == Size(2**31)
